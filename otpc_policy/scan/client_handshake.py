"""One handshake, completed through sslyze's connections. Nothing here waits: whoever watches the socket says when to go on.

What nassl does, stated once:
- OpenSSL verifies the signature in ServerKeyExchange and CertificateVerify with the leaf's key although chain
  verification is off. So a chain is reported only behind such a proof.
- Where a client certificate is requested, OpenSSL asks for one after ServerHelloDone, or after the server's Finished in
  TLS 1.3. The signature is verified by then; a static RSA key exchange has proven nothing yet.
- Suites that the library lacks are dropped without a word, so the offer is read off the hello that was sent.
- do_handshake and read take up where a socket's BlockingIOError interrupted them, because they ask OpenSSL before they ask the socket.
"""

import ssl
import time
from typing import Any

from nassl._nassl import OpenSSLError, WantX509LookupError
from nassl.ssl_client import ClientCertificateRequested, OpenSslVersionEnum
from sslyze.connection_helpers.tls_connection import SslConnection
from sslyze.server_setting import ServerNetworkConfiguration, ServerNetworkLocation

from otpc_policy.core.addresses import vet_again
from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, suite_by_code_point
from otpc_policy.scan.guarded_socket import ByteLimitReached, EagerSocket
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.tls.answer import ServerHello, parse_answer
from otpc_policy.tls.client_hello import offered_cipher_suites

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


class ClientHandshake:
    """A handshake under way; go_on begins it. until_s: by time.monotonic, when it is over whatever happens."""

    def __init__(self, offer: HandshakeOffer) -> None:
        self._offer = offer
        self._started_s = time.monotonic()
        self.until_s = self._started_s + offer.deadline_s
        self._socket = EagerSocket(deadline_s=offer.deadline_s, byte_limit=offer.byte_limit)
        self._client: Any = None
        self._is_shaken = self._is_asked = self._is_certificate_requested = False
        self._reply = b""
        self._detail = ""

    @property
    def is_connected(self) -> bool:
        """Over TCP; before, the socket is to be watched until it can be written, and then until it can be read."""
        return self._socket.connected

    def fileno(self) -> int:
        """Return the socket's number, for a selector."""
        return self._socket.fileno()

    def go_on(self) -> HandshakeOutcome | None:
        """Do what can be done now; return what came of it when it is over. Whatever the server does ends as an outcome."""
        try:
            ending = Ending.COMPLETED if self._is_shaken else self._shake()
            if self._is_shaken and self._offer.request:
                self._ask()
        except BlockingIOError:
            return None
        return self._outcome(ending)

    def give_up(self) -> HandshakeOutcome:
        """Return what came of it until its deadline."""
        return self._outcome(Ending.COMPLETED if self._is_shaken else Ending.TIMED_OUT)

    def _shake(self) -> Ending:
        """Raises BlockingIOError where there is something to wait for."""
        try:
            if self._client is None:
                self._client = _client(self._offer)
                self._client.set_underlying_socket(self._socket)
                self._socket.dial(self._offer.address, self._offer.port)
            if not self._socket.connected:
                self._socket.finish_dialling(self._offer.address)
            self._client.do_handshake()
        except BlockingIOError:
            raise
        except ClientCertificateRequested as request:
            # The same exception also stands for alerts about a certificate; we sent none, so such an alert is a failure.
            self._is_certificate_requested = isinstance(request.__context__, WantX509LookupError)
            return Ending.CLIENT_CERTIFICATE if self._is_certificate_requested else Ending.FAILED
        except OpenSSLError as error:
            self._detail = str(error).strip()
            return Ending.NOTHING_TO_OFFER if "no cipher" in self._detail and not self._socket.sent else Ending.FAILED
        except ByteLimitReached:
            return Ending.BYTE_LIMIT
        except TimeoutError:
            return Ending.TIMED_OUT
        except ConnectionRefusedError:
            return Ending.REFUSED
        except OSError as error:
            self._detail = str(error)
            return Ending.UNREACHABLE if not self._socket.connected else Ending.CLOSED if self._socket.peer_closed else Ending.RESET
        self._is_shaken = True
        return Ending.COMPLETED

    def _ask(self) -> None:
        """Send the request, and take the start of what comes back; nothing that the server does now is about the handshake."""
        try:
            if not self._is_asked:
                self._is_asked = True
                self._client.write(self._offer.request)
            self._reply = bytes(self._client.read(_REPLY_BYTES))
        except BlockingIOError:
            raise
        except (OpenSSLError, OSError, ClientCertificateRequested):
            self._reply = b""

    def _outcome(self, ending: Ending) -> HandshakeOutcome:
        guarded = self._socket
        guarded.close()
        proven = ending is Ending.COMPLETED or (self._is_certificate_requested and _signs_before_asking(guarded.first_bytes))
        chain = _received_chain(self._client) if proven else ()
        return HandshakeOutcome(
            ending=ending,
            connected=guarded.connected,
            offered=offered_cipher_suites(guarded.sent),
            first_bytes=guarded.first_bytes,
            key_proven=bool(chain),
            client_certificate_requested=self._is_certificate_requested,
            chain=chain,
            stapled_ocsp_response=_staple(self._client) if chain else None,
            reply=self._reply,
            duration_s=time.monotonic() - self._started_s,
            detail=self._detail,
        )


def load_libraries() -> None:
    """Do what the first handshake would have to wait for."""
    nobody = vet_again("127.0.0.1", ["127.0.0.0/8"])
    suites = (0x1301, 0xC02F)
    _client(
        HandshakeOffer(
            address=nobody,
            port=0,
            server_name=None,
            version=None,
            cipher_suites=suites,
            deadline_s=1,
            byte_limit=1,
        )
    )


def _client(offer: HandshakeOffer) -> Any:
    suites = [suite for suite in map(suite_by_code_point, offer.cipher_suites) if suite is not None and suite.openssl_name]
    address = offer.address.text
    location = ServerNetworkLocation(
        hostname=offer.server_name or address,
        port=offer.port,
        ip_address=address,
    )
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
    if offer.version is None or offer.version >= TlsVersion.TLS_1_0:
        client.set_tlsext_status_ocsp()
    return client


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
