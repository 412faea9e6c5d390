"""Log lines: one JSON object each, the standard library's too."""

import errno
import io
import json
import logging
import os
import sys
import time
from collections.abc import Iterator

import pytest
import structlog

from otpc_policy.ops.logs import configure_logs, logs_configured


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    former = structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**former)


def test_each_line_is_one_json_object_from_whichever_logger() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    structlog.get_logger("ours").info("decision", decision="ALLOW", host="a\nb")
    logging.getLogger("asyncio").warning("slow %s", "callback")
    structlog.get_logger("ours").debug("hidden")
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["decision"], ours["host"], ours["level"]) == (
        "decision",
        "ALLOW",
        "a\nb",
        "info",
    )
    assert (theirs["event"], theirs["level"]) == ("slow callback", "warning")
    assert ours["time"].endswith("Z")


def test_an_exception_stays_on_its_line() -> None:
    stream = io.StringIO()
    configure_logs("json", "info", stream)
    try:
        raise ValueError("inside")
    except ValueError:
        structlog.get_logger("ours").exception("bug")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: inside" in json.loads(line)["exception"]


def test_the_console_format_is_for_people() -> None:
    stream = io.StringIO()
    configure_logs("console", "debug", stream)
    structlog.get_logger("ours").debug("started", port=1)
    assert "started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


class _Full(io.StringIO):
    """A file on a full disk."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_whoever_logs_goes_on_where_the_disk_is_full_or_the_reader_gone(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(log_format, "info", _Full())
    structlog.get_logger("ours").error("engine ended")
    logging.getLogger("theirs").error("a worker did not start")
    assert capsys.readouterr().err == ""


def test_whoever_logs_waits_for_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log driver that blocks, or a pager: the pipe is full, and nobody reads."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        began_s = time.monotonic()
        with logs_configured("json", "info"):
            for number in range(5_000):
                structlog.get_logger("ours").info("engine ended", number=number)
            assert time.monotonic() - began_s < 5
        lines = iter(pipe.readline, b"")
        assert [json.loads(next(lines))["number"] for _ in range(500)] == list(range(500))


def test_lines_have_been_written_when_a_program_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with logs_configured("json", "info"):
        structlog.get_logger("ours").info("stopped")
    assert json.loads(stream.getvalue())["event"] == "stopped"
