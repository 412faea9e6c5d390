"""A worker process: completes one handshake for each request, through sslyze's connections. The only importer of sslyze.

It decides nothing. Requests come on stdin, answers go to stdout (see messages); it ends when stdin does.

What nassl does, stated once:
- OpenSSL verifies the signature in ServerKeyExchange and CertificateVerify with the leaf's key although chain
  verification is off. So a chain is reported only behind such a proof.
- Where a client certificate is requested, OpenSSL asks for one after ServerHelloDone, or after the server's Finished in
  TLS 1.3. The signature is verified by then; a static RSA key exchange has proven nothing yet.
- Suites that the library lacks are dropped without a word, so the offer is read off the hello that was sent.
"""

import os
import ssl
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from nassl._nassl import OpenSSLError, WantX509LookupError
from nassl.ssl_client import ClientCertificateRequested, OpenSslVersionEnum
from sslyze.connection_helpers.tls_connection import SslConnection
from sslyze.server_setting import ServerNetworkConfiguration, ServerNetworkLocation

from otpc_policy.facts import KeyType, TlsVersion
from otpc_policy.scan.guarded_socket import ByteLimitReached, GuardedSocket
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.scan.messages import LENGTH_BYTES, READY, decode_offer, encode_outcome, frame
from otpc_policy.tls.answer import ServerHello, parse_answer
from otpc_policy.tls.client_hello import offered_cipher_suites
from otpc_policy.tls.suites import CipherSuite, suite_by_code_point

# More than the parent asks of one worker at a time, so that a request that was given up never makes another one wait.
THREADS = 32
# Enough to tell protocols apart.
_REPLY_BYTES = 16

_VERSIONS = {
    None: OpenSslVersionEnum.SSLV23,
    TlsVersion.SSL_2_0: OpenSslVersionEnum.SSLV2,
    TlsVersion.SSL_3_0: OpenSslVersionEnum.SSLV3,
    TlsVersion.TLS_1_0: OpenSslVersionEnum.TLSV1,
    TlsVersion.TLS_1_1: OpenSslVersionEnum.TLSV1_1,
    TlsVersion.TLS_1_2: OpenSslVersionEnum.TLSV1_2,
    TlsVersion.TLS_1_3: OpenSslVersionEnum.TLSV1_3,
}
# Pairs of digest and key type, as NIDs of OpenSSL 1.1.1. TLS 1.3 signs with PSS alone (RFC 8446 4.2.3), but HAProxy looks for the schemes of
# PKCS #1 to see whether a client takes its RSA certificate.
_SHA1, _SHA256, _SHA384, _SHA512 = 64, 672, 673, 674
_RSA, _RSA_PSS, _EC, _ED25519, _ED448 = 6, 912, 408, 1087, 1088
_SIGNATURE_SCHEMES = {
    KeyType.RSA: (_SHA256, _RSA_PSS, _SHA384, _RSA_PSS, _SHA512, _RSA_PSS, _SHA256, _RSA, _SHA384, _RSA, _SHA512, _RSA),
    KeyType.ECDSA: (_SHA256, _EC, _SHA384, _EC, _SHA512, _EC, _SHA1, _EC),
    KeyType.EDDSA: (0, _ED25519, 0, _ED448),
}


def handshake(offer: HandshakeOffer) -> HandshakeOutcome:
    """Carry out one offer. Whatever the server does ends as an outcome."""
    started = time.monotonic()
    guarded = GuardedSocket(deadline_s=offer.deadline_s, byte_limit=offer.byte_limit)
    client: Any = None
    requested = False
    detail, reply = "", b""
    try:
        client = _client(offer)
        guarded.connect(offer.address, offer.port)
        client.set_underlying_socket(guarded)
        client.do_handshake()
        ending = Ending.COMPLETED
        reply = _reply(client, offer.request) if offer.request else b""
    except ClientCertificateRequested as request:
        # The same exception also stands for alerts about a certificate; we sent none, so such an alert is a failure.
        requested = isinstance(request.__context__, WantX509LookupError)
        ending = Ending.CLIENT_CERTIFICATE if requested else Ending.FAILED
    except OpenSSLError as error:
        detail = str(error).strip()
        ending = Ending.NOTHING_TO_OFFER if "no cipher" in detail and not guarded.sent else Ending.FAILED
    except ByteLimitReached:
        ending = Ending.BYTE_LIMIT
    except TimeoutError:
        ending = Ending.TIMED_OUT
    except ConnectionRefusedError:
        ending = Ending.REFUSED
    except OSError as error:
        detail = str(error)
        ending = Ending.UNREACHABLE if not guarded.connected else Ending.CLOSED if guarded.peer_closed else Ending.RESET
    finally:
        guarded.close()
    proven = ending is Ending.COMPLETED or (requested and _signs_before_asking(guarded.first_bytes))
    chain = _received_chain(client) if proven else ()
    return HandshakeOutcome(
        ending=ending,
        connected=guarded.connected,
        offered=offered_cipher_suites(guarded.sent),
        first_bytes=guarded.first_bytes,
        key_proven=bool(chain),
        client_certificate_requested=requested,
        chain=chain,
        stapled_ocsp_response=_staple(client) if chain else None,
        reply=reply,
        duration_s=time.monotonic() - started,
        detail=detail,
    )


def _client(offer: HandshakeOffer) -> Any:
    suites = [suite for suite in map(suite_by_code_point, offer.cipher_suites) if suite is not None and suite.openssl_name]
    location = ServerNetworkLocation(hostname=offer.server_name or offer.address, port=offer.port, ip_address=offer.address)
    # The annotation of tls_version is narrower than what it does: it takes OpenSslVersionEnum's numbers, "any version" included.
    version: Any = _VERSIONS[offer.version]
    connection = SslConnection(
        server_location=location,
        network_configuration=ServerNetworkConfiguration(tls_server_name_indication=offer.server_name or ""),
        tls_version=version,
        should_ignore_client_auth=False,
        should_use_legacy_openssl=offer.legacy,
        should_enable_server_name_indication=offer.server_name is not None,
    )
    client: Any = connection.ssl_client
    older = [suite.openssl_name for suite in suites if not suite.is_tls13]
    if offer.legacy:
        client.set_cipher_list(":".join(older))
    else:
        # Security level 0: weak keys and old hashes must be seen, not refused by us. Some suite has to stand beside it.
        client.set_cipher_list(":".join([*(older or ["ECDHE-RSA-AES128-GCM-SHA256"]), "@SECLEVEL=0"]))
        client.set_ciphersuites(":".join(suite.openssl_name for suite in suites if suite.is_tls13))
        if offer.key_type is not None:
            client._ssl.set1_sigalgs(list(_SIGNATURE_SCHEMES[offer.key_type]))  # the public method knows no EdDSA
    if offer.version is None or offer.version >= TlsVersion.TLS_1_0:
        client.set_tlsext_status_ocsp()
    return client


def _reply(client: Any, request: bytes) -> bytes:
    """Return the start of what comes back; nothing that the server does now is about the handshake."""
    try:
        client.write(request)
        return bytes(client.read(_REPLY_BYTES))
    except (OpenSSLError, OSError, ClientCertificateRequested):
        return b""


def _signs_before_asking(first_bytes: bytes) -> bool:
    answer = parse_answer(first_bytes)
    suite: CipherSuite | None = suite_by_code_point(answer.cipher_suite) if isinstance(answer, ServerHello) else None
    return suite is not None and suite.is_forward_secret


def _received_chain(client: Any) -> tuple[bytes, ...]:
    try:
        return tuple(ssl.PEM_cert_to_DER_cert(pem) for pem in client.get_received_chain())
    except (ValueError, OpenSSLError):
        return ()  # anonymous: there is none


def _staple(client: Any) -> bytes | None:
    try:
        response = client.get_tlsext_status_ocsp_resp()
        return None if response is None else bytes(response.as_der_bytes())
    except (ValueError, OpenSSLError):
        return b""  # something was stapled that is no OCSPResponse


class _Answers:
    """Writes answers from all threads, one at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._lock = stream, threading.Lock()

    def write(self, message: bytes) -> None:
        with self._lock:
            self._stream.write(frame(message))
            self._stream.flush()


def _answer(message: bytes, answers: _Answers) -> None:
    number, offer = decode_offer(message)
    try:
        outcome = handshake(offer)
    except Exception as error:  # noqa: BLE001 - outermost frame of a request: the worker outlives every handshake
        outcome = HandshakeOutcome(ending=Ending.NOT_RUN, detail=f"{type(error).__name__}: {error}")
    try:
        answers.write(encode_outcome(number, outcome))
    except OSError:
        os._exit(0)  # the parent is gone


def main() -> None:
    """Serve requests until stdin ends."""
    # Nothing that a library prints may get between the answers.
    own_stdout = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    answers = _Answers(own_stdout)
    nowhere = HandshakeOffer(address="127.0.0.1", port=0, server_name=None, version=None, cipher_suites=(0x1301, 0xC02F), deadline_s=1, byte_limit=1)
    _client(nowhere)
    answers.write(READY)
    threads = ThreadPoolExecutor(max_workers=THREADS)
    requests = sys.stdin.buffer
    while len(length := requests.read(LENGTH_BYTES)) == LENGTH_BYTES:
        threads.submit(_answer, requests.read(int.from_bytes(length, "big")), answers)
    os._exit(0)  # the parent is gone or has everything: waiting for connections serves nobody


if __name__ == "__main__":
    main()
