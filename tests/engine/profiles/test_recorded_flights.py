"""A server's flight is read and its key proven in the shape of every client of today.

So that a survey can take any of them, with nothing left out of what the client sends.
"""

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress

import pytest

from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.engine.transport.conversation import Conversation
from otpc_policy.engine.transport.key_proof import proves_key
from otpc_policy.tls.flight import ServerFlight
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.hostile.endpoint import server_context
from tests.support.servers.offer import OTPC_CIPHERS

NAME = "partner.test"
_P384 = 24
CURRENT = [
    client.profile for client in recorded_clients().values() if client.kind is ClientKind.CURRENT
]
SERVERS = {
    "TLS 1.2": (ssl.TLSVersion.TLSv1_2, ""),
    "TLS 1.3": (ssl.TLSVersion.TLSv1_3, ""),
    # Most clients send no share of it, so the server asks for one.
    "P-384": (ssl.TLSVersion.TLSv1_3, "secp384r1"),
}


@pytest.fixture(scope="module")
def leaves() -> tuple[Issued, ...]:
    authority = CertificateAuthority.create("Flights Root")
    return authority.issue(key="rsa2048"), authority.issue(key="ec256")


@pytest.fixture(scope="module")
def contexts(leaves: tuple[Issued, ...]) -> Mapping[str, ssl.SSLContext]:
    return {
        name: server_context(*leaves, ciphers=OTPC_CIPHERS, newest=newest, curve=curve)
        for name, (newest, curve) in SERVERS.items()
    }


def flight_of(profile: ClientProfile, context: ssl.SSLContext) -> ServerFlight | None:
    hello = ProfileHello(profile=profile, server_name=NAME)
    conversation = Conversation(hello, os.urandom)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    to_send = conversation.opening
    while to_send:
        incoming.write(to_send)
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()
        to_send = conversation.receive(outgoing.read())
    return conversation.flight


@pytest.mark.parametrize(
    ("server", "profile"),
    [
        pytest.param(server, profile, id=f"{profile.name} at {server}")
        for server in SERVERS
        for profile in CURRENT
        if server != "P-384" or _P384 in profile.groups
    ],
)
def test_the_leaf_is_proven_to_every_client_of_today(
    profile: ClientProfile,
    server: str,
    contexts: Mapping[str, ssl.SSLContext],
    leaves: tuple[Issued, ...],
) -> None:
    flight = flight_of(profile, contexts[server])
    assert flight is not None
    assert flight.chain[0] in {leaf.der for leaf in leaves}
    assert proves_key(flight)
