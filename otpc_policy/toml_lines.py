"""Where in a TOML text a value stands. The parsers of TOML do not tell, and whoever wrote the text wants the line.

Only for texts that a parser has accepted, and only once something is wrong: this reads the text a second time.
"""

import re
from collections.abc import Generator, Iterator

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# Numbers, dates and booleans. A date may hold one space before its time.
_PLAIN = re.compile(r"[^\s,\]}#]+(?: [0-9]{2}:[^\s,\]}#]+)?")
_STRINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})',
        r"'''.*?'''(?:'{0,2})",
        r'"(?:[^"\\\n]|\\.)*"',
        r"'[^'\n]*'",
    )
)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b"}


def line_of(text: str, path: Path) -> int:
    """Return the line, from 1, of the value at the path; of the nearest table or array around it where the path leads to nothing.

    path: keys of tables and positions in arrays, as in the parsed document.
    """
    deepest, offset = 0, 0
    for found, at in _places(text):
        common = next((depth for depth, (one, other) in enumerate(zip(found, path, strict=False)) if one != other), min(len(found), len(path)))
        if common > deepest:
            deepest, offset = common, at
    return text.count("\n", 0, offset) + 1


def _places(text: str) -> Iterator[tuple[Path, int]]:
    """Yield the path of every value and header with its offset, in order."""
    table: Path = ()
    counts: dict[Path, int] = {}
    at = _after(_BLANK, text, 0)
    while at < len(text):
        if text.startswith("[", at):
            is_array = text.startswith("[[", at)
            keys, end = _key(text, at + (2 if is_array else 1))
            table = _resolved(keys, counts, is_array)
            yield table, at
            at = text.index("]", end) + (2 if is_array else 1)
        else:
            at = yield from _pair(text, at, table)
        at = _after(_BLANK, text, at)


def _resolved(keys: Path, counts: dict[Path, int], is_array: bool) -> Path:
    """Return where a header leads: through the last element of every array of tables on its way. Source: TOML 1.0, "Array of Tables"."""
    path: Path = ()
    for key in keys[:-1]:
        path = (*path, key)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, keys[-1])
    if is_array:
        counts[path] = counts.get(path, -1) + 1
        return (*path, counts[path])
    return path


def _pair(text: str, at: int, table: Path) -> Generator[tuple[Path, int], None, int]:
    keys, end = _key(text, at)
    path = (*table, *keys)
    yield path, at
    value = _after(_SPACE, text, text.index("=", end) + 1)
    return (yield from _value(text, value, path))


def _value(text: str, at: int, path: Path) -> Generator[tuple[Path, int], None, int]:
    if text.startswith("[", at):
        at, number = _after(_BLANK, text, at + 1), 0
        while not text.startswith("]", at):
            yield (*path, number), at
            at = yield from _value(text, at, (*path, number))
            at, number = _after_comma(text, at), number + 1
        return at + 1
    if text.startswith("{", at):
        at = _after(_BLANK, text, at + 1)
        while not text.startswith("}", at):
            at = yield from _pair(text, at, path)
            at = _after_comma(text, at)
        return at + 1
    for string in _STRINGS:
        if found := string.match(text, at):
            return found.end()
    plain = _PLAIN.match(text, at)
    return plain.end() if plain else len(text)


def _key(text: str, at: int) -> tuple[Path, int]:
    """Return a dotted key and the offset behind it."""
    keys: list[str | int] = []
    while True:
        at = _after(_SPACE, text, at)
        found = _BARE.match(text, at) or _STRINGS[2].match(text, at) or _STRINGS[3].match(text, at)
        if found is None:
            return tuple(keys), len(text)
        keys.append(_unquoted(found[0]))
        at = _after(_SPACE, text, found.end())
        if not text.startswith(".", at):
            return tuple(keys), at
        at += 1


def _unquoted(key: str) -> str:
    if key.startswith("'"):
        return key[1:-1]
    return (
        _ESCAPE.sub(lambda one: chr(int(one[1] or one[2], 16)) if one[1] or one[2] else _ESCAPED.get(one[3], one[3]), key[1:-1]) if key.startswith('"') else key
    )


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at


def _after_comma(text: str, at: int) -> int:
    at = _after(_BLANK, text, at)
    return _after(_BLANK, text, at + 1) if text.startswith(",", at) else at
