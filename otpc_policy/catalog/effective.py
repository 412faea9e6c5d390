"""Effective documents: a policy document with everything that it inherits, its revision, and its text in TOML."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

# An effective document is a plain table whose rules stand under their ids: {"name": ..., "rules": {"tls.served": {...}}}.
Effective = Mapping[str, Any]


def merged(base: Effective, own: Effective) -> dict[str, Any]:
    """Return base with what own says instead. Tables are merged key by key; every other value replaces the one below it."""
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        result[key] = merged(below if isinstance(below, dict) else {}, value) if isinstance(value, dict) else value
    return result


def revision_of(effective: Effective) -> str:
    """Return the SHA-256, in hexadecimal, of what the document says: how it is written and whom it extends make no difference."""
    text = json.dumps(effective, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def as_toml(effective: Effective) -> str:
    """Return the document as TOML that extends nothing; it has the same revision."""
    return "\n".join(_lines(effective)) + "\n"


def _lines(effective: Effective) -> Iterator[str]:
    tables = {key: value for key, value in effective.items() if isinstance(value, Mapping)}
    yield from _pairs(effective)
    for key, table in tables.items():
        if key != "rules":
            yield from ("", f"[{key}]", *_pairs(table))
    for rule_id, settings in tables.get("rules", {}).items():
        yield from ("", f"[rules.{rule_id}]", *_pairs(settings))
        for key, table in settings.items():
            if isinstance(table, Mapping):
                yield from (f"{key}.{name} = {toml_value(value)}" for name, value in table.items())


def _pairs(table: Effective) -> Iterator[str]:
    yield from (f"{key} = {toml_value(value)}" for key, value in table.items() if not isinstance(value, Mapping))


def toml_value(value: object) -> str:
    """Return a value as TOML writes it. Source: TOML 1.0; its basic strings take every escape of JSON's except the slash, and no raw DEL."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case set() | frozenset():
            return f"[{', '.join(sorted(map(toml_value, value)))}]"
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
