"""The rules of the policy, one real server each, asked over gRPC."""

import pytest

from tests.end_to_end import certificate_cases, protocol_cases
from tests.end_to_end.case import ANCHOR, Case, Serve, decision_of, summary
from tests.end_to_end.running import Service
from tests.end_to_end.world import World
from tests.support.servers import TlsOffer

CASES = [*protocol_cases.CASES, *certificate_cases.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_over_grpc(case: Case, world: World, service: Service) -> None:
    partner = case.partner(world)
    with case.serve(world, partner.listener(), partner.name) as at:
        response = service.check(partner, at, policy=case.policy)
    case.hold(response)
    assert list(response.judged_addresses) == list(partner.addresses)
    assert response.canonical_endpoint == f"{partner.name}:{at.port}"


@pytest.mark.parametrize(
    "serve", protocol_cases.NEVER_ALLOWED.values(), ids=protocol_cases.NEVER_ALLOWED
)
def test_never_allowed(serve: Serve, world: World, service: Service) -> None:
    partner = world.partner()
    with serve(world, partner.listener(), partner.name) as at:
        response = service.check(partner, at)
    assert decision_of(response) in ("DENY", "INDETERMINATE"), summary(response)
    # A chain counts only with proof of its key: nothing may be claimed about its owner.
    assert not any(
        deployment.certificates
        for address in response.observation.addresses
        for deployment in address.certificate_deployments
    )
    assert ANCHOR not in {finding.code for finding in response.findings}


def test_two_policies_share_one_measurement(world: World, service: Service) -> None:
    partner = world.partner()
    with protocol_cases.COMPLIANT_SERVERS["nginx"](
        partner.listener(), TlsOffer(certificates=world.pair(partner.name))
    ) as at:
        lenient = service.check(partner, at)
        strict = service.check(partner, at, policy="otpc-2024-12-strict")
    assert (decision_of(lenient), decision_of(strict)) == ("ALLOW", "DENY")
    assert strict.result_info.observation_time == lenient.result_info.observation_time
