"""Names to vetted addresses: one look-up, all addresses through the guard, answers kept for a minute at most."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

import pytest

from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.facts import ResolutionStatus
from otpc_policy.resolver import SystemResolver


class Names:
    """Answers by name and counts the questions."""

    def __init__(self, answers: Mapping[str, Sequence[str]]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    def __call__(self, host: str) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("no such name")
        return self.answers[host]


def resolver(names: Callable[[str], Sequence[str]], *, at: Callable[[], float] = lambda: 0.0, **options: Any) -> SystemResolver:
    vetting = AddressVetting([ip_network("127.0.0.0/8"), ip_network("::1/128")])
    return SystemResolver(vetting, monotonic=at, look_up=names, **{"has_route": lambda _: True, **options})


async def test_every_address_is_measured_in_a_fixed_order_without_duplicates() -> None:
    found = await resolver(Names({"partner.example": ["::1", "127.0.0.2", "127.0.0.1", "::ffff:127.0.0.1"]})).resolve("partner.example")
    assert [one.text for one in found.addresses] == ["127.0.0.1", "127.0.0.2", "::1"]


async def test_one_forbidden_address_forbids_the_host() -> None:
    found = await resolver(Names({"partner.example": ["127.0.0.1", "10.0.0.1"]})).resolve("partner.example")
    assert found.status is ResolutionStatus.FORBIDDEN
    assert [one.address for one in found.forbidden] == ["10.0.0.1"]
    assert found.addresses == ()


async def test_a_literal_is_vetted_without_dns() -> None:
    names = Names({})
    assert (await resolver(names).resolve("10.0.0.1")).status is ResolutionStatus.FORBIDDEN
    assert names.asked == []


async def test_static_hosts_answer_instead_of_dns_and_are_vetted() -> None:
    names = Names({})
    chosen = resolver(names, static_hosts={"good.example": ["127.0.0.9"], "bad.example": ["169.254.169.254"]})
    assert [one.text for one in (await chosen.resolve("good.example")).addresses] == ["127.0.0.9"]
    assert (await chosen.resolve("bad.example")).status is ResolutionStatus.FORBIDDEN
    assert names.asked == []


async def test_a_name_that_does_not_exist_is_an_answer() -> None:
    assert (await resolver(Names({})).resolve("partner.invalid")).status is ResolutionStatus.FAILED


async def test_answers_are_kept_for_their_time_and_no_longer_than_a_minute() -> None:
    now = [0.0]
    names = Names({"partner.example": ["127.0.0.1"]})
    chosen = resolver(names, at=lambda: now[0], dns_ttl_s=3600)
    await chosen.resolve("partner.example")
    now[0] = 59.9
    await chosen.resolve("partner.example")
    assert len(names.asked) == 1
    now[0] = 60.0
    names.answers["partner.example"] = ["127.0.0.2"]
    assert [one.text for one in (await chosen.resolve("partner.example")).addresses] == ["127.0.0.2"]


async def test_what_is_known_is_what_resolve_would_answer_without_asking() -> None:
    now = [0.0]
    names = Names({"partner.example": ["127.0.0.1"]})
    chosen = resolver(names, at=lambda: now[0])
    assert chosen.known("partner.example") is None
    resolution = await chosen.resolve("partner.example")
    now[0] = 59.9
    assert chosen.known("partner.example") is resolution
    now[0] = 60.0
    assert chosen.known("partner.example") is None
    assert len(names.asked) == 1


async def test_many_callers_share_one_look_up_and_one_cancelled_caller_harms_no_other() -> None:
    names = Names({"partner.example": ["127.0.0.1"]})
    chosen = resolver(names)
    callers = [asyncio.create_task(chosen.resolve("partner.example")) for _ in range(50)]
    await asyncio.sleep(0)
    callers[0].cancel()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert {answer.status for answer in answers if not isinstance(answer, BaseException)} == {ResolutionStatus.RESOLVED}
    assert len(names.asked) == 1


async def test_a_ninth_address_is_unknown() -> None:
    found = await resolver(Names({"partner.example": [f"127.0.0.{number}" for number in range(1, 11)]})).resolve("partner.example")
    assert len(found.addresses) == 8
    assert [one.address for one in found.left_out] == ["127.0.0.9", "127.0.0.10"]


@pytest.mark.parametrize("families", ["routed", ("IPv4",)])
async def test_a_family_that_is_not_dialled_is_named_and_left_out(families: Any) -> None:
    names = Names({"partner.example": ["127.0.0.1", "::1"], "six.example": ["::1"]})
    chosen = resolver(names, address_families=families, has_route=lambda one: one.family == "IPv4")
    both = await chosen.resolve("partner.example")
    assert ([one.text for one in both.addresses], both.omitted_families) == (["127.0.0.1"], ("IPv6",))
    alone = await chosen.resolve("six.example")
    assert (alone.addresses, [one.address for one in alone.left_out]) == ((), ["::1"])


async def test_dns_that_does_not_answer_in_time_is_a_failure_that_says_so() -> None:
    import threading

    release = threading.Event()

    def silent(_: str) -> Sequence[str]:
        release.wait(5)
        return ["127.0.0.1"]

    found = await resolver(silent, dns_timeout_s=0.01).resolve("partner.example")
    release.set()
    assert (found.status, "0.01 s" in found.detail) == (ResolutionStatus.FAILED, True)
