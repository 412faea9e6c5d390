"""Flights after a hybrid key exchange, from servers that have it: Caddy (Go), Envoy (BoringSSL).

Of the hybrid groups both serve X25519MLKEM768 alone.
"""

import os
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.engine.transport.conversation import Conversation
from otpc_policy.engine.transport.key_proof import proves_key
from otpc_policy.tls.answer import ServerHello
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import Listener, own_listener
from tests.support.servers.caddy import caddy
from tests.support.servers.envoy import envoy
from tests.support.servers.offer import TlsOffer

P256, X448, X25519_ML_KEM = 23, 30, 0x11EC
CURRENT = {
    client.name: client.profile
    for client in recorded_clients().values()
    if client.kind is ClientKind.CURRENT
}
HYBRID = [profile for profile in CURRENT.values() if X25519_ML_KEM in profile.share_groups]
GO = CURRENT["go"]


@pytest.fixture(scope="module")
def leaf() -> Issued:
    return CertificateAuthority.create("Hybrid Root").issue(key="ec256")


@pytest.fixture(scope="module")
def caddy_listener(leaf: Issued) -> Iterator[Listener]:
    with caddy(own_listener(), TlsOffer(certificates=(leaf,))) as listener:
        yield listener


@pytest.fixture(scope="module")
def envoy_listener(leaf: Issued) -> Iterator[Listener]:
    """Nothing but the hybrid group: BoringSSL prefers X25519 where it is left to choose."""
    offer = TlsOffer(certificates=(leaf,))
    with envoy(own_listener(), offer, groups=("X25519MLKEM768",)) as listener:
        yield listener


def conversation_with(listener: Listener, profile: ClientProfile) -> tuple[Conversation, int]:
    """Return the conversation, and how many hellos were sent."""
    hello = ProfileHello(profile=profile, server_name="partner.test")
    conversation, hellos = Conversation(hello, os.urandom), 1
    with socket.create_connection((listener.address, listener.port), timeout=10) as connection:
        connection.sendall(conversation.opening)
        while not conversation.is_over:
            content = connection.recv(2**14)
            assert content, "the server closed before its flight was over"
            second = conversation.receive(content)
            hellos += bool(second)
            connection.sendall(second)
    return conversation, hellos


def assert_proven(conversation: Conversation, group: int, leaf: Issued) -> None:
    answer, flight = conversation.answer_at_end(), conversation.flight
    assert isinstance(answer, ServerHello)
    assert answer.version == TlsVersion.TLS_1_3
    assert answer.selected_group == group
    assert flight is not None
    assert flight.chain == leaf.chain_der
    assert flight.is_whole
    assert proves_key(flight)


@pytest.mark.parametrize("profile", HYBRID, ids=lambda profile: profile.name)
@pytest.mark.parametrize("server", ["caddy", "envoy"])
def test_every_client_with_a_hybrid_share_is_given_a_flight_that_is_proven(
    profile: ClientProfile, server: str, leaf: Issued, request: pytest.FixtureRequest
) -> None:
    listener = request.getfixturevalue(f"{server}_listener")
    conversation, hellos = conversation_with(listener, profile)
    assert hellos == 1
    assert_proven(conversation, X25519_ML_KEM, leaf)


def test_the_clients_with_a_hybrid_share_are_the_newest() -> None:
    names = {"chrome", "firefox", "go", "grpc", "rustls", "safari"}
    assert {profile.name for profile in HYBRID} == names


@pytest.mark.parametrize("server", ["caddy", "envoy"])
def test_the_group_is_proven_after_a_retry_request(
    server: str, leaf: Issued, request: pytest.FixtureRequest
) -> None:
    """The only share is of X448, which neither server has."""
    profile = replace(GO, groups=(X448, X25519_ML_KEM), share_groups=(X448,))
    conversation, hellos = conversation_with(request.getfixturevalue(f"{server}_listener"), profile)
    assert hellos == 2
    assert_proven(conversation, X25519_ML_KEM, leaf)


def test_a_server_without_the_group_is_given_another_share(leaf: Issued) -> None:
    with envoy(own_listener(), TlsOffer(certificates=(leaf,)), groups=("P-256",)) as listener:
        for profile in HYBRID:
            conversation, _ = conversation_with(listener, profile)
            assert_proven(conversation, P256, leaf)
