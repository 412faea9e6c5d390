"""The identifiers by which a call is found in every log: its own, and that of its trace."""

import random
import re
from collections.abc import Iterable

REQUEST_ID_KEY = "x-request-id"

_TRACE_KEY = "traceparent"

# What may stand in a log line and go back in a header as it is.
_SAFE = re.compile(r"[A-Za-z0-9._:-]{1,64}")

# W3C Trace Context, 3.2.2: version ff is invalid, and so are identifiers of zeros alone. Versions
# after 00 may append fields.
_TRACE = re.compile(
    r"(?!ff)[0-9a-f]{2}"
    r"-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)
_LONGEST_TRACE = 256

# Identifiers, not secrets. os.urandom would release the interpreter lock twice in every call, which
# costs more than the rest of this module.
_random = random.Random()  # noqa: S311  # names a request, no secret


def new_id() -> str:
    """Return 128 random bits in hexadecimal."""
    return _random.getrandbits(128).to_bytes(16).hex()


def identifiers(metadata: Iterable[tuple[str, str | bytes]] | None) -> tuple[str, str]:
    """Return the request id and the trace id of a call with this metadata.

    The caller's x-request-id counts if it is 1 to 64 safe characters; else there is a new one. The
    trace id is empty without a valid traceparent.
    """
    request_id = trace_id = ""
    for key, value in metadata or ():
        if key == REQUEST_ID_KEY:
            if not request_id and isinstance(value, str) and _SAFE.fullmatch(value):
                request_id = value
        elif key == _TRACE_KEY and isinstance(value, str):
            trace_id = trace_id_in(value)
    return request_id or new_id(), trace_id


def trace_id_in(traceparent: str) -> str:
    """Return the trace id of a traceparent; empty if it is invalid."""
    found = _TRACE.fullmatch(traceparent) if len(traceparent) <= _LONGEST_TRACE else None
    if found is None or (found["more"] and traceparent.startswith("00")):
        return ""
    return found["trace_id"]
