"""One hello and its first answer, from real servers and hostile ones."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from otpc_policy.facts import TlsVersion
from otpc_policy.scan.evidence import Reaction, observe
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.scan.hello_probe import probe
from otpc_policy.tls.answer import ServerHello, parse_answer
from tests.scan.partners import SIX, Handler, close, drip, free_port, openssl_server, reset, says, server, server_hello, stall
from tests.support.certificates import CertificateAuthority

WARNING = b"\x15\x03\x03\x00\x02\x01\x70"
PSK_SUITE = 0x00A8


def hello(port: int, *, version: TlsVersion | None = TlsVersion.TLS_1_2, suites: tuple[int, ...] = SIX, deadline_s: float = 2) -> HandshakeOffer:
    return HandshakeOffer(
        address="127.0.0.1",
        port=port,
        server_name="partner.test",
        version=version,
        cipher_suites=suites,
        hello_only=True,
        deadline_s=deadline_s,
        byte_limit=20_000,
    )


async def told(behaviour: Handler, **offered: float) -> tuple[HandshakeOffer, HandshakeOutcome]:
    async with server(behaviour) as port:
        offer = hello(port, **offered)  # type: ignore[arg-type]
        return offer, await probe(offer)


async def test_a_real_server_chooses_at_each_version_and_takes_a_pre_shared_key_suite_that_no_library_offers(tmp_path: Path) -> None:
    arguments = ("-psk", "00112233", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256:PSK-AES128-GCM-SHA256")
    with openssl_server(tmp_path, CertificateAuthority.create().issue(key="rsa2048"), arguments=arguments) as port:
        for version, suites, chosen in (
            (TlsVersion.TLS_1_2, SIX, 0xC02F),
            (TlsVersion.TLS_1_2, (PSK_SUITE,), PSK_SUITE),
            (TlsVersion.TLS_1_3, (0x1302,), 0x1302),
            (None, (0x1301, *SIX), 0x1301),
        ):
            offer = hello(port, version=version, suites=suites)
            outcome = await probe(offer)
            seen = observe(offer, outcome)
            assert (seen.reaction, seen.suites, outcome.ending, outcome.key_proven) == (Reaction.ACCEPTED, (chosen,), Ending.ANSWERED, False)
        refused = hello(port, suites=(0x0005,))
        assert observe(refused, await probe(refused)).reaction is Reaction.REFUSED


@pytest.mark.parametrize(
    ("behaviour", "ending", "reaction"),
    [
        (reset, Ending.RESET, Reaction.CLOSED),
        (close, Ending.CLOSED, Reaction.CLOSED),
        (stall, Ending.TIMED_OUT, Reaction.UNPROVEN),
        (drip, Ending.TIMED_OUT, Reaction.UNPROVEN),
        (says(b"SSH-2.0-x\r\n"), Ending.ANSWERED, Reaction.UNPROVEN),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Ending.ANSWERED, Reaction.UNPROVEN),
        (says(b"\x15\x03\x03\x00\x02\x02\x28"), Ending.ANSWERED, Reaction.REFUSED),
        (says(server_hello(0x0066)), Ending.ANSWERED, Reaction.UNPROVEN),
        (says(server_hello(0xC02F)), Ending.ANSWERED, Reaction.ACCEPTED),
        (says(WARNING), Ending.TIMED_OUT, Reaction.UNPROVEN),
        (says(WARNING + server_hello(0xC02F)), Ending.ANSWERED, Reaction.ACCEPTED),
    ],
)
async def test_what_a_server_does_ends_as_an_outcome_in_time(behaviour: Handler, ending: Ending, reaction: Reaction) -> None:
    offer, outcome = await told(behaviour, deadline_s=0.4)
    assert (outcome.ending, observe(offer, outcome).reaction) == (ending, reaction)
    assert outcome.connected
    assert outcome.duration_s < 1
    assert outcome.offered == SIX


async def test_an_endless_answer_ends_at_the_byte_limit() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")
        while True:
            writer.write(bytes(1000))
            await writer.drain()

    async with server(flood) as port:
        outcome = await probe(replace(hello(port), byte_limit=5_000))
    assert outcome.ending in (Ending.BYTE_LIMIT, Ending.ANSWERED)
    assert not isinstance(parse_answer(outcome.first_bytes), ServerHello)
    assert len(outcome.first_bytes) < 10_000


async def test_a_closed_port_is_refused() -> None:
    outcome = await probe(hello(free_port()))
    assert (outcome.ending, outcome.connected, outcome.offered) == (Ending.REFUSED, False, ())
