"""Why a service cannot be reached, in words: gRPC reports a connection that failed in its own.

The connection is tried again by plain means, step by step: name, TCP, TLS or not, certificates.
Each sentence ends with the address.
"""

import re
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cryptography import x509

_PATIENCE_S: Final = 3.0
_DEFAULT_PORT: Final = 443
# OpenSSL's numbers (x509_vfy.h).
_HAS_EXPIRED: Final = 10
_WRONG_NAMES: Final = frozenset({62, 64})
# RFC 9113 3.4, and an empty SETTINGS frame.
_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
_SETTINGS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Connecting:
    """How a service was to be reached.

    address: as gRPC takes it. roots: PEM, None for those of the system. ca_file: where the roots
    are from. certificate_file, key_file: of the client. uses_tls: False for plain text.
    """

    address: str
    uses_tls: bool
    roots: bytes | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


def why_not_connected(connecting: Connecting) -> str | None:
    """Return a sentence, or None if a connection can be made or the address has another form."""
    address = connecting.address
    target = _host_and_port(address)
    if target is None:
        return None
    try:
        with socket.create_connection(target, _PATIENCE_S) as connection:
            if not connecting.uses_tls:
                return None if _speaks_http2(connection) else _not_plain(target, address)
            return _why_no_tls(connecting, connection, target)
    except socket.gaierror:
        return f"the name cannot be resolved: {address}"
    except TimeoutError:
        return f"no answer within {_PATIENCE_S:g} s from {address}"
    except ConnectionRefusedError:
        return f"nobody listens at {address}"
    except OSError as error:
        return f"{error.strerror or 'the connection was closed'}: {address}"


def _host_and_port(address: str) -> tuple[str, int] | None:
    """Return both, of host:port and dns:///host:port; None for other forms, such as unix:."""
    text = address.removeprefix("dns:///")
    if re.match(r"[a-z0-9-]+:/|unix", text):
        return None
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, _DEFAULT_PORT
    return (host.strip("[]"), int(port)) if port.isdigit() and int(port) < 1 << 16 else None


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether the other side answers HTTP/2 in plain text, as gRPC does, with SETTINGS."""
    connection.sendall(_HTTP2_PREFACE)
    answer = b""
    with suppress(OSError):
        while len(answer) < 4 and (read := connection.recv(64)):
            answer += read
    return len(answer) >= 4 and answer[3] == _SETTINGS


def _not_plain(target: tuple[str, int], address: str) -> str | None:
    """Say what is there in place of gRPC in plain text."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(target, _PATIENCE_S) as connection:
        try:
            context.wrap_socket(connection, server_hostname=target[0]).close()
        except (ssl.SSLError, OSError):
            return f"it speaks neither gRPC in plain text nor TLS: {address}"
    return (
        "it speaks TLS, and plain text was used (give --server-ca FILE, or leave out "
        f"--dangerously-plaintext): {address}"
    )


def _why_no_tls(
    connecting: Connecting, connection: socket.socket, target: tuple[str, int]
) -> str | None:
    address = connecting.address
    context = ssl.create_default_context()
    if connecting.roots is not None:
        context = ssl.create_default_context(cadata=connecting.roots.decode())
    context.set_alpn_protocols(["h2"])
    if connecting.certificate_file is not None:
        context.load_cert_chain(connecting.certificate_file, connecting.key_file)
    try:
        with context.wrap_socket(connection, server_hostname=target[0]) as secure:
            answer = b""
            with suppress(ConnectionError):
                secure.sendall(_HTTP2_PREFACE)
                answer = secure.recv(64)
            return None if answer else f"{_about_the_client(connecting)}: {address}"
    except ssl.SSLCertVerificationError as error:
        return f"{_not_trusted(error, connecting, target)}: {address}"
    except ssl.SSLError as error:
        return f"{_refused_handshake(error, connecting)}: {address}"


def _not_trusted(
    error: ssl.SSLCertVerificationError, connecting: Connecting, target: tuple[str, int]
) -> str:
    if error.verify_code in _WRONG_NAMES:
        return f"its certificate is for another name than {target[0]}{_names_served(target)}"
    if error.verify_code == _HAS_EXPIRED:
        return "its certificate, or that of an authority above it, has expired"
    if connecting.ca_file is None:
        return "its certificate is under no public authority (give its own with --server-ca FILE)"
    return f"its certificate is not under the authority in {connecting.ca_file}"


def _names_served(target: tuple[str, int]) -> str:
    """Return the names in the service's certificate, in brackets; empty if they cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(target, _PATIENCE_S) as connection,
            context.wrap_socket(connection) as secure,
        ):
            certificate = x509.load_der_x509_certificate(secure.getpeercert(True) or b"")
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        shown = [*names.get_values_for_type(x509.DNSName)]
        shown += map(str, names.get_values_for_type(x509.IPAddress))
    except (OSError, ValueError, x509.ExtensionNotFound):
        return ""
    return f" ({', '.join(map(ascii, shown[:5]))})" if shown else ""


def _about_the_client(connecting: Connecting) -> str:
    """Say why a service closes a connection as soon as the handshake is done.

    At TLS 1.3 that is when it looks at the client's certificate; gRPC's server sends no alert.
    """
    if connecting.certificate_file is None:
        return "it demands a certificate of the client (--client-cert FILE, --client-key FILE)"
    return f"it does not accept the certificate in {connecting.certificate_file}"


def _refused_handshake(error: ssl.SSLError, connecting: Connecting) -> str:
    reason = error.reason or ""
    if "CERTIFICATE_REQUIRED" in reason:
        return _about_the_client(connecting)
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "it speaks no TLS (leave out --server-ca; --dangerously-plaintext for plain text)"
    if "ALERT" in reason and connecting.certificate_file is not None:
        said = reason.rpartition("ALERT_")[2].replace("_", " ").lower()
        return f"{_about_the_client(connecting)} ({said})"
    if "HANDSHAKE_FAILURE" in reason:
        return "it refuses the handshake; it may demand a certificate of the client (--client-cert)"
    return f"the TLS handshake fails ({reason.replace('_', ' ').lower() or error})"
