"""How log lines leave a process: one JSON object a line on standard error, or columns for people.

Standard output stays free for what a command prints.
"""

import contextlib
import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Final, TextIO, cast

import structlog

# Lines that may wait for a slow reader of the log, at a few hundred bytes each.
_WAITING_LINES: Final = 2_000
_CLOSE_WAIT_S: Final = 1.0


class _Lossy:
    """A stream that loses what cannot be written: its disk is full, or its reader gone.

    Whoever logs goes on: the error would end what keeps the engines, and every drain.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.isatty = stream.isatty

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class _Threaded:
    """A stream that is written on a thread of its own, because its reader may be slow or stuck.

    Whoever logs never waits for it: lines beyond those that may wait are lost. Close it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self._write = _writer_of(stream)
        self._is_closed = False
        self.isatty = stream.isatty
        # A daemon: the end of the process waits for no reader.
        self._thread = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait(text)

    def flush(self) -> None:
        """Do nothing: every line is written as soon as it can be."""

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        try:
            self._lines.put(None, timeout=_CLOSE_WAIT_S)
            self._thread.join(_CLOSE_WAIT_S)
        except queue.Full:
            pass
        finally:
            self._is_closed = True

    def _write_lines(self) -> None:
        while not self._is_closed and (text := self._lines.get()) is not None:
            with contextlib.suppress(OSError):
                self._write(text)


def _writer_of(stream: TextIO) -> Callable[[str], object]:
    """Return what writes to a stream, past its buffer where it has a descriptor.

    A thread that waits inside of a buffer holds its lock, which the end of the interpreter takes.
    """
    try:
        descriptor = stream.fileno()
    except OSError:
        return stream.write

    def write(text: str) -> None:
        rest = text.encode(errors="backslashreplace")
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return write


def configure_logs(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Send our logs and the standard library's (asyncio, grpc) to the stream.

    log_format: "json" or "console". level: "debug", "info", "warning" or "error".
    stream: standard error by default.
    """
    target = _Lossy(sys.stderr if stream is None else stream)
    number = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    ending: list[structlog.typing.Processor]
    if log_format == "json":
        ending = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = target.isatty()
        ending = [structlog.dev.ConsoleRenderer(colors=colors, timestamp_key="time")]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=cast(TextIO, target)),
    )
    handler = logging.StreamHandler(target)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[remove_meta, *ending]
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


@contextlib.contextmanager
def logs_configured(log_format: str, level: str) -> Iterator[None]:
    """Configure logs for as long as a program runs, then restore what was there.

    A process may serve only for a while, as tests do.
    """
    root = logging.getLogger()
    handlers, former = list(root.handlers), root.level
    stream = _Threaded(sys.stderr)
    configure_logs(log_format, level, cast(TextIO, stream))
    try:
        yield
    finally:
        stream.close()
        root.handlers[:] = handlers
        root.setLevel(former)
        structlog.reset_defaults()
