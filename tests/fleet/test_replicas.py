"""Three real services and a real store: what they share, and what the death of one costs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.fleet.services import Fleet, Partner, all_allow, is_available, services
from tests.support.loopback import own_listener
from tests.support.servers import nginx
from tests.support.valkey import Valkey, valkey
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

NAMES = tuple(f"p{number}.partner.test" for number in range(6))


@pytest.fixture
def store() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
def fleet(tmp_path: Path, store: Valkey) -> Iterator[Fleet]:
    partner = Partner(NAMES, own_listener())
    with (
        nginx(partner.listener, partner.offer()),
        services(tmp_path, partner, OTPC_POLICY_FLEET__URL=store.url) as running,
    ):
        yield running


def test_what_all_are_asked_at_once_is_measured_once(fleet: Fleet) -> None:
    calls = [fleet.ask(service, name) for name in NAMES for service in fleet.services]
    answers = [call.result() for call in calls]
    assert all_allow(answers)
    assert sum(fleet.scans()) == len(NAMES)
    judged = {
        (answer.canonical_endpoint, answer.result_info.observation_time.ToNanoseconds())
        for answer in answers
    }
    assert len(judged) == len(NAMES)
    # A replica that starts later, and has measured nothing, answers from what the others found.
    for service in fleet.services:
        for name in NAMES:
            assert fleet.ask(service, name).result().result_info.source in (
                pb.RESULT_SOURCE_CACHE,
                pb.RESULT_SOURCE_MEASURED,
            )
    assert sum(fleet.scans()) == len(NAMES)


def test_no_call_fails_when_the_store_dies_and_comes_back_empty(
    fleet: Fleet, store: Valkey
) -> None:
    calls = [fleet.ask(service, name) for name in NAMES for service in fleet.services]
    store.kill()
    assert all_allow(call.result() for call in calls)
    while_dead = [fleet.ask(service, name).result() for name in NAMES for service in fleet.services]
    assert all_allow(while_dead)
    assert {answer.result_info.source for answer in while_dead} == {pb.RESULT_SOURCE_CACHE}
    events = [line.get("event") for line in fleet.services[0].log_lines()]
    assert any("store is unavailable" in str(event) for event in events)
    store.start()
    for service in fleet.services:
        wait_until(lambda one=service: is_available(one))  # type: ignore[misc]
    before = sum(fleet.scans())
    calls = [fleet.ask(service, name) for name in NAMES for service in fleet.services]
    assert all_allow(call.result() for call in calls)
    assert sum(fleet.scans()) == before + len(NAMES), "measured once more, by one replica each"


def test_what_a_replica_that_died_was_measuring_is_measured_by_another(fleet: Fleet) -> None:
    first, *others = fleet.services
    calls = [fleet.ask(first, name) for name in NAMES]
    wait_until(lambda: first.metric('otpc_policy_leases_total{result="leased"}') > 0)
    first.kill()
    first.process.wait(10)
    for call in calls:
        call.cancel()
    assert all_allow(fleet.ask(service, name).result() for name in NAMES for service in others)


def test_an_invalidation_at_one_replica_reaches_the_others(fleet: Fleet) -> None:
    from otpc_policy.v1 import policy_pb2_grpc as rpc

    first, second, _ = fleet.services
    name = NAMES[0]
    before = fleet.ask(second, name).result().result_info.observation_time.ToNanoseconds()
    admin = rpc.PolicyAdminServiceStub(first.channel)  # type: ignore[no-untyped-call]
    admin.InvalidateResults(pb.InvalidateResultsRequest(host=name), timeout=10)

    def is_new() -> bool:
        answer = fleet.ask(second, name).result()
        return bool(answer.result_info.observation_time.ToNanoseconds() > before)

    wait_until(is_new, within_s=5)
