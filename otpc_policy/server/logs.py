"""How log lines leave the process: one JSON object a line on standard error, or columns for people.

Standard output stays free for what a command prints.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

import structlog

from otpc_policy.settings import LogFormat, LogLevel


def configure_logs(log_format: LogFormat, level: LogLevel, stream: TextIO | None = None) -> None:
    """Send our logs and those of the standard library (asyncio, grpc) to the stream, standard error by default."""
    target = sys.stderr if stream is None else stream
    number = getattr(logging, level.name)
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    ending: list[structlog.typing.Processor]
    if log_format is LogFormat.JSON:
        ending = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        ending = [structlog.dev.ConsoleRenderer(colors=target.isatty(), timestamp_key="time")]
    structlog.configure(
        processors=[*shared, *ending],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=target),
    )
    handler = logging.StreamHandler(target)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *ending]))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


@contextlib.contextmanager
def logs_configured(log_format: LogFormat, level: LogLevel) -> Iterator[None]:
    """Configure logs for as long as a service runs, then put back what was there: a process may serve only for a while, as tests do."""
    root = logging.getLogger()
    handlers, former = list(root.handlers), root.level
    configure_logs(log_format, level)
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(former)
        structlog.reset_defaults()
