"""What both clients do: every test runs with threads and with asyncio, over real gRPC."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from otpc_policy_client import (
    CacheLimits,
    CallError,
    DeadlineExceeded,
    InvalidRequest,
    NotPermitted,
    Overloaded,
    PolicyClientError,
    ServiceUnavailable,
    TrafficNotPermitted,
    UnknownPolicy,
    Verdict,
    Violation,
    check_request,
)
from otpc_policy_client.observing import (
    CallFinished,
    CheckLookedUp,
    VerdictsDropped,
    WatchStateChanged,
)
from otpc_policy_client.testing import (
    NO_RULE,
    PolicyServer,
    allow,
    deny,
    fail,
    in_progress,
    indeterminate,
    serve,
)
from otpc_policy_client.v1 import policy_pb2 as pb
from tests.client.both import ASYNCIO, THREADS, Events, both, client_of
from tests.support.waiting import wait_until

HOST = "partner.example"
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def following(events: Events) -> Callable[[], bool]:
    return lambda: any(each.state == "following" for each in events.of(WatchStateChanged))


def interrupted(events: Events) -> list[WatchStateChanged]:
    return [each for each in events.of(WatchStateChanged) if each.state == "interrupted"]


@both
def test_only_allow_permits_traffic(kind: str) -> None:
    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set("allowed.example", allow())
        server.rules.set("denied.example", deny("CERTIFICATE_EXPIRED"))
        server.rules.set("unknown.example", indeterminate("TARGET_DNS_FAILED"))
        server.rules.set("expired.example", allow(for_s=-1))
        assert client.check("allowed.example").permits_traffic
        for host, codes in [
            ("denied.example", ("CERTIFICATE_EXPIRED",)),
            ("unknown.example", ("TARGET_DNS_FAILED",)),
            ("expired.example", ()),
            ("no-rule.example", (NO_RULE,)),
        ]:
            verdict = client.check(host)
            assert (verdict.permits_traffic, verdict.codes) == (False, codes)


@both
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
        (grpc.StatusCode.NOT_FOUND, UnknownPolicy),
        (grpc.StatusCode.PERMISSION_DENIED, NotPermitted),
        (grpc.StatusCode.UNAUTHENTICATED, NotPermitted),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Overloaded),
        (grpc.StatusCode.INTERNAL, CallError),
        (grpc.StatusCode.UNIMPLEMENTED, CallError),
    ],
)
def test_an_error_has_its_reason_and_is_not_tried_again(
    kind: str, status: grpc.StatusCode, error: type[CallError]
) -> None:
    wrong = (Violation("host", "is empty"), Violation("port", "is 0"))
    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set(
            HOST,
            fail(
                status,
                "no",
                reason="SOME_REASON",
                metadata={"a": "b"},
                violations=wrong,
                retry_after_s=0.01,
            ),
        )
        with pytest.raises(error) as raised:
            client.check(HOST)
    assert type(raised.value) is error
    assert isinstance(raised.value, PolicyClientError)
    assert isinstance(raised.value, grpc.RpcError)
    assert (raised.value.status, raised.value.code()) == (status, status)
    assert (raised.value.reason, raised.value.metadata) == ("SOME_REASON", {"a": "b"})
    assert (raised.value.violations, raised.value.retry_after_s) == (wrong, 0.01)
    assert len(server.rules.asked) == 1


@both
def test_unavailable_is_tried_twice_and_never_three_times(kind: str) -> None:
    events = Events()
    with serve() as server, client_of(kind, server.target, observer=events) as client:
        server.rules.set(HOST, fail(UNAVAILABLE), allow())
        assert client.check(HOST).permits_traffic
        assert len(server.rules.asked) == 2
        server.rules.set("down.example", fail(UNAVAILABLE))
        with pytest.raises(ServiceUnavailable):
            client.check("down.example")
    assert len(server.rules.asked) == 4
    calls = [each for each in events.of(CallFinished) if each.method == "CheckEndpoint"]
    assert [(each.code, each.tries) for each in calls] == [("OK", 2), ("UNAVAILABLE", 2)]


@both
def test_a_replica_says_when_to_ask_again_and_the_deadline_stands_above_it(kind: str) -> None:
    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set(HOST, fail(UNAVAILABLE, retry_after_s=0.4), allow())
        began = time.monotonic()
        assert client.check(HOST, timeout_s=20).permits_traffic
        assert time.monotonic() - began >= 0.4
        server.rules.set("later.example", fail(UNAVAILABLE, retry_after_s=60.0), allow())
        with pytest.raises(ServiceUnavailable) as raised:
            client.check("later.example", timeout_s=20)
        assert time.monotonic() - began < 10
    assert raised.value.retry_after_s == 60.0
    assert len(server.rules.asked) == 3


@both
def test_a_measurement_under_way_is_waited_for_within_the_deadline(kind: str) -> None:
    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set(HOST, in_progress(retry_after_s=0.1), in_progress(), allow())
        assert client.check(HOST, timeout_s=20).permits_traffic
        assert len(server.rules.asked) == 3
        server.rules.set("slow.example", in_progress(retry_after_s=60.0))
        verdict = client.check("slow.example", timeout_s=2)
        assert (verdict.permits_traffic, verdict.codes) == (False, ("CHECK_IN_PROGRESS",))
        client.check("slow.example", timeout_s=2)
    assert len(server.rules.asked) == 5


@both
def test_the_deadline_is_one_for_everything(kind: str) -> None:
    released = threading.Event()

    def stall(_: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        released.wait(20)
        return pb.CheckEndpointResponse()

    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set(HOST, stall)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as raised:
            client.check(HOST, timeout_s=0.3)
        assert time.monotonic() - began < 5
        released.set()
    assert isinstance(raised.value, TimeoutError)


@both
def test_no_time_at_all_asks_nothing(kind: str) -> None:
    with serve() as server, client_of(kind, server.target) as client:
        with pytest.raises(DeadlineExceeded):
            client.check(HOST, timeout_s=0.0)
        with pytest.raises(DeadlineExceeded):
            client.check_batch([check_request(HOST)], timeout_s=-1.0)
    assert server.rules.asked == []


@both
def test_a_verdict_is_kept_until_it_expires_and_only_for_the_same_question(kind: str) -> None:
    events = Events()
    with serve() as server, client_of(kind, server.target, observer=events) as client:
        server.rules.set(HOST, allow())
        assert client.check(HOST) is client.check(HOST)
        assert client.check(check_request(HOST)).permits_traffic
        assert len(server.rules.asked) == 1
        client.check(HOST, policy="another")
        client.check(HOST, server_name="other.example")
        client.check(HOST, freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH))
        client.check(HOST, observed_leaf_sha256=b"l" * 32)
        assert len(server.rules.asked) == 5
        server.rules.set("brief.example", allow(for_s=0.3))
        client.check("brief.example")
        time.sleep(0.4)
        client.check("brief.example")
    assert len(server.rules.asked) == 7
    kept = [each for each in events.of(CheckLookedUp) if each.result == "kept"]
    assert len(kept) == 2


@both
def test_without_a_cache_every_check_is_asked(kind: str) -> None:
    with serve() as server, client_of(kind, server.target, cache=None) as client:
        server.rules.set(HOST, allow())
        client.check(HOST)
        client.check(HOST)
    assert len(server.rules.asked) == 2


@both
def test_errors_are_not_kept(kind: str) -> None:
    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set(HOST, fail(grpc.StatusCode.INTERNAL), allow())
        with pytest.raises(CallError):
            client.check(HOST)
        assert client.check(HOST).permits_traffic


class Gate:
    """A rule that waits until it is opened, and says how many wait."""

    def __init__(self, answer: Any) -> None:
        self.opened = threading.Event()
        self.waiting = 0
        self._answer = answer

    def __call__(self, request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        self.waiting += 1
        self.opened.wait(20)
        response: pb.CheckEndpointResponse = self._answer(request)
        return response


@both
@pytest.mark.parametrize("fails", [False, True])
def test_who_asks_the_same_at_a_time_is_answered_by_one_call(kind: str, fails: bool) -> None:
    gate = Gate(fail(grpc.StatusCode.INTERNAL) if fails else allow())
    events = Events()
    with (
        serve() as server,
        client_of(kind, server.target, observer=events) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        server.rules.set(HOST, gate)
        asking = [threads.submit(client.check, HOST, timeout_s=20) for _ in range(8)]
        wait_until(lambda: gate.waiting == 1)
        time.sleep(0.2)
        gate.opened.set()
        outcomes = [each.exception() or each.result() for each in asking]
    assert len(server.rules.asked) == 1
    if fails:
        assert all(isinstance(each, CallError) for each in outcomes)
        assert len({id(each) for each in outcomes}) == 8
    else:
        assert all(isinstance(each, Verdict) and each.permits_traffic for each in outcomes)


@both
def test_a_leader_whose_time_is_over_leaves_its_followers_their_own(kind: str) -> None:
    gate = Gate(allow())
    with (
        serve() as server,
        client_of(kind, server.target) as client,
        ThreadPoolExecutor(2) as threads,
    ):
        server.rules.set(HOST, gate, allow())
        leader = threads.submit(client.check, HOST, timeout_s=2.0)
        wait_until(lambda: gate.waiting == 1)
        follower = threads.submit(client.check, HOST, timeout_s=20)
        with pytest.raises(DeadlineExceeded):
            leader.result()
        assert follower.result().permits_traffic
        gate.opened.set()
    assert len(server.rules.asked) == 2


def prepared(server: PolicyServer, *hosts: str) -> None:
    for host in hosts:
        server.rules.set(host, allow())
        server.watch(host, pb.DECISION_ALLOW)


@both
def test_a_change_drops_what_is_kept_of_its_endpoint(kind: str) -> None:
    events = Events()
    with serve() as server, client_of(kind, server.target, watch=True, observer=events) as client:
        prepared(server, HOST, "other.example")
        client.check(HOST)
        wait_until(following(events))
        for host in (HOST, "other.example"):
            client.check(host)
        asked = len(server.rules.asked)
        server.rules.set(HOST, deny("CERTIFICATE_EXPIRED"))
        server.publish(HOST, pb.DECISION_DENY)
        wait_until(lambda: not client.check(HOST).permits_traffic)
        assert client.check("other.example").permits_traffic
        assert len(server.rules.asked) == asked + 1
        # It ends with OK now and then, and goes on from its cursor.
        server.end_streams()
        server.rules.set("other.example", deny("CERTIFICATE_EXPIRED"))
        server.publish("other.example", pb.DECISION_DENY)
        wait_until(lambda: not client.check("other.example").permits_traffic)
    assert sum(each.count for each in events.of(VerdictsDropped)) >= 2


@both
def test_a_cursor_that_is_too_old_keeps_what_the_list_confirms(kind: str) -> None:
    events = Events()
    with serve() as server, client_of(kind, server.target, watch=True, observer=events) as client:
        prepared(server, HOST, "changed.example")
        server.rules.set("unwatched.example", allow())
        client.check(HOST)
        wait_until(following(events))
        for host in (HOST, "changed.example", "unwatched.example"):
            client.check(host)
        server.watch("changed.example", pb.DECISION_DENY)
        server.end_streams(forget=True)
        wait_until(lambda: sum(each.count for each in events.of(VerdictsDropped)) >= 2)
        asked = len(server.rules.asked)
        for host in (HOST, "changed.example", "unwatched.example"):
            client.check(host)
        assert len(server.rules.asked) == asked + 2
    assert any(each.reason == "OUT_OF_RANGE" for each in events.of(WatchStateChanged))


@both
def test_a_service_without_changes_is_asked_for_them_once(kind: str) -> None:
    events = Events()
    with (
        serve(reports_changes=False) as server,
        client_of(kind, server.target, watch=True, observer=events) as client,
    ):
        server.rules.set(HOST, allow())
        client.check(HOST)
        wait_until(lambda: bool(events.of(WatchStateChanged)))
        client.check(HOST)
    assert [each.state for each in events.of(WatchStateChanged)] == ["interrupted", "ended"]
    assert len(server.rules.asked) == 1


@both
def test_the_cache_goes_on_while_the_service_is_away(kind: str) -> None:
    with ExitStack() as stopped:
        server = stopped.enter_context(serve())
        server.rules.set(HOST, allow())
        events = Events()
        with client_of(kind, server.target, watch=True, observer=events) as client:
            client.check(HOST)
            wait_until(following(events))
            first = client.check(HOST)
            stopped.close()
            wait_until(lambda: bool(interrupted(events)))
            assert client.check(HOST) is first


@both
def test_an_observer_that_raises_changes_nothing(kind: str) -> None:
    def raising(_: object, /) -> None:
        raise RuntimeError("cannot count")

    with serve() as server, client_of(kind, server.target, observer=raising) as client:
        server.rules.set(HOST, allow())
        assert client.check(HOST).permits_traffic


@both
def test_items_of_a_batch_are_verdicts_or_errors_in_order(kind: str) -> None:
    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set("a.example", allow())
        server.rules.set("b.example", fail(grpc.StatusCode.NOT_FOUND, reason="UNKNOWN_POLICY"))
        first, second, third = client.check_batch(
            [check_request(each) for each in ("a.example", "b.example", "c.example")]
        )
    assert first.permits_traffic
    assert (type(second), second.reason) == (UnknownPolicy, "UNKNOWN_POLICY")
    assert (third.permits_traffic, third.codes) == (False, (NO_RULE,))


@both
def test_an_answer_from_another_place_permits_nothing(kind: str) -> None:
    def from_elsewhere(request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        response = allow()(request)
        response.perspective = "us-east"
        return response

    with serve() as server, client_of(kind, server.target) as client:
        server.rules.set(HOST, from_elsewhere)
        for _ in range(2):  # from the service, then from the cache
            assert client.check(HOST).permits_traffic
            assert client.check(HOST, perspective="us-east").permits_traffic
            assert not client.check(HOST, perspective="eu-west").permits_traffic
        items = [check_request(HOST, perspective=each) for each in ("us-east", "eu-west")]
        verdicts = client.check_batch(items)
        assert [each.permits_traffic for each in verdicts] == [True, False]
        with pytest.raises(TrafficNotPermitted, match="not from eu-west"):
            client.connect(HOST, perspective="eu-west")


@both
def test_bounds_of_the_cache_hold(kind: str) -> None:
    limits = CacheLimits(entries=2)
    with serve() as server, client_of(kind, server.target, cache=limits) as client:
        for host in ("a.example", "b.example", "a.example", "c.example", "a.example", "b.example"):
            server.rules.set(host, allow())
            client.check(host)
    assert [each.host for each in server.rules.asked] == [
        "a.example",
        "b.example",
        "c.example",
        "b.example",
    ]


@pytest.mark.parametrize("kind", [THREADS, ASYNCIO])
def test_nobody_there_is_unavailable(kind: str) -> None:
    with serve() as server:
        target = server.target
    with client_of(kind, target) as client, pytest.raises(ServiceUnavailable):
        client.check(HOST, timeout_s=10)
