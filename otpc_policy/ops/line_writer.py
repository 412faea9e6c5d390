"""Whole lines on one stream, from several threads."""

import os
import select
import threading
from typing import Final, TextIO

# What a pipe holds by default.
_PIECE_BYTES: Final = 65_536


class LineWriter:
    """Writes lines to a stream, one writer at a time, so that no line is torn by another.

    It writes past the stream's buffer where that has a descriptor: a thread that waits inside of a
    buffer holds its lock, which the end of the interpreter takes.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._one_at_a_time = threading.Lock()
        self._mend = ""
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):
            self._descriptor = None

    def write(self, lines: str) -> None:
        """Write whole lines, each ended; may block. Raises OSError."""
        with self._one_at_a_time:
            if self._descriptor is None:
                self.stream.write(lines)
                return
            # What an error has cut must not spoil the line after it.
            rest = memoryview(f"{self._mend}{lines}".encode(errors="backslashreplace"))
            whole = len(rest)
            try:
                while rest:
                    rest = rest[_written(self._descriptor, rest) :]
                self._mend = ""
            except OSError:
                self._mend = self._mend if len(rest) == whole else "\n"
                raise


def _written(descriptor: int, rest: memoryview) -> int:
    try:
        return os.write(descriptor, rest[:_PIECE_BYTES])
    except BlockingIOError:
        # Whoever started this process left the descriptor in that mode.
        select.select([], [descriptor], [])
        return 0
