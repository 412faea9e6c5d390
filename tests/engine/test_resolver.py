"""Names to vetted addresses: who is asked, what is kept and for how long, and what failures do."""

import asyncio
import time
from pathlib import Path

import pytest

from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.core.facts import ResolutionFailure, ResolutionStatus
from otpc_policy.engine.egress import dns as dns_module
from otpc_policy.engine.egress import resolver as resolver_module
from tests.engine.resolving import GOOD, HOST, resolving, until
from tests.support.dns_server import NO_SUCH_NAME, Name, Says, always
from tests.support.loopback import own_listener

TWO = Name(a=("127.0.0.1",), aaaa=("::1",))
FAILING = (Says.SERVFAIL, Says.REFUSED, Says.SILENCE)
SHORT_S = 0.3
_FAILED, _RESOLVED = ResolutionStatus.FAILED, ResolutionStatus.RESOLVED
_TIMEOUT = ResolutionFailure.TIMEOUT


async def test_both_families_are_asked_and_every_address_is_measured() -> None:
    name = Name(a=("127.0.0.2", "127.0.0.1", "127.0.0.2"), aaaa=("::1",))
    async with resolving({HOST: name}) as world:
        assert await world.addresses() == ["127.0.0.1", "127.0.0.2", "::1"]
        assert sorted(world.server.asked) == [(HOST, "A"), (HOST, "AAAA")]


@pytest.mark.parametrize(
    "name",
    [Name(a=("127.0.0.1", "10.0.0.1")), Name(a=("127.0.0.1",), aaaa=("fd00::1",))],
)
async def test_one_forbidden_address_forbids_the_host(name: Name) -> None:
    async with resolving({HOST: name}) as world:
        found = await world.resolve()
    assert (found.status, found.addresses) == (ResolutionStatus.FORBIDDEN, ())
    assert [one.address for one in found.forbidden] in (["10.0.0.1"], ["fd00::1"])


async def test_a_literal_is_vetted_and_nobody_is_asked() -> None:
    async with resolving() as world:
        assert (await world.resolve("10.0.0.1")).status is ResolutionStatus.FORBIDDEN
        assert await world.addresses("127.0.0.7") == ["127.0.0.7"]
        assert world.server.asked == []


async def test_static_hosts_answer_in_place_of_dns_and_are_vetted() -> None:
    static = {"good.example": ["127.0.0.9"], "bad.example": ["169.254.169.254"]}
    async with resolving({"good.example": GOOD}, static_hosts=static) as world:
        assert await world.addresses("good.example") == ["127.0.0.9"]
        assert (await world.resolve("bad.example")).status is ResolutionStatus.FORBIDDEN
        assert world.server.asked == []


async def test_the_hosts_file_goes_before_dns_and_is_vetted(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.9 good.example\n10.0.0.1 bad.example\n")
    async with resolving({"good.example": GOOD, HOST: GOOD}, hosts_file=hosts) as world:
        assert await world.addresses("good.example") == ["127.0.0.9"]
        assert (await world.resolve("bad.example")).status is ResolutionStatus.FORBIDDEN
        assert world.server.asked == []
        assert await world.addresses() == ["127.0.0.1"]


async def test_many_callers_share_one_look_up_and_a_cancelled_one_harms_no_other() -> None:
    async with resolving({HOST: Name(a=("127.0.0.1",), delay_s=0.05)}) as world:
        callers = [asyncio.create_task(world.addresses()) for _ in range(50)]
        await asyncio.sleep(0.01)
        callers[0].cancel()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [["127.0.0.1"]] * 49
        assert world.server.times_asked(HOST) == 1


async def test_a_look_up_goes_on_when_every_caller_has_gone() -> None:
    async with resolving({HOST: Name(a=("127.0.0.1",), delay_s=0.05)}) as world:
        caller = asyncio.create_task(world.resolve())
        await asyncio.sleep(0.01)
        caller.cancel()
        await asyncio.wait([caller])
        await until(lambda: world.resolver.known(HOST))
        assert await world.addresses() == ["127.0.0.1"]
        assert world.server.times_asked(HOST) == 1


@pytest.mark.parametrize(
    ("ttl_s", "cap_s", "kept_s"),
    [(7, 60, 7), (3600, 60, 60), (3600, 5, 5), (0, 60, 1), (7, 0, 0)],
    ids=["real", "capped", "capped by the operator", "floor", "the cap goes before the floor"],
)
async def test_an_answer_is_kept_for_its_own_time_within_bounds(
    ttl_s: int,
    cap_s: float,
    kept_s: float,
) -> None:
    async with resolving({HOST: Name(a=("127.0.0.1",), ttl_s=ttl_s)}, dns_ttl_s=cap_s) as world:
        found = await world.resolve()
        assert found.ttl.total_seconds() == kept_s
        if kept_s:
            world.now_s += kept_s - 0.1
            assert world.resolver.known(HOST) is found
            world.now_s += 0.1
        assert world.resolver.known(HOST) is None


async def test_after_its_time_an_answer_comes_from_the_name_server_again() -> None:
    """c-ares keeps answers for their whole time to live, which must not outlive the cap."""
    async with resolving({HOST: Name(a=("127.0.0.1",), ttl_s=3600)}) as world:
        assert await world.addresses() == ["127.0.0.1"]
        world.server.table[HOST] = Name(a=("127.0.0.2",), ttl_s=3600)
        world.now_s += 60
        assert await world.addresses() == ["127.0.0.2"]


async def test_what_is_known_is_what_resolve_would_answer_without_asking() -> None:
    async with resolving({HOST: GOOD}) as world:
        assert world.resolver.known(HOST) is None
        found = await world.resolve()
        assert world.resolver.known(HOST) is found
        assert await world.resolve() is found
        assert world.server.times_asked(HOST) == 1


async def test_a_name_that_does_not_exist_is_an_answer_and_is_not_asked_for_at_once_again() -> None:
    async with resolving() as world:
        for _ in range(3):
            found = await world.resolve()
        assert (found.status, found.failure) == (_FAILED, ResolutionFailure.NXDOMAIN)
        assert world.server.times_asked(HOST) == 1
        world.server.table[HOST] = GOOD
        world.now_s += 5
        assert await world.addresses() == ["127.0.0.1"]


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        (NO_SUCH_NAME, "NXDOMAIN"),
        (Name(), "NODATA"),
        (Name(cname="nowhere.example"), "NODATA"),
        (always(Says.SERVFAIL), "SERVFAIL"),
        (always(Says.REFUSED), "REFUSED"),
        (always(Says.SILENCE), "TIMEOUT"),
        (Name(a=Says.SERVFAIL), "SERVFAIL"),
        (Name(aaaa=Says.REFUSED), "REFUSED"),
        (Name(a=Says.NXDOMAIN), "NXDOMAIN"),
    ],
)
async def test_why_a_name_has_no_address_is_told_apart_and_counted(
    name: Name,
    failure: str,
) -> None:
    async with resolving({HOST: name}, deadline_s=SHORT_S) as world:
        found = await world.resolve()
        assert (found.status, found.failure.name) == (_FAILED, failure)
        assert world.counted == {failure.lower(): 1}
        world.now_s += 4.9
        assert world.resolver.known(HOST) is found
        world.now_s += 0.1
        assert world.resolver.known(HOST) is None


async def test_a_name_server_that_is_not_there_is_told_apart_too() -> None:
    async with resolving(servers=[str(own_listener())]) as world:
        began = time.monotonic()
        found = await world.resolve()
    assert (found.status, found.failure) == (_FAILED, ResolutionFailure.OTHER)
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("says", FAILING)
async def test_a_family_that_is_not_known_is_named_so_that_it_is_judged_unknown(says: Says) -> None:
    async with resolving({HOST: Name(a=("127.0.0.1",), aaaa=says)}, deadline_s=SHORT_S) as world:
        found = await world.resolve()
    assert (found.status, [one.text for one in found.addresses]) == (_RESOLVED, ["127.0.0.1"])
    assert (found.unresolved_families, found.is_stale) == (("IPv6",), False)
    assert found.failure is not ResolutionFailure.NONE
    assert found.ttl.total_seconds() == 5, "it is asked for again soon"


async def test_a_family_that_is_not_known_and_never_dialled_is_left_out_as_ever() -> None:
    name = Name(a=("127.0.0.1",), aaaa=Says.SERVFAIL)
    only_ipv4 = {"has_route": lambda text: ":" not in text, "opened": ("127.0.0.0/8",)}
    async with resolving({HOST: name}, **only_ipv4) as world:  # type: ignore[arg-type]
        found = await world.resolve()
    assert (found.unresolved_families, found.omitted_families) == ((), ("IPv6",))


@pytest.mark.parametrize("says", FAILING)
async def test_while_name_servers_fail_earlier_addresses_stand_in_marked_stale(says: Says) -> None:
    async with resolving({HOST: TWO}, deadline_s=SHORT_S) as world:
        await world.resolve()
        world.server.table[HOST] = always(says)
        for at_s in (60, 120, 290):
            world.now_s = 1000 + at_s
            found = await world.resolve(fresh=True)
            assert found.is_stale, at_s
            assert [one.text for one in found.addresses] == ["127.0.0.1", "::1"]
            assert (found.unresolved_families, found.failure.name) == ((), _failure_of(says))
            assert found.ttl.total_seconds() <= 5, "it is asked for again soon"
        assert world.counted["fell back"] == 3


async def test_earlier_addresses_stand_in_for_five_minutes_at_most() -> None:
    async with resolving({HOST: TWO}) as world:
        await world.resolve()
        world.server.table[HOST] = always(Says.SERVFAIL)
        for at_s in (60, 120, 180, 240, 294):
            world.now_s = 1000 + at_s
            last = await world.resolve(fresh=True)
        assert last.is_stale
        assert 294 + last.ttl.total_seconds() <= 300
        world.now_s = 1000 + 300
        found = await world.resolve(fresh=True)
        assert (found.status, found.failure) == (_FAILED, ResolutionFailure.SERVFAIL)


async def test_each_family_stands_in_for_itself_alone() -> None:
    async with resolving({HOST: TWO}) as world:
        await world.resolve()
        world.now_s += 60
        world.server.table[HOST] = Name(a=("127.0.0.2",), aaaa=Says.SERVFAIL)
        found = await world.resolve()
        assert [one.text for one in found.addresses] == ["127.0.0.2", "::1"]
        assert found.is_stale


async def test_an_earlier_answer_without_addresses_of_a_family_stands_in_too() -> None:
    async with resolving({HOST: GOOD}) as world:
        await world.resolve()
        world.now_s += 60
        world.server.table[HOST] = Name(a=("127.0.0.1",), aaaa=Says.SERVFAIL)
        found = await world.resolve()
        assert (found.is_stale, found.unresolved_families) == (True, ())


@pytest.mark.parametrize("name", [NO_SUCH_NAME, Name()])
async def test_a_name_that_is_gone_leaves_nothing_that_stands_in(name: Name) -> None:
    async with resolving({HOST: TWO}) as world:
        await world.resolve()
        world.server.table[HOST] = name
        world.now_s += 60
        assert (await world.resolve()).status is _FAILED
        world.server.table[HOST] = always(Says.SERVFAIL)
        world.now_s += 61
        assert (await world.resolve()).status is _FAILED


async def test_a_forbidden_address_in_a_new_answer_counts_whatever_stands_in_for_the_rest() -> None:
    async with resolving({HOST: TWO}) as world:
        await world.resolve()
        world.now_s += 60
        world.server.table[HOST] = Name(a=("10.0.0.1",), aaaa=Says.SERVFAIL)
        assert (await world.resolve()).status is ResolutionStatus.FORBIDDEN


async def test_once_name_servers_answer_again_nothing_is_stale() -> None:
    async with resolving({HOST: TWO}) as world:
        await world.resolve()
        world.server.table[HOST] = always(Says.SERVFAIL)
        world.now_s += 60
        assert (await world.resolve()).is_stale
        world.server.table[HOST] = GOOD
        world.now_s += 5
        found = await world.resolve()
        assert ([one.text for one in found.addresses], found.is_stale) == (["127.0.0.1"], False)


async def test_who_can_be_answered_from_before_does_not_wait_for_a_silent_name_server() -> None:
    async with resolving({HOST: GOOD}, deadline_s=3) as world:
        await world.resolve()
        world.server.table[HOST] = always(Says.SILENCE)
        world.now_s += 60
        began = time.monotonic()
        found = await world.resolve()
        assert 0.3 < time.monotonic() - began < 2.9
        assert (found.is_stale, found.failure) == (True, ResolutionFailure.TIMEOUT)
        assert world.resolver.known(HOST) is found, "nobody else waits meanwhile"
        assert world.counted == {"answered": 1, "fell back": 1}


async def test_who_needs_a_measurement_waits_for_the_name_server() -> None:
    async with resolving({HOST: GOOD}) as world:
        await world.resolve()
        world.server.table[HOST] = Name(a=("127.0.0.2",), delay_s=0.8)
        world.now_s += 60
        hurried = await world.resolve()
        patient = await world.resolve(fresh=True)
        assert (hurried.is_stale, patient.is_stale) == (True, False)
        assert [one.text for one in patient.addresses] == ["127.0.0.2"]


async def test_names_that_never_answer_do_not_delay_one_that_does() -> None:
    """All good names are resolved while every silent one is still waited for."""
    silent = [f"n{number}.silent.example" for number in range(200)]
    table = {name: always(Says.SILENCE) for name in silent}
    table |= {f"good{number}.example": GOOD for number in range(20)}
    async with resolving(table, deadline_s=5) as world:
        asleep = [asyncio.create_task(world.resolve(name)) for name in silent]
        await asyncio.sleep(0.1)
        for number in range(20):
            assert await world.addresses(f"good{number}.example") == ["127.0.0.1"]
        assert not any(task.done() for task in asleep)
        assert {found.failure for found in await asyncio.gather(*asleep)} == {_TIMEOUT}


async def test_in_a_flood_those_that_have_waited_longest_make_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns_module, "_CHANNEL_QUESTIONS", 8)
    monkeypatch.setattr(dns_module, "_RETIRED_QUESTIONS", 16)
    silent = [f"n{number}.silent.example" for number in range(50)]
    table = {name: always(Says.SILENCE) for name in silent} | {HOST: GOOD}
    async with resolving(table, deadline_s=1) as world:
        asleep = [asyncio.create_task(world.resolve(silent[0]))]
        for name in silent[1:]:
            asleep.append(asyncio.create_task(world.resolve(name)))
            await asyncio.sleep(0.005)
        assert await world.addresses() == ["127.0.0.1"], "whatever is asked now is asked"
        assert world.resolver.outstanding <= 8 * 3 + 2
        found = await asyncio.gather(*asleep, return_exceptions=True)
        assert isinstance(found[0], Overloaded)
        assert getattr(found[-1], "failure", None) is _TIMEOUT
        assert world.counted["overloaded"] == sum(isinstance(one, Overloaded) for one in found)
        await until(lambda: not world.resolver.outstanding)


async def test_a_name_that_was_crowded_out_is_answered_from_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns_module, "_CHANNEL_QUESTIONS", 2)
    monkeypatch.setattr(dns_module, "_RETIRED_QUESTIONS", 0)
    silent = {f"n{number}.silent.example": always(Says.SILENCE) for number in range(3)}
    async with resolving({HOST: GOOD, **silent}, deadline_s=1) as world:
        await world.resolve()
        world.now_s += 60
        world.server.table[HOST] = always(Says.SILENCE)
        caller = asyncio.create_task(world.resolve(fresh=True))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(world.resolve(name)) for name in silent]
        assert (await caller).is_stale
        assert world.counted["overloaded"] >= 1
        await asyncio.gather(*others, return_exceptions=True)


async def test_a_closed_resolver_leaves_nobody_waiting() -> None:
    async with resolving({HOST: always(Says.SILENCE)}) as world:
        caller = asyncio.create_task(world.resolve())
        await asyncio.sleep(0.05)
        await world.resolver.close()
        with pytest.raises(ServiceUnavailable):
            await caller


async def test_answers_are_forgotten_beyond_a_number_of_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resolver_module, "_MAXIMUM_NAMES", 2)
    names = ["a.example", "b.example", "c.example"]
    async with resolving(dict.fromkeys(names, GOOD)) as world:
        for name in names:
            await world.resolve(name)
        assert [world.resolver.known(name) is not None for name in names] == [False, True, True]


def _failure_of(says: Says) -> str:
    return "TIMEOUT" if says is Says.SILENCE else says.name
