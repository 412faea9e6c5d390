"""Servers of old TLS versions, and with copied certificates, by tlslite-ng."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.constants import ExtensionType
from tlslite.errors import TLSError, TLSIllegalParameterException
from tlslite.messages import ServerHello

from tests.support.certificates import Issued
from tests.support.loopback import Listener
from tests.support.servers.threaded import threaded_server

SSL_3_0, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3 = (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyOffer:
    """What tlslite-ng offers, in its own terms.

    certificate: its chain is served; None for anonymous suites only. signer: signs in place of the
    certificate's own key, as if the certificate were copied. ciphers: such as "rc4", "3des",
    "null", "aes128gcm". anonymous: suites without a certificate are offered too.
    """

    certificate: Issued | None
    signer: Issued | None = None
    versions: tuple[tuple[int, int], tuple[int, int]] = (TLS_1_2, TLS_1_2)
    ciphers: Sequence[str] = ("aes128gcm",)
    macs: Sequence[str] = ("sha", "sha256", "sha384", "aead")
    key_exchanges: Sequence[str] = ("ecdhe_ecdsa", "ecdhe_rsa", "rsa")
    anonymous: bool = False
    secure_renegotiation: bool = True
    padding_oracle: bool = False


class _WithoutRenegotiationInfo(TLSConnection):  # type: ignore[misc]  # tlslite-ng has no types
    """A server from before RFC 5746."""

    def _sendMsg(self, msg: Any, *arguments: Any, **options: Any) -> Iterator[Any]:  # noqa: N802  # tlslite's name
        if isinstance(msg, ServerHello):
            msg.extensions = [
                extension
                for extension in msg.extensions or []
                if extension.extType != ExtensionType.renegotiation_info
            ]
        return super()._sendMsg(msg, *arguments, **options)  # type: ignore[no-any-return]


def _make_oracle(key: Any) -> None:
    """Make the key reveal wrong padding, which no server may reveal (RFC 5246 7.4.7.1)."""

    def decrypt(encrypted: Any) -> Any:
        plain = key._raw_private_key_op_bytes(encrypted)
        if plain[:2] != b"\0\2" or plain[-49] != 0 or 0 in plain[2:-49]:
            raise TLSIllegalParameterException("wrong padding")
        return plain[-48:]

    key.decrypt = decrypt


@contextmanager
def legacy_server(listener: Listener, offer: LegacyOffer) -> Iterator[Listener]:
    """Serve HTTPS."""
    settings = HandshakeSettings()
    settings.minVersion, settings.maxVersion = offer.versions
    settings.versions = [
        version
        for version in (TLS_1_3, TLS_1_2, TLS_1_1, TLS_1_0, SSL_3_0)
        if offer.versions[0] <= version <= offer.versions[1]
    ]
    settings.cipherNames = list(offer.ciphers)
    settings.macNames = list(offer.macs)
    settings.keyExchangeNames = list(offer.key_exchanges)
    # Some of these servers exist to show 1024-bit keys and SHA-1 signatures.
    settings.minKeySize = 1023
    chain = key = None
    if offer.certificate is not None:
        chain = X509CertChain()
        chain.parsePemList(offer.certificate.chain_pem.decode())
        key = parsePEMKey((offer.signer or offer.certificate).key_pem.decode(), private=True)
        if offer.padding_oracle:
            _make_oracle(key)

    def answer(raw: socket.socket) -> None:
        connection = (
            TLSConnection(raw) if offer.secure_renegotiation else _WithoutRenegotiationInfo(raw)
        )
        try:
            connection.handshakeServer(
                certChain=chain, privateKey=key, settings=settings, anon=offer.anonymous
            )
            if connection.recv(65536):
                connection.sendall(_RESPONSE)
            connection.close()
        except TLSError:
            # tlslite has sent its alert. Most connections of a scan end with a refusal.
            return

    with threaded_server(listener, answer) as running:
        yield running
