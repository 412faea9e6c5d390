"""What is asked of name servers, and what of their answers is taken."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from otpc_policy.core.facts import ResolutionFailure
from otpc_policy.engine.egress.dns import AddressRecords, DnsClient
from tests.engine.resolving import until
from tests.support.dns_server import DnsServer, Name, Says, always, dns_server

HOST = "partner.example"
GOOD = Name(a=("127.0.0.1",), aaaa=("::1",))


@asynccontextmanager
async def asking(
    table: Mapping[str, Name],
    *,
    deadline_s: float = 5.0,
) -> AsyncIterator[tuple[DnsClient, DnsServer]]:
    async with dns_server(table) as server, client(server, deadline_s=deadline_s) as one:
        yield one, server


@asynccontextmanager
async def client(*servers: DnsServer, deadline_s: float = 5.0) -> AsyncIterator[DnsClient]:
    one = DnsClient(
        servers=[server.address for server in servers],
        deadline_s=deadline_s,
        channel_life_s=60,
        monotonic=time.monotonic,
    )
    try:
        yield one
    finally:
        await one.close()


async def ipv4(table: Mapping[str, Name], *, deadline_s: float = 5.0) -> AddressRecords:
    """Return what is said about IPv4."""
    async with asking(table, deadline_s=deadline_s) as (dns, _):
        return (await dns.ask(HOST))["IPv4"]


async def test_both_families_are_asked_at_once() -> None:
    async with asking({HOST: replace(GOOD, delay_s=0.2)}) as (dns, _):
        asking_both = asyncio.create_task(dns.ask(HOST))
        await asyncio.sleep(0)
        assert dns.outstanding == 2
        found = await asking_both
    assert {family: one.addresses for family, one in found.items()} == {
        "IPv4": ("127.0.0.1",),
        "IPv6": ("::1",),
    }


async def test_search_domains_are_never_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCALDOMAIN", "corp.example other.example")
    monkeypatch.setenv("RES_OPTIONS", "ndots:5")
    async with asking({f"{HOST}.corp.example": GOOD}) as (dns, server):
        found = await dns.ask(HOST)
    assert {one.failure for one in found.values()} == {ResolutionFailure.NXDOMAIN}
    assert sorted(server.asked) == [(HOST, "A"), (HOST, "AAAA")]


async def test_the_time_to_live_is_that_of_the_record_that_ends_first() -> None:
    found = await ipv4(
        {
            HOST: Name(cname="one.example", ttl_s=300),
            "one.example": Name(cname="two.example", ttl_s=20),
            "two.example": Name(a=("127.0.0.2",), ttl_s=60),
        }
    )
    assert (found.addresses, found.ttl_s) == (("127.0.0.2",), 20)


@pytest.mark.parametrize(
    "rest",
    [
        {"one.example": Name(cname=HOST)},
        {"one.example": Name(cname="one.example")},
        {},
        {f"{number}.example": Name(cname=f"{number + 1}.example") for number in range(30)},
    ],
    ids=["circle", "alias of itself", "to nowhere", "too long"],
)
async def test_a_chain_of_aliases_without_an_end_has_no_address(rest: Mapping[str, Name]) -> None:
    first = "0.example" if "0.example" in rest else "one.example"
    found = await ipv4({HOST: Name(cname=first), **rest})
    assert (found.addresses, found.failure) == ((), ResolutionFailure.NODATA)


async def test_an_answer_that_was_truncated_is_asked_for_over_tcp() -> None:
    addresses = tuple(f"127.0.1.{number}" for number in range(1, 101))
    async with asking({HOST: Name(a=addresses, is_truncated=True)}) as (dns, server):
        found = await dns.ask(HOST)
    assert found["IPv4"].addresses == addresses
    assert (HOST, "A") in server.asked_over_tcp


async def test_the_number_of_addresses_is_bounded() -> None:
    addresses = tuple(f"127.0.{number // 250}.{1 + number % 250}" for number in range(600))
    found = await ipv4({HOST: Name(a=addresses, is_truncated=True)})
    assert found.addresses == addresses[:256]


async def test_an_answer_with_a_wrong_id_and_records_of_other_names_are_ignored() -> None:
    found = await ipv4({HOST: Name(a=("127.0.0.1",), forged="127.0.0.66")})
    assert found.addresses == ("127.0.0.1",)


async def test_a_name_server_that_is_slow_is_waited_for_until_the_deadline() -> None:
    # The first timeout of a question is half a second.
    assert (await ipv4({HOST: replace(GOOD, delay_s=0.9)})).addresses == ("127.0.0.1",)


async def test_silence_ends_at_the_deadline_whatever_the_tries() -> None:
    began = time.monotonic()
    found = await ipv4({HOST: always(Says.SILENCE)}, deadline_s=0.7)
    assert found.failure is ResolutionFailure.TIMEOUT
    # Tries and timeouts of c-ares multiply to several seconds.
    assert 0.6 < time.monotonic() - began < 3


async def test_a_question_that_nobody_waits_for_counts_until_it_has_ended() -> None:
    async with asking({HOST: always(Says.SILENCE)}, deadline_s=0.3) as (dns, _):
        await dns.ask(HOST)
        waiting = asyncio.create_task(dns.ask(HOST))
        await asyncio.sleep(0.01)
        assert dns.outstanding >= 2
        waiting.cancel()
        await until(lambda: not dns.outstanding)


@pytest.mark.parametrize("says", [Says.SERVFAIL, Says.REFUSED, Says.SILENCE])
async def test_where_one_name_server_fails_the_next_is_asked(says: Says) -> None:
    async with (
        dns_server({HOST: always(says)}) as failing,
        dns_server({HOST: GOOD}) as good,
        client(failing, good) as dns,
    ):
        assert (await dns.ask(HOST))["IPv4"].addresses == ("127.0.0.1",)


async def test_channels_that_were_replaced_leave_no_thread_and_no_descriptor() -> None:
    now = [0.0]
    async with dns_server({HOST: GOOD, "silent.example": always(Says.SILENCE)}) as server:
        dns = DnsClient(
            servers=[server.address],
            deadline_s=0.1,
            channel_life_s=1,
            monotonic=lambda: now[0],
        )
        await dns.ask(HOST)
        before = _used()
        for _ in range(8):
            await asyncio.gather(dns.ask(HOST), dns.ask("silent.example"))
            now[0] += 1
        await dns.ask(HOST)
        await until(lambda: not dns.outstanding and _used() <= before)
        await dns.close()


def _used() -> tuple[int, int]:
    """Return the numbers of descriptors and of threads, those of C included."""
    process = Path("/proc/self")
    return len(os.listdir(process / "fd")), len(os.listdir(process / "task"))
