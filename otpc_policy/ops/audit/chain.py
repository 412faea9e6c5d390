"""Audit lines chained by hash, and what a verification of them finds.

Each line ends with its number and a hash: SHA-256 over the hash of the line before it and over its
own bytes up to the hash. So a line that is changed, cut, inserted or moved no longer fits. A file
begins with a line that states the hash it continues from, and a file that was rotated away ends
with a line that says so; the number goes on over files.

There is no secret in it. Whoever may write the file and knows this text can cut its end, or compute
a chain anew from any line on. Such a forgery is found by an anchor: the number and hash of a line,
kept where the forger cannot write.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

GENESIS: Final = "0" * 64
FILE_STARTED: Final = "audit_file_started"
FILE_ENDED: Final = "audit_file_ended"
LINES_LOST: Final = "audit_lines_lost"

_ENDING: Final = re.compile(rb',"seq":(?P<seq>[1-9]\d{0,17}),"chain":"(?P<hash>[0-9a-f]{64})"\}')
_ENDING_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Link:
    """A place in a chain. seq: number of the line, from 1; 0 before the first one."""

    seq: int
    hash: str

    def next(self, line: str) -> tuple["Link", str]:
        """Return the link of a line after this one, and the line with its ending.

        line: a JSON object, ended or not.
        """
        seq = self.seq + 1
        body = f'{line.rstrip()[:-1]},"seq":{seq}'
        link = Link(seq, _hash(self.hash, body.encode()))
        return link, f'{body},"chain":"{link.hash}"}}\n'


START: Final = Link(0, GENESIS)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. place: "file:line", or the file."""

    place: str
    text: str


def link_of(line: bytes) -> Link | None:
    """Return the link that a line states; None if it has none. line: without its end."""
    ending = _ending(line)
    return None if ending is None else Link(int(ending["seq"]), ending["hash"].decode())


class Verification:
    """Follows a chain through files, oldest first.

    anchors: links that must be in it, the last one known to exist included.
    """

    def __init__(self, anchors: Iterable[Link] = ()) -> None:
        self.findings: list[Finding] = []
        self.first: Link | None = None
        self.last: Link | None = None
        self.lines = 0
        """Lines that fit."""
        self.lost = 0
        """Lines that the service itself reported as lost."""
        self.is_ended = False
        """The last line says that its file was rotated away."""
        self._anchors: dict[int, set[str]] = {}
        for anchor in anchors:
            self._anchors.setdefault(anchor.seq, set()).add(anchor.hash)
        self._met: set[int] = set()

    def follow(self, file: str, lines: Iterable[bytes], *, is_torn: bool = False) -> None:
        """Go through a file. lines: without their ends. is_torn: the last one has no end."""
        number, before, self.is_ended = 0, self.last, False
        for number, line in enumerate(lines, 1):
            place = f"{file}:{number}"
            if self.is_ended:
                self._find(place, "stands after the line that ends the file")
            self._line(place, line, is_first=number == 1)
        if not number:
            self._find(file, "is empty")
        elif is_torn:
            self._find(f"{file}:{number}", "has no end: the last line is cut")
        elif self.last is before:
            self._find(file, "has no line of the chain")

    def end(self) -> None:
        """Find which anchors were not met."""
        last = self.last.seq if self.last is not None else 0
        for seq in sorted(self._anchors):
            if seq in self._met:
                continue
            if seq > last:
                self._find("end", f"{_lines(last + 1, seq)} missing: line {seq} is known to exist")
            elif self.first is not None and seq >= self.first.seq:
                self._find("anchor", f"line {seq}, which is known to exist, is not there")

    def _line(self, place: str, line: bytes, *, is_first: bool) -> None:
        ending = _ending(line)
        if ending is None:
            self._find(place, "is not a whole line of the chain: inserted, cut or changed")
            return
        link = Link(int(ending["seq"]), ending["hash"].decode())
        fields = _fields(line)
        event, before = fields.get("event"), self.last
        if is_first and event != FILE_STARTED:
            self._find(place, "is not the first line of a file: what stood before it is cut")
        if before is None:
            # A file may continue one that is not at hand.
            states = str(fields.get("previous")) if event == FILE_STARTED else ""
            before = Link(link.seq - 1, states)
        self._compare(place, before, link, line[: ending.start("hash") - len(',"chain":"')])
        self.first = self.first or link
        self.last, self.is_ended = link, event == FILE_ENDED
        if event == LINES_LOST:
            self.lost += _whole(fields.get("lost"))

    def _compare(self, place: str, before: Link, link: Link, body: bytes) -> None:
        expected = before.seq + 1
        if link.seq > expected:
            self._find(place, f"{_lines(expected, link.seq - 1)} missing before this one")
        elif link.seq < expected:
            self._find(place, f"is line {link.seq} after line {before.seq}: moved or repeated")
        elif before.hash and _hash(before.hash, body) != link.hash:
            self._find(place, f"line {link.seq} was changed, or the one before it exchanged")
        else:
            self.lines += 1
        if link.seq in self._anchors:
            self._met.add(link.seq)
            if self._anchors[link.seq] != {link.hash}:
                self._find(place, f"line {link.seq} has another hash than its anchor")

    def _find(self, place: str, text: str) -> None:
        self.findings.append(Finding(place, text))


def last_link(tail: bytes) -> Link | None:
    """Return the link of the last whole line in the end of a file, however that ends."""
    return next(filter(None, map(link_of, reversed(list(_whole_lines(tail))))), None)


def _whole_lines(text: bytes) -> Iterator[bytes]:
    *whole, _rest = text.split(b"\n")
    yield from whole


def _ending(line: bytes) -> "re.Match[bytes] | None":
    # Searched for from near the end: the text of a field may look the same.
    start = max(0, len(line) - _ENDING_BYTES)
    at = line.rfind(b',"seq":', start)
    return None if at < 0 else _ENDING.fullmatch(line, at)


def _fields(line: bytes) -> dict[str, object]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return fields if isinstance(fields, dict) else {}


def _hash(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode("ascii", "replace") + body).hexdigest()


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _lines(first: int, last: int) -> str:
    return f"line {first} is" if first == last else f"lines {first} to {last} are"
