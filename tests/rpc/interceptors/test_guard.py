"""Every call is counted, identified and guarded, through a real channel."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2

from otpc_policy.core.errors import (
    Budget,
    CallerBudgetUsed,
    ConfigurationError,
    CursorTooOld,
    FieldViolation,
    InvalidRequest,
    Overloaded,
    PortNotAllowed,
    ReaderTooSlow,
    ServiceUnavailable,
    UnknownPerspective,
    UnknownPolicy,
)
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.rpc.current_call import current_call
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.status import (
    _TABLE,
    AdminServiceOff,
    CallerNotPermitted,
    CallerUnknown,
    ConfigurationRefused,
    HealthServiceUnknown,
    MethodUnknown,
    NothingWatched,
    Reason,
    RequestMissing,
    RequestTooLarge,
)
from otpc_policy.v1 import policy_pb2 as pb
from tests.rpc.serving import SERVICE, FakeCounters, failure, one_method, serving
from tests.support.audit_lines import KeptLines

CALL = f"/{SERVICE}/Call"
ROWS: list[tuple[Exception, grpc.StatusCode, str]] = [
    (
        InvalidRequest([FieldViolation("host", "is required"), FieldViolation("port", "70000")]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    ),
    (UnknownPolicy("ün-known" * 1000), grpc.StatusCode.NOT_FOUND, "UNKNOWN_POLICY"),
    (
        Overloaded(timedelta(seconds=2, milliseconds=500)),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
    ),
    (RequestTooLarge(2000, 1000), grpc.StatusCode.RESOURCE_EXHAUSTED, "REQUEST_TOO_LARGE"),
    (RequestMissing(), grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_MISSING"),
    (
        UnknownPerspective("ün-known" * 1000, [f"{number:032}" for number in range(16)]),
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNKNOWN_PERSPECTIVE",
    ),
    (
        CallerBudgetUsed(timedelta(seconds=2), Budget.TARGETS),
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "CALLER_BUDGET_USED",
    ),
    (PortNotAllowed(22, [443]), grpc.StatusCode.PERMISSION_DENIED, "PORT_NOT_ALLOWED"),
    (ServiceUnavailable(), grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE"),
    (MethodUnknown(), grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN"),
    (AdminServiceOff(), grpc.StatusCode.UNIMPLEMENTED, "ADMIN_SERVICE_OFF"),
    (CursorTooOld(), grpc.StatusCode.OUT_OF_RANGE, "CURSOR_TOO_OLD"),
    (ReaderTooSlow(), grpc.StatusCode.RESOURCE_EXHAUSTED, "READER_TOO_SLOW"),
    (NothingWatched(), grpc.StatusCode.UNIMPLEMENTED, "NOTHING_WATCHED"),
    (CallerUnknown(), grpc.StatusCode.UNAUTHENTICATED, "CALLER_UNKNOWN"),
    (CallerNotPermitted(), grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_PERMITTED"),
    (
        ConfigurationRefused([f"{number}.toml:1: " + "ü" * 5000 for number in range(50)]),
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONFIGURATION_REFUSED",
    ),
    (HealthServiceUnknown(), grpc.StatusCode.NOT_FOUND, "HEALTH_SERVICE_UNKNOWN"),
    (RuntimeError("secret-text"), grpc.StatusCode.INTERNAL, "INTERNAL"),
    (ConfigurationError(["/etc/secret-text"]), grpc.StatusCode.INTERNAL, "INTERNAL"),
]


def raising(error: BaseException) -> Any:
    async def behaviour(_request: bytes, _context: Any) -> bytes:
        raise error

    return behaviour


async def echo(request: bytes, _context: Any) -> bytes:
    return request


@pytest.mark.parametrize(
    ("error", "code", "reason"), ROWS, ids=[type(row[0]).__name__ for row in ROWS]
)
async def test_each_row_of_the_table_reaches_the_caller_with_error_info(
    error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    counters = FakeCounters()
    interceptor = CallInterceptor(counters)
    async with serving(one_method(raising(error)), interceptor) as channel:
        seen = await failure(channel.unary_unary(CALL)(b"", metadata=(("x-request-id", "id-1"),)))
        await interceptor.wait_until_quiet(0.0)
    assert (
        seen.code,
        seen.info.reason,
        seen.info.metadata["request_id"],
        seen.metadata["x-request-id"],
    ) == (code, reason, "id-1", "id-1")
    assert counters.started == [(SERVICE, "Call")]
    assert counters.handled == [(SERVICE, "Call", code.name)]


def test_the_rows_above_are_the_whole_table() -> None:
    assert {type(error) for error, code, _ in ROWS if code is not grpc.StatusCode.INTERNAL} == set(
        _TABLE
    )
    assert {reason for _, _, reason in ROWS} == set(Reason)


@pytest.mark.parametrize(
    ("error", "whose"),
    [
        (Overloaded(timedelta(seconds=2), Budget.BYTES), "the service's"),
        (CallerBudgetUsed(timedelta(seconds=2), Budget.BYTES), "yours"),
    ],
)
async def test_a_refusal_says_whose_budget_is_used_up_and_when_to_ask_again(
    error: Exception, whose: str
) -> None:
    async with serving(one_method(raising(error)), CallInterceptor(FakeCounters())) as channel:
        seen = await failure(channel.unary_unary(CALL)(b""))
    assert (seen.info.metadata["budget"], seen.info.metadata["resource"]) == (whose, "bytes")
    (retry,) = seen.details
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=2)


async def test_bad_request_names_every_violation() -> None:
    async with serving(one_method(raising(ROWS[0][0])), CallInterceptor(FakeCounters())) as channel:
        seen = await failure(channel.unary_unary(CALL)(b""))
    (bad_request,) = seen.details
    assert [
        (violation.field, violation.description) for violation in bad_request.field_violations
    ] == [
        ("host", "is required"),
        ("port", "70000"),
    ]


async def test_a_refused_configuration_lists_its_first_problems_and_counts_the_rest() -> None:
    problems = [f"partners/{number}.toml:3: owner is missing" for number in range(12)]
    async with serving(
        one_method(raising(ConfigurationRefused(problems))), CallInterceptor(FakeCounters())
    ) as channel:
        seen = await failure(channel.unary_unary(CALL)(b""))
    (failed,) = seen.details
    assert [violation.description for violation in failed.violations] == [
        *problems[:10],
        "and 2 more; the log has all",
    ]


async def test_overload_says_when_to_ask_again() -> None:
    async with serving(one_method(raising(ROWS[2][0])), CallInterceptor(FakeCounters())) as channel:
        seen = await failure(channel.unary_unary(CALL)(b""))
    (retry,) = seen.details
    assert isinstance(retry, error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToTimedelta() == timedelta(seconds=2.5)


async def test_a_bug_shows_a_fixed_text_and_leaves_a_traceback_in_the_log() -> None:
    with structlog.testing.capture_logs() as logs:
        async with serving(
            one_method(raising(RuntimeError("secret-text"))), CallInterceptor(FakeCounters())
        ) as channel:
            seen = await failure(channel.unary_unary(CALL)(b""))
    assert "secret" not in f"{seen}"
    assert seen.message == "internal error; the operator finds it in the log under the request id"
    (line,) = [line for line in logs if line["event"] == "call failed"]
    assert (line["request_id"], line["method"], line["exc_info"]) == (
        seen.info.metadata["request_id"],
        "Call",
        True,
    )


@pytest.mark.parametrize("given", ["a", "A-z_0.9:x", "f" * 64])
async def test_a_safe_request_id_is_kept(given: str) -> None:
    async with serving(one_method(echo), CallInterceptor(FakeCounters())) as channel:
        call = channel.unary_unary(CALL)(b"x", metadata=(("x-request-id", given),))
        assert await call == b"x"
        assert dict(await call.trailing_metadata())["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "f" * 65, "with space", 'quote"', "semi;colon"])
async def test_any_other_request_id_is_replaced(given: str) -> None:
    async with serving(one_method(echo), CallInterceptor(FakeCounters())) as channel:
        call = channel.unary_unary(CALL)(b"x", metadata=(("x-request-id", given),))
        await call
        made = str(dict(await call.trailing_metadata())["x-request-id"])
    assert made != given
    assert len(bytes.fromhex(made)) == 16


async def test_the_handler_knows_the_request_id() -> None:
    async def behaviour(_request: bytes, _context: Any) -> bytes:
        return current_call.get().request_id.encode()

    async with serving(one_method(behaviour), CallInterceptor(FakeCounters())) as channel:
        assert await channel.unary_unary(CALL)(b"", metadata=(("x-request-id", "mine"),)) == b"mine"


async def test_bytes_that_are_no_message_are_the_callers_fault_for_stock_servicers_too() -> None:
    counters = FakeCounters()
    interceptor = CallInterceptor(counters)
    register = one_method(
        echo,
        request_deserializer=pb.CheckEndpointRequest.FromString,
        response_serializer=pb.CheckEndpointRequest.SerializeToString,
    )
    async with serving(register, interceptor) as channel:
        seen = await failure(channel.unary_unary(CALL)(b"\xff\xff"))
        await interceptor.wait_until_quiet(0.0)
        good = pb.CheckEndpointRequest(host="a.example").SerializeToString()
        assert await channel.unary_unary(CALL)(good) == good
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert [code for *_, code in counters.handled] == ["INVALID_ARGUMENT", "OK"]


@pytest.mark.parametrize(
    "path", [f"/{SERVICE}/Nothing", "/no.Service/Call", "/x" + "y" * 500 + "/Call"]
)
async def test_unknown_methods_are_unimplemented_and_counted_under_one_name(path: str) -> None:
    counters = FakeCounters()
    async with serving(one_method(echo), CallInterceptor(counters)) as channel:
        seen = await failure(channel.unary_unary(path)(b"x"))
        await asyncio.wait_for(counters.ended.wait(), 5)
    assert (seen.code, seen.info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
    assert counters.started == [("unknown", "unknown")]
    assert counters.handled == [("unknown", "unknown", "UNIMPLEMENTED")]


@pytest.mark.parametrize(
    ("ends", "code"), [("deadline", "DEADLINE_EXCEEDED"), ("cancel", "CANCELLED")]
)
async def test_a_caller_that_leaves_cancels_the_handler_and_is_counted(
    ends: str, code: str
) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def behaviour(_request: bytes, _context: Any) -> bytes:
        begun.set()
        try:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            cancelled.set()
            raise

    counters = FakeCounters()
    interceptor = CallInterceptor(counters)
    async with serving(one_method(behaviour), interceptor) as channel:
        call = channel.unary_unary(CALL)(b"", timeout=0.2 if ends == "deadline" else None)
        await begun.wait()
        assert interceptor.in_flight == 1
        if ends == "cancel":
            call.cancel()
        await asyncio.wait_for(cancelled.wait(), 5)
        await interceptor.wait_until_quiet(0.0)
    assert counters.handled == [(SERVICE, "Call", code)]
    assert interceptor.in_flight == 0


async def test_an_abort_by_a_stock_servicer_keeps_its_status() -> None:
    async def behaviour(_request: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.DATA_LOSS, "stock")
        raise AssertionError("abort returned")

    counters = FakeCounters()
    interceptor = CallInterceptor(counters)
    async with serving(one_method(behaviour), interceptor) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="stock"):
            await channel.unary_unary(CALL)(b"")
        await interceptor.wait_until_quiet(0.0)
    assert counters.handled == [(SERVICE, "Call", "DATA_LOSS")]


@pytest.fixture
def every_level() -> Iterator[None]:
    """Log lines of every level, whatever a service in this process has configured."""
    former = structlog.get_config()
    structlog.configure(**{**former, "wrapper_class": structlog.make_filtering_bound_logger(0)})
    yield
    structlog.configure(**former)


@pytest.mark.usefixtures("every_level")
async def test_the_access_log_is_off_unless_asked_for() -> None:
    lines = {}
    for wanted in (False, True):
        with structlog.testing.capture_logs() as logs:
            interceptor = CallInterceptor(FakeCounters(), log_calls=wanted)
            async with serving(one_method(echo), interceptor) as channel:
                await channel.unary_unary(CALL)(b"")
                await interceptor.wait_until_quiet(
                    0.0
                )  # the line is written after the answer has gone
        lines[wanted] = [line for line in logs if line["event"] == "call"]
    assert lines[False] == []
    assert [(line["service"], line["method"], line["code"]) for line in lines[True]] == [
        (SERVICE, "Call", "OK")
    ]


async def test_a_call_that_begins_while_the_last_answers_leave_is_waited_for_too() -> None:
    """gRPC may accept a call just before the drain; its handler starts after all others ended."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(request: bytes, _context: Any) -> bytes:
        begun.set()
        await may_end.wait()
        return request

    interceptor = CallInterceptor(FakeCounters())
    async with serving(one_method(slow), interceptor) as channel:
        quiet = asyncio.create_task(interceptor.wait_until_quiet(0.2))
        await asyncio.sleep(0)  # it has begun to wait, and no call is there
        call = asyncio.ensure_future(channel.unary_unary(CALL)(b""))
        await begun.wait()
        done, _ = await asyncio.wait({quiet}, timeout=0.5)
        assert not done
        may_end.set()
        await call
        await asyncio.wait_for(quiet, 5)
    assert interceptor.in_flight == 0


async def test_late_calls_are_held_until_they_are_released_and_then_refused_at_once() -> None:
    counters = FakeCounters()
    interceptor = CallInterceptor(counters)
    async with serving(one_method(echo), interceptor) as channel:
        assert await channel.unary_unary(CALL)(b"x") == b"x"
        late = interceptor.refuse_new_calls()
        held = asyncio.ensure_future(failure(channel.unary_unary(CALL)(b"x")))
        await late.wait_until_none_arrives(0.1)
        assert not held.done()
        assert interceptor.in_flight == 1
        late.release()
        for seen in (await held, await failure(channel.unary_unary(CALL)(b"x"))):
            assert (seen.code, seen.info.reason) == (
                grpc.StatusCode.UNAVAILABLE,
                "SERVICE_UNAVAILABLE",
            )
            (retry,) = seen.details
            assert isinstance(retry, error_details_pb2.RetryInfo)
        await interceptor.wait_until_quiet(0.0)
    assert counters.handled[1:] == [(SERVICE, "Call", "UNAVAILABLE")] * 2


async def test_a_late_call_is_refused_well_before_its_deadline() -> None:
    interceptor = CallInterceptor(FakeCounters())
    async with serving(one_method(echo), interceptor) as channel:
        interceptor.refuse_new_calls()
        seen = await failure(channel.unary_unary(CALL)(b"x", timeout=2.0))
    assert seen.info.reason == "SERVICE_UNAVAILABLE"


async def test_late_streams_are_refused_and_services_that_go_on_are_served() -> None:
    async def stream(request: bytes, context: Any) -> None:
        await context.write(request)

    def register(server: grpc.aio.Server) -> None:
        one_method(echo)(server)
        handlers = {"Stream": grpc.unary_stream_rpc_method_handler(stream)}
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("test.Streams", handlers),)
        )

    for still_answered in ((), ("test.Streams",)):
        interceptor = CallInterceptor(FakeCounters())
        async with serving(register, interceptor) as channel:
            interceptor.refuse_new_calls(still_answered=still_answered).release()
            call = channel.unary_stream("/test.Streams/Stream")(b"x")
            if still_answered:
                assert await call.read() == b"x"
            else:
                assert (await failure(call.read())).info.reason == "SERVICE_UNAVAILABLE"
            seen = await failure(channel.unary_unary(CALL)(b"x"))
            assert seen.info.reason == "SERVICE_UNAVAILABLE"


async def _refusals_of(behaviour: Any, *, metadata: Any = (), within_s: float = 10) -> Any:
    """Return the audit lines of one call, and what the caller saw."""
    kept = KeptLines()
    trail = AuditTrail([kept])
    interceptor = CallInterceptor(FakeCounters(), refusals=trail)
    async with serving(one_method(behaviour), interceptor) as channel:
        call = channel.unary_unary(CALL)(b"", metadata=metadata, timeout=within_s)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await call
        await interceptor.wait_until_quiet(0.05)
    trail.close()
    return kept.lines(), await call.code()


@pytest.mark.parametrize(("error", "code", "reason"), ROWS, ids=[str(row[2]) for row in ROWS])
async def test_each_refusal_leaves_one_line_with_code_reason_and_caller(
    error: Exception, code: grpc.StatusCode, reason: str
) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = (("x-request-id", "id-1"), ("traceparent", f"00-{trace}-00f067aa0ba902b7-01"))
    lines, seen = await _refusals_of(raising(error), metadata=metadata)
    (line,) = lines
    assert seen is code
    assert (line["event"], line["code"], line["reason"]) == ("refusal", code.name, reason)
    assert (line["request_id"], line["trace_id"]) == ("id-1", trace)
    assert line["caller"] == line["peer"]
    assert line["peer"].startswith(("ipv4:127.0.0.1:", "unix:", "ipv6:"))
    assert 0 <= line["duration_s"] < 10
    assert len(json.dumps(line)) < 4_096
    assert "secret-text" not in json.dumps(line)


async def test_a_call_that_runs_out_of_time_leaves_a_line_as_well() -> None:
    async def wait(_request: bytes, _context: Any) -> bytes:
        await asyncio.sleep(30)
        return b""

    (line,), seen = await _refusals_of(wait, within_s=0.2)
    assert seen is grpc.StatusCode.DEADLINE_EXCEEDED
    assert line["code"] in {"DEADLINE_EXCEEDED", "CANCELLED"}


async def test_a_write_that_fails_is_no_bug_but_a_caller_that_has_left() -> None:
    async def write(_request: bytes, _context: Any) -> bytes:
        raise grpc.aio.InternalError("gRPC says no more than that a batch failed")

    with structlog.testing.capture_logs() as logs:
        (line,), _ = await _refusals_of(write, within_s=0.5)
    assert line["code"] == "CANCELLED"
    assert "call failed" not in [each["event"] for each in logs]


async def test_a_call_that_is_answered_leaves_none() -> None:
    lines, seen = await _refusals_of(echo)
    assert (lines, seen) == ([], grpc.StatusCode.OK)


async def test_an_unknown_method_leaves_a_line_under_no_name_of_the_callers() -> None:
    kept = KeptLines()
    trail = AuditTrail([kept])
    async with serving(one_method(echo), CallInterceptor(FakeCounters(), refusals=trail)) as opened:
        await failure(opened.unary_unary("/some.Service/Method")(b""))
    trail.close()
    (line,) = kept.lines()
    assert (line["rpc"], line["code"]) == ("unknown", "UNIMPLEMENTED")
