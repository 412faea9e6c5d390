"""How log lines leave a process: one JSON object a line on standard error, or columns for people.

Standard output stays free for what a command prints. A program that serves owns its standard error:
what libraries, the interpreter and child processes write there becomes log lines, too (see
standard_error). Within a command for people it does not.
"""

import contextlib
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TextIO, cast

import structlog

from otpc_policy.ops.line_writer import LineWriter
from otpc_policy.ops.standard_error import captured_standard_error, kept_standard_error
from otpc_policy.ops.timestamps import now_text

JSON_FORMAT: Final = "json"

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

    Whoever logs never waits for it: lines beyond those that may wait are lost, and the log says how
    many as soon as it goes on. Close it.

    loss: words the line about so many lines.
    """

    def __init__(self, writer: LineWriter, loss: Callable[[int], str]) -> None:
        self._lines: queue.Queue[str | None] = queue.Queue(_WAITING_LINES)
        self._write = writer.write
        self._loss = loss
        self._lost = 0
        self._counting = threading.Lock()
        self._is_closed = False
        self.isatty = writer.stream.isatty
        # A daemon: the end of the process waits for no reader.
        self._thread = threading.Thread(target=self._write_lines, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        with self._counting:
            try:
                self._lines.put_nowait(self._loss(self._lost) + text if self._lost else text)
                self._lost = 0
            except queue.Full:
                # The standard library writes the end of a line by itself.
                self._lost += text != "\n"

    def flush(self) -> None:
        """Do nothing: every line is written as soon as it can be."""

    def close(self) -> None:
        """Write what waits, for two seconds at most."""
        try:
            if self._lost:
                self._lines.put(self._loss(self._lost), timeout=_CLOSE_WAIT_S)
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


def configure_logs(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Send our logs, the standard library's (asyncio, grpc) and Python's warnings to the stream.

    log_format: "json" or "console". level: "debug", "info", "warning" or "error".
    stream: standard error by default.
    """
    target = _Lossy(sys.stderr if stream is None else stream)
    number = getattr(logging, level.upper())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        _add_time,
    ]
    ending: list[structlog.typing.Processor]
    if log_format == JSON_FORMAT:
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


def set_log_level(level: str) -> None:
    """Log from another level on. level: as of configure_logs, which has been called."""
    number = getattr(logging, level.upper())
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))
    logging.getLogger().setLevel(number)


def _add_time(
    _logger: Any, _method: str, fields: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the time. The line of a child process keeps its own."""
    fields.setdefault("time", now_text())
    return fields


@contextlib.contextmanager
def logs_configured(
    log_format: str, level: str, *, owns_standard_error: bool = False
) -> Iterator[LineWriter]:
    """Configure logs for as long as a program runs, then restore what was there.

    Yields what writes other lines to the same stream.

    A process may serve only for a while, as tests do.

    owns_standard_error: this process does nothing but serve, so whatever is written on standard
    error becomes log lines, tracebacks of the interpreter included. For entry points of programs.
    """
    root = logging.getLogger()
    handlers, former = list(root.handlers), root.level
    with contextlib.ExitStack() as stack:
        written = sys.stderr
        if owns_standard_error:
            written = stack.enter_context(kept_standard_error())
        writer = LineWriter(written)
        stream = _Threaded(writer, _loss_in(log_format))
        stack.callback(_restore, handlers, former)
        stack.callback(stream.close)
        configure_logs(log_format, level, cast(TextIO, stream))
        if owns_standard_error:
            # Elsewhere warnings concern whoever runs the program, such as a test.
            logging.captureWarnings(True)
            stack.callback(logging.captureWarnings, False)
            stack.enter_context(_tracebacks_logged())
            # Last, and so the first to end: what it has read by then is still logged.
            stack.enter_context(captured_standard_error(log_foreign_line))
        yield writer


def _restore(handlers: list[logging.Handler], level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _loss_in(log_format: str) -> Callable[[int], str]:
    def line(lost: int) -> str:
        fields = {"event": "log lines lost", "lost": lost, "level": "warning", "time": now_text()}
        if log_format == JSON_FORMAT:
            return f"{json.dumps(fields)}\n"
        return f"{fields['time']} [warning  ] log lines lost  lost={lost}\n"

    return line


@contextlib.contextmanager
def _tracebacks_logged() -> Iterator[None]:
    """Log what the interpreter would print: exceptions that nobody catches."""
    log = structlog.get_logger("otpc_policy.process")
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook

    def of_process(kind: Any, error: Any, trace: Any) -> None:
        log.critical("uncaught exception", exc_info=(kind, error, trace))

    def of_thread(found: Any) -> None:
        thread = None if found.thread is None else found.thread.name
        info = (found.exc_type, found.exc_value, found.exc_traceback)
        if found.exc_type is not SystemExit:
            log.error("uncaught exception", thread=thread, exc_info=info)

    def of_finalizer(found: Any) -> None:
        info = (found.exc_type, found.exc_value, found.exc_traceback)
        log.error("exception ignored", where=repr(found.object), exc_info=info)

    sys.excepthook, threading.excepthook, sys.unraisablehook = of_process, of_thread, of_finalizer
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks


def log_foreign_line(level: str, event: str, fields: Mapping[str, Any]) -> None:
    """Log what somebody else has written (see foreign_lines)."""
    getattr(structlog.get_logger("otpc_policy.process"), level)(event, **fields)
