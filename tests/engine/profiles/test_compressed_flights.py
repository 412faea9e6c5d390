"""Flights with a compressed certificate, from a server that sends them: tlslite-ng."""

import os
import socket
import threading
from contextlib import suppress

import pytest
from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.errors import BaseTLSException

from otpc_policy.engine.profiles.clients import ProfileHello
from otpc_policy.engine.profiles.recorded_clients import recorded_clients
from otpc_policy.engine.transport import conversation as conversations
from otpc_policy.engine.transport.certificate_compression import decompressed
from otpc_policy.engine.transport.key_proof import proves_key
from tests.support.certificates import CertificateAuthority, Issued

LEAF = CertificateAuthority.create("Compressing Root").intermediate().issue(key="rsa2048")
CODE_POINTS = {"zlib": 1, "brotli": 2}


def serve(connection: socket.socket, leaf: Issued, method: str) -> None:
    chain = X509CertChain()
    chain.parsePemList(leaf.chain_pem.decode("ascii"))
    settings = HandshakeSettings()
    settings.minVersion = settings.maxVersion = (3, 4)
    settings.certificate_compression_send = [method]
    with suppress(OSError, BaseTLSException):
        TLSConnection(connection).handshakeServer(
            certChain=chain,
            privateKey=parsePEMKey(leaf.key_pem.decode("ascii"), private=True),
            settings=settings,
            # It fails on a client's ALPN without its own.
            alpn=[bytearray(b"http/1.1")],
        )


@pytest.mark.parametrize(
    ("client", "method"),
    [("chrome", "brotli"), ("safari", "zlib"), ("firefox", "zlib"), ("firefox", "brotli")],
)
def test_a_compressed_certificate_is_proven_to_the_clients_that_read_it(
    client: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[int] = []

    def noted(algorithm: int, size: int, compressed: bytes) -> bytes:
        used.append(algorithm)
        return decompressed(algorithm, size, compressed)

    monkeypatch.setattr(conversations, "decompressed", noted)
    profile = recorded_clients()[client].profile
    hello = ProfileHello(profile=profile, server_name="partner.test")
    conversation = conversations.Conversation(hello, os.urandom)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        server = threading.Thread(target=serve, args=(theirs, LEAF, method))
        server.start()
        ours.sendall(conversation.opening)
        while not conversation.is_over:
            content = ours.recv(2**14)
            assert content, "the server closed before its flight was over"
            ours.sendall(conversation.receive(content))
        ours.shutdown(socket.SHUT_RDWR)
        server.join()
    flight = conversation.flight
    assert used == [CODE_POINTS[method]]
    assert flight is not None
    assert flight.chain == LEAF.chain_der
    assert flight.is_whole
    assert proves_key(flight)
