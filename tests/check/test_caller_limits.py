"""What one caller may have measured: ports, targets in an hour, names at a time."""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from ipaddress import ip_network

import pytest

from otpc_policy.check import Answer, CheckRequest, ResultSource, caller_limits
from otpc_policy.check.caller_limits import CallerBounds, CallerLimits
from otpc_policy.core.addresses import MAXIMUM_ADDRESSES, AddressVetting, VettedAddress
from otpc_policy.core.caller import WATCH_LIST, WITHIN_THIS_PROCESS, Caller
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import Budget, CallerBudgetUsed, PortNotAllowed
from otpc_policy.policy.finding import Decision
from tests.check.world import GENERATION, SECOND, World, codes, request, summary

A, SAME_MACHINE, B = (
    Caller(peer=peer) for peer in ("ipv4:192.0.2.1:1", "ipv4:192.0.2.1:2", "ipv4:192.0.2.2:1")
)
PORTS = CallerBounds(ports=frozenset({443, 8443}))


def vetted(text: str) -> VettedAddress:
    address = AddressVetting([ip_network("10.0.0.0/8")]).vet(text)
    assert isinstance(address, VettedAddress)
    return address


PUBLIC, OPENED = vetted("9.9.9.9"), vetted("10.1.2.3")


class Asking:
    """Admissions at an instant that a test moves."""

    def __init__(self, bounds: CallerBounds) -> None:
        self.now_s = 0.0
        self.limits = CallerLimits(bounds, monotonic=lambda: self.now_s)

    def __call__(
        self,
        host: str = "a.test",
        port: int = 443,
        *,
        caller: Caller = A,
        addresses: Sequence[VettedAddress] = (PUBLIC,),
        is_partners: bool = False,
        server_name: str = "",
    ) -> None:
        endpoint = parse_endpoint(host, port, server_name)
        self.limits.admit(endpoint, addresses, caller, is_partners=is_partners)


@pytest.mark.parametrize(
    ("port", "addresses", "is_allowed"),
    [
        (443, [PUBLIC], True),
        (8443, [PUBLIC], True),
        (22, [PUBLIC], False),
        (22, [OPENED], True),
        (22, [OPENED, PUBLIC], False),
    ],
)
def test_other_ports_are_measured_in_networks_that_the_operator_has_opened(
    port: int, addresses: Sequence[VettedAddress], is_allowed: bool
) -> None:
    if is_allowed:
        Asking(PORTS)(port=port, addresses=addresses)
        return
    with pytest.raises(PortNotAllowed) as raised:
        Asking(PORTS)(port=port, addresses=addresses)
    assert (raised.value.port, raised.value.allowed) == (22, (443, 8443))


def test_partners_endpoints_and_this_process_are_free() -> None:
    asking = Asking(CallerBounds(ports=frozenset({443}), targets_per_hour=1))
    for number in range(5):
        asking(f"n{number}.test", 22, is_partners=True)
        asking(f"n{number}.test", 22, caller=WITHIN_THIS_PROCESS)


def test_what_the_operator_has_watched_is_free() -> None:
    asking = Asking(CallerBounds(ports=PORTS.ports, targets_per_hour=1))
    for port in (25, 443, 587):
        asking(port=port, caller=WATCH_LIST)


def test_targets_are_counted_once_an_hour_and_by_machine() -> None:
    asking = Asking(CallerBounds(targets_per_hour=2))
    asking("a.test")
    asking.now_s = 600
    asking("a.test", 8443, caller=SAME_MACHINE)
    asking("a.test")
    with pytest.raises(CallerBudgetUsed) as raised:
        asking("b.test", caller=SAME_MACHINE)
    assert raised.value.budget is Budget.TARGETS
    assert raised.value.retry_after == timedelta(minutes=5)
    asking("b.test", caller=B)
    asking.now_s = 3599
    with pytest.raises(CallerBudgetUsed) as raised:
        asking("b.test")
    assert raised.value.retry_after == timedelta(seconds=1)
    asking.now_s = 3600
    asking("b.test")


def test_names_are_bounded_for_each_connection_and_each_machine() -> None:
    limits = CallerLimits(CallerBounds(names=2), monotonic=lambda: 0.0)
    with ExitStack() as stack:
        for caller, host in ((A, "a.test"), (A, "b.test"), (B, "a.test")):
            stack.enter_context(limits.looking_up(caller, host))
        with pytest.raises(CallerBudgetUsed) as raised, limits.looking_up(A, "c.test"):
            pass
        assert raised.value.budget is Budget.NAMES
        for port in range(3, 6):
            for host in ("a.test", "b.test"):
                machine = Caller(peer=f"ipv4:192.0.2.1:{port}")
                stack.enter_context(limits.looking_up(machine, host))
        with pytest.raises(CallerBudgetUsed), limits.looking_up(SAME_MACHINE, "a.test"):
            pass
        for number in range(9):
            stack.enter_context(limits.looking_up(WITHIN_THIS_PROCESS, f"n{number}.test"))
    with limits.looking_up(A, "c.test"):
        pass


def test_a_name_counts_once_however_many_calls_of_a_caller_wait_for_it() -> None:
    limits = CallerLimits(CallerBounds(names=1), monotonic=lambda: 0.0)
    with limits.looking_up(A, "a.test"):
        for _ in range(9):
            with limits.looking_up(A, "a.test"):
                pass
        with pytest.raises(CallerBudgetUsed), limits.looking_up(A, "b.test"):
            pass
    with limits.looking_up(A, "b.test"):
        pass


@pytest.mark.parametrize("leaves", [True, False])
async def test_a_name_counts_until_its_look_up_ends_whether_or_not_the_caller_stays(
    leaves: bool,
) -> None:
    """The question goes on, so a caller that left at once could ask for any number of them."""
    world = World(resolver_gate=asyncio.Event())
    checks = world.checks()
    checks.measurements._callers = CallerLimits(CallerBounds(names=1), monotonic=lambda: 0.0)

    async def ask(asked: CheckRequest, wait_s: float | None = 0.001) -> Answer:
        return await checks.service.check(asked, GENERATION, wait_s=wait_s, caller=A)

    if leaves:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask(request(), None), 0.01)
    else:
        assert codes(await ask(request())) == {"CHECK_IN_PROGRESS"}
    other = request(endpoint=parse_endpoint("another.test"))
    with pytest.raises(CallerBudgetUsed) as raised:
        await ask(other)
    assert raised.value.budget is Budget.NAMES
    assert world.resolver_gate is not None
    world.resolver_gate.set()
    assert (await ask(request(), None)).judgement.verdict.decision is Decision.ALLOW
    await checks.service.close()


def test_each_server_name_is_a_target_of_its_own() -> None:
    asking = Asking(CallerBounds(targets_per_hour=2))
    asking(server_name="one.test")
    asking(server_name="two.test")
    with pytest.raises(CallerBudgetUsed):
        asking(server_name="three.test")


def test_a_name_whose_addresses_change_again_and_again_is_a_new_target_each_time() -> None:
    """Else whoever owns a name's zone scans all addresses there are by that one target."""
    asking = Asking(CallerBounds(targets_per_hour=2))
    addresses = [vetted(f"9.9.9.{number}") for number in range(24)]
    for number in range(MAXIMUM_ADDRESSES):
        asking(addresses=addresses[number : number + 1])
        asking(addresses=addresses[:number])
    asking(addresses=addresses[8:16])
    asking(addresses=addresses[10:14])
    with pytest.raises(CallerBudgetUsed):
        asking(addresses=addresses[16:17])
    with pytest.raises(CallerBudgetUsed):
        asking("b.test")
    asking(addresses=addresses[10:14])


def test_what_is_remembered_of_all_callers_together_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caller_limits, "_MAX_TARGETS", 20)
    asking = Asking(CallerBounds(targets_per_hour=9))
    callers = [Caller(peer=f"ipv4:192.0.2.{number}:1") for number in range(5)]
    for caller in callers:
        for number in range(9):
            asking(f"n{number}.test", caller=caller)
    assert asking.limits.remembered == 18
    with pytest.raises(CallerBudgetUsed):
        asking("another.test", caller=callers[-1])


async def test_what_is_known_is_answered_whatever_is_used_up() -> None:
    """A stale answer is given as well; it is only not replaced."""
    world = World()
    checks = world.checks()
    ends_at = (await checks.check()).judgement.expires_at
    used_up = CallerLimits(CallerBounds(targets_per_hour=1), monotonic=lambda: 0.0)
    used_up.admit(parse_endpoint("another.test"), [PUBLIC], A, is_partners=False)
    checks.measurements._callers = used_up

    async def ask(asked: CheckRequest) -> Answer:
        return await checks.service.check(asked, GENERATION, wait_s=None, caller=A)

    assert summary(await ask(request())) == (Decision.ALLOW, ResultSource.CACHE)
    world.at = ends_at + SECOND
    stale = await ask(request(max_stale=timedelta(minutes=1)))
    assert summary(stale) == (Decision.ALLOW, ResultSource.STALE_CACHE)
    assert checks.measurements.in_progress == 0
    with pytest.raises(CallerBudgetUsed):
        await ask(request())
    assert world.measured == ["127.0.0.1"]
