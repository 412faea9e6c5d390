"""The identifier by which a call is found in every log."""

import random
import re
from collections.abc import Iterable
from contextvars import ContextVar

REQUEST_ID_KEY = "x-request-id"

# What may stand in a log line and go back in a header as it is.
_SAFE = re.compile(r"[A-Za-z0-9._:-]{1,64}")

# Identifiers, not secrets. os.urandom would release the interpreter lock twice in every call, which
# costs more than the rest of this module.
_random = random.Random()  # noqa: S311

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")


def new_id() -> str:
    """Return 128 random bits in hexadecimal."""
    return _random.getrandbits(128).to_bytes(16).hex()


def request_id_from(metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """Return the caller's x-request-id if it is 1 to 64 safe characters, else a new one."""
    for key, value in metadata or ():
        if key == REQUEST_ID_KEY and isinstance(value, str) and _SAFE.fullmatch(value):
            return value
    return new_id()
