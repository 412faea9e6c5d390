"""Settings for people who look at a running service: without secrets, and without their places.

By rule and not by list: whatever a later setting with such a name holds is hidden as well.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

# In the name of a setting. Where a key lies is a step on the way to it.
_HIDDEN_NAMES: Final = ("credential", "headers", "key", "password", "secret", "token", "user")
SET: Final = "(set)"
"""In the place of a value that is hidden."""


def redacted(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with every value hidden that may be, or lead to, a secret.

    tree: as model_dump makes it for JSON. Of URLs, credentials and queries are hidden.
    """
    return {name: _shown(name, value) for name, value in tree.items()}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return redacted(value)
    if isinstance(value, list | tuple):
        return [_shown(name, item) for item in value]
    if any(word in name for word in _HIDDEN_NAMES):
        return SET if value not in (None, "") else value
    return _shown_url(value) if isinstance(value, str) and "://" in value else value


def _shown_url(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        return SET
    host = url.netloc.rpartition("@")[2]
    userinfo = f"{SET}@" if "@" in url.netloc else ""
    rest = f"?{SET}" if url.query else ""
    return f"{url.scheme}://{userinfo}{host}{url.path}{rest}"
