"""A server's flight is read and its key proven in the shape of every client of today.

So that a survey can take any of them, with nothing left out of what the client sends.
"""

import os
import ssl
from collections.abc import Mapping
from contextlib import suppress

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import (
    SCHEMES_OF_KIND,
    ClientProfile,
    ProfileHello,
    SignatureKind,
)
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.engine.transport.conversation import Conversation
from otpc_policy.engine.transport.key_proof import proves_key
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.hostile.endpoint import server_context
from tests.support.pss_keys import issue_pss
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
# What a leaf can be proven with; TLS 1.3 has no PKCS #1.
KINDS = {
    "RSA": (SignatureKind.RSA_PSS_RSAE, SignatureKind.RSA_PKCS1),
    "RSASSA-PSS": (SignatureKind.RSA_PSS_PSS,),
    "ECDSA": (SignatureKind.ECDSA,),
    "Ed25519": (SignatureKind.ED25519,),
    "Ed448": (SignatureKind.ED448,),
}


@pytest.fixture(scope="module")
def leaves() -> Mapping[str, Issued]:
    authority = CertificateAuthority.create("Flights Root")
    return {
        "RSA": authority.issue(key="rsa2048"),
        "RSASSA-PSS": issue_pss(authority),
        "ECDSA": authority.issue(key="ec256"),
        "Ed25519": authority.issue(key="ed25519"),
        "Ed448": authority.issue(key="ed448"),
    }


@pytest.fixture(scope="module")
def contexts(leaves: Mapping[str, Issued]) -> Mapping[tuple[str, str], ssl.SSLContext]:
    return {
        (server, key): server_context(leaf, ciphers=OTPC_CIPHERS, newest=newest, curve=curve)
        for server, (newest, curve) in SERVERS.items()
        for key, leaf in leaves.items()
    }


def conversation_with(profile: ClientProfile, context: ssl.SSLContext) -> Conversation:
    conversation = Conversation(ProfileHello(profile=profile, server_name=NAME), os.urandom)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    to_send = conversation.opening
    while to_send:
        incoming.write(to_send)
        with suppress(ssl.SSLError):
            server.do_handshake()
        to_send = conversation.receive(outgoing.read())
    return conversation


def verifies(profile: ClientProfile, key: str, newest: ssl.TLSVersion) -> bool:
    """The client names a scheme that the server can sign with."""
    is_tls_1_3 = newest is ssl.TLSVersion.TLSv1_3 and profile.highest is TlsVersion.TLS_1_3
    kinds = KINDS[key][:1] if is_tls_1_3 else KINDS[key]
    return any(set(SCHEMES_OF_KIND[kind]) & set(profile.schemes) for kind in kinds)


@pytest.mark.parametrize("key", KINDS)
@pytest.mark.parametrize(
    ("server", "profile"),
    [
        pytest.param(server, profile, id=f"{profile.name} at {server}")
        for server in SERVERS
        for profile in CURRENT
        if server != "P-384" or _P384 in profile.groups
    ],
)
def test_the_leaf_is_proven_to_every_client_of_today_that_can_verify_it(
    profile: ClientProfile,
    server: str,
    key: str,
    contexts: Mapping[tuple[str, str], ssl.SSLContext],
    leaves: Mapping[str, Issued],
) -> None:
    flight = conversation_with(profile, contexts[server, key]).flight
    if verifies(profile, key, SERVERS[server][0]):
        assert flight is not None
        assert flight.chain == leaves[key].chain_der
        assert flight.is_whole
        assert proves_key(flight)
    else:
        assert flight is None or not flight.is_whole
