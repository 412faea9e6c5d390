"""One handshake on a connection that is there, completed by nassl. Nothing here waits.

Whoever watches the socket says when to go on. What nassl does, stated once:
- OpenSSL verifies the signature in ServerKeyExchange and CertificateVerify with the leaf's key
  although chain verification is off. So a chain is reported only after such a proof.
- Where a client certificate is requested, OpenSSL asks for it after ServerHelloDone, or after the
  server's Finished in TLS 1.3. The signature is verified by then; a static RSA key exchange has
  proven nothing yet.
- Suites that the library lacks are dropped silently, so the offer is read from the hello as sent.
- do_handshake and read resume where a socket's BlockingIOError interrupted them, because they ask
  OpenSSL before they ask the socket.
- After a fork, OpenSSL 1.1.1 takes new randomness from the kernel. OpenSSL 1.0.2 only mixes in
  the process id, which the kernel uses again some day: see stir_randomness.

sslyze itself is not imported: with its dependencies, a process that forks would copy four times
as much memory.
"""

import time
from base64 import b64decode
from contextlib import suppress
from socket import socket
from typing import Any

from nassl import _nassl_legacy
from nassl._nassl import OpenSSLError, WantX509LookupError
from nassl.legacy_ssl_client import LegacySslClient
from nassl.ssl_client import (
    ClientCertificateRequested,
    OpenSslVerifyEnum,
    OpenSslVersionEnum,
    SslClient,
)

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, suite_by_code_point
from otpc_policy.engine.workers.guarded_socket import ByteLimitReached, EagerSocket
from otpc_policy.engine.workers.handshake import (
    DETAIL_CHARACTERS,
    REPLY_BYTES,
    HandshakeEnding,
    HandshakeOutcome,
    Hello,
)
from otpc_policy.tls.answer import ServerHello, parse_answer
from otpc_policy.tls.client_hello import offered_cipher_suites

_VERSIONS = {
    None: OpenSslVersionEnum.SSLV23,
    TlsVersion.SSL_2_0: OpenSslVersionEnum.SSLV2,
    TlsVersion.SSL_3_0: OpenSslVersionEnum.SSLV3,
    TlsVersion.TLS_1_0: OpenSslVersionEnum.TLSV1,
    TlsVersion.TLS_1_1: OpenSslVersionEnum.TLSV1_1,
    TlsVersion.TLS_1_2: OpenSslVersionEnum.TLSV1_2,
    TlsVersion.TLS_1_3: OpenSslVersionEnum.TLSV1_3,
}


class ClientHandshake:
    """A handshake under way; go_on begins it.

    connection: to the server, non-blocking; closed at the end. until_s: by time.monotonic, when
    the handshake is over whatever happens.
    """

    def __init__(self, hello: Hello, connection: socket) -> None:
        self._hello = hello
        self._started_s = time.monotonic()
        self.until_s = self._started_s + hello.deadline_s
        self._socket = EagerSocket(
            connection, deadline_s=hello.deadline_s, byte_limit=hello.byte_limit
        )
        self._client: Any = None
        self._is_completed = self._is_asked = self._is_certificate_requested = False
        self._reply = b""
        self._detail = ""

    def fileno(self) -> int:
        """Return the socket's descriptor, for a selector."""
        return self._socket.fileno()

    def go_on(self) -> HandshakeOutcome | None:
        """Do what can be done now; return the outcome when it is over.

        Whatever the server does ends as an outcome.
        """
        try:
            ending = HandshakeEnding.COMPLETED if self._is_completed else self._shake_hands()
            if self._is_completed and self._hello.request:
                self._ask()
        except BlockingIOError:
            return None
        return self._outcome(ending)

    def give_up(self) -> HandshakeOutcome:
        """Return what was observed until the deadline."""
        return self._outcome(
            HandshakeEnding.COMPLETED if self._is_completed else HandshakeEnding.TIMED_OUT
        )

    def _shake_hands(self) -> HandshakeEnding:
        """Raises BlockingIOError where there is something to wait for."""
        try:
            if self._client is None:
                self._client = _client(self._hello)
                self._client.set_underlying_socket(self._socket)
            self._client.do_handshake()
        except BlockingIOError:
            raise
        except ClientCertificateRequested as request:
            # The same exception stands for alerts about a certificate; we sent none, so such an
            # alert is a failure.
            self._is_certificate_requested = isinstance(request.__context__, WantX509LookupError)
            return (
                HandshakeEnding.CLIENT_CERTIFICATE
                if self._is_certificate_requested
                else HandshakeEnding.FAILED
            )
        except OpenSSLError as error:
            self._detail = str(error).strip()
            has_nothing = "no cipher" in self._detail and not self._socket.sent
            return HandshakeEnding.NOTHING_TO_OFFER if has_nothing else HandshakeEnding.FAILED
        except ByteLimitReached:
            return HandshakeEnding.BYTE_LIMIT
        except TimeoutError:
            return HandshakeEnding.TIMED_OUT
        except OSError as error:
            self._detail = str(error)
            return HandshakeEnding.CLOSED if self._socket.peer_closed else HandshakeEnding.RESET
        self._is_completed = True
        return HandshakeEnding.COMPLETED

    def _ask(self) -> None:
        """Send the request and keep the start of the reply.

        Nothing that the server does now is about the handshake.
        """
        try:
            if not self._is_asked:
                self._is_asked = True
                self._client.write(self._hello.request)
            self._reply = bytes(self._client.read(REPLY_BYTES))
        except BlockingIOError:
            raise
        except (OpenSSLError, OSError, ClientCertificateRequested):
            self._reply = b""

    def _outcome(self, ending: HandshakeEnding) -> HandshakeOutcome:
        guarded = self._socket
        guarded.close()
        proven = ending is HandshakeEnding.COMPLETED or (
            self._is_certificate_requested and _signs_before_asking(guarded.first_bytes)
        )
        chain = _received_chain(self._client) if proven else ()
        return HandshakeOutcome(
            ending=ending,
            connected=True,
            offered=offered_cipher_suites(guarded.sent),
            first_bytes=guarded.first_bytes,
            key_proven=bool(chain),
            client_certificate_requested=self._is_certificate_requested,
            chain=chain,
            stapled_ocsp_response=_staple(self._client) if chain else None,
            reply=self._reply,
            duration_s=time.monotonic() - self._started_s,
            detail=self._detail[:DETAIL_CHARACTERS],
        )


class _Unanswered:
    """A connection on which nothing ever arrives."""

    def send(self, content: bytes) -> int:
        return len(content)

    def recv(self, size: int) -> bytes:
        raise BlockingIOError(size)


def load_libraries() -> None:
    """Do what the first handshake of each library would have to wait for."""
    for legacy in (False, True):
        hello = Hello(
            server_name="partner.example",
            version=TlsVersion.TLS_1_2,
            cipher_suites=(0xC02F,),
            legacy=legacy,
            deadline_s=1,
            byte_limit=1,
        )
        client = _client(hello)
        client.set_underlying_socket(_Unanswered())
        with suppress(BlockingIOError):
            client.do_handshake()


def stir_randomness() -> None:
    """Advance the random numbers of OpenSSL 1.0.2, so that processes forked before and after
    this differ even with the same process id.

    A new context draws keys for session tickets (SSL_CTX_new in ssl/ssl_lib.c); it is the one
    way to the generator that nassl offers.
    """
    _nassl_legacy.SSL_CTX(OpenSslVersionEnum.SSLV23.value)


def _client(hello: Hello) -> Any:
    found = map(suite_by_code_point, hello.cipher_suites)
    suites = [suite for suite in found if suite is not None and suite.openssl_name]
    version = _VERSIONS[hello.version]
    library: Any = LegacySslClient if hello.legacy else SslClient
    client: Any = library(ssl_version=version, ssl_verify=OpenSslVerifyEnum.NONE)
    if hello.server_name is not None and version is not OpenSslVersionEnum.SSLV2:
        client.set_tlsext_host_name(hello.server_name)
    older = [suite.openssl_name for suite in suites if not suite.is_tls13]
    if hello.legacy:
        client.set_cipher_list(":".join(older))
    else:
        # Security level 0: weak keys and old hashes must be seen, not refused by us. The list
        # must contain some suite.
        names = [*(older or ["ECDHE-RSA-AES128-GCM-SHA256"]), "@SECLEVEL=0"]
        client.set_cipher_list(":".join(names))
        client.set_ciphersuites(":".join(suite.openssl_name for suite in suites if suite.is_tls13))
    if hello.version is None or hello.version >= TlsVersion.TLS_1_0:
        client.set_tlsext_status_ocsp()
    return client


def _signs_before_asking(first_bytes: bytes) -> bool:
    answer = parse_answer(first_bytes)
    suite: CipherSuite | None = None
    if isinstance(answer, ServerHello):
        suite = suite_by_code_point(answer.cipher_suite)
    return suite is not None and suite.is_forward_secret


def _received_chain(client: Any) -> tuple[bytes, ...]:
    try:
        return tuple(map(_der, client.get_received_chain()))
    except (ValueError, OpenSSLError):
        return ()  # anonymous


def _der(pem: str) -> bytes:
    # The standard library's ssl does this too, and brings a third OpenSSL into each worker.
    return b64decode("".join(pem.strip().splitlines()[1:-1]), validate=True)


def _staple(client: Any) -> bytes | None:
    try:
        response = client.get_tlsext_status_ocsp_resp()
        return None if response is None else bytes(response.as_der_bytes())
    except (ValueError, OpenSSLError):
        return b""  # what was stapled is not an OCSPResponse
