"""Decisions are recorded whole, and a log that cannot be written delays nothing."""

import json
import threading
from datetime import UTC, datetime

from otpc_policy.ops.decision_log import DecisionLog, constant_fields

AT = datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def record(log: DecisionLog, check_id: str = "c1") -> None:
    log.record(
        at=AT,
        rpc="CheckEndpoint",
        check_id=check_id,
        request_id="r1",
        source="CACHE",
        constant=constant_fields({"endpoint": 'a"b\n:443', "findings": []}),
    )


async def test_each_decision_is_one_json_line() -> None:
    written: list[str] = []
    log = DecisionLog(written.append)
    record(log)
    record(log, "c2")
    log.close()
    first, second = "".join(written).splitlines()
    assert json.loads(first) == {
        "time": "2025-01-02T03:04:05.000006+00:00",
        "level": "info",
        "event": "decision",
        "rpc": "CheckEndpoint",
        "check_id": "c1",
        "request_id": "r1",
        "source": "CACHE",
        "endpoint": 'a"b\n:443',
        "findings": [],
    }
    assert json.loads(second)["check_id"] == "c2"


async def test_a_reader_that_blocks_costs_lines_not_time_and_the_loss_is_known() -> None:
    release = threading.Event()
    written: list[str] = []

    def write(text: str) -> None:
        release.wait(10)
        written.append(text)

    log = DecisionLog(write)
    for number in range(70_000):
        record(log, f"c{number}")
    assert log.dropped > 0
    release.set()
    log.close()
    assert sum(text.count("\n") for text in written) == 70_000 - log.dropped


async def test_a_reader_that_has_gone_stops_nothing() -> None:
    def write(_text: str) -> None:
        raise BrokenPipeError

    log = DecisionLog(write)
    record(log)
    log.close()
    record(log)
    log.close()
    assert log.dropped == 2


async def test_lines_are_written_without_waiting_for_close() -> None:
    written = threading.Event()
    log = DecisionLog(lambda _text: written.set())
    for _ in range(1000):
        record(log)
    assert written.wait(10)
    log.close()
