"""Three real services over a cluster, a primary of which is killed under load."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.fleet.services import Fleet, Partner, is_available, services
from tests.support.loopback import own_listener
from tests.support.servers import nginx
from tests.support.valkey import ValkeyCluster, valkey_cluster
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

NAMES = tuple(f"p{number}.partner.test" for number in range(4))
# Verdicts live so short that measurements go on all the time.
ALLOW_S = 10.0


class Load:
    """Calls without end. answers: with the times at which each call began and ended."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.answers: list[tuple[float, float, pb.CheckEndpointResponse]] = []
        self.failures: list[str] = []
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(service, number))
            for number, service in enumerate(fleet.services)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(70)

    def since(self, at: float) -> list[pb.CheckEndpointResponse]:
        """Answers to calls that began later."""
        return [answer for began, _, answer in list(self.answers) if began > at]

    def _call(self, service: object, number: int) -> None:
        while not self._ended.wait(0.05):
            number += 1
            began = time.time()
            try:
                answer = self.fleet.ask(service, NAMES[number % len(NAMES)], timeout=60).result()  # type: ignore[arg-type]
            except grpc.RpcError as error:
                self.failures.append(f"{error.code()}: {error.details()}")
            else:
                self.answers.append((began, time.time(), answer))


@pytest.fixture
def cluster() -> Iterator[ValkeyCluster]:
    with valkey_cluster("--cluster-require-full-coverage", "no") as running:
        yield running


def invalidate(fleet: Fleet) -> None:
    """Invalidate everything, as soon as every host can be."""
    admin = rpc.PolicyAdminServiceStub(fleet.services[0].channel)  # type: ignore[no-untyped-call]

    def is_done(name: str) -> bool:
        try:
            admin.InvalidateResults(pb.InvalidateResultsRequest(host=name), timeout=30)
        except grpc.RpcError as error:
            return error.code() is not grpc.StatusCode.UNAVAILABLE
        return True

    for name in NAMES:
        wait_until(lambda host=name: is_done(host))  # type: ignore[misc]


def test_a_primary_killed_under_load_fails_no_call_and_lets_nothing_pass(
    tmp_path: Path, cluster: ValkeyCluster
) -> None:
    partner = Partner(NAMES, own_listener())
    # The same names, under an authority that nobody trusts.
    untrusted = Partner(NAMES, partner.listener)
    store: dict[str, Any] = {
        "OTPC_POLICY_FLEET__MODE": "cluster",
        "OTPC_POLICY_FLEET__URLS": ",".join(cluster.urls[:2]),
        "OTPC_POLICY_LIFETIMES__ALLOW_S": str(ALLOW_S),
    }
    with ExitStack() as compliant, services(tmp_path, partner, **store) as fleet:
        compliant.enter_context(nginx(partner.listener, partner.offer()))
        with Load(fleet) as load:
            time.sleep(4)
            cluster.servers[0].kill()
            time.sleep(1)
            # Meanwhile the partner changes: what is measured from now on is not allowed.
            compliant.close()
            changed_at = time.time()
            with nginx(partner.listener, untrusted.offer()):
                for service in fleet.services:
                    wait_until(lambda one=service: is_available(one))  # type: ignore[misc]
                invalidate(fleet)
                # Within a second everywhere (docs/fleet.md).
                time.sleep(1)
                invalidated_at = time.time()
                wait_until(lambda: len(load.since(invalidated_at)) >= 6, within_s=60)
        lease_results = [
            service.metric('otpc_policy_leases_total{result="unavailable"}')
            for service in fleet.services
        ]
    assert load.failures == []
    allowed = [each for each in load.answers if each[2].decision == pb.DECISION_ALLOW]
    print(f"{len(load.answers)} answers, {len(allowed)} ALLOW; without a lease: {lease_results}")
    for began, _, answer in allowed:
        # What had begun to be measured before the change may have ended after it.
        assert began < invalidated_at
        assert answer.result_info.expire_time.ToNanoseconds() / 1e9 > began
    assert any(ended < changed_at for _, ended, _ in allowed)
    # A busy machine may not see enough to deny.
    decisions = {answer.decision for answer in load.since(invalidated_at)}
    assert pb.DECISION_DENY in decisions
    assert pb.DECISION_ALLOW not in decisions
