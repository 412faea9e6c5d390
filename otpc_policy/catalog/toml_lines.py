"""TOML whose keys know their lines: the parser decodes, a small scanner finds where each key stands, so that problems can name it.

The scanner reads only text that the parser has accepted, so it need not judge any: it skips values and counts lines.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from otpc_policy.catalog.toml_decoder import TOMLDecodeError, loads
from otpc_policy.errors import ConfigurationError

# Keys of tables and positions in arrays, from the top of the document.
KeyPath = tuple[str | int, ...]

# Configuration is shallow; this is far above it and far below what a recursive decoder bears.
_MAXIMUM_DEPTH = 32
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
    r'''"""(?:[^\\]|\\.)*?"""{1,3}(?!")|\'\'\'.*?\'{3,5}(?!\')|"(?:[^"\\\n]|\\.)*"|'[^'\n]*\'''',
    re.DOTALL,
)
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class TomlDocument:
    """A decoded document. place: its name in problems. lines: of every key and array item, by its path; the first is 1."""

    place: str
    table: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a key; of the nearest table above it where it is not written down."""
        return next(
            (
                self.lines[path[:length]]
                for length in range(len(path), 0, -1)
                if path[:length] in self.lines
            ),
            1,
        )

    def at(self, path: KeyPath) -> str:
        """Return "place:line" of a key."""
        return f"{self.place}:{self.line_of(path)}"


def read_toml(text: str, place: str) -> TomlDocument:
    """Decode a document. Raises ConfigurationError whose problem begins with "place:line"."""
    try:
        table = loads(text)
        too_deep = _is_deeper(table, _MAXIMUM_DEPTH)
    except TOMLDecodeError as error:
        found = _ERROR.match(str(error))
        line = (found["line"] or str(text.count("\n") + 1)) if found else "1"
        raise ConfigurationError([f"{place}:{line}: {found['text'] if found else error}"]) from None
    except RecursionError:
        too_deep = True
    if too_deep:
        raise ConfigurationError([f"{place}:1: is nested more than {_MAXIMUM_DEPTH} levels deep"])
    return TomlDocument(place=place, table=table, lines=MappingProxyType(_Scanner(text).scan()))


def _is_deeper(value: object, levels: int) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(item, levels - 1) for item in items)


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
        # The parser itself undoes quotes and escapes.
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
