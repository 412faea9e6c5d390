"""Names that lead nowhere, to several addresses, or where they must not."""

import time

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import ANCHOR, decision_of, summary
from tests.end_to_end.running import Service
from tests.end_to_end.world import World
from tests.support.hostile import stall
from tests.support.loopback import Listener, free_port, own_listener
from tests.support.servers import TlsOffer, nginx
from tests.support.tcp import counting_server


def codes_of(response: pb.CheckEndpointResponse) -> set[str]:
    return {finding.code for finding in response.findings}


def test_a_refused_connection_is_not_judged(world: World, service: Service) -> None:
    partner = world.partner()
    began = time.monotonic()
    response = service.check(partner, partner.listener())
    assert time.monotonic() - began < 5
    assert decision_of(response) == "INDETERMINATE"
    assert "TARGET_UNREACHABLE" in codes_of(response)


def test_a_name_that_does_not_exist_is_not_judged(service: Service) -> None:
    response = service.check("no-such-partner.invalid", own_listener(), timeout_s=10)
    assert decision_of(response) == "INDETERMINATE"
    assert codes_of(response) == {"TARGET_DNS_FAILED"}
    assert not response.judged_addresses


def test_a_second_address_that_refuses_leaves_the_name_unjudged(
    world: World, service: Service
) -> None:
    partner = world.two_addresses[0]
    with nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at:
        response = service.check(partner, at)
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert {
        finding.address for finding in response.findings if finding.code == "TARGET_UNREACHABLE"
    } == {partner.addresses[1]}


def test_a_second_address_that_is_silent_leaves_the_name_unjudged(
    world: World, impatient: Service
) -> None:
    partner = world.two_addresses[1]
    first = partner.listener()
    with (
        nginx(first, TlsOffer(certificates=world.pair(partner.name))),
        counting_server(Listener(partner.addresses[1], first.port), stall),
    ):
        response = impatient.check(partner, first, timeout_s=10)
    assert decision_of(response) == "INDETERMINATE", summary(response)


def test_a_second_address_with_an_expired_certificate_denies_the_name(
    world: World, service: Service
) -> None:
    partner = world.two_addresses[2]
    first = partner.listener()
    second = Listener(partner.addresses[1], first.port)
    with (
        nginx(first, TlsOffer(certificates=world.pair(partner.name))),
        nginx(second, TlsOffer(certificates=(world.expired_leaf(partner.name),))),
    ):
        response = service.check(partner, first)
    assert decision_of(response) == "DENY", summary(response)
    assert {
        finding.address for finding in response.findings if finding.code == "CERTIFICATE_EXPIRED"
    } == {partner.addresses[1]}
    assert set(response.judged_addresses) == set(partner.addresses)


def test_two_good_addresses_are_both_judged(world: World, service: Service) -> None:
    partner = world.two_addresses[3]
    first = partner.listener()
    second = Listener(partner.addresses[1], first.port)
    offer = TlsOffer(certificates=world.pair(partner.name))
    with nginx(first, offer), nginx(second, offer):
        response = service.check(partner, first)
    assert decision_of(response) == "ALLOW", summary(response)
    assert set(response.judged_addresses) == set(partner.addresses)
    assert codes_of(response) == {ANCHOR}


def test_an_ipv6_literal_is_judged_by_its_address(world: World, service: Service) -> None:
    at = Listener("::1", free_port("::1"))
    leaf = world.intermediate.issue(dns=(), ips=("::1",))
    with nginx(at, TlsOffer(certificates=(leaf,))):
        response = service.check("[::1]", at)
    assert decision_of(response) == "ALLOW", summary(response)
    assert response.canonical_endpoint == f"[::1]:{at.port}"
    assert list(response.judged_addresses) == ["::1"]


def test_a_metadata_address_stays_forbidden(world: World, service: Service) -> None:
    response = service.check(world.forbidden, Listener(world.forbidden.addresses[0], 80))
    assert decision_of(response) == "DENY"
    assert codes_of(response) == {"TARGET_ADDRESS_FORBIDDEN"}
    assert world.forbidden.addresses[0] not in str(response)


def test_one_forbidden_address_forbids_the_name_and_nothing_is_dialled(
    world: World, service: Service
) -> None:
    partner = world.partly_forbidden
    listener = partner.listener()
    with counting_server(listener, stall) as counts:
        response = service.check(partner, listener)
    assert decision_of(response) == "DENY"
    assert "TARGET_ADDRESS_FORBIDDEN" in codes_of(response)
    assert counts.connections == 0
