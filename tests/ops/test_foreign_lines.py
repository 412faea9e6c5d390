"""What others write on standard error becomes events of their source, bounded and counted."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from otpc_policy.ops.foreign_lines import ForeignLines


class _Log:
    """Collects events. now_s: its clock."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.now_s = 0.0

    def emit(self, level: str, event: str, fields: Mapping[str, Any], /) -> None:
        self.events.append((level, event, dict(fields)))

    def lines(self, *, pid: int | None = None) -> ForeignLines:
        return ForeignLines("engine-0", self.emit, pid=pid, monotonic=lambda: self.now_s)


@pytest.mark.parametrize(
    ("written", "level", "event", "fields"),
    [
        (b"free text", "warning", "text on standard error", {"text": "free text"}),
        (
            b"E0000 00:00:1764421326.123456    4711 ssl_transport_security.cc:1884] Handshake x",
            "error",
            "text on standard error",
            {"text": "Handshake x", "place": "ssl_transport_security.cc:1884"},
        ),
        (
            b'{"event":"measuring","level":"info","time":"2026-11-29T13:02:06.000123Z","n":1}',
            "info",
            "measuring",
            {"time": "2026-11-29T13:02:06.000123Z", "n": 1},
        ),
        (b'{"event":"x","level":"fatal!","time":"now"}', "warning", "x", {}),
        (b'{"event":7}', "warning", "text on standard error", {"text": '{"event":7}'}),
        (b"\xff\x00", "warning", "text on standard error", {"text": "\\xff\x00"}),
    ],
)
def test_each_line_is_an_event(
    written: bytes, level: str, event: str, fields: dict[str, Any]
) -> None:
    log = _Log()
    log.lines(pid=7).feed(written + b"\n")
    assert log.events == [(level, event, {**fields, "source": "engine-0", "pid": 7})]


def test_a_line_of_a_stranger_never_passes_for_an_audit_line() -> None:
    log = _Log()
    forged = {"event": "decision", "schema": 1, "source": "front", "pid": 1, "decision": "ALLOW"}
    log.lines().feed(json.dumps(forged).encode() + b"\n")
    (_, _, fields) = log.events[0]
    assert fields == {"source": "engine-0", "decision": "ALLOW"}


def test_pieces_are_put_together_and_the_rest_counts_at_the_end() -> None:
    log = _Log()
    lines = log.lines()
    for piece in (b"on", b"e\ntw", b"o\n\nthree"):
        lines.feed(piece)
    lines.end()
    assert [fields["text"] for _, _, fields in log.events] == ["one", "two", "three"]


def test_a_traceback_is_one_event() -> None:
    log = _Log()
    lines = log.lines()
    lines.feed(b'Traceback (most recent call last):\n  File "x", line 1\nValueError: no\nafter\n')
    lines.end()
    (level, event, fields), after = log.events
    assert (level, event) == ("error", "uncaught exception")
    assert fields["exception"].endswith("ValueError: no")
    assert after[2]["text"] == "after"


def test_a_line_without_end_is_cut_and_takes_no_memory() -> None:
    log = _Log()
    lines = log.lines()
    for _ in range(100):
        lines.feed(b"x" * 10_000)
    lines.feed(b"\nnext\n")
    lines.end()
    first, second = (fields["text"] for _, _, fields in log.events)
    assert (first, second) == ("x" * 8_192 + "...", "next")


def test_a_flood_is_bounded_and_every_line_is_logged_or_counted() -> None:
    log = _Log()
    lines = log.lines()
    for _ in range(5_000):
        lines.feed(b"flood\n")
        log.now_s += 0.001
    assert len(log.events) < 400
    log.now_s += 1
    lines.report_loss()
    counted = sum(fields.get("lost", 0) for _, _, fields in log.events)
    logged = sum(event == "text on standard error" for _, event, _ in log.events)
    assert logged + counted == 5_000
    assert lines.lost == 0
