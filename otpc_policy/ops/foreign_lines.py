"""Text that other code writes on standard error, turned into log lines of ours.

gRPC's C++ core, C libraries and child processes write there as they like. Each line becomes one
event with its source, bounded in length and in number: what exceeds the bounds is counted, and the
count is an event as well. A child process may be in a stranger's hands, so a line of its own never
passes for one of ours: it has a source, and cannot have what audit lines alone have.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

# Longer than any line of ours but those about broken configuration; a traceback takes 2 KiB.
_LINE_BYTES: Final = 8_192
_TRACEBACK_LINES: Final = 200
# What a program under attack writes is worth reading, a flood of it is not.
_LINES_PER_S: Final = 20.0
_BURST: Final = 200.0

# https://abseil.io/docs/cpp/guides/logging: "E0000 00:00:1764421326.123456    4711 file.cc:12] x"
_ABSEIL: Final = re.compile(r"(?P<level>[IWEF])\d{4} \S+ +\d+ (?P<place>[^\]\s]+)\] ?(?P<text>.*)")
_ABSEIL_LEVELS: Final = {"I": "info", "W": "warning", "E": "error", "F": "critical"}
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "critical"})
_TRACEBACK: Final = "Traceback (most recent call last):"
# Fields that a reader of the log takes for our own word.
_RESERVED: Final = frozenset({"schema", "source", "pid", "level", "event", "log_level"})
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Emit(Protocol):
    """Logs an event. level: a name of structlog's."""

    def __call__(self, level: str, event: str, fields: Mapping[str, Any], /) -> None: ...


class ForeignLines:
    """Takes the bytes of one writer as they come.

    source: who writes, for example "engine-0". pid: of that process; None if it is this one.
    """

    def __init__(
        self,
        source: str,
        emit: Emit,
        *,
        pid: int | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own: dict[str, Any] = {"source": source} | ({} if pid is None else {"pid": pid})
        self._emit = emit
        self._monotonic = monotonic
        self._rest = b""
        self._is_cut = False
        self._traceback: list[str] = []
        self._tokens, self._refilled_s = _BURST, monotonic()
        self.lost = 0
        """Lines that were not logged and not yet reported."""

    def feed(self, chunk: bytes) -> None:
        """Take more bytes and log the lines that they complete."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if not self._is_cut:
                self._line(line)
            self._is_cut = False
        if len(self._rest) > _LINE_BYTES:
            if not self._is_cut:
                self._line(self._rest)
            self._is_cut, self._rest = True, b""

    def end(self) -> None:
        """Log what has no end of line, and what was lost."""
        if self._rest and not self._is_cut:
            self._line(self._rest)
        self._rest = b""
        self._end_traceback()
        self.report_loss(at_once=True)

    def report_loss(self, *, at_once: bool = False) -> None:
        """Log how many lines were lost, as soon as the rate allows another line."""
        if self.lost and (at_once or self._may_log(reserve=0.0)):
            lost, self.lost = self.lost, 0
            self._emit("warning", "lines were lost", {**self._own, "lost": lost})

    def _line(self, raw: bytes) -> None:
        text = raw[:_LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r")
        if len(raw) > _LINE_BYTES:
            text += "..."
        if self._traceback:
            self._traceback.append(text)
            is_last = not text.startswith((" ", "\t")) or len(self._traceback) > _TRACEBACK_LINES
            if is_last:
                self._end_traceback()
        elif text == _TRACEBACK:
            self._traceback = [text]
        elif text.strip():
            self._log(*self._read(text))

    def _end_traceback(self) -> None:
        if self._traceback:
            text, self._traceback = "\n".join(self._traceback)[:_LINE_BYTES], []
            self._log("error", "uncaught exception", {"exception": text})

    def _read(self, text: str) -> tuple[str, str, dict[str, Any]]:
        if text.startswith("{"):
            try:
                fields = json.loads(text)
            except (ValueError, RecursionError):
                fields = None
            if isinstance(fields, dict) and isinstance(fields.get("event"), str):
                level = fields.get("level")
                kept = {name: value for name, value in fields.items() if name not in _RESERVED}
                if not _TIME.fullmatch(str(kept.get("time"))):
                    kept.pop("time", None)
                return level if level in _LEVELS else "warning", fields["event"], kept
        found = _ABSEIL.fullmatch(text)
        if found is not None:
            level, place = _ABSEIL_LEVELS[found["level"]], found["place"]
            return level, "text on standard error", {"text": found["text"], "place": place}
        return "warning", "text on standard error", {"text": text}

    def _log(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.report_loss()
        if self._may_log(reserve=1.0 if self.lost else 0.0):
            self._emit(level, event, {**fields, **self._own})
        else:
            self.lost += 1

    def _may_log(self, *, reserve: float) -> bool:
        now_s = self._monotonic()
        gained = (now_s - self._refilled_s) * _LINES_PER_S
        self._tokens, self._refilled_s = min(_BURST, self._tokens + gained), now_s
        if self._tokens < 1.0 + reserve:
            return False
        self._tokens -= 1.0
        return True
