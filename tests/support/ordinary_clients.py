"""Third-party clients: `openssl s_client` and tlslite-ng.

They show what a server under test gives to ordinary clients, before the scanner is asked.
"""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tlslite.api import HandshakeSettings, TLSConnection
from tlslite.errors import TLSError
from tlslite.messages import ClientHello

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import openssl_configuration

_WITHIN_S = 20.0
# OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_HOSTNAME_MISMATCH (x509_vfy.h).
GOOD, EXPIRED, OTHER_NAME = 0, 10, 62
_VERSIONS = {(3, 1): "TLSv1", (3, 2): "TLSv1.1", (3, 3): "TLSv1.2", (3, 4): "TLSv1.3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshake:
    """A completed handshake, in OpenSSL's terms.

    verified: OpenSSL's verdict on the certificate, GOOD or a code; None from a client that judges
    none. leaf: in DER, from a client that tells.
    """

    version: str
    cipher_suite: str
    verified: int | None = None
    leaf: bytes = b""


def s_client(
    server: Listener,
    anchor: bytes,
    *options: str,
    name: str = "partner.test",
) -> Handshake | None:
    """Return what `openssl s_client` received, or None if the handshake failed.

    anchor: a root in PEM. options: further options, such as -noservername.
    """
    with TemporaryDirectory(prefix="otpc-client-") as written:
        directory = Path(written)
        root = directory / "root.pem"
        root.write_bytes(anchor)
        named = () if "-noservername" in options else ("-servername", name)
        command = [require("openssl"), "s_client", "-connect", str(server), *named, *options]
        command += ["-CAfile", str(root), "-verify_hostname", name]
        # Old versions are refused at the security level set by distributions.
        environment = openssl_configuration(directory)
        done = subprocess.run(
            command,
            input=b"",
            capture_output=True,
            timeout=_WITHIN_S,
            check=False,
            env=environment,
        )
    printed = done.stdout.decode("utf-8", "replace")
    # This line has the suite. With TLS 1.3 no other line has the version; with older versions it
    # has the version of the suite.
    suite = re.search(r"^New, (\S+), Cipher is (\S+)$", printed, re.MULTILINE)
    if suite is None or suite[2] == "(NONE)":
        return None
    version = re.search(r"^ +Protocol +: (\S+)$", printed, re.MULTILINE)
    verified = re.search(r"Verify return code: (\d+)", printed)
    return Handshake(
        version=version[1] if version else suite[1],
        cipher_suite=suite[2],
        verified=int(verified[1]) if verified else None,
    )


class _Shaped(TLSConnection):  # type: ignore[misc]  # tlslite-ng has no types
    """A client that changes its hello just before it is sent."""

    def __init__(self, sock: socket.socket, shape: Callable[[Any], None]) -> None:
        super().__init__(sock)
        self._shape = shape

    def _sendMsg(self, msg: Any, *arguments: Any, **options: Any) -> Iterator[Any]:  # noqa: N802
        if isinstance(msg, ClientHello):
            self._shape(msg)
        return super()._sendMsg(msg, *arguments, **options)  # type: ignore[no-any-return]


def _leave(hello: Any) -> None:
    """Change nothing."""


def tlslite_client(
    server: Listener,
    *,
    shape: Callable[[Any], None] = _leave,
    **settings: object,
) -> Handshake | None:
    """Return what tlslite-ng received, or None if the handshake failed.

    settings: of its HandshakeSettings. shape: changes the ClientHello in place.
    """
    wanted = HandshakeSettings()
    for name, value in settings.items():
        assert hasattr(wanted, name), name
        setattr(wanted, name, value)
    address = server.address, server.port
    with socket.create_connection(address, timeout=_WITHIN_S) as connection:
        client = _Shaped(connection, shape)
        try:
            client.handshakeClientCert(settings=wanted, serverName="partner.test")
        except (TLSError, OSError):
            return None
        return Handshake(
            version=_VERSIONS[client.version],
            cipher_suite=client.getCipherName(),
            leaf=bytes(client.session.serverCertChain.x509List[0].bytes),
        )
