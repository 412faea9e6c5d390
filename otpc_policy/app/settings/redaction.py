"""Settings for people who look at a running service: without secrets, and without their places.

By rule and not by list: whatever a later setting with such a name holds is hidden as well.
"""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import urlsplit

# In the name of a setting. Where a key lies is a step on the way to it.
_HIDDEN_NAMES: Final = ("credential", "headers", "key", "password", "secret", "token", "user")
_MOST_ITEMS: Final = 100
_MOST_CHARACTERS: Final = 1_000
SET: Final = "(set)"
"""In the place of a value that is hidden."""


def redacted(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with every value hidden that may be, or lead to, a secret.

    tree: as model_dump makes it for JSON. Of URLs, credentials and queries are hidden.
    """
    return {name: _shown(name, value) for name, value in tree.items()}


def shortened(value: Any) -> Any:
    """Return settings with the first hundred of each table and list, and a part of long texts."""
    if isinstance(value, Mapping):
        kept = {name: shortened(item) for name, item in islice(value.items(), _MOST_ITEMS)}
        return kept | _left_out(len(value))
    if isinstance(value, list):
        left_out = _left_out(len(value))
        return [*map(shortened, value[:_MOST_ITEMS]), *([left_out] if left_out else [])]
    return value[:_MOST_CHARACTERS] if isinstance(value, str) else value


def _left_out(number: int) -> dict[str, int]:
    return {"(left out)": number - _MOST_ITEMS} if number > _MOST_ITEMS else {}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        shown = redacted(value)
        # Whoever knows the path of a webhook can often post to it.
        return {**shown, "url": _origin(value.get("url"))} if name == "webhook" else shown
    if isinstance(value, list | tuple):
        return [_shown(name, item) for item in value]
    if any(word in name for word in _HIDDEN_NAMES):
        return SET if value not in (None, "") else value
    return _shown_url(value) if isinstance(value, str) and "://" in value else value


def _origin(url: Any) -> Any:
    if not isinstance(url, str) or "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return SET
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{SET}"


def _shown_url(text: str) -> str:
    try:
        url = urlsplit(text)
    except ValueError:
        return SET
    host = url.netloc.rpartition("@")[2]
    userinfo = f"{SET}@" if "@" in url.netloc else ""
    rest = f"?{SET}" if url.query else ""
    return f"{url.scheme}://{userinfo}{host}{url.path}{rest}"
