"""The audit trail: each line is whole, what is lost is known, and no sink delays anybody."""

import io
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from otpc_policy.core.caller import Caller, Identity, IdentityKind
from otpc_policy.ops.audit.outlet import Outlet
from otpc_policy.ops.audit.schema import constant_fields, line_of
from otpc_policy.ops.audit.streams import ConsoleRenderer, StreamSink
from otpc_policy.ops.audit.trail import AuditedCall, AuditTrail, RefusalReason
from otpc_policy.ops.line_writer import LineWriter
from tests.support.audit_lines import KeptLines, trail_into
from tests.support.waiting import wait_until

AT = datetime(2025, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ROUTER = Caller(identities=(Identity(IdentityKind.DNS, "router.example"),), peer="ipv4:1.2.3.4:5")
TRACE = "0af7651916cd43dd8448eb211c80319c"
CONSTANT = constant_fields({"endpoint": 'a"b\n:443', "findings": []})


def call(caller: Caller = ROUTER, *, trace_id: str = TRACE) -> AuditedCall:
    return AuditedCall(caller, "CheckEndpoint", "r1", trace_id, 0.0123456)


def record(trail: AuditTrail, check_id: str = "c1", **more: Any) -> None:
    trail.record_decision(
        call(), at=AT, check_id=check_id, source="CACHE", constant=CONSTANT, **more
    )


def refuse(trail: AuditTrail, caller: Caller = ROUTER, code: str = "NOT_FOUND") -> None:
    trail.record_refusal(call(caller), RefusalReason(code=code, reason="UNKNOWN_POLICY"))


async def test_each_decision_is_one_json_line_of_the_schema() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    record(trail)
    record(trail, "c2", observed_leaf=bytes(32))
    trail.close()
    first, second = kept.lines()
    assert first == {
        "schema": 1,
        "time": "2025-01-02T03:04:05.000006Z",
        "level": "info",
        "event": "decision",
        "caller": "dns:router.example",
        "peer": "ipv4:1.2.3.4:5",
        "rpc": "CheckEndpoint",
        "duration_s": 0.012346,
        "request_id": "r1",
        "trace_id": TRACE,
        "check_id": "c1",
        "source": "CACHE",
        "endpoint": 'a"b\n:443',
        "findings": [],
    }
    assert (second["check_id"], second["observed_leaf_sha256"]) == ("c2", "00" * 32)


async def test_a_refusal_is_one_line_with_code_reason_and_caller() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    why = RefusalReason(
        code="INVALID_ARGUMENT",
        reason="INVALID_REQUEST",
        metadata={"policy": 'no"such'},
        fields=["host"],
        item=3,
    )
    trail.record_refusal(call(Caller(peer="ipv4:1.2.3.4:5"), trace_id=""), why)
    trail.close()
    (line,) = kept.lines()
    assert line.pop("time").endswith("Z")
    assert line == {
        "schema": 1,
        "level": "warning",
        "event": "refusal",
        "caller": "ipv4:1.2.3.4:5",
        "peer": "ipv4:1.2.3.4:5",
        "rpc": "CheckEndpoint",
        "duration_s": 0.012346,
        "request_id": "r1",
        "code": "INVALID_ARGUMENT",
        "reason": "INVALID_REQUEST",
        "metadata": {"policy": 'no"such'},
        "fields": ["host"],
        "item": 3,
    }


async def test_every_line_about_a_call_has_all_identities_of_a_caller_with_several() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    names = (Identity(IdentityKind.SPIFFE, "spiffe://x/a"), Identity(IdentityKind.DNS, "a.test"))
    caller = Caller(identities=names, peer="unix:")
    refuse(trail, caller)
    trail.record_decision(call(caller), at=AT, check_id="c1", source="CACHE", constant=CONSTANT)
    trail.close()
    refusal, decision = kept.lines()
    assert refusal["identities"] == decision["identities"] == ["spiffe://x/a", "dns:a.test"]
    assert refusal["caller"] == decision["caller"] == "spiffe://x/a"


async def test_only_plain_allows_are_sampled_and_the_rate_is_told() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept], allow_rate=0.25)
    for number in range(4_000):
        record(trail, f"a{number}", is_sampled=True)
    for number in range(100):
        record(trail, f"d{number}")
    trail.close()
    lines = kept.lines()
    allows = [line for line in lines if line["check_id"].startswith("a")]
    assert 700 < len(allows) < 1_300
    assert {line["sample_rate"] for line in allows} == {0.25}
    others = [line for line in lines if line["check_id"].startswith("d")]
    assert len(others) == 100
    assert not any("sample_rate" in line for line in others)


async def test_a_rate_of_zero_leaves_no_line_of_an_allow() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept], allow_rate=0.0)
    record(trail, is_sampled=True)
    trail.close()
    assert kept.lines() == []


async def test_a_flood_of_refusals_is_summarised_and_every_one_is_counted() -> None:
    kept, now_s = KeptLines(), [0.0]
    trail = AuditTrail([kept], refusal_lines_per_s=2, monotonic=lambda: now_s[0])
    flooding = Caller(peer="ipv4:9.9.9.9:1")
    for number in range(500):
        refuse(trail, Caller(peer=f"ipv4:9.9.9.9:{number}"))
    refuse(trail)  # somebody else
    now_s[0] += 1
    refuse(trail, flooding)
    trail.close()
    lines = kept.lines()
    own = [line for line in lines if line["event"] == "refusal"]
    assert [line["caller"] for line in own if line["caller"].startswith("dns:")] == [
        "dns:router.example"
    ]
    (summary,) = [line for line in lines if line["event"] == "refusals_summarised"]
    assert (summary["caller"], summary["code"]) == ("ipv4:9.9.9.9", "NOT_FOUND")
    assert len(own) == 20 + 1 + 1
    assert summary["count"] + len(own) == 502
    assert trail.refusals["NOT_FOUND", "UNKNOWN_POLICY"] == 502
    assert trail.summarised == summary["count"]


async def test_many_flooding_callers_together_are_bounded_as_well() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept], refusal_lines_per_s=1, monotonic=lambda: 0.0)
    for number in range(3_000):
        refuse(trail, Caller(peer=f"ipv4:10.0.{number % 250}.{number // 250}:7"))
    trail.close()
    lines = kept.lines()
    own = [line for line in lines if line["event"] == "refusal"]
    summaries = [line for line in lines if line["event"] == "refusals_summarised"]
    assert len(own) == 100
    assert len(summaries) <= 257
    assert len(own) + sum(line["count"] for line in summaries) == 3_000


def test_an_event_of_the_configuration_may_come_from_any_thread() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    events = trail.event_log()
    thread = threading.Thread(target=lambda: events.error("tls_files_refused", problems=("no",)))
    thread.start()
    thread.join()
    events.debug("nothing")
    trail.close()
    (line,) = kept.lines()
    assert (line["schema"], line["level"], line["event"]) == (1, "error", "tls_files_refused")
    assert line["problems"] == ["no"]


async def test_a_sink_that_blocks_costs_lines_not_time_and_the_loss_stands_where_they_miss() -> (
    None
):
    release = threading.Event()
    stuck, quick = KeptLines(), KeptLines()

    def write(lines: str) -> None:
        release.wait(10)
        stuck.batches.append(lines)

    sink = KeptLines(write)
    trail = AuditTrail([sink, quick])
    for number in range(70_000):
        record(trail, f"c{number}")
    lost = trail.dropped
    assert lost > 0
    wait_until(lambda: trail.outlets[1].taken == 70_000)
    release.set()
    wait_until(lambda: trail.outlets[0].taken == 70_000 - lost)
    record(trail, "last")
    trail.close()
    assert len(quick.lines()) == 70_001
    lines = stuck.lines()
    (loss,) = [line for line in lines if line["event"] == "audit_lines_lost"]
    assert (loss["lost"], loss["sink"], loss["level"]) == (lost, "test", "error")
    # In front of the line after those that are missing.
    assert lines.index(loss) == len(lines) - 2
    assert len(lines) == 70_001 - lost + 1


def test_a_loss_is_told_even_if_no_further_line_comes() -> None:
    release, kept = threading.Event(), KeptLines()

    def write(lines: str) -> None:
        release.wait(10)
        kept.batches.append(lines)

    outlet = Outlet(KeptLines(write), retry_s=0.01)
    for _ in range(100):
        outlet.put("{}\n", 1)
    lost = outlet.lost
    assert lost > 30
    release.set()
    wait_until(lambda: len(kept.batches) == 100 - lost + 1)
    outlet.close()
    last = kept.lines()[-1]
    assert (last["event"], last["lost"]) == ("audit_lines_lost", lost)


def _outlet_after_a_failure(error: Exception) -> tuple[KeptLines, Outlet]:
    """An outlet whose sink has raised an error at two lines and works now, and what it has kept."""
    kept, fails = KeptLines(), threading.Event()
    fails.set()

    def write(lines: str) -> None:
        if fails.is_set():
            raise error
        kept.batches.append(lines)

    outlet = Outlet(KeptLines(write), retry_s=0.01)
    outlet.put("{}\n{}\n", 2)
    wait_until(lambda: outlet.lost == 2)
    fails.clear()
    wait_until(lambda: bool(kept.batches))
    return kept, outlet


async def test_a_sink_that_fails_for_a_while_is_told_of_its_loss_as_soon_as_it_works() -> None:
    kept, outlet = _outlet_after_a_failure(OSError())
    outlet.close()
    (line,) = kept.lines()
    assert (line["event"], line["lost"]) == ("audit_lines_lost", 2)


@pytest.mark.parametrize("error", [UnicodeEncodeError("latin-1", "\u20ac", 0, 1, ""), KeyError()])
def test_a_sink_that_raises_what_it_should_not_loses_its_lines_and_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    kept, outlet = _outlet_after_a_failure(error)
    outlet.put("{}\n", 1)
    assert outlet.close() == 0
    assert [line.get("lost") for line in kept.lines()] == [2, None]
    assert "an audit sink failed" in caplog.text


async def test_a_reader_that_has_gone_stops_nothing() -> None:
    def write(_text: str) -> None:
        raise BrokenPipeError

    trail = trail_into(write)
    record(trail)
    trail.close()
    record(trail)
    trail.close()
    assert trail.dropped == 2


async def test_lines_are_written_without_waiting_for_close() -> None:
    written = threading.Event()
    trail = trail_into(lambda _text: written.set())
    for _ in range(1000):
        record(trail)
    assert written.wait(10)
    trail.close()


@pytest.mark.parametrize("use", [record, refuse])
async def test_a_line_is_json_whatever_a_caller_is_called(
    use: Callable[..., None],
) -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    name = 'a"b\\\n{"event":"decision"}\x00\u2028'
    odd = Caller(identities=(Identity(IdentityKind.URI, name),), peer="unix:")
    made = AuditedCall(odd, "CheckEndpoint", "r1", "", 0.0)
    if use is record:
        trail.record_decision(made, at=AT, check_id="c", source="CACHE", constant=CONSTANT)
    else:
        trail.record_refusal(made, RefusalReason(code="INTERNAL"))
    trail.close()
    (line,) = "".join(kept.batches).splitlines()
    assert line.isascii()
    assert json.loads(line)["caller"] == f"uri:{name}"


def test_columns_for_people_hold_every_field_of_a_line() -> None:
    stream = io.StringIO()
    sink = StreamSink("stderr", LineWriter(stream), ConsoleRenderer(colors=False))
    lines = [
        line_of("warning", "refusal", {"code": "NOT_FOUND", "caller": "dns:a"}),
        line_of("info", "decision", {"decision": "DENY", "findings": [{"code": "X"}]}),
    ]
    sink.write("".join(lines))
    first, second = stream.getvalue().splitlines()
    assert all(part in first for part in ("[warning", "refusal", "code=NOT_FOUND", "caller=dns:a"))
    assert all(part in second for part in ("decision", "decision=DENY", "X"))
    assert "schema" not in first
