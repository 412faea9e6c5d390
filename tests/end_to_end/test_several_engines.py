"""One name whose addresses are measured by two engines: the verdict is about all of them."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.engines.child import ChildEngine
from otpc_policy.engines.ports import Engine, Report, Target, Terms
from otpc_policy.engines.rendezvous import ranked
from tests.end_to_end.case import ANCHOR, decision_of, summary
from tests.end_to_end.running import running_service
from tests.end_to_end.world import Partner, World
from tests.support.loopback import Listener, own_address, own_listener
from tests.support.relay import relay_to
from tests.support.servers import TlsOffer, nginx
from tests.support.tcp import counting_servers
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

_ENGINES = ("engine-0", "engine-1")
_ADDRESSES_EACH = 2


@dataclass(frozen=True, slots=True)
class Turn:
    """One measurement at an engine, whose process has this pid."""

    address: str
    engine: str
    pid: int | None


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """Every measurement that an engine is asked for, in order."""
    taken: list[Turn] = []
    measure = ChildEngine.measure

    async def noted(
        engine: ChildEngine,
        target: Target,
        terms: Terms,
        *,
        left_standard_part: Callable[[], None],
    ) -> Report:
        taken.append(Turn(target.address.text, engine.name, engine.pid))
        return await measure(engine, target, terms, left_standard_part=left_standard_part)

    monkeypatch.setattr(ChildEngine, "measure", noted)
    return taken


@pytest.fixture
def partner() -> Partner:
    """A partner some of whose addresses go to each engine."""
    engines = [cast("Engine", SimpleNamespace(name=name)) for name in _ENGINES]
    of: dict[str, list[str]] = {name: [] for name in _ENGINES}
    while any(len(addresses) < _ADDRESSES_EACH for addresses in of.values()):
        address = own_address()
        of[ranked(address, engines)[0].name].append(address)
    chosen = (address for addresses in of.values() for address in addresses[:_ADDRESSES_EACH])
    return Partner("several.partner.test", tuple(chosen))


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    """Servers of the test, which end with it."""
    with ExitStack() as stack:
        yield stack


def settings_with(world: World, partner: Partner) -> Settings:
    return world.settings(
        hosts={partner.name: partner.addresses},
        engines=len(_ENGINES),
        scan={"workers": 2},
    )


def test_the_verdict_is_that_of_all_addresses_whichever_engine_measured_them(
    world: World, partner: Partner, turns: list[Turn], servers: ExitStack
) -> None:
    port, expired = partner.listener().port, partner.addresses[-1]
    for address in partner.addresses:
        offer = TlsOffer(certificates=world.pair(partner.name))
        if address == expired:
            offer = TlsOffer(certificates=(world.expired_leaf(partner.name),))
        servers.enter_context(nginx(Listener(address, port), offer))
    with running_service(settings_with(world, partner)) as service:
        response = service.check(partner, Listener(partner.addresses[0], port))
    assert sorted(turn.address for turn in turns) == sorted(partner.addresses)
    assert {turn.engine for turn in turns} == set(_ENGINES)
    assert decision_of(response) == "DENY", summary(response)
    assert set(response.judged_addresses) == set(partner.addresses)
    assert {
        finding.address for finding in response.findings if finding.code == "CERTIFICATE_EXPIRED"
    } == {expired}


def test_the_verdict_stands_though_one_engine_is_killed_in_the_middle(
    world: World, partner: Partner, turns: list[Turn], servers: ExitStack
) -> None:
    """ALLOW needs facts of every address, so also of those that the killed engine had begun."""
    port = partner.listener().port
    near = servers.enter_context(
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name)))
    )
    far = relay_to(near, round_trip_s=0.05)
    counts = servers.enter_context(
        counting_servers({Listener(address, port): far for address in partner.addresses})
    )
    with (
        running_service(settings_with(world, partner)) as service,
        ThreadPoolExecutor(1) as caller,
    ):
        first = Listener(partner.addresses[0], port)
        checking = caller.submit(service.check, partner, first)
        wait_until(lambda: all(count.connections >= 3 for count in counts.values()))
        assert not checking.done()
        begun = list(turns)
        killed = next(turn.pid for turn in begun if turn.engine == _ENGINES[0])
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        response = checking.result()
    assert {turn.engine for turn in begun} == set(_ENGINES)
    again = [turn for turn in turns if turn not in begun]
    assert {turn.address for turn in again} == set(partner.addresses[:_ADDRESSES_EACH])
    assert killed not in {turn.pid for turn in again}
    assert decision_of(response) == "ALLOW", summary(response)
    assert set(response.judged_addresses) == set(partner.addresses)
    assert {finding.code for finding in response.findings} == {ANCHOR}
