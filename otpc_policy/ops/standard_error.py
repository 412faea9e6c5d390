"""Descriptor 2 of a program that serves: whatever is written there arrives as log lines.

gRPC's C++ core, C libraries and the interpreter write to the descriptor itself, past every hook of
Python. So it becomes a pipe that a thread reads, and the log is written to what it was before. The
end of the pipe that is written to never blocks: its reader needs the interpreter's lock, which
whoever writes may hold. What does not fit is lost. What is written by an abort or a fatal signal is
lost as well, because the reader ends with the process; the exit status tells of it.
"""

import contextlib
import fcntl
import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from typing import Final, TextIO

from otpc_policy.ops.foreign_lines import Emit, ForeignLines

_SOURCE: Final = "standard error"
_DESCRIPTOR: Final = 2
_CHUNK_BYTES: Final = 65_536
# Lines that were lost are reported so soon, even if no other line comes.
_LOOK_S: Final = 1.0
_CLOSE_WAIT_S: Final = 1.0


@contextlib.contextmanager
def kept_standard_error() -> Iterator[TextIO]:
    """Yield a stream that leads to standard error even while that is captured.

    It is Python's stream where somebody else, such as a test, has put another one there.
    """
    if not _is_on_its_descriptor(sys.stderr):
        yield sys.stderr
        return
    with open(os.dup(_DESCRIPTOR), "w", encoding="utf-8", errors="backslashreplace") as stream:
        yield stream


@contextlib.contextmanager
def captured_standard_error(emit: Emit) -> Iterator[None]:
    """Hand what is written on descriptor 2 on as events of its source.

    Where Python's stream is another one, the descriptor is not ours, and stays as it is.
    """
    if not _is_on_its_descriptor(sys.stderr):
        yield
        return
    former = os.dup(_DESCRIPTOR)
    reading, writing = os.pipe()
    for descriptor in (writing, reading):
        os.set_blocking(descriptor, False)
    with contextlib.suppress(OSError):  # beyond what this user may have in pipes
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 1 << 20)
    os.dup2(writing, _DESCRIPTOR)
    os.close(writing)
    # Child processes keep descriptor 2 open, so the end of the pipe may never come.
    stopped, stop = os.pipe()
    reader = threading.Thread(
        target=_read,
        args=(reading, stopped, ForeignLines(_SOURCE, emit)),
        name="standard error",
        daemon=True,
    )
    reader.start()
    ours = _PythonStream(ForeignLines(_SOURCE, emit))
    python_stream, sys.stderr = sys.stderr, ours
    try:
        yield
    finally:
        sys.stderr = python_stream
        ours.end()
        os.dup2(former, _DESCRIPTOR)
        os.close(former)
        os.close(stop)
        reader.join(_CLOSE_WAIT_S)
        if not reader.is_alive():
            os.close(reading)
            os.close(stopped)


def _is_on_its_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() == _DESCRIPTOR
    except (OSError, ValueError):
        return False


def _read(reading: int, stopped: int, lines: ForeignLines) -> None:
    is_stopped = False
    while not is_stopped:
        ready, _, _ = select.select([reading, stopped], [], [], _LOOK_S)
        is_stopped = stopped in ready
        if reading in ready:
            with contextlib.suppress(BlockingIOError):
                while chunk := os.read(reading, _CHUNK_BYTES):
                    lines.feed(chunk)
        lines.report_loss()
    lines.end()


class _PythonStream(io.TextIOBase):
    """What sys.stderr is meanwhile. It goes past the pipe, where nothing of it can be lost."""

    def __init__(self, lines: ForeignLines) -> None:
        self._lines = lines
        self._one_at_a_time = threading.RLock()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        with self._one_at_a_time:
            self._lines.feed(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def end(self) -> None:
        with self._one_at_a_time:
            self._lines.end()

    def fileno(self) -> int:
        return _DESCRIPTOR
