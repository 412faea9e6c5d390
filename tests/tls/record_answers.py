"""Writes what real servers answer into tests/tls/recorded: `python -m tests.tls.record_answers`.

The answers are seeds of the fuzzer and cases of the decoder's tests. Nothing here uses the code
under test: hellos are built by hand, and the answer is whatever arrives until the server falls
silent.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.servers import (
    LegacyOffer,
    TlsOffer,
    apache,
    caddy,
    gnutls_serv,
    legacy_server,
    nginx,
    plain_nginx,
    s_server,
)
from tests.support.servers.legacy import SSL_3_0, TLS_1_0, TLS_1_2, TLS_1_3

RECORDED = Path(__file__).parent / "recorded"
_SILENCE_S = 0.5
_MAX_BYTES = 2**15
_EVERY_VERSION = ("1.0", "1.1", "1.2", "1.3")
_LEGACY_PRIORITY = "NORMAL:+VERS-TLS1.0:+VERS-TLS1.1:%COMPAT"

Server = Callable[[], AbstractContextManager[Listener]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """What to offer.

    version: the highest offered. with_share: TLS 1.3 comes with an X25519 share, so that no
    HelloRetryRequest is needed.
    """

    version: int
    suites: tuple[int, ...] = (
        0x1301,
        0x1302,
        0x1303,
        0xC02B,
        0xC02F,
        0xC009,
        0xC013,
        0x002F,
        0x0035,
        0x000A,
        0x0005,
    )
    with_share: bool = True
    server_name: bytes = b"partner.test"


HELLOS = {
    "tls13": Hello(version=0x0304),
    "tls13-retry": Hello(version=0x0304, with_share=False),
    "tls12": Hello(version=0x0303),
    "tls12-rsa": Hello(version=0x0303, suites=(0xC02F, 0xC013, 0x002F)),
    "tls10": Hello(version=0x0301),
    "ssl3": Hello(version=0x0300),
    "refused": Hello(version=0x0303, suites=(0x0001, 0xC0B4)),
    "other-name": Hello(version=0x0303, server_name=b"elsewhere.test"),
}


def servers() -> dict[str, Server]:
    """Return real servers of five TLS libraries."""
    authority = CertificateAuthority.create()
    rsa, ecdsa = authority.issue(key="rsa2048"), authority.issue(key="ec256")
    old = TlsOffer(certificates=(rsa,), versions=_EVERY_VERSION, ciphers="ALL")
    return {
        "openssl": lambda: s_server(own_listener(), old),
        "nginx": lambda: nginx(own_listener(), TlsOffer(certificates=(rsa, ecdsa))),
        "apache": lambda: apache(own_listener(), TlsOffer(certificates=(rsa, ecdsa))),
        "gnutls": lambda: gnutls_serv(own_listener(), old, priority=_LEGACY_PRIORITY),
        "go": lambda: caddy(own_listener(), TlsOffer(certificates=(rsa, ecdsa))),
        "tlslite": lambda: legacy_server(
            own_listener(), LegacyOffer(certificate=rsa, versions=(TLS_1_2, TLS_1_3))
        ),
        "tlslite-old": lambda: legacy_server(
            own_listener(),
            LegacyOffer(
                certificate=rsa, versions=(SSL_3_0, TLS_1_0), ciphers=("3des", "rc4", "aes128")
            ),
        ),
        "plain-http": lambda: plain_nginx(own_listener()),
    }


def main() -> None:
    """Write every distinct answer once."""
    RECORDED.mkdir(exist_ok=True)
    for old in RECORDED.glob("*.bin"):
        old.unlink()
    seen: set[bytes] = set()
    for server_name, serve in servers().items():
        with serve() as listener:
            for hello_name, hello in HELLOS.items():
                received = answer_of(listener, encoded(hello))
                if received in seen:
                    continue
                seen.add(received)
                (RECORDED / f"{server_name}-{hello_name}.bin").write_bytes(received)
                sizes = f"{len(received):6} bytes  {received[:12].hex()}"
                print(f"{server_name:12} {hello_name:12} {sizes}")


def answer_of(listener: Listener, hello: bytes) -> bytes:
    """Return what arrives until the server closes or falls silent."""
    received = b""
    with socket.create_connection((listener.address, listener.port), timeout=5) as connection:
        connection.sendall(hello)
        connection.settimeout(_SILENCE_S)
        try:
            while len(received) < _MAX_BYTES and (chunk := connection.recv(4096)):
                received += chunk
        except (TimeoutError, ConnectionResetError):
            pass
    return received


def encoded(hello: Hello) -> bytes:
    """Return a ClientHello (RFC 5246 7.4.1.2, RFC 8446 4.1.2); of SSL 3 without extensions."""
    legacy = min(hello.version, 0x0303)
    suites = b"".join(suite.to_bytes(2, "big") for suite in hello.suites)
    extensions = b"".join(_extensions(hello))
    body = (
        legacy.to_bytes(2, "big")
        + os.urandom(32)
        + _vector(1, os.urandom(32))
        + _vector(2, suites)
        + _vector(1, b"\0")
    )
    body += _vector(2, extensions) if hello.version > 0x0300 else b""
    return (
        b"\x16"
        + min(hello.version, 0x0301).to_bytes(2, "big")
        + _vector(2, b"\x01" + _vector(3, body))
    )


def _extensions(hello: Hello) -> Iterator[bytes]:
    yield b"\0\0" + _vector(2, _vector(2, b"\0" + _vector(2, hello.server_name)))
    yield b"\xff\x01" + _vector(2, b"\0")
    yield b"\0\x0a" + _vector(2, _vector(2, bytes.fromhex("001d00170018")))
    yield b"\0\x0b" + _vector(2, _vector(1, b"\0"))
    yield b"\0\x0d" + _vector(
        2, _vector(2, bytes.fromhex("0403080404010503080508060601050102030201"))
    )
    yield b"\0\x10" + _vector(2, _vector(2, b"\x02h2\x08http/1.1"))
    if hello.version == 0x0304:
        yield b"\0\x2b" + _vector(2, _vector(1, bytes.fromhex("03040303")))
        yield b"\0\x2d" + _vector(2, b"\x01\x01")
        yield b"\0\x33" + _vector(
            2, _vector(2, b"\0\x1d" + _vector(2, os.urandom(32)) if hello.with_share else b"")
        )


def _vector(width: int, content: bytes) -> bytes:
    return len(content).to_bytes(width, "big") + content


if __name__ == "__main__":
    main()
