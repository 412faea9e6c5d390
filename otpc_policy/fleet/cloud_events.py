"""Changes as CloudEvents, and the signature of a delivery.

Sources: CloudEvents 1.0.2, JSON event format, structured content mode over HTTP; the signature is
that of Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body, joined by dots.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from otpc_policy.check import VerdictChange
from otpc_policy.policy.finding import Decision

CONTENT_TYPE: Final = "application/cloudevents+json; charset=utf-8"
CHANGED: Final = "otpc-policy.verdict.changed"
REMOVED: Final = "otpc-policy.endpoint.removed"
_SOURCE: Final = "/otpc-policy/watched"
_ID_CHARACTERS: Final = 32


def event_id(change: VerdictChange) -> str:
    """Return the id of a change: the same however often, and by whomever, it is delivered."""
    parts = (change.name, change.partner_id, change.decision, change.previous, change.changed_at)
    text = "\n".join(map(str, (*parts, change.revision)))
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_CHARACTERS]


def event_body(change: VerdictChange) -> bytes:
    """Return a change as a CloudEvent in JSON. It takes 3 KiB at most."""
    event = {
        "specversion": "1.0",
        "id": event_id(change),
        "source": _SOURCE,
        "type": REMOVED if change.decision is None else CHANGED,
        "subject": change.name,
        "time": _rfc3339(change.changed_at),
        "datacontenttype": "application/json",
        "data": {
            "host": change.endpoint.host,
            "port": change.endpoint.port,
            "partner_id": change.partner_id,
            "decision": _name(change.decision),
            "previous_decision": _name(change.previous),
            "finding_codes": list(change.codes),
            "observation_time": _rfc3339(change.observed_at),
            "expire_time": _rfc3339(change.expires_at),
            "configuration_revision": change.revision,
        },
    }
    return json.dumps(event, separators=(",", ":")).encode()


def signed_headers(
    keys: Sequence[bytes], *, delivery_id: str, now: datetime, body: bytes
) -> Mapping[str, str]:
    """Return the headers by which the receiver knows who sent a body, and when. Each key signs."""
    timestamp = str(int(now.timestamp()))
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _name(decision: Decision | None) -> str | None:
    return None if decision is None else decision.name


def _rfc3339(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
