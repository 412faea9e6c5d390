"""Reloads while calls are in flight: none fails; each is judged by a single live generation."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.end_to_end.case import decision_of
from tests.end_to_end.partner_world import KnownPartner, PartnerFolder, pin
from tests.end_to_end.running import Service, running_service
from tests.support.certificates import Issued, self_signed
from tests.support.servers import TlsOffer, nginx

pytestmark = pytest.mark.long

_RELOADS = 50
_CALLERS = 6
_PATIENCE_S = 20.0

Place = tuple[Service, KnownPartner, Issued]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = PartnerFolder(tmp_path_factory.mktemp("partners"))
    leaf = self_signed(dns=("bank.partner.test",))
    bank = folder.partner("bank", rest=pin(leaf))
    with (
        nginx(bank.at, TlsOffer(certificates=(leaf,))),
        running_service(folder.settings(admin_service=True, reload_poll_s=0.05)) as service,
    ):
        yield service, bank, leaf


def admin(service: Service) -> policy_pb2_grpc.PolicyAdminServiceStub:
    return policy_pb2_grpc.PolicyAdminServiceStub(service.channel)  # type: ignore[no-untyped-call]


def ask(service: Service, bank: KnownPartner) -> pb.CheckEndpointResponse:
    return service.check(bank.host, bank.at, view=pb.VIEW_BASIC)


def until(holds: Callable[[], bool]) -> None:
    """Wait for the service's own look at the folder; bounded."""
    give_up_at = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)


def test_fifty_reloads_with_calls_in_flight(place: Place) -> None:
    service, bank, leaf = place
    assert decision_of(ask(service, bank)) == "ALLOW"
    # The verdict of each live generation on the bank: ALLOW with its pin, DENY without.
    says: dict[str, str] = {ask(service, bank).result_info.configuration_revision: "ALLOW"}
    answers: list[pb.CheckEndpointResponse] = []
    done = threading.Event()

    def call() -> None:
        with grpc.insecure_channel(service.address) as channel:
            stub = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
            request = pb.CheckEndpointRequest(host=bank.host, port=bank.at.port)
            while not done.is_set():
                answers.append(stub.CheckEndpoint(request, timeout=_PATIENCE_S))
                answers.extend(
                    item.response
                    for item in stub.BatchCheckEndpoints(
                        pb.BatchCheckEndpointsRequest(requests=[request]), timeout=_PATIENCE_S
                    ).results
                )

    with ThreadPoolExecutor(_CALLERS) as callers:
        calls = [callers.submit(call) for _ in range(_CALLERS)]
        try:
            for number in range(_RELOADS):
                bank.write(f"# {number}\n" + (pin(leaf) if number % 2 else ""))
                reloaded = admin(service).ReloadPolicies(
                    pb.ReloadPoliciesRequest(), timeout=_PATIENCE_S
                )
                says[reloaded.configuration_revision] = "ALLOW" if number % 2 else "DENY"
                assert reloaded.partner_count == 1
        finally:
            done.set()
        for pending in calls:
            pending.result(_PATIENCE_S)
    assert len(says) == _RELOADS + 1
    assert len(answers) > _RELOADS
    judged = {
        (answer.result_info.configuration_revision, decision_of(answer)) for answer in answers
    }
    assert judged <= set(says.items())
    # Calls met more than the first and the last generation.
    assert len(judged) > 2
    # No reload caused a measurement.
    assert service.metric('otpc_policy_scans_total{outcome="complete"}') == 1


def test_the_good_set_stays_when_a_bad_one_arrives_and_goes_when_a_good_one_does(
    place: Place,
) -> None:
    service, bank, leaf = place
    failures, successes = (
        'otpc_policy_config_reloads_total{result="failure"}',
        'otpc_policy_config_reloads_total{result="success"}',
    )
    before = ask(service, bank)
    bank.document.with_name("bad.toml").write_text('id = "bad"\n\nowner = 7\n')
    until(lambda: service.metric(failures) >= 1)
    assert service.metric("otpc_policy_config_last_reload_successful") == 0
    kept = ask(service, bank)
    assert (decision_of(kept), kept.result_info.configuration_revision) == (
        "ALLOW",
        before.result_info.configuration_revision,
    )
    with pytest.raises(grpc.RpcError) as raised:
        admin(service).ReloadPolicies(
            pb.ReloadPoliciesRequest(validate_only=True), timeout=_PATIENCE_S
        )
    assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    bank.document.with_name("bad.toml").unlink()
    bank.write("")
    until(
        lambda: (
            service.metric(successes) >= 1
            and service.metric("otpc_policy_config_last_reload_successful") == 1
        )
    )
    until(lambda: decision_of(ask(service, bank)) == "DENY")
    bank.write(pin(leaf))
    until(lambda: decision_of(ask(service, bank)) == "ALLOW")


def test_forgotten_results_are_measured_again(place: Place) -> None:
    service, bank, _ = place
    assert ask(service, bank).result_info.source == pb.RESULT_SOURCE_MEASURED
    assert ask(service, bank).result_info.source == pb.RESULT_SOURCE_CACHE
    forget = admin(service).InvalidateResults
    assert (
        forget(
            pb.InvalidateResultsRequest(host=bank.host, port=1), timeout=_PATIENCE_S
        ).invalidated_count
        == 0
    )
    assert (
        forget(
            pb.InvalidateResultsRequest(host=bank.host.upper()), timeout=_PATIENCE_S
        ).invalidated_count
        == 1
    )
    assert ask(service, bank).result_info.source == pb.RESULT_SOURCE_MEASURED
    with pytest.raises(grpc.RpcError) as raised:
        forget(pb.InvalidateResultsRequest(), timeout=_PATIENCE_S)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
