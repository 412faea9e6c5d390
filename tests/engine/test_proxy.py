"""Measuring through an HTTP proxy: every connection takes it, and nothing it says is a fact."""

import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    HttpService,
    Support,
    TlsService,
    Vulnerability,
)
from otpc_policy.core.fetching import FetchOutcome, HttpUrl
from otpc_policy.engine.egress.dialler import connect, connect_soon
from otpc_policy.engine.egress.http_download import download
from otpc_policy.engine.egress.proxy import (
    EgressProxy,
    ProxyFault,
    ProxyRefusal,
    ProxyRoute,
    basic_authorization,
)
from otpc_policy.engine.egress.proxy_access import ProxyAccess, ProxySettings
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from tests.engine.test_http_download import of_literal
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.connect_proxy import (
    ConnectProxy,
    Mood,
    after,
    connect_proxy,
    cut,
    cut_tunnel,
    dripping,
    endless,
    every,
    reset_tunnel,
    says,
    silent,
    status,
    tunnel,
)
from tests.support.http_files import http_files, ok
from tests.support.loopback import Listener, free_port, own_listener, vetted
from tests.support.servers.nginx import nginx
from tests.support.servers.offer import TlsOffer

HOST = "partner.test"


@pytest.fixture(scope="module")
def leaves() -> tuple[Issued, Issued]:
    authority = CertificateAuthority.create()
    return authority.issue(dns=(HOST,), key="ec256"), authority.issue(dns=(HOST,), key="rsa2048")


@pytest.fixture(scope="module")
def good(leaves: tuple[Issued, Issued]) -> Iterator[Listener]:
    with nginx(own_listener(), TlsOffer(certificates=leaves)) as running:
        yield running


def of(proxy: ConnectProxy) -> EgressProxy:
    return EgressProxy(proxy.address, proxy.port)


@asynccontextmanager
async def scanner(proxy: EgressProxy, **limits: float) -> AsyncIterator[SslyzeScanner]:
    one = SslyzeScanner(
        limits=ScanLimits(workers=1, **limits),  # type: ignore[arg-type]
        now=lambda: datetime.now(UTC),
        proxy=lambda: proxy,
    )
    await one.start()
    try:
        yield one
    finally:
        await one.stop()


async def measured(
    mood: Mood, at: Listener, depth: Depth = Depth.STANDARD, **limits: float
) -> tuple[AddressFacts, ConnectProxy]:
    with connect_proxy(mood) as proxy:
        async with scanner(of(proxy), **limits) as one:
            endpoint = parse_endpoint(HOST, at.port)
            return await one.measure(endpoint, vetted(at.address), depth), proxy


@contextmanager
def peers_of(at: Listener) -> Iterator[tuple[Listener, set[str]]]:
    """Relay to a server; yield where, and the addresses that connect."""
    front, peers, ends = own_listener(), set[str](), list[socket.socket]()

    def pump(source: socket.socket, sink: socket.socket) -> None:
        try:
            while piece := source.recv(65536):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def accept(listening: socket.socket) -> None:
        while True:
            try:
                connection, (peer, _) = listening.accept()
            except OSError:
                return
            peers.add(peer)
            server = socket.create_connection((at.address, at.port))
            ends.extend((connection, server))
            for pair in ((connection, server), (server, connection)):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server((front.address, front.port), backlog=512) as listening:
        thread = threading.Thread(target=accept, args=(listening,), daemon=True)
        thread.start()
        yield front, peers
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for end in ends:
        end.close()


@contextmanager
def closing_on_refusal(at: Listener) -> Iterator[Listener]:
    """Relay to a server, but close where it answers with an alert."""
    front, ends = own_listener(), list[socket.socket]()

    def carry(connection: socket.socket) -> None:
        server = socket.create_connection((at.address, at.port))
        ends.append(server)

        def back() -> None:
            with suppress(OSError):
                while (piece := server.recv(65536)) and piece[0] != 0x15:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=back, daemon=True).start()
        with suppress(OSError):
            while piece := connection.recv(65536):
                server.sendall(piece)
            server.shutdown(socket.SHUT_WR)

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                ends.append(connection)
                threading.Thread(target=carry, args=(connection,), daemon=True).start()

    with socket.create_server((front.address, front.port), backlog=512) as listening:
        thread = threading.Thread(target=accept, args=(listening,), daemon=True)
        thread.start()
        yield front
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
    for end in ends:
        end.close()


async def test_every_connection_of_a_deep_measurement_goes_through_the_proxy(
    good: Listener,
) -> None:
    with peers_of(good) as (front, peers):
        facts, proxy = await measured(tunnel, front, Depth.DEEP)
        assert peers == {proxy.source}
    assert facts.tls is TlsService.SERVED
    assert facts.http is HttpService.SERVED
    assert {fact.support for fact in facts.versions} == {Support.YES, Support.NO}
    assert facts.deep is not None
    assert facts.deep.remarks == facts.remarks == ()
    assert {fact.present for fact in facts.vulnerabilities} == {Support.NO}
    assert len(facts.vulnerabilities) == len(Vulnerability)
    # Always the vetted address, never the name.
    assert set(proxy.asked) == {f"{front.address}:{front.port}"}
    assert len(proxy.asked) == facts.connections_used


async def test_through_a_proxy_the_same_is_found(good: Listener) -> None:
    direct = SslyzeScanner(limits=ScanLimits(workers=1), now=lambda: datetime.now(UTC))
    await direct.start()
    try:
        endpoint = parse_endpoint(HOST, good.port)
        expected = await direct.measure(endpoint, vetted(good.address), Depth.STANDARD)
    finally:
        await direct.stop()
    for mood in (tunnel, dripping):
        found, _ = await measured(mood, good)
        for name in ("versions", "cipher_suites", "client_auth", "http", "reachable"):
            assert getattr(found, name) == getattr(expected, name)
        # In no order that matters.
        assert set(found.deployments) == set(expected.deployments)


REFUSALS: dict[str, tuple[Mood, str]] = {
    "forbidden": (status(403), "did not connect to this address (status 403)"),
    "bad gateway": (status(502), "did not connect to this address (status 502)"),
    "unavailable": (status(503), "(status 503)"),
    "timeout": (status(504), "(status 504)"),
    "no such method": (status(405), "(status 405)"),
    "redirected": (status(302), "(status 302)"),
    "cut": (cut, "closed the connection without an answer"),
    "cut in the head": (says(b"HTTP/1.1 200 OK\r\nX:"), "without an answer"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_proxy_that_does_not_connect_proves_nothing(good: Listener, name: str) -> None:
    mood, words = REFUSALS[name]
    facts, _ = await measured(mood, good)
    assert (facts.reachable, facts.tls) == (Support.UNKNOWN, TlsService.UNKNOWN)
    assert not facts.versions
    said = [remark for remark in facts.remarks if "egress proxy" in remark]
    assert len(said) == 1
    assert words in said[0]


async def test_a_target_that_refuses_is_unknown_behind_a_proxy() -> None:
    at = own_listener()
    facts, _ = await measured(tunnel, at)
    assert (facts.reachable, facts.tls) == (Support.UNKNOWN, TlsService.UNKNOWN)
    assert "(status 502)" in facts.remarks[-1]


# They open a tunnel before they know whether it leads anywhere.
EARLY: dict[str, Mood] = {
    "cut": cut_tunnel,
    "reset": reset_tunnel,
    "a page in the tunnel": says(
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    ),
    "silence in the tunnel": says(b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("name", EARLY)
async def test_what_comes_through_a_tunnel_without_tls_denies_nothing(
    good: Listener, name: str
) -> None:
    facts, _ = await measured(EARLY[name], good, connection_deadline_s=1)
    assert facts.tls is TlsService.UNKNOWN
    assert not facts.versions
    assert facts.http is HttpService.UNKNOWN


@pytest.mark.parametrize("mood", [status(502), status(403), cut, cut_tunnel, reset_tunnel])
@pytest.mark.parametrize("number", [3, 12, 25])
@pytest.mark.parametrize("fails", [after, every])
async def test_a_proxy_that_fails_in_the_middle_proves_no_absence(
    good: Listener, mood: Mood, number: int, fails: Callable[[int, Mood], Mood]
) -> None:
    facts, _ = await measured(fails(number, mood), good, connection_deadline_s=2)
    whole, _ = await measured(tunnel, good)
    accepted = {fact for fact in whole.cipher_suites if fact.support is Support.YES}
    offered = {(fact.version, fact.code_point) for fact in accepted}
    for fact in facts.cipher_suites:
        if (fact.version, fact.code_point) in offered:
            assert fact.support is not Support.NO
    offers = {fact.version for fact in whole.versions if fact.support is Support.YES}
    for version in facts.versions:
        assert version.version not in offers or version.support is not Support.NO


async def test_a_server_that_refuses_by_closing_is_unknown_behind_a_proxy(
    leaves: tuple[Issued, Issued],
) -> None:
    """With half of a pool of proxies broken, closes could alternate with controls by chance."""
    offer = TlsOffer(certificates=leaves, versions=("1.2",))
    direct = SslyzeScanner(limits=ScanLimits(workers=1), now=lambda: datetime.now(UTC))
    await direct.start()
    found = {}
    with nginx(own_listener(), offer) as server, closing_on_refusal(server) as at:
        try:
            endpoint = parse_endpoint(HOST, at.port)
            found["direct"] = await direct.measure(endpoint, vetted(at.address), Depth.STANDARD)
        finally:
            await direct.stop()
        found["proxied"], _ = await measured(tunnel, at)
    proven = {name: {fact.support for fact in facts.cipher_suites} for name, facts in found.items()}
    assert proven == {
        "direct": {Support.YES, Support.NO},
        "proxied": {Support.YES, Support.UNKNOWN},
    }
    assert any("no proof that the server refuses" in one for one in found["proxied"].remarks)


FAULTS: dict[str, tuple[Mood, str]] = {
    "credentials": (status(407), "egress_proxy_user"),
    "garbage": (says(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "is no HTTP proxy"),
    "HTTP/2": (says(b"HTTP/2 200\r\n\r\n"), "is no HTTP proxy"),
    "endless": (endless, "is no HTTP proxy"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_proxy_that_cannot_be_used_is_a_fault_of_this_service(
    good: Listener, name: str
) -> None:
    mood, words = FAULTS[name]
    with pytest.raises(ProxyFault, match=words):
        await measured(mood, good)


async def test_a_proxy_that_is_not_there_is_a_fault_of_this_service(good: Listener) -> None:
    nobody = EgressProxy("127.0.0.1", free_port("127.0.0.1"))
    async with scanner(nobody) as one:
        with pytest.raises(ProxyFault, match="cannot be reached: Connection refused"):
            await one.measure(parse_endpoint(HOST, good.port), vetted(good.address), Depth.STANDARD)


async def test_a_proxy_that_stops_working_costs_only_what_is_not_known_yet(good: Listener) -> None:
    facts, _ = await measured(after(30, status(407)), good)
    assert (facts.reachable, facts.tls) == (Support.YES, TlsService.SERVED)
    assert "a fault of this service" in facts.remarks[-1]


async def test_a_silent_proxy_ends_with_the_connections_deadline(good: Listener) -> None:
    facts, _ = await measured(silent, good, connection_deadline_s=0.5)
    assert (facts.reachable, facts.tls) == (Support.UNKNOWN, TlsService.UNKNOWN)


@pytest.mark.parametrize("blocks", [True, False])
@pytest.mark.parametrize("credentials", ["", "router:s3cr:et"])
async def test_both_ways_to_connect_open_a_tunnel_and_leave_what_came_in_it(
    blocks: bool, credentials: str
) -> None:
    user, _, password = credentials.partition(":")
    authorization = basic_authorization(user, password) if credentials else ""
    early = says(b"HTTP/1.1 200 OK\r\n\r\n220 speaks first\r\n")
    with connect_proxy(early, credentials=credentials) as proxy:
        route = ProxyRoute(replace(of(proxy), authorization=authorization))
        if blocks:
            connection = connect(vetted(), 25, timeout_s=5, route=route)
        else:
            connection = await connect_soon(vetted(), 25, route)
            connection.setblocking(True)
        with connection:
            assert connection.recv(100) == b"220 speaks first\r\n"
    assert proxy.asked == ["127.0.0.1:25"]
    assert "password" not in repr(route.proxy)
    if credentials:
        assert authorization not in repr(route.proxy)


async def test_wrong_credentials_are_said(good: Listener) -> None:
    with connect_proxy(credentials="router:secret") as proxy:
        route = ProxyRoute(replace(of(proxy), authorization=basic_authorization("router", "x")))
        with pytest.raises(ProxyFault, match="407"):
            await connect_soon(vetted(good.address), good.port, route)
        with pytest.raises(ProxyFault, match="407"):
            connect(vetted(good.address), good.port, timeout_s=5, route=route)


def test_an_ipv6_address_is_asked_for_in_brackets() -> None:
    with connect_proxy(status(502)) as proxy, pytest.raises(ProxyRefusal):
        connect(vetted("::1"), 443, timeout_s=5, route=ProxyRoute(of(proxy)))
    assert proxy.asked == ["[::1]:443"]
    assert proxy.heads[0].startswith("CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n")


@pytest.mark.parametrize(("mood", "outcome"), [(tunnel, "FETCHED"), (status(403), "UNREACHABLE")])
async def test_crls_are_fetched_through_the_proxy(mood: Mood, outcome: str) -> None:
    taken: list[bytes] = []

    async def take(piece: bytes) -> None:
        taken.append(piece)

    async with http_files() as files:
        files.files["/a.crl"] = ok(b"body")
        with connect_proxy(mood) as proxy:
            found = await download(
                HttpUrl.parse(files.url("/a.crl")),
                resolve=of_literal,
                max_bytes=1000,
                deadline_s=5,
                proxy=of(proxy),
                take=take,
            )
        assert found is FetchOutcome[outcome]
        assert proxy.asked == [files.root.removeprefix("http://")]
    assert b"".join(taken) == (b"body" if outcome == "FETCHED" else b"")


async def test_the_proxy_is_found_by_name_and_its_password_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n", encoding="utf-8")
    file.chmod(0o600)
    settings = ProxySettings(host="localhost", port=3128, user="router", password_file=file)
    access = ProxyAccess(settings)
    with pytest.raises(ProxyFault, match="cannot be resolved"):
        access.current()
    await access.start()
    found = access.current()
    await access.stop()
    assert found is not None
    assert found.address in ("127.0.0.1", "::1")
    assert found.authorization == basic_authorization("router", "s3cret")
    assert ProxyAccess(None).current() is None


@pytest.mark.parametrize(
    ("content", "mode", "word"),
    [("s3cret", 0o644, "chmod 600"), ("", 0o600, "a password"), ("a\nb", 0o600, "a password")],
)
def test_a_password_file_that_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, content: str, mode: int, word: str
) -> None:
    file = tmp_path / "password"
    file.write_text(content, encoding="utf-8")
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match=word):
        ProxyAccess(ProxySettings(host="proxy.test", port=3128, user="a", password_file=file))
