"""Partners that stall, lie or waste time: never allowed, judged in time, and no worker is lost."""

import time
from collections.abc import Iterator

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.running import Service, request_for
from tests.end_to_end.world import Partner, World
from tests.support.hostile import (
    HANDSHAKE_FAILURE,
    INTERNAL_ERROR,
    after,
    alert,
    drip,
    finish,
    first_bytes_of,
    garbage,
    reset,
    stall,
)
from tests.support.loopback import Listener, own_listener
from tests.support.relay import relay_to
from tests.support.servers import TlsOffer, nginx
from tests.support.tcp import Behaviour, Counts, counting_server

pytestmark = pytest.mark.long

# The scan's own limit is 6 s; the rest must be prompt.
DEADLINE_S = 8.0
# The design's limit for connections to one address.
MOST_OPEN = 20

BAD = {
    "resets": reset,
    "closes": finish,
    "stalls": stall,
    "answers handshake_failure": alert(HANDSHAKE_FAILURE),
    "answers internal_error": alert(INTERNAL_ERROR),
    "drips": drip(0.1),
    "sends garbage": garbage,
}


@pytest.fixture(scope="module")
def good(world: World) -> Iterator[tuple[Partner, Listener]]:
    """A compliant server behind the hostile relays, with certificates for every partner."""
    partner = world.partner()
    with nginx(own_listener(), TlsOffer(certificates=world.pair("*.partner.test"))) as at:
        yield partner, at


def check_within_deadline(
    service: Service, partner: Partner, behaviour: Behaviour
) -> tuple[pb.CheckEndpointResponse, Counts]:
    """Ask once; the answer must be the scan's, not CHECK_IN_PROGRESS."""
    listener = partner.listener()
    with counting_server(listener, behaviour) as counts:
        began = time.monotonic()
        response = service.check(partner, listener, timeout_s=DEADLINE_S + 2)
        assert time.monotonic() - began < DEADLINE_S
    assert "CHECK_IN_PROGRESS" not in {finding.code for finding in response.findings}
    assert counts.most_open <= MOST_OPEN
    return response, counts


@pytest.mark.parametrize("number", [1, 3, 20])
@pytest.mark.parametrize("name", BAD)
def test_a_server_that_goes_bad_during_the_scan_is_not_judged(
    name: str, number: int, good: tuple[Partner, Listener], world: World, impatient: Service
) -> None:
    response, counts = check_within_deadline(
        impatient, world.partner(), after(number, relay_to(good[1]), BAD[name])
    )
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert counts.connections > number


@pytest.mark.parametrize("name", BAD)
def test_a_server_that_was_never_good_is_not_judged(
    name: str, world: World, impatient: Service
) -> None:
    response, counts = check_within_deadline(impatient, world.partner(), BAD[name])
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert counts.connections > 0


def test_one_byte_a_second_is_not_judged(world: World, impatient: Service) -> None:
    response, _counts = check_within_deadline(impatient, world.partner(), drip(1.0))
    assert decision_of(response) == "INDETERMINATE", summary(response)


@pytest.mark.parametrize("number", [3, 60, 1000])
def test_a_handshake_that_stops_in_the_middle_is_not_judged(
    number: int, good: tuple[Partner, Listener], world: World, impatient: Service
) -> None:
    response, _counts = check_within_deadline(
        impatient, world.partner(), first_bytes_of(good[1], number)
    )
    assert decision_of(response) == "INDETERMINATE", summary(response)


def test_every_other_connection_reset_is_not_judged(
    good: tuple[Partner, Listener], world: World, impatient: Service
) -> None:
    relayed = relay_to(good[1])
    response, _counts = check_within_deadline(
        impatient,
        world.partner(),
        lambda each: relayed(each) if each.number % 2 == 0 else reset(each),
    )
    assert decision_of(response) == "INDETERMINATE", summary(response)


def test_workers_outlive_all_of_it(
    good: tuple[Partner, Listener], world: World, impatient: Service
) -> None:
    """There is one worker: if it got stuck, the good partner checked meanwhile would starve."""
    wasters = [world.partner() for _ in range(4)]
    partner = world.partner()
    listeners = [waster.listener() for waster in wasters]
    with (
        counting_server(listeners[0], stall),
        counting_server(listeners[1], drip(0.1)),
        counting_server(listeners[2], first_bytes_of(good[1], 500)),
        counting_server(listeners[3], reset),
        counting_server(at := partner.listener(), relay_to(good[1])),
    ):
        wasted = [
            impatient.stub.CheckEndpoint.future(
                request_for(waster, listener), timeout=DEADLINE_S + 2
            )
            for waster, listener in zip(wasters, listeners, strict=True)
        ]
        response = impatient.check(partner, at, timeout_s=DEADLINE_S)
        assert decision_of(response) == "ALLOW", summary(response)
        assert {decision_of(call.result()) for call in wasted} == {"INDETERMINATE"}
