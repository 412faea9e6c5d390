"""Perspectives: the places on the network that endpoints are measured from, by name."""

import re
from typing import Final

DEFAULT_PERSPECTIVE: Final = "default"
"""The name of the only place there is where nobody has named any."""

MOST_PERSPECTIVES: Final = 16
"""Each has engines, a queue and resolved names of its own."""

_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


def perspective_name(text: str) -> str:
    """Return the name. It becomes a label of metrics and part of keys. Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{text[:64]!r} is not a perspective such as eu-west: 1 to 32 characters of a to z, 0 "
            "to 9 and -, which neither begins nor ends it"
        )
    return text
