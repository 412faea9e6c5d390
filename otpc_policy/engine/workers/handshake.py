"""One handshake: what is offered, and what was observed. Values that workers are sent and send."""

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from otpc_policy.core.facts import TlsVersion

if TYPE_CHECKING:
    # A worker needs no addresses; whatever it imports is copied for each target.
    from otpc_policy.core.addresses import VettedAddress

# Enough to distinguish protocols.
REPLY_BYTES: Final = 16
# OpenSSL's own words are shorter.
DETAIL_CHARACTERS: Final = 300


class HandshakeEnding(Enum):
    """How one connection ended, for the side that opened it.

    COMPLETED: both Finished messages passed.
    CLIENT_CERTIFICATE: stopped where a client certificate was asked for.
    FAILED: the TLS library gave up (an alert came, or it did not accept what the server sent).
    CLOSED, RESET, TIMED_OUT, BYTE_LIMIT: the connection did. REFUSED, UNREACHABLE: TCP never
    connected; TIMED_OUT may mean that too. NOTHING_TO_OFFER: the TLS library implements no offered
    suite at this version.
    NOT_RUN: no worker could carry it out; it proves nothing about the server.
    """

    COMPLETED = "COMPLETED"
    CLIENT_CERTIFICATE = "CLIENT_CERTIFICATE"
    FAILED = "FAILED"
    CLOSED = "CLOSED"
    RESET = "RESET"
    TIMED_OUT = "TIMED_OUT"
    BYTE_LIMIT = "BYTE_LIMIT"
    REFUSED = "REFUSED"
    UNREACHABLE = "UNREACHABLE"
    NOTHING_TO_OFFER = "NOTHING_TO_OFFER"
    NOT_RUN = "NOT_RUN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """One hello to send on a connection that is there.

    server_name: None sends no SNI. version: None offers TLS 1.0 to 1.3 in one hello.
    cipher_suites: code points.
    legacy: use OpenSSL 1.0.2, which knows SSL 2, SSL 3, EXPORT, single DES and static
    Diffie-Hellman.
    request: what is sent after the handshake, if it completes; the start of the reply is read.
    deadline_s: for the whole connection. byte_limit: bytes read from it.
    """

    server_name: str | None
    version: TlsVersion | None
    cipher_suites: tuple[int, ...]
    legacy: bool = False
    request: bytes = b""
    deadline_s: float
    byte_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeOffer:
    """A hello, and the address to send it to. hello.deadline_s includes the time to connect."""

    address: "VettedAddress"
    port: int
    hello: Hello

    @property
    def target(self) -> "Target":
        """What a worker that gets the connection must name in its statement."""
        server_name = self.hello.server_name
        return Target(address=self.address.text, port=self.port, server_name=server_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What one worker serves, in all its life. A name for it, not something to dial."""

    address: str
    port: int
    server_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandshakeOutcome:
    """What one connection showed.

    connected: TCP connected. offered: code points that were in the hello as sent. first_bytes: the
    start of what the server sent, bounded. key_proven: a signature or Finished message that needs
    the leaf's key was verified; chain (DER, leaf first) and stapled_ocsp_response (DER) are given
    only then. reply: the start of the reply to the request, bounded; empty for whatever reason.
    detail: for logs.
    """

    ending: HandshakeEnding
    connected: bool = False
    offered: tuple[int, ...] = ()
    first_bytes: bytes = b""
    key_proven: bool = False
    client_certificate_requested: bool = False
    chain: tuple[bytes, ...] = ()
    stapled_ocsp_response: bytes | None = None
    reply: bytes = b""
    duration_s: float = 0.0
    detail: str = ""
