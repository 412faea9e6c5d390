"""What the service makes of name servers that answer well, fail, lie and say nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest

from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.app.settings.shares import ShareSettings
from otpc_policy.engine.in_process import InProcessEngine
from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import ANCHOR, decision_of, summary
from tests.end_to_end.partner_world import MovableClock
from tests.end_to_end.running import Service, running_service
from tests.end_to_end.world import METADATA_ADDRESS, World
from tests.support.dns_server import DnsServer, Name, Says, always, dns_server_in_a_thread
from tests.support.hostile import stall
from tests.support.loopback import Listener, own_listener
from tests.support.servers import TlsOffer, nginx
from tests.support.tcp import counting_server

FAILED = "TARGET_DNS_FAILED"


@dataclass(frozen=True, slots=True)
class Names:
    """A service, the name server that it asks, and its clock."""

    service: Service
    server: DnsServer
    clock: MovableClock

    def count(self, result: str) -> float:
        return self.service.metric(f'otpc_policy_dns_lookups_total{{result="{result}"}}')


@pytest.fixture(scope="module")
def names(world: World) -> Iterator[Names]:
    clock = MovableClock()
    with dns_server_in_a_thread() as server:
        settings = world.settings(dns_servers=[server.address])
        with running_service(settings, clock) as service:
            yield Names(service, server, clock)


@pytest.fixture(scope="module")
def ageing_names(world: World) -> Iterator[Names]:
    """Names whose answers age by the test's clock, in an engine without a process of its own."""
    clock = MovableClock()
    with dns_server_in_a_thread() as server:
        settings = world.settings(dns_servers=[server.address])
        engine = InProcessEngine(engine_part(settings), monotonic=clock.monotonic)
        with running_service(settings, clock, engine) as service:
            yield Names(service, server, clock)


@contextmanager
def served(world: World, names: Names, name: str) -> Iterator[Listener]:
    """Run a compliant server, to which the name resolves for a minute."""
    with nginx(own_listener(), TlsOffer(certificates=world.pair(name))) as at:
        names.server.table[name] = Name(a=(at.address,))
        yield at


def finding(response: pb.CheckEndpointResponse, code: str = FAILED) -> pb.Finding:
    (found,) = (each for each in response.findings if each.code == code)
    return found


@pytest.mark.parametrize(
    ("says", "reported", "remedy"),
    [
        (Says.NXDOMAIN, "NXDOMAIN", "spelling"),
        ((), "NODATA", "A or AAAA record"),
        (Says.SERVFAIL, "SERVFAIL", "DNSSEC"),
        (Says.REFUSED, "REFUSED", "recursive"),
        (Says.SILENCE, "in time", "port 53"),
    ],
)
def test_a_name_that_does_not_resolve_is_told_why_and_what_to_do(
    names: Names,
    says: Says | tuple[str, ...],
    reported: str,
    remedy: str,
) -> None:
    name = f"{reported.lower().replace(' ', '-')}.partner.test"
    names.server.table[name] = Name(a=says, aaaa=says)
    result = {"in time": "timeout"}.get(reported, reported.lower())
    before = names.count(result)
    response = names.service.check(name, own_listener(), timeout_s=10)
    assert decision_of(response) == "INDETERMINATE"
    assert reported in finding(response).message
    assert remedy in finding(response).remediation
    assert names.count(result) == before + 1


def test_a_name_that_resolves_is_judged(world: World, names: Names) -> None:
    with served(world, names, "alias.partner.test") as at:
        names.server.table["good.partner.test"] = Name(cname="alias.partner.test")
        response = names.service.check("good.partner.test", at, server_name="alias.partner.test")
    assert decision_of(response) == "ALLOW", summary(response)
    assert list(response.judged_addresses) == [at.address]


def test_a_forbidden_address_next_to_a_good_address_denies_and_nothing_is_dialled(
    names: Names,
) -> None:
    listener = own_listener()
    name = "rebound-by-dns.partner.test"
    names.server.table[name] = Name(a=(listener.address, METADATA_ADDRESS))
    with counting_server(listener, stall) as counts:
        response = names.service.check(name, listener)
    assert decision_of(response) == "DENY"
    assert counts.connections == 0


def test_a_family_that_fails_leaves_the_name_unjudged(world: World, names: Names) -> None:
    with served(world, names, "half.partner.test") as at:
        names.server.table["half.partner.test"] = Name(a=(at.address,), aaaa=Says.SERVFAIL)
        response = names.service.check("half.partner.test", at)
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert "IPv6" in finding(response).message
    assert list(response.judged_addresses) == [at.address]


def test_while_name_servers_fail_cached_facts_answer_and_nothing_is_measured(
    world: World,
    ageing_names: Names,
) -> None:
    names, name = ageing_names, "kept.partner.test"
    with served(world, names, name) as at:
        first = names.service.check(name, at)
        names.server.table[name] = always(Says.SERVFAIL)
        names.clock.move_to(names.clock.now() + timedelta(minutes=2))
        cached = names.service.check(name, at)
        refresh = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
        refreshed = names.service.check(name, at, freshness=refresh)
        names.clock.move_to(names.clock.now() + timedelta(minutes=4))
        later = names.service.check(name, at)
    assert decision_of(first) == decision_of(cached) == "ALLOW", summary(cached)
    assert {each.code for each in cached.findings} == {ANCHOR, FAILED}
    assert finding(cached).effect == pb.EFFECT_ADVISORY
    assert cached.result_info.source == pb.RESULT_SOURCE_CACHE
    info = cached.result_info
    lives = info.expire_time.ToDatetime() - info.evaluation_time.ToDatetime()
    assert lives.total_seconds() <= 5, "asked for again soon"
    assert (decision_of(refreshed), decision_of(later)) == ("INDETERMINATE", "INDETERMINATE")
    assert not later.judged_addresses


def test_all_names_that_a_caller_may_ask_for_at_once_never_answer_but_one_and_delay_it_not(
    world: World, names: Names
) -> None:
    most = ShareSettings().names_per_caller
    silent = [f"n{number}.silent.partner.test" for number in range(most - 1)]
    names.server.table.update(dict.fromkeys(silent, always(Says.SILENCE)))
    asked = [pb.CheckEndpointRequest(host=name) for name in silent]
    halves = [pb.BatchCheckEndpointsRequest(requests=half) for half in (asked[:100], asked[100:])]
    with served(world, names, "next-to-silence.partner.test") as at:
        batches = [
            names.service.stub.BatchCheckEndpoints.future(half, timeout=20) for half in halves
        ]
        began = time.monotonic()
        response = names.service.check("next-to-silence.partner.test", at)
        took_s = time.monotonic() - began
        assert not any(batch.done() for batch in batches)
    assert decision_of(response) == "ALLOW", summary(response)
    assert took_s < 1.5
    for batch, half in zip(batches, halves, strict=True):
        assert len(batch.result().results) == len(half.requests)
