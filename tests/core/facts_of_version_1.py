"""The writer of facts of VERSION 1, kept from the program that wrote them.

Its form followed the type hints, as VERSION 2 does: enums by name, instants in RFC 3339, durations
in seconds, bytes in base64.
"""

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any


def dump_version_1(facts: Any) -> str:
    """Return a dataclass of facts as a document of VERSION 1."""
    document = {
        "format": "otpc-policy facts",
        "version": 1,
        "kind": type(facts).__name__,
        "facts": _encoded(facts),
    }
    return json.dumps(document, allow_nan=False)


def _encoded(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        whole, rest = divmod(abs(value) // timedelta(microseconds=1), 1_000_000)
        return f"{'-' if value < timedelta() else ''}{whole}.{rest:06}s"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, tuple):
        return [_encoded(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {
            field.name: _encoded(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    return value
