"""A partner renews its certificate under the traffic of routers: no payment fails."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from otpc_policy_client import PolicyClient
from tests.end_to_end.routing import Traffic, count, question
from tests.end_to_end.running import Service, running_service
from tests.end_to_end.world import World
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer
from tests.support.servers.nginx import renewable_nginx
from tests.support.servers.proxies import pooling_haproxy

pytestmark = pytest.mark.long

_ROUTERS = 4
_EACH = 15
# How much longer a payment may take than a measurement: it asks, dials twice and pays.
_MARGIN_S = 2.0


@pytest.fixture(scope="module")
def renewal_service(world: World) -> Iterator[Service]:
    """A service of its own: a report may force one measurement in a minute, longer than a test."""
    settings = world.settings().model_copy(update={"minimum_refresh_interval_s": 60.0})
    with running_service(settings) as running:
        yield running


@pytest.fixture
def router(renewal_service: Service) -> Iterator[PolicyClient]:
    with PolicyClient(renewal_service.address, cache=None) as client:
        yield client


def measuring_s(service: Service) -> float:
    """Return how long all measurements of the service took so far."""
    return service.metric("otpc_policy_scan_seconds_sum")


def assert_no_payment_suffered(traffic: Traffic, service: Service, since_s: float) -> None:
    """No payment failed, and none took longer than the measurements since then together.

    since_s: measuring_s() before.
    """
    assert traffic.failed == []
    longest_s = max(each.ended_s - each.began_s for each in traffic.payments)
    assert longest_s < measuring_s(service) - since_s + _MARGIN_S


def test_a_certificate_that_nginx_reloads_fails_no_payment(
    world: World, renewal_service: Service, router: PolicyClient
) -> None:
    """Old and new workers accept side by side for a moment."""
    partner = world.partner()
    old, renewed = world.leaf(partner.name), world.leaf(partner.name)
    at, before = partner.listener(), count(renewal_service)
    measured_s = measuring_s(renewal_service)
    traffic = Traffic(router, question(partner, at))
    with (
        renewable_nginx(at, TlsOffer(certificates=(old,))) as server,
        traffic.by(_ROUTERS),
    ):
        traffic.wait_for(old, _EACH * _ROUTERS)
        server.renew(TlsOffer(certificates=(renewed,)))
        traffic.wait_for(renewed, _EACH * _ROUTERS)
    assert_no_payment_suffered(traffic, renewal_service, measured_s)
    answered_s = min(each.ended_s for each in traffic.of(renewed))
    assert not [each for each in traffic.of(old) if each.began_s > answered_s]
    counted = count(renewal_service) - before
    assert counted["scans"] == 2, "one for the first answer, one for all reports"
    assert counted["seen"] >= 1


def test_members_of_a_pool_that_are_renewed_one_after_the_other_fail_no_payment(
    world: World, renewal_service: Service, router: PolicyClient
) -> None:
    """As a rolling deployment does: for a while the address has both certificates."""
    partner = world.partner()
    old, renewed = world.leaf(partner.name), world.leaf(partner.name)
    at, before = partner.listener(), count(renewal_service)
    measured_s = measuring_s(renewal_service)
    traffic = Traffic(router, question(partner, at))
    with ExitStack() as running:
        members = [
            running.enter_context(renewable_nginx(own_listener(), TlsOffer(certificates=(old,))))
            for _ in range(3)
        ]
        running.enter_context(pooling_haproxy(at, [member.at for member in members]))
        running.enter_context(traffic.by(_ROUTERS))
        traffic.wait_for(old, _EACH * _ROUTERS)
        for number, member in enumerate(members, start=1):
            member.renew(TlsOffer(certificates=(renewed,)))
            traffic.wait_for(renewed, number * _EACH * _ROUTERS)
    assert_no_payment_suffered(traffic, renewal_service, measured_s)
    counted = count(renewal_service) - before
    assert counted["scans"] == 2, "one for the first answer, one for all reports"
