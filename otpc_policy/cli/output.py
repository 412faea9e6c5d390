"""Where output goes: the result on stdout, everything else on stderr."""

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console, RenderableType

# After a longer wait the user wants to know what for.
_PATIENCE_S = 1.0


class OutputFormat(StrEnum):
    """table: for people. json: the response message in proto JSON, for programs."""

    TABLE = "table"
    JSON = "json"


def answer(
    message: "Message", view: "Callable[[], RenderableType]", requested: OutputFormat | None
) -> None:
    """Print a response: a table on a terminal, JSON into a pipe, unless one was requested."""
    write(as_text(view()) if is_for_people(requested) else as_json(message))


def is_for_people(requested: OutputFormat | None) -> bool:
    """Whether the result is a table: on a terminal, unless the other format was requested."""
    chosen = requested or (OutputFormat.TABLE if sys.stdout.isatty() else OutputFormat.JSON)
    return chosen is OutputFormat.TABLE


def write(text: str) -> bool:
    """Print the result of a command on stdout; tell whether somebody reads it still."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has enough, as `head` does. The exit status still gives the verdict.
        _silence_stdout()
        return False
    return True


def announce(line: str) -> None:
    """Print on stdout that a server has started, for whoever waits for it.

    It serves whether anybody reads the line or not.
    """
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except OSError:
        _silence_stdout()


def _silence_stdout() -> None:
    """Lose what Python has yet to write, or it would fail to flush at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def as_text(view: "RenderableType") -> str:
    """Return a renderable of rich as it looks on this stdout."""
    screen = console()
    # Printed at once, rich would answer a closed pipe with exit status 1, and 1 says DENY.
    with screen.capture() as captured:
        # Not cropped: lines that are for copying may be wider than the terminal.
        screen.print(view, crop=False)
    text = captured.get()
    return (
        text if screen.is_terminal else "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    )


def as_json(message: "Message") -> str:
    """Return a message in proto JSON, default values included: scripts need not know them."""
    from google.protobuf.json_format import MessageToJson  # noqa: PLC0415  # slow

    return MessageToJson(message, always_print_fields_with_no_presence=True) + "\n"


def as_json_line(fields: "Mapping[str, Message | str]") -> str:
    """Return messages and texts by key as one line of JSON, default values included."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415  # slow

    plain = {
        key: value
        if isinstance(value, str)
        else MessageToDict(value, always_print_fields_with_no_presence=True)
        for key, value in fields.items()
    }
    return json.dumps(plain, ensure_ascii=False) + "\n"


def console(*, stderr: bool = False) -> "Console":
    """Return a console that prints text verbatim: no markup, emoji or highlights.

    Colour on terminals only.
    """
    from rich.console import Console  # noqa: PLC0415  # slow; --help needs none of it

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def complain(text: str) -> None:
    """Print an error on stderr, as Unix programs do.

    Where it cannot be written, the exit status has to do.
    """
    with suppress(OSError):
        for line in text.splitlines():
            sys.stderr.write(f"otpc-policy: {line}\n")


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Report on stderr what takes longer than a second; with a spinner on a terminal."""
    if not sys.stderr.isatty():
        timer = threading.Timer(_PATIENCE_S, lambda: sys.stderr.write(f"{what} ...\n"))
        started: Callable[[], None] = timer.start
        ended: Callable[[], None] = timer.cancel
    else:
        status = console(stderr=True).status(what)
        timer = threading.Timer(_PATIENCE_S, status.start)
        started, ended = timer.start, status.stop
    timer.daemon = True
    started()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        ended()
