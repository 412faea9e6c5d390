"""A digest of a whole table, so that no row of it changes unnoticed."""

import hashlib
from collections.abc import Iterable


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines of text, in hexadecimal."""
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
