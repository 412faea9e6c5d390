"""How log lines leave a process: one JSON object a line on standard error, or columns for people.

Standard output stays free for what a command prints.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO, cast

import structlog


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
    configure_logs(log_format, level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(former)
        structlog.reset_defaults()
