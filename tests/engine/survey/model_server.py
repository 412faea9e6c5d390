"""A server as a pure function: bytes of a ClientHello in, bytes of its first answer out.

It shares no code with what it tests, except the table of suites.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.survey.probe import Ending
from tests.tls.sent_hello import SentHello, read_hello

_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
# RFC 8446 4.2.3; RSA certificates sign with PSS only in TLS 1.3.
_SCHEMES = {
    KeyType.RSA: {0x0804, 0x0805, 0x0806},
    KeyType.ECDSA: {0x0403, 0x0503, 0x0603},
    KeyType.EDDSA: {0x0807, 0x0808},
}


@dataclass(frozen=True)
class Said:
    """The bytes of one connection, and how it ended if they are not a complete answer."""

    content: bytes
    ending: Ending = Ending.TIMED_OUT


CLOSE, RESET, SILENCE = (
    Said(b"", Ending.CLOSED),
    Said(b"", Ending.RESET),
    Said(b"", Ending.TIMED_OUT),
)
PLAIN_HTTP = Said(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def alert(description: int, level: int = 2) -> Said:
    return Said(bytes((0x15, 3, 3, 0, 2, level, description)), Ending.CLOSED)


class Order(Enum):
    """Whose preference decides."""

    SERVER = "server"
    CLIENT = "client"


Suites = Mapping[TlsVersion, Sequence[int]]
Server = Callable[[bytes, int], Said]


@dataclass(frozen=True, kw_only=True)
class Model:
    """An honest server with its habits.

    suites: by version, in its order. key_types: of its certificates, for TLS 1.3.
    ecdsa_first: picks the ECDSA certificate as HAProxy does.
    reads: how many suites of a hello it reads. longest: bytes of the longest hello that it accepts;
    overlong: its answer to longer hellos. no_version, no_suite: its answers if nothing is shared.
    needs_name: alert 112 without a server name. highest: hellos above this version are closed.
    """

    suites: Suites
    order: Order = Order.SERVER
    key_types: frozenset[KeyType] = frozenset({KeyType.RSA, KeyType.ECDSA})
    ecdsa_first: bool = False
    reads: int | None = None
    longest: int | None = None
    overlong: Said = SILENCE
    no_version: Said = field(default_factory=lambda: alert(70))
    no_suite: Said = field(default_factory=lambda: alert(40))
    needs_name: bool = False
    ssl3_extensions: bool = True
    highest: TlsVersion | None = None
    retries: bool = False

    def __call__(self, sent: bytes, number: int) -> Said:
        """Answer a connection. number: from 0, in the order of hellos."""
        hello = read_hello(sent)
        if self.longest is not None and hello.size > self.longest:
            return self.overlong
        if hello.is_ssl2:
            return self._ssl2(hello)
        if (
            self.highest is not None
            and max(hello.offered_versions or (hello.version,)) > self.highest
        ):
            return CLOSE
        if hello.extensions and hello.version == TlsVersion.SSL_3_0 and not self.ssl3_extensions:
            return self.no_suite
        if self.needs_name and hello.server_name is None:
            return alert(112)
        return self._choose(hello)

    def _choose(self, hello: SentHello) -> Said:
        # Only a server of TLS 1.3 knows supported_versions (RFC 8446 4.2.1).
        offered = hello.offered_versions if TlsVersion.TLS_1_3 in self.suites else None
        shared = [
            one
            for one in self.suites
            if (
                one in offered
                if offered is not None
                else one <= min(hello.version, TlsVersion.TLS_1_2)
            )
            and one.value > 2
        ]
        if not shared:
            return self.no_version
        version = max(shared)
        mine, listed = list(self.suites[version]), hello.cipher_suites[: self.reads]
        if version is TlsVersion.TLS_1_3:
            schemes = set(hello.signature_schemes or ())
            if not any(schemes & _SCHEMES[one] for one in self.key_types):
                return self.no_suite
        elif (
            self.ecdsa_first
            and hello.signature_schemes
            and _SCHEMES[KeyType.ECDSA] & set(hello.signature_schemes)
            and any(map(_is_ecdhe_ecdsa, listed))
        ):
            mine = [suite for suite in mine if _needs_no_other_certificate(suite)]
        picked = (
            [suite for suite in mine if suite in listed]
            if self.order is Order.SERVER
            else [suite for suite in listed if suite in mine]
        )
        return server_hello(version, picked[0], is_retry=self.retries) if picked else self.no_suite

    def _ssl2(self, hello: SentHello) -> Said:
        if TlsVersion.SSL_2_0 not in self.suites:
            return self.no_version
        shared = b"".join(
            kind.to_bytes(3, "big")
            for kind in self.suites[TlsVersion.SSL_2_0]
            if kind in hello.cipher_suites
        )
        certificate, connection = b"c" * 300, b"i" * 16
        lengths = b"".join(
            len(part).to_bytes(2, "big") for part in (certificate, shared, connection)
        )
        body = b"\x04\x00\x01\x00\x02" + lengths + certificate + shared + connection
        return Said((0x8000 | len(body)).to_bytes(2, "big") + body)


def _needs_no_other_certificate(code_point: int) -> bool:
    """An ECDSA certificate can serve the suite, or it needs none; static ECDH counts."""
    suite = suite_by_code_point(code_point)
    return suite is not None and suite.authentication in (KeyType.ECDSA, None)


def _is_ecdhe_ecdsa(code_point: int) -> bool:
    suite = suite_by_code_point(code_point)
    return (
        suite is not None
        and suite.iana_name.startswith("TLS_ECDHE_ECDSA_")
        and bool(suite.openssl_name)
    )


def server_hello(version: TlsVersion, suite: int, *, is_retry: bool = False) -> Said:
    """A ServerHello, and the start of what follows it."""
    is_13 = version is TlsVersion.TLS_1_3
    body = (
        min(version, TlsVersion.TLS_1_2).to_bytes(2, "big")
        + (_RETRY_RANDOM if is_13 and is_retry else b"r" * 32)
        + b"\0"
    )
    body += suite.to_bytes(2, "big") + b"\0" + (bytes.fromhex("0006002b00020304") if is_13 else b"")
    message = b"\x02" + len(body).to_bytes(3, "big") + body + b"\x0b\x00\x10\x00"
    return Said(b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message)
