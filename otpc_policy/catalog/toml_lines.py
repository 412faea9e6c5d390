"""TOML whose keys know their lines: a decoder, and a scanner that finds where each key stands.

The scanner reads only text that the decoder has accepted. It therefore validates nothing: it skips
values and counts lines.

The decoder is tomli, which the standard library took over as tomllib; compiled, it is three times
as fast. It reads TOML 1.1, a superset of the 1.0 that documents are written in.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from tomli import TOMLDecodeError, loads

from otpc_policy.core.errors import ConfigurationError

# Keys of tables and positions in arrays, from the top of the document.
KeyPath = tuple[str | int, ...]

# Windows editors put it at the start of a file. TOML does not know it (RFC 3629 section 6).
_BYTE_ORDER_MARK = "\ufeff"
# Configuration is shallow; this is far above it, and far below what a recursive function survives.
_MAXIMUM_DEPTH = 32
# By how a text begins that people give in the place of a document.
_OTHER_FORMATS: Mapping[str, str] = MappingProxyType(
    {"{": "JSON", "-----BEGIN": "PEM", "<": "HTML or XML", "---": "YAML"}
)
_ERROR = re.compile(
    r"(?P<text>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)\Z", re.DOTALL
)
_KEY_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY = re.compile(rf"{_KEY_PART}(?:[ \t]*\.[ \t]*{_KEY_PART})*")
# Space, line ends and comments; inside arrays commas too.
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BETWEEN_ITEMS = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
# Up to five quotes may end a multi-line string: two of them belong to it.
_TEXT = re.compile(
    r'''"""(?:[^\\]|\\.)*?"""{1,3}(?!")'''
    r"""|\'\'\'.*?\'{3,5}(?!\')"""
    r"""|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""",
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def decode_toml(text: str, place: str) -> dict[str, Any]:
    """Return the top table of a document; a byte order mark before it is accepted.

    place: the document's name in problems.
    Raises ConfigurationError whose only problem begins with "place:line".
    """
    try:
        table: dict[str, Any] = loads(text.removeprefix(_BYTE_ORDER_MARK))
        too_deep = _is_too_deep(table)
    except TOMLDecodeError as error:
        found = _ERROR.match(str(error))
        line = (found["line"] or str(text.count("\n") + 1)) if found else "1"
        problem = f"{place}:{line}: {found['text'] if found else error}{_other_format(text)}"
        raise ConfigurationError([problem]) from None
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ConfigurationError([f"{place}:1: is nested more than {_MAXIMUM_DEPTH} levels deep"])
    return table


def _other_format(text: str) -> str:
    """Name the format of a text that is not TOML, where its beginning shows it."""
    start = text.removeprefix(_BYTE_ORDER_MARK).lstrip()
    found = next((name for mark, name in _OTHER_FORMATS.items() if start.startswith(mark)), "")
    return f"; this is {found}, and documents are TOML" if found else ""


class TomlLines:
    """Where the keys of a document stand. The text is scanned when a line is first asked for.

    text: accepted by decode_toml. place: the document's name in problems.
    """

    def __init__(self, text: str, place: str) -> None:
        self.text = text
        self.place = place

    @cached_property
    def by_path(self) -> Mapping[KeyPath, int]:
        """The line of every key and array item, by its path; the first line is 1."""
        return MappingProxyType(_Scanner(self.text.removeprefix(_BYTE_ORDER_MARK)).scan())

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a key; of the nearest table above it if the key is not written."""
        lengths = range(len(path), 0, -1)
        return next((self.by_path[path[:n]] for n in lengths if path[:n] in self.by_path), 1)

    def at(self, path: KeyPath) -> str:
        """Return "place:line" of a key."""
        return f"{self.place}:{self.line_of(path)}"


def _is_too_deep(table: dict[str, Any]) -> bool:
    level: list[Any] = [table]
    for _ in range(_MAXIMUM_DEPTH + 1):
        level = [
            item
            for outer in level
            for item in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


class _Scanner:
    """One pass over a valid document."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._line = 1
        self._counted = 0
        self._lines: dict[KeyPath, int] = {}
        self._last_index: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK) < len(self._text):
            if self._take("[["):
                table = self._header(is_item=True)
            elif self._take("["):
                table = self._header(is_item=False)
            else:
                self._pair(table)
        return self._lines

    def _header(self, *, is_item: bool) -> KeyPath:
        self._skip(_BLANK)
        line, keys = self._line_here(), self._keys()
        self._skip(_BLANK)
        self._take("]]" if is_item else "]")
        path: KeyPath = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            self._lines.setdefault(path, line)
            if is_item and number == len(keys):
                self._last_index[path] = self._last_index.get(path, -1) + 1
            if path in self._last_index:
                path = (*path, self._last_index[path])
                self._lines.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        line, path = self._line_here(), table
        for key in self._keys():
            path = (*path, key)
            self._lines.setdefault(path, line)
        self._skip(_BLANK)
        self._take("=")
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            self._items(path)
        elif self._take("{"):
            while self._skip(_BETWEEN_ITEMS) < len(self._text) and not self._take("}"):
                self._pair(path)
        else:
            self._skip(_TEXT if self._text[self._position] in "\"'" else _BARE_VALUE)

    def _items(self, path: KeyPath) -> None:
        index = 0
        while self._skip(_BETWEEN_ITEMS) < len(self._text) and not self._take("]"):
            self._lines[*path, index] = self._line_here()
            self._value((*path, index))
            index += 1

    def _keys(self) -> list[str]:
        start = self._position
        keys = []
        # The decoder undoes quotes and escapes.
        table: Any = loads(f"{self._text[start : self._skip(_KEY)]} = 0")
        while isinstance(table, dict):
            ((key, table),) = table.items()
            keys.append(key)
        return keys

    def _take(self, mark: str) -> bool:
        if not self._text.startswith(mark, self._position):
            return False
        self._position += len(mark)
        return True

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._position)
        if found is not None:
            self._position = found.end()
        return self._position

    def _line_here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._line
