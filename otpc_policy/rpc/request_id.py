"""The identifiers by which a call is found in every log: its own, and that of its trace."""

import random
import re
from collections.abc import Iterable

from otpc_policy.core.trace_context import TRACE_PARENT, trace_id_in

REQUEST_ID_KEY = "x-request-id"

# What may stand in a log line and go back in a header as it is.
_SAFE = re.compile(r"[A-Za-z0-9._:-]{1,64}")

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
        elif key == TRACE_PARENT and isinstance(value, str):
            trace_id = trace_id_in(value)
    return request_id or new_id(), trace_id
