"""Scans of loopback servers: complete facts of good ones, UNKNOWN and never NO of hostile ones."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.client_names import CLIENT_NAMES, MOST_CLIENT_PROFILES
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import (
    AddressFacts,
    ClientAuth,
    Depth,
    Evidence,
    HttpService,
    KeyType,
    Support,
    TlsService,
    TlsVersion,
)
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.in_process import InProcessEngine
from otpc_policy.engine.stages import Stage
from otpc_policy.tls.client_hello import offered_cipher_suites
from tests.engine.partners import (
    SIX,
    SIX_NAMES,
    Handler,
    close,
    drip,
    endpoint,
    openssl_server,
    reset,
    says,
    scanner,
    server,
    server_hello,
    stall,
    tls_server,
    turns_hostile,
)
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import free_port
from tests.support.open_files import open_files_left

# Nine hellos of the survey, ten of clients, one handshake, and HTTP with and without ALPN.
FIRST_WAVE = 22
ALERT_40 = b"\x15\x03\x03\x00\x02\x02\x28"


def loopback() -> VettedAddress:
    """Return 127.0.0.1 as the guard lets it through."""
    vetted = AddressVetting([ip_network("127.0.0.0/8")]).vet("127.0.0.1")
    assert isinstance(vetted, VettedAddress)
    return vetted


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create()


@pytest.fixture(scope="module")
def leaves(authority: CertificateAuthority) -> tuple[Issued, Issued]:
    return authority.issue(key="rsa2048"), authority.issue(key="ec256")


@pytest.fixture(scope="module")
def good(leaves: tuple[Issued, Issued], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with openssl_server(tmp_path_factory.mktemp("good"), *leaves) as port:
        yield port


async def measure(port: int, **limits: float) -> AddressFacts:
    async with scanner(**limits) as one:
        return await one.measure(endpoint(port), loopback(), Depth.STANDARD)


def supports(facts: AddressFacts) -> dict[TlsVersion, Support]:
    return {fact.version: fact.support for fact in facts.versions}


def suites(facts: AddressFacts, version: TlsVersion, support: Support) -> set[int]:
    return {
        fact.code_point
        for fact in facts.cipher_suites
        if fact.version is version and fact.support is support
    }


async def test_a_compliant_server_with_two_certificates_is_known_completely(
    good: int, leaves: tuple[Issued, Issued]
) -> None:
    facts = await measure(good)
    assert (facts.reachable, facts.tls, facts.client_auth, facts.http) == (
        Support.YES,
        TlsService.SERVED,
        ClientAuth.NONE,
        HttpService.SERVED,
    )
    modern = (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
    assert supports(facts) == {
        version: Support.YES if version in modern else Support.NO for version in TlsVersion
    }
    assert suites(facts, TlsVersion.TLS_1_2, Support.YES) == set(SIX)
    assert not [fact for fact in facts.cipher_suites if fact.support is Support.UNKNOWN]
    completed = {fact.code_point for fact in facts.cipher_suites if fact.handshake_completed}
    assert completed & set(SIX[::2])
    assert completed & set(SIX[1::2])
    obtained = {
        (fact.version, fact.key_type): fact.chain
        for fact in facts.deployments
        if fact.support is Support.YES
    }
    assert obtained == {
        (version, key): leaf.chain_der
        for version in modern
        for key, leaf in zip((KeyType.RSA, KeyType.ECDSA), leaves, strict=True)
    }
    assert {
        (fact.version, fact.key_type) for fact in facts.deployments if fact.support is Support.NO
    } == {(TlsVersion.TLS_1_3, KeyType.EDDSA)}
    assert facts.remarks == ()
    # s_server refuses old versions with handshake_failure, so the groups must be ruled out as the
    # cause: three more connections than other servers take.
    assert facts.connections_used <= 60


@pytest.mark.parametrize(
    ("key", "handler", "service", "asked_alone"),
    [
        ("rsa2048", says(b"HTTP/1.1 200 OK\r\n\r\n"), HttpService.SERVED, 0),
        ("ec256", says(b"HTTP/1.1 200 OK\r\n\r\n"), HttpService.SERVED, 1),
        ("rsa2048", says(b"220 mail ESMTP\r\n"), HttpService.NOT_SERVED, 1),
    ],
    ids=["rsa", "ecdsa", "mail"],
)
async def test_http_is_asked_for_behind_a_handshake_and_alone_if_that_shows_nothing(
    authority: CertificateAuthority,
    tmp_path: Path,
    *,
    key: str,
    handler: Handler,
    service: HttpService,
    asked_alone: int,
) -> None:
    async with tls_server(tmp_path, authority.issue(key=key), handler) as port:
        facts = await measure(port)
    assert facts.http is service
    assert [step.purpose for step in facts.trace].count(
        "does HTTP answer inside TLS"
    ) == asked_alone
    assert any(step.proves.endswith("; HTTPS is served") for step in facts.trace) is (
        asked_alone == 0
    )


@pytest.mark.parametrize(
    "names", [("go",), CLIENT_NAMES[:MOST_CLIENT_PROFILES], CLIENT_NAMES[-MOST_CLIENT_PROFILES:]]
)
async def test_the_clients_of_the_setting_are_asked_as_and_no_other_recorded_one(
    good: int, names: tuple[str, ...]
) -> None:
    settings = Settings(allow_networks=["127.0.0.0/8"], client_profiles=names, scan={"workers": 1})
    engine = InProcessEngine(engine_part(settings))
    await engine.start()
    try:
        facts = await engine.measure(endpoint(good), loopback(), Depth.STANDARD)
    finally:
        await engine.stop()
    assert {step.offered for step in facts.trace} & set(CLIENT_NAMES) == set(names)
    assert suites(facts, TlsVersion.TLS_1_2, Support.YES)
    assert not facts.remarks


async def test_without_the_setting_one_recorded_client_is_drawn(good: int) -> None:
    facts = await measure(good)
    assert len({step.offered for step in facts.trace} & set(CLIENT_NAMES)) == 1


async def test_what_a_lax_server_takes_is_listed_by_version(
    leaves: tuple[Issued, Issued], tmp_path: Path
) -> None:
    ciphers = "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA:NULL-SHA256:AECDH-AES128-SHA:@SECLEVEL=0"
    with openssl_server(tmp_path, leaves[0], arguments=("-cipher", ciphers, "-no_tls1_3")) as port:
        facts = await measure(port)
    assert suites(facts, TlsVersion.TLS_1_2, Support.YES) == {0xC02F, 0x002F, 0x003B, 0xC018}
    assert suites(facts, TlsVersion.TLS_1_0, Support.YES) == {0x002F, 0xC018}
    assert {
        fact.code_point: fact.handshake_completed
        for fact in facts.cipher_suites
        if fact.version is TlsVersion.TLS_1_2 and fact.support is Support.YES
    } == {
        0xC02F: True,
        0x002F: False,
        0x003B: False,
        0xC018: False,
    }
    assert supports(facts)[TlsVersion.TLS_1_3] is Support.NO
    ecdsa = [fact for fact in facts.deployments if fact.key_type is KeyType.ECDSA]
    assert {(fact.version, fact.support, fact.evidence) for fact in ecdsa} >= {
        (TlsVersion.TLS_1_2, Support.NO, Evidence.ALERT)
    }


async def test_stock_openssl_3_refuses_old_versions_with_internal_error_and_is_confirmed(
    leaves: tuple[Issued, Issued], tmp_path: Path
) -> None:
    with openssl_server(tmp_path, leaves[0], arguments=("-cipher", SIX_NAMES)) as port:
        facts = await measure(port)
    old = {
        fact.version: fact.evidence for fact in facts.versions if fact.version < TlsVersion.TLS_1_2
    }
    assert set(old.values()) <= {Evidence.ALERT, Evidence.CLOSED_CONFIRMED}
    assert all(supports(facts)[version] is Support.NO for version in old)


async def test_a_tls_1_3_only_server_is_proven_to_lack_tls_1_2(
    leaves: tuple[Issued, Issued], tmp_path: Path
) -> None:
    with openssl_server(tmp_path, leaves[1], arguments=("-tls1_3",)) as port:
        facts = await measure(port)
    assert {version for version, support in supports(facts).items() if support is Support.YES} == {
        TlsVersion.TLS_1_3
    }
    assert Support.UNKNOWN not in supports(facts).values()
    assert {fact.key_type: fact.support for fact in facts.deployments} == {
        KeyType.ECDSA: Support.YES,
        KeyType.RSA: Support.NO,
        KeyType.EDDSA: Support.NO,
    }


async def test_a_required_client_certificate_still_shows_versions_suites_and_chains(
    leaves: tuple[Issued, Issued], tmp_path: Path
) -> None:
    with openssl_server(
        tmp_path, *leaves, arguments=("-Verify", "2", "-verify_return_error", "-cipher", SIX_NAMES)
    ) as port:
        facts = await measure(port)
    assert (facts.client_auth, facts.http) == (ClientAuth.REQUIRED, HttpService.NOT_OBSERVABLE)
    assert suites(facts, TlsVersion.TLS_1_2, Support.YES) == set(SIX)
    assert {fact.version for fact in facts.cipher_suites if fact.handshake_completed} == {
        TlsVersion.TLS_1_2,
        TlsVersion.TLS_1_3,
    }
    assert len([fact for fact in facts.deployments if fact.chain]) == 4


async def test_a_suite_that_encrypts_nothing_is_seen_though_no_library_offers_it(good: int) -> None:
    """RFC 9150: our TLS libraries lack the integrity-only suites of TLS 1.3; a server may not."""
    chosen = (
        b"\x03\x03"
        + bytes(32)
        + b"\0"
        + b"\xc0\xb4"
        + b"\0"
        + b"\x00\x06"
        + b"\x00\x2b\x00\x02\x03\x04"
    )
    message = b"\x02" + len(chosen).to_bytes(3, "big") + chosen
    answer = b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message
    relay = turns_hostile(good, after=10_000, into=stall)

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(4096)
        offered = offered_cipher_suites(first)
        if 0xC0B4 in offered and 0x1301 not in offered and 0xC02F not in offered:
            writer.write(answer)
            await writer.drain()
            await reader.read(4096)
            return
        again = asyncio.StreamReader()
        again.feed_data(first)
        pump = asyncio.create_task(_pour(reader, again))
        try:
            await relay(again, writer)
        finally:
            pump.cancel()

    async with server(behave) as port:
        facts = await measure(port)
    assert 0xC0B4 in suites(facts, TlsVersion.TLS_1_3, Support.YES)
    assert suites(facts, TlsVersion.TLS_1_2, Support.YES) == set(SIX)


async def _pour(reader: asyncio.StreamReader, into: asyncio.StreamReader) -> None:
    while chunk := await reader.read(65536):
        into.feed_data(chunk)
    into.feed_eof()


@pytest.mark.parametrize("after", [1, 5, 20])
@pytest.mark.parametrize(
    "behaviour",
    [reset, close, stall, drip, says(ALERT_40)],
    ids=["reset", "close", "stall", "drip", "alert"],
)
async def test_a_server_that_turns_hostile_is_unknown_and_never_said_to_lack_what_it_has(
    good: int, behaviour: Handler, after: int
) -> None:
    async with server(turns_hostile(good, after=after, into=behaviour)) as port:
        facts = await measure(port, connection_deadline_s=0.4, scan_deadline_s=8)
    assert not suites(facts, TlsVersion.TLS_1_2, Support.NO) & set(SIX)
    assert facts.version(TlsVersion.TLS_1_2).support is not Support.NO
    assert Support.UNKNOWN in {facts.version(version).support for version in TlsVersion}
    assert [
        fact
        for fact in facts.versions
        if fact.support is Support.NO and fact.evidence is not Evidence.LOWER_VERSION
    ] == []
    assert facts.remarks
    assert facts.duration.total_seconds() < 9


@pytest.mark.parametrize(
    "behaviour",
    [reset, close, says(ALERT_40), says(b"SSH-2.0-x\r\n"), stall, drip],
    ids=["reset", "close", "alert", "ssh", "stall", "drip"],
)
async def test_a_server_that_never_speaks_tls_is_unknown(behaviour: Handler) -> None:
    async with server(behaviour) as port:
        facts = await measure(port, connection_deadline_s=0.4)
    assert (facts.reachable, facts.tls) == (Support.YES, TlsService.UNKNOWN)
    assert {fact.support for fact in facts.versions} <= {Support.UNKNOWN}
    assert facts.cipher_suites == ()
    # A second wave of eight short hellos, and nothing of clients.
    assert facts.connections_used <= FIRST_WAVE + 8
    if behaviour is stall:
        # Who answers no hello is not asked for HTTP.
        assert not [step for step in facts.trace if "HTTP" in step.purpose]


async def test_a_first_wave_of_silence_ends_the_scan() -> None:
    async with server(stall) as port:
        facts = await measure(port, connection_deadline_s=0.4)
    assert (facts.reachable, facts.tls) == (Support.YES, TlsService.UNKNOWN)
    assert facts.connections_used <= FIRST_WAVE


async def test_a_scan_that_has_used_its_connections_keeps_what_is_known(good: int) -> None:
    facts = await measure(good, connections_per_scan=30)
    assert facts.connections_used == 30
    assert "the scan reached its limit of 30 connections" in facts.remarks
    assert facts.version(TlsVersion.TLS_1_2).support is Support.YES
    assert facts.version(TlsVersion.TLS_1_0).support is Support.UNKNOWN


async def test_plain_http_is_recognised_and_left_alone() -> None:
    async with server(says(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        facts = await measure(port)
    assert (facts.tls, facts.versions) == (TlsService.PLAINTEXT_HTTP, ())
    assert facts.connections_used <= FIRST_WAVE


async def test_a_closed_port_is_unreachable() -> None:
    facts = await measure(free_port("127.0.0.1"))
    assert (facts.reachable, facts.tls) == (Support.NO, TlsService.UNKNOWN)
    assert facts.connections_used <= FIRST_WAVE


async def test_a_server_that_chooses_what_was_not_offered_is_unknown_with_a_remark() -> None:
    async with server(says(server_hello(0xDADA))) as port:
        facts = await measure(port, connection_deadline_s=0.4)
    assert {facts.version(version).support for version in TlsVersion} == {Support.UNKNOWN}
    assert any(
        remark.startswith("protocol violation: the server chose cipher suite 0xDADA")
        for remark in facts.remarks
    )


async def test_the_scan_deadline_keeps_what_is_known(good: int) -> None:
    async with server(turns_hostile(good, after=1, into=stall)) as port:
        facts = await measure(port, connection_deadline_s=5, scan_deadline_s=0.6)
    assert facts.duration.total_seconds() < 2
    assert facts.reachable is Support.YES
    assert facts.version(TlsVersion.SSL_2_0).support is Support.UNKNOWN
    assert any("deadline" in remark for remark in facts.remarks)


async def test_what_waits_says_so_and_a_shorter_deadline_holds_from_its_begin() -> None:
    stages: dict[str, list[Stage]] = {"first": [], "second": []}
    async with server(stall) as port, scanner(concurrent_scans=1, connection_deadline_s=30) as one:
        target = endpoint(port), loopback(), Depth.STANDARD
        measuring = [
            one.measure(*target, scan_deadline_s=0.3, entered=heard.append)
            for heard in stages.values()
        ]
        found = await asyncio.gather(*measuring)
    assert stages == {"first": [], "second": [Stage.QUEUED, Stage.BEGUN]}
    assert {facts.remarks[-1] for facts in found} == {"the scan reached its deadline of 0.3 s"}


async def test_a_full_queue_is_overload() -> None:
    async with (
        server(stall) as port,
        scanner(concurrent_scans=1, queue_limit=1, connection_deadline_s=0.5) as one,
    ):
        scans = [
            asyncio.create_task(one.measure(endpoint(port), loopback(), Depth.STANDARD))
            for _ in range(3)
        ]
        outcomes = await asyncio.gather(*scans, return_exceptions=True)
        assert [isinstance(outcome, Overloaded) for outcome in outcomes] == [False, False, True]
        assert one.queued == 0


def opened_to(port: int) -> int:
    """Return how many connections to 127.0.0.1 at a port their clients have open now.

    The server itself sees a close a moment after its client has opened the next connection.
    """
    syn_sent, established = "02", "01"
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return sum(
        remote == f"0100007F:{port:04X}" and state in (established, syn_sent)
        for _, _, remote, state, *_ in map(str.split, lines)
    )


async def test_connections_to_one_address_are_bounded_over_all_scans(good: int) -> None:
    most = 0

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        most = max(most, opened_to(port))
        await turns_hostile(good, after=1000, into=close)(reader, writer)

    async with server(count) as port, scanner(connections_per_address=4) as one:
        facts = await asyncio.gather(
            *(one.measure(endpoint(port), loopback(), Depth.STANDARD) for _ in range(2))
        )
    assert all(suites(one, TlsVersion.TLS_1_2, Support.YES) == set(SIX) for one in facts)
    assert most == 4


async def test_a_lack_of_descriptors_is_never_blamed_on_the_partner(good: int) -> None:
    async with scanner() as one:
        with open_files_left(0), pytest.raises(CannotDial, match="Too many open files"):
            await one.measure(endpoint(good), loopback(), Depth.STANDARD)


async def test_a_scan_that_cannot_go_on_keeps_what_it_knows_and_says_why(good: int) -> None:
    async with scanner() as one:
        # One is for watching connections.
        for left in range(2, 8):
            facts = None
            with open_files_left(left), suppress(CannotDial):
                facts = await one.measure(endpoint(good), loopback(), Depth.STANDARD)
            if facts is not None:
                assert facts.reachable is Support.YES
                assert facts.remarks[-1] == (
                    "the scan ended early by a fault of this service: Too many open files"
                )
