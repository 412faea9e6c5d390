"""Audit lines as OTLP log records in JSON.

Source: OTLP specification 1.x, "OTLP/HTTP", JSON encoding; opentelemetry-proto, logs.proto. The
body is the line as it is; its scalar fields are attributes as well, so that a backend can be
searched for them without parsing.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from otpc_policy import __version__

# Of logs.proto, SeverityNumber.
_SEVERITIES: Final = {"info": (9, "INFO"), "warning": (13, "WARN"), "error": (17, "ERROR")}
# What the record itself has.
_ELSEWHERE: Final = frozenset({"time", "level", "event", "trace_id", "schema"})


def export_request(lines: Iterable[str], *, instance: str) -> bytes:
    """Return an ExportLogsServiceRequest. lines: audit lines. instance: of this service."""
    resource = {
        "service.name": "otpc-policy",
        "service.version": __version__,
        "service.instance.id": instance,
    }
    scope_logs = {
        "scope": {"name": "otpc_policy.audit"},
        "logRecords": [_record(line) for line in lines],
    }
    resource_logs = {
        "resource": {"attributes": list(_attributes(resource))},
        "scopeLogs": [scope_logs],
    }
    request = {"resourceLogs": [resource_logs]}
    return json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()


def rejected_records(response: bytes) -> int:
    """Return how many records an ExportLogsServiceResponse says were refused."""
    try:
        partial = json.loads(response).get("partialSuccess") or {}
        # int64 is text in the JSON form of protobuf.
        return max(0, int(partial.get("rejectedLogRecords") or 0))
    except (ValueError, TypeError, AttributeError):
        return 0


def _record(line: str) -> dict[str, Any]:
    fields = json.loads(line)
    number, text = _SEVERITIES.get(fields["level"], _SEVERITIES["error"])
    at = str(_nanoseconds(fields["time"]))
    scalars = {name: value for name, value in fields.items() if name not in _ELSEWHERE}
    record = {
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "severityNumber": number,
        "severityText": text,
        "eventName": f"otpc_policy.{fields['event']}",
        "body": {"stringValue": line.rstrip("\n")},
        "attributes": [
            {"key": "event.schema", "value": {"intValue": str(fields["schema"])}},
            *_attributes(scalars),
        ],
    }
    if "trace_id" in fields:
        record["traceId"] = fields["trace_id"]
    return record


def _attributes(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield attributes of the fields that are scalars."""
    for name, value in fields.items():
        match value:
            case bool():
                yield {"key": name, "value": {"boolValue": value}}
            case int():
                yield {"key": name, "value": {"intValue": str(value)}}
            case float():
                yield {"key": name, "value": {"doubleValue": value}}
            case str():
                yield {"key": name, "value": {"stringValue": value}}


def _nanoseconds(time: str) -> int:
    at = datetime.fromisoformat(time)
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000
