"""Whole lines on one stream, from several threads."""

import os
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
            rest = memoryview(lines.encode(errors="backslashreplace"))
            while rest:
                rest = rest[os.write(self._descriptor, rest[:_PIECE_BYTES]) :]
