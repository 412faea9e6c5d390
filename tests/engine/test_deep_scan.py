"""DEEP parts of real, vulnerable and hostile servers.

What is proven is stated, nothing else is, and no process is left behind.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest

from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import (
    AddressFacts,
    ClientAuth,
    DeepCommand,
    Depth,
    Support,
    TlsService,
    TlsVersion,
    Vulnerability,
)
from otpc_policy.engine.deep_scan import DeepScanner
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.stages import Stage
from otpc_policy.policy.finding import Decision
from tests.engine.partners import endpoint, scanner
from tests.policy.judging import judge
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.facts import make_address, make_facts, suite, versions
from tests.support.hostile import HANDSHAKE_FAILURE, after, alert, drip, finish, reset, stall
from tests.support.loopback import Listener, own_listener
from tests.support.relay import relay_to
from tests.support.servers.legacy import LegacyOffer, legacy_server
from tests.support.servers.libraries import gnutls_serv, s_server
from tests.support.servers.nginx import nginx
from tests.support.servers.offer import TlsOffer
from tests.support.servers.vulnerable import (
    ccs_injection_front,
    closing_front,
    compressing_front,
    heartbleed_front,
    silent_front,
)
from tests.support.tcp import Behaviour, Connection, counting_server

YES, NO, UNKNOWN = Support.YES, Support.NO, Support.UNKNOWN
AGAINST = (
    DeepCommand.HEARTBLEED,
    DeepCommand.OPENSSL_CCS_INJECTION,
    DeepCommand.ROBOT,
    DeepCommand.SESSION_RENEGOTIATION,
    DeepCommand.TLS_COMPRESSION,
)


Front = Callable[[Listener, Listener], AbstractContextManager[Listener]]


@pytest.fixture(scope="module")
def leaves() -> tuple[Issued, Issued]:
    authority = CertificateAuthority.create()
    return authority.issue(key="ec256"), authority.issue(key="rsa2048")


@pytest.fixture(scope="module")
def good(leaves: tuple[Issued, Issued]) -> Iterator[Listener]:
    with nginx(own_listener(), TlsOffer(certificates=leaves)) as running:
        yield running


def vetted(address: str) -> VettedAddress:
    one = AddressVetting([ip_network("127.0.0.0/8")]).vet(address)
    assert isinstance(one, VettedAddress)
    return one


async def deepen(
    at: Listener,
    *commands: DeepCommand,
    standard: AddressFacts | None = None,
    slots: int = 16,
    **limits: float,
) -> AddressFacts:
    deep = DeepScanner(ScanLimits(deep_commands=commands, **limits))  # type: ignore[arg-type]
    facts = await deep.deepen(
        standard or make_address(), endpoint(at.port), vetted(at.address), asyncio.Semaphore(slots)
    )
    assert deep.pids == ()
    return facts


def present(facts: AddressFacts) -> dict[Vulnerability, Support]:
    return {fact.vulnerability: fact.present for fact in facts.vulnerabilities}


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_compliant_server_is_free_of_everything_and_nobody_disagrees(
    good: Listener,
) -> None:
    async with scanner() as one:
        facts = await one.measure(endpoint(good.port), vetted(good.address), Depth.DEEP)
    assert facts.depth is Depth.DEEP
    assert set(present(facts).values()) == {NO}
    assert facts.deep is not None
    assert (facts.deep.contradictions, facts.deep.remarks, facts.remarks) == ((), (), ())
    assert (
        facts.deep.early_data,
        facts.deep.extended_master_secret,
        facts.deep.secure_renegotiation,
        facts.deep.client_renegotiation,
    ) == (NO, YES, YES, NO)
    curves = {fact.curve: fact.support for fact in facts.deep.curves}
    assert {curve for curve, support in curves.items() if support is YES} >= {"x25519", "secp256r1"}
    assert curves["sect163k1"] is NO
    assert {fact.support for fact in facts.versions} == {YES, NO}
    assert facts.connections_used > facts.deep.connections_used > 400


@pytest.mark.parametrize("accepted", [True, False])
async def test_early_data_is_seen(leaves: tuple[Issued, Issued], accepted: bool) -> None:
    directive = f"ssl_early_data {'on' if accepted else 'off'};"
    with nginx(
        own_listener(), TlsOffer(certificates=leaves), directives=(directive,), http2=False
    ) as at:
        facts = await deepen(at, DeepCommand.TLS_1_3_EARLY_DATA)
    assert facts.deep is not None
    assert facts.deep.early_data is (YES if accepted else NO)


async def test_a_fallback_is_told_from_a_version_that_is_not_offered(
    leaves: tuple[Issued, Issued], good: Listener
) -> None:
    with s_server(
        own_listener(), TlsOffer(certificates=leaves, versions=("1.0", "1.1", "1.2"), ciphers="ALL")
    ) as at:
        honoured = await deepen(at, DeepCommand.TLS_FALLBACK_SCSV)
    unproven = await deepen(good, DeepCommand.TLS_FALLBACK_SCSV)
    assert [facts.deep.fallback_scsv for facts in (honoured, unproven) if facts.deep] == [
        YES,
        UNKNOWN,
    ]


async def test_a_server_of_tls_1_3_alone_cannot_have_what_belongs_to_older_versions(
    leaves: tuple[Issued, Issued],
) -> None:
    standard = make_address(
        versions=versions(TLS_1_2=NO),
        cipher_suites=(suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3),),
    )
    with nginx(own_listener(), TlsOffer(certificates=leaves, versions=("1.3",))) as at:
        facts = await deepen(at, *AGAINST, DeepCommand.TLS_1_3_CIPHER_SUITES, standard=standard)
    assert set(present(facts).values()) == {NO}
    assert facts.deep is not None
    assert facts.deep.remarks == ()


async def test_a_client_that_may_renegotiate_for_ever_is_a_vulnerability(
    leaves: tuple[Issued, Issued],
) -> None:
    """gnutls-serv lets it."""
    with gnutls_serv(own_listener(), TlsOffer(certificates=leaves)) as at:
        facts = await deepen(at, DeepCommand.SESSION_RENEGOTIATION)
    assert facts.deep is not None
    assert (facts.deep.secure_renegotiation, facts.deep.client_renegotiation) == (YES, YES)
    assert present(facts)[Vulnerability.INSECURE_RENEGOTIATION] is YES


async def test_a_refused_renegotiation_is_safe(leaves: tuple[Issued, Issued]) -> None:
    with s_server(own_listener(), TlsOffer(certificates=leaves), "-no_renegotiation") as at:
        facts = await deepen(at, DeepCommand.SESSION_RENEGOTIATION, deep_connections=1)
    assert present(facts)[Vulnerability.INSECURE_RENEGOTIATION] is NO


async def test_behind_a_required_client_certificate_only_renegotiation_stays_unknown(
    leaves: tuple[Issued, Issued],
) -> None:
    client_ca = CertificateAuthority.create().pem
    with s_server(own_listener(), TlsOffer(certificates=leaves, client_ca=client_ca)) as at:
        facts = await deepen(
            at, *AGAINST, standard=make_address(client_auth=ClientAuth.REQUIRED), deep_connections=1
        )
    assert present(facts) == {
        one: UNKNOWN if one is Vulnerability.INSECURE_RENEGOTIATION else NO for one in Vulnerability
    }


def _static_rsa(certificate: Issued) -> LegacyOffer:
    return LegacyOffer(
        certificate=certificate, key_exchanges=("rsa",), ciphers=("aes128gcm", "aes128")
    )


def _static_rsa_facts() -> AddressFacts:
    return make_address(
        cipher_suites=(
            suite("TLS_RSA_WITH_AES_128_GCM_SHA256"),
            suite("TLS_RSA_WITH_AES_128_CBC_SHA"),
        ),
        versions=versions(TLS_1_3=NO),
    )


@pytest.mark.parametrize(("oracle", "robot"), [(True, YES), (False, NO)])
async def test_an_oracle_of_rsa_padding_is_robot(
    leaves: tuple[Issued, Issued], oracle: bool, robot: Support
) -> None:
    """sslyze asks twice, and a busy machine may delay one answer: UNKNOWN, never the contrary."""
    seen: list[Support] = []
    with legacy_server(
        own_listener(), replace(_static_rsa(leaves[1]), padding_oracle=oracle)
    ) as at:
        while robot not in seen and len(seen) < 4:
            facts = await deepen(at, DeepCommand.ROBOT, standard=_static_rsa_facts())
            seen.append(present(facts)[Vulnerability.ROBOT])
    assert set(seen) <= {robot, UNKNOWN}
    assert seen[-1] is robot


async def test_a_server_from_before_rfc_5746_renegotiates_insecurely(
    leaves: tuple[Issued, Issued],
) -> None:
    with legacy_server(
        own_listener(), replace(_static_rsa(leaves[1]), secure_renegotiation=False)
    ) as at:
        facts = await deepen(at, DeepCommand.SESSION_RENEGOTIATION, standard=_static_rsa_facts())
    assert facts.deep is not None
    assert facts.deep.secure_renegotiation is NO
    assert present(facts)[Vulnerability.INSECURE_RENEGOTIATION] is YES


@pytest.mark.parametrize(
    ("front", "command", "vulnerability"),
    [
        (heartbleed_front, DeepCommand.HEARTBLEED, Vulnerability.HEARTBLEED),
        (ccs_injection_front, DeepCommand.OPENSSL_CCS_INJECTION, Vulnerability.CCS_INJECTION),
    ],
)
async def test_a_provoked_server_that_gives_itself_away_is_vulnerable_and_denied(
    good: Listener, front: Front, command: DeepCommand, vulnerability: Vulnerability
) -> None:
    with front(own_listener(), good) as at:
        facts = await deepen(at, *AGAINST)
    assert {one for one, support in present(facts).items() if support is YES} == {vulnerability}
    assert judge(make_facts(depth=Depth.DEEP, addresses=(facts,))).decision is Decision.DENY


@pytest.mark.parametrize(("front", "expected"), [(closing_front, NO), (silent_front, UNKNOWN)])
async def test_closes_between_controls_prove_a_refusal_and_silence_proves_nothing(
    good: Listener, front: Front, expected: Support
) -> None:
    with front(own_listener(), good) as at:
        facts = await deepen(at, DeepCommand.OPENSSL_CCS_INJECTION, connection_deadline_s=1.0)
    assert present(facts)[Vulnerability.CCS_INJECTION] is expected


async def test_a_server_hello_that_chooses_deflate_is_compression(good: Listener) -> None:
    with compressing_front(own_listener(), good) as at:
        facts = await deepen(at, DeepCommand.TLS_COMPRESSION, connection_deadline_s=1.0)
    assert present(facts)[Vulnerability.COMPRESSION] is YES


HOSTILE: dict[str, Behaviour] = {
    "reset": reset,
    "close": finish,
    "stall": stall,
    "drip": drip(0.1),
    "alert": alert(HANDSHAKE_FAILURE),
}


@pytest.mark.parametrize("number", [3, 12], ids=["among the vulnerabilities", "after them"])
async def test_a_server_that_turns_hostile_is_cleared_of_nothing(
    good: Listener, number: int
) -> None:
    """sslyze alone would say of most of these that they have no vulnerability."""
    commands = (*AGAINST, DeepCommand.TLS_1_2_CIPHER_SUITES)

    async def deepened(behaviour: Behaviour) -> AddressFacts:
        with counting_server(own_listener(), after(number, relay_to(good), behaviour)) as counts:
            return await deepen(
                counts.listener, *commands, connection_deadline_s=0.2, deep_deadline_s=5.0
            )

    results = await asyncio.gather(*(deepened(behaviour) for behaviour in HOSTILE.values()))
    for name, facts in zip(HOSTILE, results, strict=True):
        assert set(present(facts).values()) == {UNKNOWN}, name
        # Nothing is retracted; a busy machine may leave sslyze a last good connection, which shows
        # one more suite.
        assert set(make_address().cipher_suites) <= set(facts.cipher_suites), name
        shown = set(facts.cipher_suites) - set(make_address().cipher_suites)
        assert {(one.support, one.handshake_completed) for one in shown} <= {(YES, True)}, name
        assert facts.deep is not None
        assert facts.deep.remarks, name
        assert facts.deep.duration.total_seconds() < 8, name
        assert (
            judge(make_facts(depth=Depth.DEEP, addresses=(facts,))).decision
            is Decision.INDETERMINATE
        ), name
        assert judge(make_facts(addresses=(facts,))).decision is Decision.ALLOW, (
            f"{name}: the STANDARD facts are whole"
        )


async def test_a_version_that_is_met_with_silence_takes_its_share_of_time_and_no_more(
    good: Listener,
) -> None:
    """Some servers never answer hellos of versions they lack. The rest must still be reported."""
    relayed = relay_to(good)

    async def ignore_old(connection: Connection) -> None:
        first = await connection.read()
        # The version of a ClientHello follows five bytes of record and four of message.
        if first[9:11] == b"\3\1":
            await stall(connection)
        else:
            connection.unread(first)
            await relayed(connection)

    with counting_server(own_listener(), ignore_old) as counts:
        facts = await deepen(
            counts.listener,
            DeepCommand.HEARTBLEED,
            DeepCommand.TLS_1_0_CIPHER_SUITES,
            connection_deadline_s=1.0,
        )
    assert present(facts)[Vulnerability.HEARTBLEED] is NO
    assert facts.version(TlsVersion.TLS_1_0) == make_address().version(TlsVersion.TLS_1_0)
    # Eight at a time, twice, plus those already begun; without a limit there would be eighty.
    assert counts.connections < 40


async def test_a_server_that_chatters_on_is_cut_off_and_cleared_of_nothing(good: Listener) -> None:
    async def chatter(connection: Connection) -> None:
        await connection.read()
        while True:
            await connection.send(b"\x16\x03\x03\x40\x00" + bytes(0x4000))

    with counting_server(own_listener(), after(1, relay_to(good), chatter)) as counts:
        facts = await deepen(counts.listener, *AGAINST)
    assert set(present(facts).values()) == {UNKNOWN}


async def test_suites_are_compared_and_a_dispute_is_unknown_and_counted(good: Listener) -> None:
    standard = make_address(
        versions=versions(TLS_1_3=NO),
        cipher_suites=(
            suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", support=NO),
            suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
            suite("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", support=UNKNOWN),
            suite("TLS_RSA_WITH_AES_128_CBC_SHA"),
            suite("TLS_RSA_WITH_AES_256_CBC_SHA", support=UNKNOWN),
        ),
    )
    counted: list[str] = []
    commands = (DeepCommand.TLS_1_2_CIPHER_SUITES, DeepCommand.TLS_1_3_CIPHER_SUITES)
    deep = DeepScanner(ScanLimits(deep_commands=commands), contradicted=counted.append)
    facts = await deep.deepen(
        standard, endpoint(good.port), vetted(good.address), asyncio.Semaphore(16)
    )
    assert sorted(counted) == ["cipher_suite", "cipher_suite", "version"]
    assert facts.version(TlsVersion.TLS_1_3).support is UNKNOWN
    assert {
        fact.code_point: fact.support
        for fact in facts.cipher_suites
        if fact.code_point in (0xC02B, 0xC02F, 0xCCA8, 0x002F, 0x0035)
    } == {
        0xC02B: UNKNOWN,
        0xC02F: YES,
        0xCCA8: YES,
        0x002F: UNKNOWN,
        0x0035: UNKNOWN,
    }
    assert facts.deep is not None
    assert len(facts.deep.contradictions) == 3


async def test_only_the_vetted_address_is_dialled_and_never_more_often_at_once_than_allowed(
    good: Listener,
) -> None:
    """The name of the partner does not resolve, and would lead elsewhere if it did."""
    slots = asyncio.Semaphore(3)
    deep = DeepScanner(
        ScanLimits(deep_commands=(DeepCommand.TLS_1_2_CIPHER_SUITES,), deep_connections=8)
    )
    with counting_server(own_listener(), relay_to(good)) as counts:
        facts = await deep.deepen(
            make_address(), endpoint(counts.listener.port), vetted(counts.listener.address), slots
        )
    assert counts.connections == facts.connections_used - make_address().connections_used
    assert counts.most_open <= 3
    assert slots._value == 3


async def test_what_is_no_tls_is_not_asked_further() -> None:
    listener = own_listener()
    with counting_server(listener, finish) as counts:
        facts = await deepen(listener, *AGAINST, standard=make_address(tls=TlsService.UNKNOWN))
    assert (counts.connections, set(present(facts).values())) == (0, {UNKNOWN})


async def test_a_command_that_is_left_out_leaves_its_vulnerability_unknown(good: Listener) -> None:
    facts = await deepen(good, DeepCommand.HEARTBLEED)
    assert {one for one, support in present(facts).items() if support is not UNKNOWN} == {
        Vulnerability.HEARTBLEED
    }


@contextmanager
def waiting_server() -> Iterator[tuple[Listener, threading.Event]]:
    """Run a server that accepts and says nothing; the event tells that somebody has come."""
    arrived = threading.Event()

    async def announce(connection: Connection) -> None:
        arrived.set()
        await stall(connection)

    with counting_server(own_listener(), announce) as counts:
        yield counts.listener, arrived


async def _begun(
    deep: DeepScanner, at: Listener, arrived: threading.Event
) -> "tuple[asyncio.Task[AddressFacts], int]":
    """Begin a DEEP part; return its task and its process, which is waiting for the server."""
    task = asyncio.create_task(
        deep.deepen(make_address(), endpoint(at.port), vetted(at.address), asyncio.Semaphore(16))
    )
    assert await asyncio.to_thread(arrived.wait, 10)
    return task, deep.pids[0]


async def test_the_deadline_ends_a_process_that_waits_for_ever() -> None:
    with waiting_server() as (at, _arrived):
        facts = await deepen(at, *AGAINST, deep_deadline_s=1.0, connection_deadline_s=30)
    assert set(present(facts).values()) == {UNKNOWN}
    assert facts.deep is not None
    assert facts.deep.remarks == (
        "the DEEP part was ended before it was done; its deadline is 1 s",
    )
    assert facts.deep.duration.total_seconds() < 4


async def test_a_process_that_is_killed_leaves_unknown() -> None:
    deep = DeepScanner(ScanLimits(connection_deadline_s=30))
    with waiting_server() as (at, arrived):
        task, pid = await _begun(deep, at, arrived)
        os.kill(pid, signal.SIGKILL)
        facts = await task
    assert set(present(facts).values()) == {UNKNOWN}
    assert facts.deep is not None
    assert facts.deep.remarks


async def test_a_cancelled_part_leaves_no_process() -> None:
    deep = DeepScanner(ScanLimits(connection_deadline_s=30))
    with waiting_server() as (at, arrived):
        task, pid = await _begun(deep, at, arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not is_running(pid)
    assert deep.pids == ()


async def test_parts_wait_for_their_turn_and_too_many_are_overload() -> None:
    deep = DeepScanner(
        ScanLimits(
            concurrent_deep_scans=1, queue_limit=1, connection_deadline_s=30, deep_deadline_s=0.5
        )
    )
    with counting_server(own_listener(), stall) as counts:
        at = counts.listener
        parts = [
            deep.deepen(
                make_address(), endpoint(at.port), vetted(at.address), asyncio.Semaphore(16)
            )
            for _ in range(3)
        ]
        outcomes = await asyncio.gather(*parts, return_exceptions=True)
    assert deep.queued == 0
    assert [isinstance(outcome, Overloaded) for outcome in outcomes] == [False, False, True]


async def test_the_part_says_when_it_waits_and_when_it_begins_and_a_shorter_deadline_holds() -> (
    None
):
    deep, stages = DeepScanner(ScanLimits(connection_deadline_s=30)), list[Stage]()
    with counting_server(own_listener(), stall) as counts:
        at = counts.listener
        facts = await deep.deepen(
            make_address(),
            endpoint(at.port),
            vetted(at.address),
            asyncio.Semaphore(16),
            deadline_s=0.5,
            entered=stages.append,
        )
    assert stages == [Stage.DEEP_QUEUED, Stage.DEEP_BEGUN]
    assert facts.deep is not None
    assert facts.deep.remarks == (
        "the DEEP part was ended before it was done; its deadline is 0.5 s",
    )
