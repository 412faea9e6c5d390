"""Reports force one measurement of an endpoint in an interval, and memory of that is bounded."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.check import ForcedMeasurements
from otpc_policy.core.endpoint import Endpoint, parse_endpoint

INTERVAL = timedelta(seconds=10)
A, B, C = (parse_endpoint(f"{name}.example") for name in "abc")


def test_one_grant_for_each_endpoint_until_the_interval_has_passed() -> None:
    forced = ForcedMeasurements(INTERVAL)
    assert [forced.grant(A, 0.0), forced.grant(A, 0.0), forced.grant(A, 9.999)] == [
        True,
        False,
        False,
    ]
    assert forced.grant(B, 1.0)
    assert forced.wait(A, 4.0) == timedelta(seconds=6)
    assert (forced.wait(A, 10.0), forced.wait(C, 4.0)) == (timedelta(), timedelta())
    assert forced.grant(A, 10.0)


def test_with_too_many_endpoints_nothing_is_granted_rather_than_forgotten() -> None:
    forced = ForcedMeasurements(INTERVAL, max_endpoints=2)
    assert [forced.grant(A, 0.0), forced.grant(B, 3.0), forced.grant(C, 4.0)] == [True, True, False]
    assert forced.wait(C, 4.0) == timedelta(seconds=6)
    assert not forced.grant(A, 4.0)
    assert forced.grant(C, 10.0)
    assert len(forced) == 2


def test_without_an_interval_everything_is_granted_and_nothing_remembered() -> None:
    forced = ForcedMeasurements(timedelta())
    assert all(forced.grant(A, 0.0) for _ in range(3))
    assert (len(forced), forced.wait(A, 0.0)) == (0, timedelta())


@given(st.lists(st.tuples(st.sampled_from([A, B, C]), st.floats(0, 5)), max_size=60))
def test_no_order_of_reports_gets_more_than_the_bound(steps: list[tuple[Endpoint, float]]) -> None:
    forced = ForcedMeasurements(INTERVAL, max_endpoints=2)
    granted: dict[Endpoint, float] = {}
    now_s = 0.0
    for endpoint, after_s in steps:
        now_s += after_s
        if forced.grant(endpoint, now_s):
            assert now_s - granted.get(endpoint, -100.0) >= INTERVAL.total_seconds()
            granted[endpoint] = now_s
        assert len(forced) <= 2
        assert timedelta() <= forced.wait(endpoint, now_s) <= INTERVAL
