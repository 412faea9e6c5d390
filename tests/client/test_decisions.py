"""What both clients decide without IO: tries, what is kept and for how long, who asks."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from otpc_policy_client import CacheLimits, CallError, ServiceUnavailable, Verdict
from otpc_policy_client.answer_cache import AnswerCache, endpoint_of, key_of
from otpc_policy_client.attempts import Answered, Ask, Attempts, Wait
from otpc_policy_client.errors import DeadlineExceeded, ErrorDetails
from otpc_policy_client.lookups import Follow, Lead, Lookups
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import verdict_of

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000
SECOND = 1_000_000_000
HOST = "partner.example"


def unavailable(retry_after_s: float | None = None) -> CallError:
    details = ErrorDetails(retry_after_s=retry_after_s)
    return ServiceUnavailable(grpc.StatusCode.UNAVAILABLE, "draining", details)


def response(
    decision: pb.Decision.ValueType = pb.DECISION_ALLOW,
    *,
    lifetime_s: float = 60.0,
    retry_after_s: float | None = None,
    codes: tuple[str, ...] = (),
    canonical_endpoint: str = f"{HOST}:443",
    padding: int = 0,
) -> pb.CheckEndpointResponse:
    made = pb.CheckEndpointResponse(
        decision=decision,
        evaluated_decision=decision,
        judged_addresses=["192.0.2.1"],
        canonical_endpoint=canonical_endpoint,
        findings=[pb.Finding(code=each, message="x" * padding) for each in codes],
    )
    made.result_info.evaluation_time.FromDatetime(NOW)
    made.result_info.expire_time.FromDatetime(NOW + timedelta(seconds=lifetime_s))
    if retry_after_s is not None:
        made.retry_after.FromTimedelta(timedelta(seconds=retry_after_s))
    return made


def in_progress(retry_after_s: float) -> pb.CheckEndpointResponse:
    return response(
        pb.DECISION_INDETERMINATE, codes=("CHECK_IN_PROGRESS",), retry_after_s=retry_after_s
    )


class TestAttempts:
    def test_each_call_may_take_what_is_left(self) -> None:
        attempts = Attempts(now=100.0, timeout_s=2.0, spread=0.0)
        assert attempts.start(100.0) == Ask(2.0)
        assert attempts.failed(unavailable(), 100.5) == Wait(0.05)
        assert attempts.start(100.5625) == Ask(1.4375)
        answer = response()
        assert attempts.answered(answer, 101.0) == Answered(answer, 100.5625)

    def test_the_second_failure_is_the_last(self) -> None:
        attempts = Attempts(now=0.0, timeout_s=10.0, spread=1.0)
        attempts.start(0.0)
        assert attempts.failed(unavailable(), 0.1) == Wait(0.05 + 0.1)
        attempts.start(0.3)
        last = unavailable()
        with pytest.raises(ServiceUnavailable) as raised:
            attempts.failed(last, 0.4)
        assert raised.value is last

    def test_waiting_for_a_measurement_gives_no_further_tries(self) -> None:
        attempts = Attempts(now=0.0, timeout_s=60.0, spread=0.0)
        attempts.start(0.0)
        attempts.failed(unavailable(), 0.1)
        attempts.start(0.2)
        assert attempts.answered(in_progress(5.0), 1.0) == Wait(5.0)
        attempts.start(6.0)
        with pytest.raises(ServiceUnavailable):
            attempts.failed(unavailable(), 6.1)

    @pytest.mark.parametrize(("named_s", "waits"), [(0.9, True), (0.99, True), (0.999, False)])
    def test_no_wait_ends_after_the_deadline(self, named_s: float, waits: bool) -> None:
        attempts = Attempts(now=0.0, timeout_s=1.0, spread=0.0)
        attempts.start(0.0)
        if waits:
            assert attempts.failed(unavailable(named_s), 0.0) == Wait(named_s)
            assert attempts.answered(in_progress(named_s), 0.0) == Wait(named_s)
        else:
            with pytest.raises(ServiceUnavailable):
                attempts.failed(unavailable(named_s), 0.0)
            assert isinstance(attempts.answered(in_progress(named_s), 0.0), Answered)

    def test_no_time_is_an_error_and_no_call(self) -> None:
        attempts = Attempts(now=0.0, timeout_s=1.0, spread=0.0)
        with pytest.raises(DeadlineExceeded):
            attempts.start(1.0)
        assert attempts.tries == 0

    def test_a_service_that_names_no_time_is_not_asked_in_a_loop(self) -> None:
        attempts = Attempts(now=0.0, timeout_s=10.0, spread=0.0)
        attempts.start(0.0)
        assert attempts.answered(in_progress(0.0), 0.0) == Wait(0.1)
        assert attempts.answered(in_progress(-5.0), 0.0) == Wait(0.1)

    def test_no_other_status_is_tried_again(self) -> None:
        for status in grpc.StatusCode:
            if status is grpc.StatusCode.UNAVAILABLE:
                continue
            attempts = Attempts(now=0.0, timeout_s=10.0, spread=0.0)
            attempts.start(0.0)
            error = CallError(status, "", ErrorDetails(retry_after_s=0.01))
            with pytest.raises(CallError) as raised:
                attempts.failed(error, 0.1)
            assert raised.value is error


class TestVerdicts:
    def test_a_lifetime_counts_from_the_question(self) -> None:
        assert verdict_of(response(lifetime_s=60), asked_at_s=1_000).good_until_s == 1_060

    @pytest.mark.parametrize("missing", ["evaluation_time", "expire_time"])
    def test_without_both_times_nothing_is_permitted(self, missing: str) -> None:
        answer = response()
        answer.result_info.ClearField(missing)  # type: ignore[arg-type]
        verdict = verdict_of(answer, asked_at_s=1_000)
        assert not verdict.permits(now=NOW, elapsed=1_000)

    def test_a_wall_clock_that_is_set_back_prolongs_nothing(self) -> None:
        verdict = verdict_of(response(lifetime_s=60), asked_at_s=1_000)
        assert verdict.permits(now=NOW, elapsed=1_059.9)
        assert not verdict.permits(now=NOW - timedelta(days=1), elapsed=1_060)
        assert not verdict.permits(now=NOW + timedelta(seconds=60), elapsed=1_001)

    def test_what_a_report_only_policy_denies_needs_to_be_said(self) -> None:
        answer = response()
        answer.evaluated_decision = pb.DECISION_DENY
        verdict = verdict_of(answer, asked_at_s=0)
        assert not verdict.permits(now=NOW, elapsed=1)
        assert verdict.permits(now=NOW, elapsed=1, dangerously_permit_report_only=True)


def request(host: str = HOST, **fields: Any) -> pb.CheckEndpointRequest:
    return pb.CheckEndpointRequest(host=host, **fields)


class Wall:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.ns = NOW_NS

    def __call__(self) -> int:
        return self.ns


def put(
    cache: AnswerCache, answer: pb.CheckEndpointResponse, host: str = HOST, at: float = 0.0
) -> bool:
    verdict = verdict_of(answer, asked_at_s=at)
    return cache.put(host.encode(), request(host), verdict, asked_at_s=at)


class TestCache:
    def test_it_gives_nothing_at_or_after_expiry_by_either_clock(self) -> None:
        wall = Wall()
        cache = AnswerCache(CacheLimits(), wall)
        assert put(cache, response(lifetime_s=60), at=100)
        assert cache.get(HOST.encode(), 159.9) is not None
        wall.ns = NOW_NS + 60 * SECOND - 1
        assert cache.get(HOST.encode(), 101) is not None
        wall.ns = NOW_NS + 60 * SECOND
        assert cache.get(HOST.encode(), 101) is None
        wall.ns = NOW_NS - 3_600 * SECOND
        put(cache, response(lifetime_s=60), at=100)
        assert cache.get(HOST.encode(), 160) is None
        assert (len(cache), cache.size_bytes) == (0, 0)

    @pytest.mark.parametrize(
        ("answer", "kept_for_s"),
        [
            (response(), 60),
            (response(pb.DECISION_DENY), 60),
            (response(pb.DECISION_INDETERMINATE), 60),
            (response(pb.DECISION_DENY, retry_after_s=7), 7),
            (response(pb.DECISION_INDETERMINATE, retry_after_s=7), 7),
            (response(pb.DECISION_INDETERMINATE, retry_after_s=7, lifetime_s=3), 3),
            # What is allowed stays so, whatever another measurement may find.
            (response(retry_after_s=7), 60),
        ],
    )
    def test_what_is_not_allow_is_kept_until_another_answer_can_come(
        self, answer: pb.CheckEndpointResponse, kept_for_s: float
    ) -> None:
        cache = AnswerCache(CacheLimits(), Wall())
        assert put(cache, answer, at=100)
        assert cache.get(HOST.encode(), 100 + kept_for_s - 0.01) is not None
        assert cache.get(HOST.encode(), 100 + kept_for_s) is None

    def test_what_may_not_be_kept(self) -> None:
        cache = AnswerCache(CacheLimits(), Wall())
        without_end = response()
        without_end.result_info.ClearField("expire_time")
        for answer in (
            in_progress(5),
            without_end,
            response(lifetime_s=0),
            response(lifetime_s=-1),
        ):
            assert not put(cache, answer)
        assert len(cache) == 0
        assert not put(AnswerCache(CacheLimits(entries=0), Wall()), response())

    def test_entries_and_bytes_are_bounded_and_oldest_use_goes_first(self) -> None:
        cache = AnswerCache(CacheLimits(entries=3), Wall())
        for host in "abc":
            put(cache, response(), host)
        assert cache.get(b"a", 1) is not None
        put(cache, response(), "d")
        assert [cache.get(each, 1) is not None for each in (b"a", b"b", b"c", b"d")] == [
            True,
            False,
            True,
            True,
        ]
        limits = CacheLimits(total_bytes=20_000)
        cache = AnswerCache(limits, Wall())
        for number in range(100):
            put(cache, response(codes=("A",), padding=1_000), str(number))
            assert cache.size_bytes <= limits.total_bytes
        assert 5 < len(cache) < 20
        assert not put(cache, response(codes=("A",), padding=5_000), "too large")

    def test_changes_drop_an_endpoint_in_whatever_form_it_was_asked_for(self) -> None:
        cache = AnswerCache(CacheLimits(), Wall())
        put(cache, response(canonical_endpoint="xn--bcher-kva.example:443"), "bücher.example")
        assert cache.drop_endpoint(endpoint_of("xn--bcher-kva.example", 443)) == 1
        put(cache, response(canonical_endpoint="[2001:db8::1]:443"), "2001:DB8:0::1")
        assert cache.drop_endpoint(endpoint_of("2001:db8::1", 443)) == 1
        put(cache, response(canonical_endpoint="Partner.Example:443"), "PARTNER.example.")
        assert cache.drop_endpoint(endpoint_of("partner.example", 8443)) == 0
        assert cache.drop_endpoint(endpoint_of("partner.example", 443)) == 1
        assert (len(cache), cache.size_bytes) == (0, 0)

    def test_a_list_keeps_what_it_confirms(self) -> None:
        cache = AnswerCache(CacheLimits(), Wall())
        for host, decision in (
            ("same.example", pb.DECISION_ALLOW),
            ("other.example", pb.DECISION_ALLOW),
            ("denied.example", pb.DECISION_DENY),
            ("unlisted.example", pb.DECISION_ALLOW),
        ):
            put(cache, response(decision, canonical_endpoint=f"{host}:443"), host)
        listed = {
            endpoint_of("same.example", 443): pb.DECISION_ALLOW,
            endpoint_of("other.example", 443): pb.DECISION_DENY,
            endpoint_of("denied.example", 443): pb.DECISION_DENY,
        }
        assert cache.keep_confirmed(dict(listed)) == 2
        kept = [each for each in ("same", "other", "denied", "unlisted")
                if cache.get(f"{each}.example".encode(), 1)]  # fmt: skip
        assert kept == ["same", "denied"]

    def test_questions_that_want_the_service_itself_have_no_key(self) -> None:
        assert key_of(request()) == key_of(request())
        assert key_of(request()) != key_of(request(policy="p"))
        assert key_of(request(observed_leaf_sha256=b"l" * 32)) is None
        assert key_of(request(freshness=pb.Freshness())) is None


def lookups() -> Lookups[threading.Event]:
    return Lookups(CacheLimits(), wall_ns=Wall(), new_waiter=threading.Event)


def led(found: object) -> Any:
    assert isinstance(found, Lead)
    return found.flight


def followed(found: object) -> Any:
    assert isinstance(found, Follow)
    return found.flight


class TestLookups:
    def test_the_first_leads_and_others_follow(self) -> None:
        shared = lookups()
        flight = led(shared.look(b"k", request(), 0, 10))
        assert followed(shared.look(b"k", request(), 0, 10)) is flight
        led(shared.look(b"other", request("other.example"), 0, 10))
        verdict = verdict_of(response(), asked_at_s=0)
        assert shared.landed(flight, verdict, asked_at_s=0)
        assert flight.shared() is verdict
        assert shared.look(b"k", request(), 1, 10) is verdict

    def test_a_leader_that_never_reports_is_followed_no_longer_than_its_time(self) -> None:
        shared = lookups()
        flight = led(shared.look(b"k", request(), 0, 10))
        found = shared.look(b"k", request(), 8, 60)
        assert followed(found) is flight
        assert isinstance(found, Follow)
        assert found.wait_s == 3.0
        later = led(shared.look(b"k", request(), 11, 60))
        shared.landed(flight, None, asked_at_s=0)
        assert followed(shared.look(b"k", request(), 11, 60)) is later

    @pytest.mark.parametrize(
        "outcome",
        [None, DeadlineExceeded.here("over"), verdict_of(in_progress(1), asked_at_s=0)],
    )
    def test_a_leader_without_an_answer_leaves_followers_to_look_again(
        self, outcome: Verdict | CallError | None
    ) -> None:
        shared = lookups()
        flight = led(shared.look(b"k", request(), 0, 10))
        shared.landed(flight, outcome, asked_at_s=0)
        assert flight.shared() is None
        assert led(shared.look(b"k", request(), 1, 10)) is not flight

    def test_an_error_of_the_service_is_everybodys_and_each_has_its_own(self) -> None:
        shared = lookups()
        flight = led(shared.look(b"k", request(), 0, 10))
        shared.landed(flight, unavailable(3.0), asked_at_s=0)
        with pytest.raises(ServiceUnavailable) as first:
            flight.shared()
        with pytest.raises(ServiceUnavailable) as second:
            flight.shared()
        assert first.value is not second.value
        assert first.value.retry_after_s == 3.0
        led(shared.look(b"k", request(), 1, 10))

    @pytest.mark.parametrize("how", ["changed", "begun", "confirmed", "forgotten", "idn"])
    def test_a_change_parts_what_was_asked_before_from_what_is_asked_after(self, how: str) -> None:
        shared = lookups()
        asked = request("bücher.example" if how == "idn" else HOST)
        flight = led(shared.look(b"k", asked, 0, 10))
        endpoint = endpoint_of("xn--bcher-kva.example" if how == "idn" else HOST, 443)
        match how:
            case "begun":
                shared.asked_before(1)
            case "confirmed":
                shared.confirmed({endpoint: pb.DECISION_ALLOW})
            case "forgotten":
                shared.forget(b"k")
            case _:
                shared.changed(endpoint)
        later = led(shared.look(b"k", asked, 1, 10))
        assert later is not flight
        assert not shared.landed(flight, verdict_of(response(), asked_at_s=0), asked_at_s=0)
        assert flight.shared() is None
        assert followed(shared.look(b"k", asked, 1, 10)) is later
        assert shared.landed(later, verdict_of(response(), asked_at_s=1), asked_at_s=1)
