"""Three real services and a real store: what they share, and what the death of one costs."""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, service_process
from tests.support.valkey import Valkey, valkey
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

NAMES = tuple(f"p{number}.partner.test" for number in range(6))


@dataclass
class Fleet:
    """Services with engines of their own, a store, and a partner with many names."""

    store: Valkey
    services: tuple[ServiceProcess, ...]
    partner: Listener

    def ask(self, service: ServiceProcess, name: str, **fields: Any) -> Any:
        """Begin a call."""
        request = pb.CheckEndpointRequest(host=name, port=self.partner.port, **fields)
        return service.checks.CheckEndpoint.future(request, timeout=110)

    def scans(self) -> list[float]:
        """How many measurements each has made."""
        series = 'otpc_policy_scans_total{outcome="complete"}'
        return [service.metric(series) for service in self.services]


def all_allow(answers: Iterable[pb.CheckEndpointResponse]) -> bool:
    """Whether all do; prints those that do not."""
    others = [answer for answer in answers if answer.decision != pb.DECISION_ALLOW]
    print(*others[:3])
    return not others


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    authority = CertificateAuthority.create()
    anchor, key = tmp_path / "anchor.pem", tmp_path / "key"
    anchor.write_bytes(authority.pem)
    key.write_text("# of this test\n" + "ab" * 32 + "\n")
    key.chmod(0o600)
    trust = [{"hosts": ["*.partner.test"], "anchor_file": str(anchor), "note": "test partner"}]
    pair = tuple(
        authority.issue(dns=("*.partner.test",), key=kind) for kind in ("ec256", "rsa2048")
    )
    with ExitStack() as stack:
        partner = stack.enter_context(nginx(own_listener(), TlsOffer(certificates=pair)))
        store = stack.enter_context(valkey())
        services = []
        for number in range(3):
            folder = tmp_path / str(number)
            folder.mkdir()
            services.append(
                stack.enter_context(
                    service_process(
                        folder,
                        OTPC_POLICY_TRUST=json.dumps(trust),
                        OTPC_POLICY_STATIC_HOSTS=json.dumps(dict.fromkeys(NAMES, partner.address)),
                        OTPC_POLICY_ENGINES="1",
                        # All names have one address, and share its connections.
                        OTPC_POLICY_SCAN__SCAN_DEADLINE_S="100",
                        OTPC_POLICY_DEFAULT_WAIT_S="100",
                        OTPC_POLICY_ADMIN_SERVICE="true",
                        OTPC_POLICY_FLEET__URL=store.url,
                        OTPC_POLICY_FLEET__KEY_FILE=str(key),
                    )
                )
            )
        for service in services:
            wait_until(lambda one=service: one.metric("otpc_policy_store_available") == 1)  # type: ignore[misc]
        yield Fleet(store, tuple(services), partner)


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


def test_no_call_fails_when_the_store_dies_and_comes_back_empty(fleet: Fleet) -> None:
    calls = [fleet.ask(service, name) for name in NAMES for service in fleet.services]
    fleet.store.kill()
    assert all_allow(call.result() for call in calls)
    while_dead = [fleet.ask(service, name).result() for name in NAMES for service in fleet.services]
    assert all_allow(while_dead)
    assert {answer.result_info.source for answer in while_dead} == {pb.RESULT_SOURCE_CACHE}
    events = [line.get("event") for line in fleet.services[0].log_lines()]
    assert any("store is unavailable" in str(event) for event in events)
    fleet.store.start()
    for service in fleet.services:
        wait_until(lambda one=service: one.metric("otpc_policy_store_available") == 1)  # type: ignore[misc]
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
