"""Servers that never start a TLS handshake.

Their versions and suites stay unknown, and they are never allowed.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import replace

import pytest

from otpc_policy.core.facts import Support, TlsService
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import KNOWN_ALERTS, Truth
from tests.hostile.servers import Backends
from tests.hostile.surveying import Case, Surveyed, Surveyor, assert_no_false_claim
from tests.support.hostile.behaviours import (
    alert,
    deaf,
    drip,
    finish,
    finish_at_once,
    garbage,
    greets,
    reset,
    reset_at_once,
    says,
    says_and_waits,
    stall,
)
from tests.support.hostile.hello import alert_bytes, record_bytes, server_hello_bytes
from tests.support.hostile.pieces import cut_short, only_first
from tests.support.loopback import own_address
from tests.support.tcp import Behaviour

pytestmark = pytest.mark.asyncio(loop_scope="package")

# RFC 8446 5.1 allows 2^14 bytes, RFC 5246 6.2.3 2,048 more.
_TOO_LONG = 2**14 + 2048 + 1
_SERVER_HELLO = server_hello_bytes(0x0303, 0xC02F)
# Handshake type, length of 16 MiB, TLS 1.2: a ServerHello that never ends.
_ENDLESS_HELLO = b"\x02\xff\xff\xff\x03\x03"

BEHAVIOURS: Mapping[str, Behaviour] = {
    "reset on connect": reset_at_once,
    "closed on connect": finish_at_once,
    "reset after the hello": reset,
    "closed after the hello": finish,
    "silent": stall,
    "never reads": deaf,
    "drips": drip(0.05),
    "garbage": garbage,
    "zeros": says_and_waits(bytes(512)),
    "SSH before the hello": greets(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "SSH after the hello": says(b"SSH-2.0-OpenSSH_9.2\r\nProtocol mismatch.\n"),
    "SMTP": greets(b"220 mail.example.com ESMTP\r\n"),
    "a record that is too long": says_and_waits(
        b"\x16\x03\x03" + _TOO_LONG.to_bytes(2, "big") + bytes(_TOO_LONG)
    ),
    "a record of the longest length": says_and_waits(b"\x16\x03\x03\xff\xff" + bytes(70_000)),
    "more bytes than are read": says(
        record_bytes(_ENDLESS_HELLO + bytes(16_000)) + record_bytes(bytes(16_000)) * 40
    ),
    "empty records": says_and_waits(record_bytes(b"") * 500),
    "a ServerHello without end": says_and_waits(record_bytes(_ENDLESS_HELLO)),
    "application data first": says_and_waits(record_bytes(bytes(64), kind=23)),
    "an alert of three bytes": says(b"\x15\x03\x03\x00\x03\x02\x28\x00"),
    "half an alert": says_and_waits(b"\x15\x03\x03\x00\x02\x02"),
    "warnings without end": says_and_waits(alert_bytes(112, level=1) * 1000),
    "a close_notify": says(alert_bytes(0, level=1)),
    "a version of no protocol": says(server_hello_bytes(0x0305, 0x1301)),
    "a draft's version": says(server_hello_bytes(0x7F1C, 0x1301)),
    "a ServerHello of SSL 2": says(
        bytes.fromhex("801a040001000200000003000b") + bytes(3) + bytes(11)
    ),
    "the hello sent back": says(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"),
    **{
        f"a ServerHello cut after {end} bytes": says(_SERVER_HELLO[:end])
        for end in (1, 4, 5, 6, 9, 10, 11, 43, 44, 46, len(_SERVER_HELLO) - 1)
    },
    **{
        f"a ServerHello that stalls after {end} bytes": says_and_waits(_SERVER_HELLO[:end])
        for end in (5, 11, 44)
    },
}


def assert_nothing_is_known(surveyed: Mapping[str, Surveyed]) -> None:
    """Neither presence nor absence is claimed, and the verdict is no pass."""
    for one in surveyed.values():
        facts = one.facts
        assert {fact.support for fact in facts.versions} <= {Support.UNKNOWN}, one.case.name
        assert {fact.support for fact in facts.cipher_suites} <= {Support.UNKNOWN}, one.case.name
        assert not [fact for fact in facts.deployments if fact.support is not Support.UNKNOWN], (
            one.case.name
        )
        assert one.verdict.decision is Decision.INDETERMINATE, one.case.name


def cases(behaviours: Mapping[str, Behaviour]) -> list[Case]:
    return [
        Case(name=name, behaviour=behaviour, truth=Truth(completes=False))
        for name, behaviour in behaviours.items()
    ]


async def test_nothing_is_known_of_a_server_that_never_speaks_tls(hurried: Surveyor) -> None:
    surveyed = await hurried.survey(*cases(BEHAVIOURS), lanes=24)
    assert {one.facts.tls for one in surveyed.values()} == {TlsService.UNKNOWN}
    # A reset may come before anybody could know that TCP had connected.
    assert {name for name, one in surveyed.items() if one.facts.reachable is not Support.YES} <= {
        "reset on connect"
    }
    assert_nothing_is_known(surveyed)


async def test_an_alert_to_every_hello_proves_nothing_whatever_it_says(hurried: Surveyor) -> None:
    """Without a control, a server that accepts nothing looks like a server that refuses us."""
    fatal = [(2, description) for description in (*KNOWN_ALERTS, 1, 39, 72, 119, 200, 255)]
    others = [
        (level, description) for level in (1, 0, 3, 255) for description in (0, 40, 70, 80, 112)
    ]
    surveyed = await hurried.survey(
        *cases(
            {
                f"alert {description} of level {level}": alert(description, level)
                for level, description in (*fatal, *others)
            }
        )
    )
    assert_nothing_is_known(surveyed)


async def test_plain_http_is_denied_as_such(hurried: Surveyor) -> None:
    answers = {
        "400": says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        "HTTP/1.0": says(b"HTTP/1.0 200 OK\r\n\r\nhello"),
        "slow": says_and_waits(b"HTTP/1.1 408 Request Timeout\r\n\r\n"),
    }
    for one in (await hurried.survey(*cases(answers))).values():
        assert (one.facts.tls, one.verdict.decision) == (
            TlsService.PLAINTEXT_HTTP,
            Decision.DENY,
        ), one.case.name
        assert {fact.support for fact in one.facts.versions} <= {Support.UNKNOWN}


@pytest.mark.parametrize(
    "then",
    [reset_at_once, finish_at_once, stall, drip(0.05)],
    ids=["reset", "close", "stall", "drip"],
)
async def test_a_real_answer_that_breaks_off_proves_no_more_than_has_arrived(
    then: Behaviour, hurried: Surveyor, backends: Backends
) -> None:
    """Only a whole ServerHello is a choice.

    Without the signature after it, no suite has completed a handshake and no chain is presented.
    """
    strict = backends.strict
    # A whole TLS 1.2 flight with an ECDSA certificate is below 700 bytes, and would prove its key.
    ends = (1, 5, 6, 9, 43, 60, 100, 130, 300, 500)
    broken = {
        f"cut after {end} bytes": cut_short(replace(strict, send=only_first(end)), then)
        for end in ends
    }
    surveyed = await hurried.survey(
        *(
            Case(name=name, behaviour=one, truth=Truth(always=strict.truth, completes=False))
            for name, one in broken.items()
        ),
        lanes=10,
    )
    assert_no_false_claim(surveyed)
    for one in surveyed.values():
        assert not [fact for fact in one.facts.cipher_suites if fact.handshake_completed], (
            one.case.name
        )
        assert not [fact for fact in one.facts.deployments if fact.support is Support.YES], (
            one.case.name
        )
    assert_nothing_is_known(
        {name: one for name, one in surveyed.items() if int(name.split()[2]) < 60}
    )


async def test_a_server_that_never_accepts_is_unreachable_as_far_as_anybody_knows(
    hurried: Surveyor,
) -> None:
    """The kernel answers no SYN once a listener's queue is full.

    Some first connections are completed by the kernel alone.
    """
    with socket.socket() as listener:
        listener.bind((own_address(), 0))
        listener.listen(0)
        fillers = []
        try:
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                fillers.append(filler)
            await asyncio.sleep(0)
            facts = await hurried.measure(*listener.getsockname())
        finally:
            for filler in fillers:
                filler.close()
    assert facts.reachable is not Support.NO
    assert facts.tls is TlsService.UNKNOWN
    assert {fact.support for fact in facts.versions} <= {Support.UNKNOWN}
