"""Carrying hellos over loopback: order, bounds, and that nothing is left behind."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.profiles.recorded_clients import recorded_clients
from otpc_policy.engine.survey.probe import AnyHello, Ending, Outcome, Probe, Purpose
from otpc_policy.engine.transport import prober as prober_module
from otpc_policy.engine.transport.exchange import Exchange
from otpc_policy.engine.transport.openings import Openings
from otpc_policy.engine.transport.prober import Prober
from otpc_policy.tls.answer import Alert, Garbage, Incomplete, PlainHttp, ServerHello
from otpc_policy.tls.client_hello import ClientHello, offered_cipher_suites
from tests.engine.partners import (
    close,
    drip,
    open_sockets,
    openssl_server,
    reset,
    says,
    server,
    server_hello,
    stall,
)
from tests.engine.profiles.known_clients import OPENSSL_3, SMALL
from tests.engine.transport.handmade_tls13 import X25519, Handmade
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import free_port, vetted
from tests.tls.hostile_answers import record
from tests.tls.sent_hello import Kind, read_hello

ALERT_40 = b"\x15\x03\x03\x00\x02\x02\x28"
UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x01\x70"


# No registered suite, so no certificate is waited for behind its ServerHello.
LAST = 0x1FFF


def probe(suite: int, *, is_last: bool = False) -> Probe[ClientHello]:
    hello = ClientHello(
        version=TlsVersion.TLS_1_2,
        lowest=TlsVersion.TLS_1_2,
        cipher_suites=(suite,),
        server_name="partner.test",
    )
    return Probe(
        hello=hello,
        purpose=Purpose.CLOSING_CONTROL if is_last else Purpose.REMAINDER,
        is_last=is_last,
    )


def probes(count: int) -> list[Probe[ClientHello]]:
    return [probe(0x1000 + number) for number in range(count)]


def prober(
    port: int,
    *,
    slots: int = 16,
    at_once: int = 16,
    deadline_s: float = 5,
    byte_limit: int = 4096,
    new_random: Callable[[], RandomBytes] = lambda: os.urandom,
) -> Prober:
    limits = ScanLimits(connection_deadline_s=deadline_s, connection_bytes=byte_limit)
    openings = Openings(asyncio.Semaphore(slots), at_once, total=1000)
    return Prober(
        address=vetted(),
        port=port,
        openings=openings,
        limits=limits,
        begun_s=asyncio.get_running_loop().time(),
        new_random=new_random,
    )


async def carried(one: Prober, wave: Sequence[Probe[AnyHello]]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    await one.run(wave, outcomes)
    return outcomes


class Gate:
    """A server that notes what arrives, and answers a hello only when it is let."""

    def __init__(self) -> None:
        self.connected = 0
        self.open_now = self.most_open = 0
        self.hellos: list[int] = []
        self.opened = asyncio.Event()
        self.changed = asyncio.Condition()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._note(connected=1)
        try:
            suites = offered_cipher_suites(await reader.read(4096))
            self.hellos += suites
            await self._note()
            await self.opened.wait()
            writer.write(server_hello(suites[0]))
            await writer.drain()
            await reader.read(4096)
        finally:
            self.open_now -= 1

    async def _note(self, *, connected: int = 0) -> None:
        self.connected += connected
        self.open_now += connected
        self.most_open = max(self.most_open, self.open_now)
        async with self.changed:
            self.changed.notify_all()

    async def until(self, *, connected: int, hellos: int) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(
                lambda: self.connected >= connected and len(self.hellos) >= hellos
            )


async def test_answers_that_come_together_are_read_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server chooses what reading its flight costs, and when all its answers come."""
    turns, read_in = 0, []
    listen = Exchange.listen

    def slowly(exchange: Exchange) -> Ending | None:
        read_in.append(turns)
        until_s = time.perf_counter() + 0.02
        while time.perf_counter() < until_s:
            pass
        return listen(exchange)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    monkeypatch.setattr(Exchange, "listen", slowly)
    gate = Gate()
    counting = asyncio.create_task(count_turns())
    async with server(gate) as port:
        running = asyncio.create_task(carried(prober(port), probes(8)))
        await gate.until(connected=8, hellos=8)
        gate.opened.set()
        outcomes = await running
    counting.cancel()
    assert {outcome.ending for outcome in outcomes} == {Ending.ANSWERED}
    assert len(read_in) == len(set(read_in)) == 8


async def test_hellos_that_only_reveal_connect_behind_the_first_three() -> None:
    """A refusal of theirs says nothing, so none of them may be one connection too many."""
    reveals = [replace(probe(0x2000 + number), purpose=Purpose.REVEAL) for number in range(2)]
    gate = Gate()
    gate.opened.set()
    async with server(gate) as port:
        outcomes = await carried(prober(port, at_once=1), [*probes(5), *reveals])
    assert gate.hellos == [0x1000, 0x1001, 0x1002, 0x2000, 0x2001, 0x1003, 0x1004]
    assert [outcome.ending for outcome in outcomes] == [Ending.ANSWERED] * 7


async def test_the_last_connect_when_the_others_have_and_speak_when_the_others_are_answered() -> (
    None
):
    gate = Gate()
    wave = [probe(LAST, is_last=True), *probes(3)]
    async with server(gate) as port:
        running = asyncio.create_task(carried(prober(port), wave))
        # All four are connected, and three have spoken.
        await gate.until(connected=4, hellos=3)
        assert LAST not in gate.hellos
        gate.opened.set()
        outcomes = await running
    assert gate.hellos[-1] == LAST
    assert [outcome.answer for outcome in outcomes] == [
        ServerHello(version=0x0303, cipher_suite=one.hello.cipher_suites[0], is_retry_request=False)
        for one in wave
    ]
    assert {outcome.ending for outcome in outcomes} == {Ending.ANSWERED}


async def test_the_last_are_not_waited_for_by_a_wave_without_others() -> None:
    async with server(says(server_hello(LAST))) as port:
        outcomes = await carried(prober(port), [probe(LAST, is_last=True)])
    assert [outcome.ending for outcome in outcomes] == [Ending.ANSWERED]


@pytest.mark.parametrize(("slots", "at_once"), [(3, 16), (16, 3), (1, 1)])
async def test_no_more_are_open_than_there_are_slots_nor_than_at_once(
    slots: int, at_once: int
) -> None:
    """The last get their turn too, where there is but one."""
    most = min(slots, at_once)
    gate = Gate()
    async with server(gate) as port:
        one = prober(port, slots=slots, at_once=at_once)
        running = asyncio.create_task(carried(one, [*probes(8), probe(LAST, is_last=True)]))
        await gate.until(connected=most, hellos=most)
        for _ in range(20):
            await asyncio.sleep(0)
        assert gate.connected == most
        gate.opened.set()
        outcomes = await running
    assert {outcome.ending for outcome in outcomes} == {Ending.ANSWERED}
    assert one.connections_used == 9
    assert gate.hellos[-1] == LAST


@pytest.mark.parametrize(
    ("behaviour", "ending", "answer"),
    [
        (
            says(server_hello(0xC02F)),
            Ending.ANSWERED,
            ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False),
        ),
        (
            says(UNRECOGNIZED_NAME + server_hello(0xC02F)),
            Ending.ANSWERED,
            ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False),
        ),
        (says(ALERT_40), Ending.ANSWERED, Alert(2, 40)),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Ending.ANSWERED, PlainHttp()),
        # A warning may be followed by more, and is not.
        (says(UNRECOGNIZED_NAME), Ending.TIMED_OUT, Alert(1, 112)),
        (close, Ending.CLOSED, Incomplete()),
        (reset, Ending.RESET, Incomplete()),
        (stall, Ending.TIMED_OUT, Incomplete()),
        (drip, Ending.TIMED_OUT, Garbage("the answer breaks off")),
    ],
    ids=[
        "hello",
        "warning and hello",
        "alert",
        "http",
        "warning",
        "close",
        "reset",
        "stall",
        "drip",
    ],
)
async def test_whatever_a_server_does_is_an_outcome_in_time(
    behaviour: object, ending: Ending, answer: object
) -> None:
    async with server(behaviour) as port:  # type: ignore[arg-type]
        before = open_sockets()
        (outcome,) = await carried(prober(port, deadline_s=0.3), [probe(0xC02F)])
        assert open_sockets() <= before + 1  # the server's own side may not have closed yet
    assert (outcome.connected, outcome.ending, outcome.answer) == (True, ending, answer)
    assert outcome.started_s >= 0


async def test_a_server_that_sends_without_end_is_cut_off_at_the_byte_limit() -> None:
    """A ServerHello that is long in coming is no answer yet, so reading goes on."""
    endless = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03" + bytes(12_000)
    async with server(says(endless)) as port:
        (outcome,) = await carried(prober(port, byte_limit=1000), [probe(0xC02F)])
    assert (outcome.ending, outcome.answer) == (Ending.BYTE_LIMIT, Garbage("the answer breaks off"))


async def test_a_server_that_only_warns_is_given_up() -> None:
    async with server(says(UNRECOGNIZED_NAME * 4000)) as port:
        (outcome,) = await carried(prober(port), [probe(0xC02F)])
    assert (outcome.ending, type(outcome.answer)) == (Ending.ANSWERED, Garbage)


async def test_a_closed_port_refuses_every_probe_and_the_last_ones_too() -> None:
    one = prober(free_port("127.0.0.1"))
    outcomes = await carried(one, [*probes(2), probe(0xC02F, is_last=True)])
    assert [(outcome.ending, outcome.connected) for outcome in outcomes] == [
        (Ending.REFUSED, False)
    ] * 3


async def test_a_cancelled_wave_keeps_what_came_in_and_leaves_no_socket() -> None:
    answered = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if offered_cipher_suites(await reader.read(4096)) == (0x1000,):
            writer.write(ALERT_40)
            await writer.drain()
            await reader.read(4096)  # until the prober has read, and closed
            answered.set()
        await asyncio.Event().wait()

    async with server(behave) as port:
        slots_before = open_sockets()
        one = prober(port)
        outcomes: list[Outcome] = []
        running = asyncio.create_task(one.run([*probes(3), probe(0xC02F, is_last=True)], outcomes))
        async with asyncio.timeout(10):
            await answered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        # The server's sides of four connections are still open; ours are not.
        assert open_sockets() <= slots_before + 4
    assert (outcomes[0].ending, outcomes[0].answer) == (Ending.ANSWERED, Alert(2, 40))
    assert [(outcome.ending, outcome.connected) for outcome in outcomes[1:]] == [
        (Ending.NOT_RUN, True)
    ] * 3


LEAF = CertificateAuthority.create().issue(key="ec256")
# Asked for X25519, whose share it did not send.
WITHOUT_ITS_SHARE = replace(SMALL, groups=(23, X25519))


def of_client(profile: ClientProfile) -> Probe[ProfileHello]:
    hello = ProfileHello(profile=profile, server_name="partner.test")
    return Probe(hello=hello, purpose=Purpose.CLIENT)


@pytest.mark.parametrize("group", ["X25519", "P-384"])
async def test_a_flight_is_proven_over_a_socket_with_and_without_a_retry_request(
    tmp_path: Path,
    group: str,
) -> None:
    with openssl_server(tmp_path, LEAF, arguments=("-tls1_3", "-groups", group)) as port:
        (outcome,) = await carried(prober(port), [of_client(OPENSSL_3)])
    assert outcome.ending is Ending.ANSWERED
    assert outcome.key_proven
    assert outcome.flight is not None
    assert outcome.flight.chain == LEAF.chain_der


@pytest.mark.parametrize("following", ["a close", "an alert", "nothing", "a whole flight"])
async def test_a_retry_request_is_an_answer_whatever_follows_it(following: str) -> None:
    async def ask_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        one = Handmade(chain=LEAF.chain_der, key=LEAF.private_key)
        writer.write(record(one.retry(await reader.read(4096), group=X25519)))
        second = await reader.read(4096)
        if following != "a close":
            flight = one.flight(second)
            writer.write({"an alert": ALERT_40, "nothing": b""}.get(following, flight))
            await reader.read(4096)

    async with server(ask_again) as port:
        (outcome,) = await carried(prober(port, deadline_s=0.3), [of_client(WITHOUT_ITS_SHARE)])
    assert outcome.ending is Ending.ANSWERED
    assert isinstance(outcome.answer, ServerHello)
    assert outcome.answer.is_retry_request is (following != "a whole flight")
    assert outcome.key_proven is (following == "a whole flight")


async def test_a_seed_repeats_what_every_hello_draws_and_not_its_keys() -> None:
    """However many connections are open at once."""
    chrome = of_client(recorded_clients()["chrome"].profile)
    wave = [chrome, replace(chrome, is_last=True), of_client(OPENSSL_3), chrome]

    async def drawn(seed: int, *, at_once: int) -> tuple[set[object], set[object]]:
        """Return what the server saw: the hellos without their keys, and the keys."""
        hellos, keys = set[object](), set[object]()

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hello = read_hello(await reader.read(4096))
            keys.update(hello.key_shares[-1:])
            kept = tuple(each for each in hello.extensions if each[0] != Kind.KEY_SHARE)
            hellos.add(replace(hello, extensions=kept))
            writer.write(ALERT_40)

        master = Random(seed)
        async with server(refuse) as port:
            one = prober(
                port,
                at_once=at_once,
                new_random=lambda: Random(master.randbytes(16)).randbytes,
            )
            await carried(one, wave)
        return hellos, keys

    first, keys = await drawn(1, at_once=16)
    again, other_keys = await drawn(1, at_once=2)
    assert len(first) == len(wave)
    assert first == again
    assert not keys & other_keys
    assert not first & (await drawn(2, at_once=16))[0]


async def test_silent_connections_that_others_need_time_out_early() -> None:
    """Those that were heard of stay, and so do those beyond the number."""
    gate = Gate()
    async with server(gate) as port:
        one = prober(port, deadline_s=30)
        running = asyncio.create_task(carried(one, probes(4)))
        await gate.until(connected=4, hellos=4)
        one.surrender(3)
        await asyncio.sleep(0)
        assert not running.done()
        await asyncio.sleep(prober_module._SILENCE_S)
        one.surrender(3)
        gate.opened.set()
        outcomes = await running
    assert [outcome.ending for outcome in outcomes] == [*[Ending.TIMED_OUT] * 3, Ending.ANSWERED]


async def test_a_connection_that_was_made_and_is_seen_at_its_deadline_alone_holds_nobody_up() -> (
    None
):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        one = prober(silent.getsockname()[1], deadline_s=0.3)
        carrying = asyncio.create_task(carried(one, [*probes(3), probe(0x2000, is_last=True)]))
        for _ in range(20):
            if one.connections_used < 3:
                await asyncio.sleep(0)
        # A busy machine: the kernel connects, and nobody looks before the deadline.
        time.sleep(0.4)  # noqa: ASYNC251  # that is what holds the loop
        async with asyncio.timeout(5):
            outcomes = await carrying
    assert [outcome.ending for outcome in outcomes] == [Ending.TIMED_OUT] * 4
    assert all(outcome.connected for outcome in outcomes)
