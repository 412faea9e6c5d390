"""Effective documents: a policy document with everything that it inherits."""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import tomli_w

# A decoded policy document that extends nothing.
Effective = Mapping[str, Any]


def merged(base: Effective, own: Effective) -> dict[str, Any]:
    """Return base with the values of own instead of its own. Tables are merged key by key."""
    result = dict(base)
    for key, value in own.items():
        if isinstance(value, dict):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = value
    return result


def revision_of(effective: Effective) -> str:
    """Return a SHA-256, in hexadecimal, of what the document says.

    Layout, order and inheritance make no difference. Rules are hashed under their whole ids, as in
    the first release, so that revisions in logs stay comparable.
    """
    rules = {
        f"{group}.{name}": settings
        for group, tables in effective["rules"].items()
        for name, settings in tables.items()
    }
    document = {**effective, "rules": rules}
    text = json.dumps(
        document, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_instant
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _instant(value: object) -> str:
    """Return an instant as text, the same whatever the zone it was written in."""
    if not isinstance(value, datetime):
        raise TypeError(f"a policy document cannot hold a {type(value).__name__}")
    return value.astimezone(UTC).isoformat()


def as_toml(effective: Effective) -> str:
    """Return the document in TOML; read again, it has the same revision."""
    return tomli_w.dumps(effective)
