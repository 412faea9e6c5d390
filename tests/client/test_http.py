"""httpx and aiohttp over connections as judged: real libraries, real TLS servers."""

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import httpx
import pytest

from otpc_policy_client import (
    AsyncPolicyClient,
    NotAsJudged,
    Overloaded,
    PolicyClient,
    TrafficNotPermitted,
    for_aiohttp,
    opening,
)
from otpc_policy_client.for_aiohttp import JudgedConnector
from otpc_policy_client.for_httpx import AsyncJudgedTransport, JudgedTransport
from otpc_policy_client.testing import (
    AsyncFakePolicyClient,
    FakePolicyClient,
    Rules,
    allow,
    deny,
    fail,
)
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import Listener, own_listener
from tests.support.servers import TlsOffer
from tests.support.servers.threaded import tls_server

HOST = "partner.test"
AUTHORITY = CertificateAuthority.create()
LEAF, OTHER = (AUTHORITY.issue(dns=(HOST,)) for _ in range(2))
# Longer than anything here takes.
PATIENCE_S = 20.0


def digest(issued: Issued) -> bytes:
    return hashlib.sha256(issued.der).digest()


@dataclass
class Heard:
    """What reached the partner inside of TLS: connections, and requests by their first line."""

    connections: int = 0
    requests: list[str] = field(default_factory=list)

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        received = b""
        while part := connection.recv(65_536):
            received += part
            while b"\r\n\r\n" in received:
                head, _, received = received.partition(b"\r\n\r\n")
                self.requests.append(head.partition(b"\r\n")[0].decode())
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npaid")


@contextmanager
def partner(leaf: Issued) -> Iterator[tuple[Listener, Heard]]:
    heard = Heard()
    with tls_server(own_listener(), TlsOffer(certificates=(leaf,)), heard) as at:
        yield at, heard


# Make requests to these URLs one after the other with one pool; return the bodies.
Fetch = Callable[[Rules, list[str]], list[str]]


def with_httpx(rules: Rules, urls: list[str]) -> list[str]:
    with (
        FakePolicyClient(rules, timeout_s=PATIENCE_S) as policy_client,
        httpx.Client(
            transport=JudgedTransport(policy_client, policy="p"), timeout=PATIENCE_S
        ) as http,
    ):
        return [http.get(url).text for url in urls]


def with_httpx_and_asyncio(rules: Rules, urls: list[str]) -> list[str]:
    async def fetch() -> list[str]:
        async with (
            AsyncFakePolicyClient(rules, timeout_s=PATIENCE_S) as policy_client,
            httpx.AsyncClient(
                transport=AsyncJudgedTransport(policy_client, policy="p"), timeout=PATIENCE_S
            ) as http,
        ):
            return [(await http.get(url)).text for url in urls]

    return asyncio.run(fetch())


def with_aiohttp(rules: Rules, urls: list[str]) -> list[str]:
    async def fetch() -> list[str]:
        async with (
            AsyncFakePolicyClient(rules, timeout_s=PATIENCE_S) as policy_client,
            aiohttp.ClientSession(
                connector=JudgedConnector(policy_client, policy="p"),
                timeout=aiohttp.ClientTimeout(sock_connect=PATIENCE_S),
            ) as session,
        ):
            bodies = []
            for url in urls:
                async with session.get(url) as response:
                    bodies.append(await response.text())
            return bodies

    return asyncio.run(fetch())


every = pytest.mark.parametrize("fetch", [with_httpx, with_httpx_and_asyncio, with_aiohttp])


@every
def test_requests_go_over_one_connection_to_a_judged_address(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> Any:
        raise AssertionError("the name was resolved again")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    rules = Rules()
    with partner(LEAF) as (at, heard):
        rules.set(HOST, allow(addresses=[at.address], leaves=[digest(LEAF)]), port=at.port)
        bodies = fetch(rules, [f"https://{HOST}:{at.port}/{path}" for path in "ab"])
    assert bodies == ["paid", "paid"]
    assert (heard.connections, heard.requests) == (1, ["GET /a HTTP/1.1", "GET /b HTTP/1.1"])
    assert [(each.host, each.port, each.policy) for each in rules.asked] == [(HOST, at.port, "p")]


@every
def test_another_leaf_gets_no_request_and_is_reported_once(fetch: Fetch) -> None:
    rules = Rules()
    with partner(OTHER) as (at, heard):
        only = allow(addresses=[at.address], leaves=[digest(LEAF)])
        rules.set(HOST, only, port=at.port)
        with pytest.raises(NotAsJudged):
            fetch(rules, [f"https://{HOST}:{at.port}/"])
    assert heard.requests == []
    assert [each.observed_leaf_sha256 for each in rules.asked] == [b"", digest(OTHER)]


@every
def test_what_is_not_permitted_is_not_dialled(fetch: Fetch) -> None:
    rules = Rules()
    with partner(LEAF) as (at, heard):
        url = f"https://{HOST}:{at.port}/"
        rules.set(HOST, deny("CERTIFICATE_EXPIRED"), port=at.port)
        with pytest.raises(TrafficNotPermitted, match="CERTIFICATE_EXPIRED"):
            fetch(rules, [url])
        rules.set(HOST, fail(grpc.StatusCode.RESOURCE_EXHAUSTED), port=at.port)
        with pytest.raises(Overloaded):
            fetch(rules, [url])
        for other in (f"http://{HOST}:{at.port}/", "http://unknown.test/"):
            with pytest.raises((httpx.UnsupportedProtocol, aiohttp.NonHttpUrlClientError)):
                fetch(rules, [other])
    assert heard.connections == 0


@every
def test_a_kept_connection_is_not_used_after_its_answer_has_expired(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # aiohttp's connector asks before each use: the new connection, the kept one, the next new one.
    answers = [True, False, True]
    rules = Rules()
    with partner(LEAF) as (at, heard):
        rules.set(HOST, allow(addresses=[at.address], leaves=[digest(LEAF)]), port=at.port)
        # httpx asks before it uses a kept connection again.
        monkeypatch.setattr(opening, "stands", lambda _: False)
        monkeypatch.setattr(for_aiohttp, "stands", lambda _: answers.pop(0))
        bodies = fetch(rules, [f"https://{HOST}:{at.port}/{path}" for path in "ab"])
    assert bodies == ["paid", "paid"]
    assert heard.connections == 2
    assert len(rules.asked) == 2


@every
def test_a_network_error_is_one_of_the_library(fetch: Fetch) -> None:
    rules, nobody = Rules(), own_listener()
    rules.set(HOST, allow(addresses=[nobody.address], leaves=[digest(LEAF)]), port=nobody.port)
    with pytest.raises((httpx.ConnectError, aiohttp.ClientConnectionError)):
        fetch(rules, [f"https://{HOST}:{nobody.port}/"])


def test_a_response_that_breaks_off_is_an_error_of_httpx() -> None:
    def break_off(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npart")

    rules = Rules()
    with tls_server(own_listener(), TlsOffer(certificates=(LEAF,)), break_off) as at:
        rules.set(HOST, allow(addresses=[at.address], leaves=[digest(LEAF)]), port=at.port)
        with pytest.raises(httpx.RemoteProtocolError):
            with_httpx(rules, [f"https://{HOST}:{at.port}/"])
        with pytest.raises(httpx.RemoteProtocolError):
            with_httpx_and_asyncio(rules, [f"https://{HOST}:{at.port}/"])


def test_a_context_of_the_callers_verifies_in_addition() -> None:
    rules = Rules()
    with partner(LEAF) as (at, heard):
        rules.set(HOST, allow(addresses=[at.address], leaves=[digest(LEAF)]), port=at.port)
        with (
            FakePolicyClient(rules, timeout_s=PATIENCE_S) as policy_client,
            httpx.Client(
                transport=JudgedTransport(policy_client, make_context=ssl.create_default_context)
            ) as http,
            pytest.raises(httpx.ConnectError, match="certificate verify failed"),
        ):
            http.get(f"https://{HOST}:{at.port}/")
    assert heard.requests == []


def test_the_transports_take_real_clients() -> None:
    assert issubclass(FakePolicyClient, PolicyClient)
    assert issubclass(AsyncFakePolicyClient, AsyncPolicyClient)
