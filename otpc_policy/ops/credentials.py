"""The service's own TLS: key pair and client CAs read from files, and read again when they change.

An unusable pair never replaces a usable one: rotation writes two files, and a connection may come
in between.
"""

import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

import grpc
import structlog
from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.audit.trail import EventLog
from otpc_policy.ops.secret_files import problem_with_secret_file

# Modification, size, inode, and change: the last also when a mode is corrected.
_Stamp = tuple[tuple[int, int, int, int], ...]

# What cryptography raises for a certificate whose key it cannot read; pki has the whole list, which
# the engine must not import.
_UNREADABLE: Final = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    InternalError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
)


class CredentialsObserver(Protocol):
    """Observes files that are read, for metrics. Called on threads of gRPC."""

    def tls_loaded(
        self, certificate_ends_at: datetime, client_ca_ends_at: datetime | None
    ) -> None: ...
    def tls_reloaded(self, successful: bool) -> None: ...


class RotatingCredentials:
    """Certificate configurations for grpc.dynamic_ssl_server_credentials.

    events: where rotations are recorded; by default the log. Raises ConfigurationError if the first
    pair is unusable.
    """

    def __init__(
        self,
        certificate_file: Path,
        key_file: Path,
        client_ca_file: Path | None,
        observer: CredentialsObserver | None = None,
        events: EventLog | None = None,
    ) -> None:
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._client_ca_file = client_ca_file
        self._observer = observer
        self._log: EventLog = events or structlog.get_logger("otpc_policy.tls")
        self._stamp = self._stamp_now()
        self._first = self._read()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Return credentials whose key pair is looked up again for every connection."""
        required = self._client_ca_file is not None
        # None from the fetcher means "no change"; the stubs do not know that.
        fetcher: Any = self.changed
        return grpc.dynamic_ssl_server_credentials(
            self._first, fetcher, require_client_authentication=required
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the new configuration if the files changed and are usable, else None.

        gRPC calls this on a thread before every handshake; it costs three stat calls at rest.
        """
        stamp = self._stamp_now()
        if stamp == self._stamp:
            return None
        self._stamp = stamp
        try:
            configuration = self._read()
        except ConfigurationError as error:
            self._log.error("tls_files_refused", problems=error.problems)
            self._count(successful=False)
            return None
        self._count(successful=True)
        self._log.info(
            "tls_files_reloaded",
            certificate_file=str(self._certificate_file),
            leaf_sha256=self._leaf_sha256,
        )
        return configuration

    def _files(self) -> Sequence[Path]:
        return [
            path
            for path in (self._certificate_file, self._key_file, self._client_ca_file)
            if path is not None
        ]

    def _stamp_now(self) -> _Stamp:
        stamps = []
        for path in self._files():
            try:
                status = os.stat(path)
                stamps.append(
                    (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
                )
            except OSError:
                stamps.append((0, 0, 0, 0))
        return tuple(stamps)

    def _count(self, *, successful: bool) -> None:
        if self._observer is not None:
            self._observer.tls_reloaded(successful)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        contents = {}
        problems = []
        for path in self._files():
            try:
                contents[path] = path.read_bytes()
            except OSError as error:
                problems.append(f"{path}: {error.strerror or 'cannot be read'}")
        if not problems:
            problems = unusable(
                contents,
                certificate_file=self._certificate_file,
                key_file=self._key_file,
                ca_file=self._client_ca_file,
            )
        if problem := problem_with_secret_file(self._key_file):
            problems.append(problem)
        if problems:
            raise ConfigurationError(problems)
        leaf = x509.load_pem_x509_certificates(contents[self._certificate_file])[0]
        self._leaf_sha256 = leaf.fingerprint(SHA256()).hex()
        client_ca = contents[self._client_ca_file] if self._client_ca_file is not None else None
        if self._observer is not None:
            client_ca_ends_at = None if client_ca is None else first_end(client_ca)
            self._observer.tls_loaded(
                first_end(contents[self._certificate_file]), client_ca_ends_at
            )
        return grpc.ssl_server_certificate_configuration(
            [(contents[self._key_file], contents[self._certificate_file])],
            root_certificates=client_ca,
        )


def unusable(
    contents: Mapping[Path, bytes],
    *,
    certificate_file: Path,
    key_file: Path,
    ca_file: Path | None,
) -> list[str]:
    """Return why these files cannot be used together, one line per problem; empty if they can.

    contents: of each of the files, in PEM.
    """
    problems = []
    certificate_key = private_key = None
    try:
        certificate_key = _public_bytes(
            x509.load_pem_x509_certificates(contents[certificate_file])[0].public_key()
        )
    except _UNREADABLE:
        problems.append(f"{certificate_file}: holds no readable certificate (PEM)")
    try:
        private_key = _public_bytes(
            load_pem_private_key(contents[key_file], password=None).public_key()
        )
    except (ValueError, TypeError, UnsupportedAlgorithm):
        problems.append(f"{key_file}: holds no readable private key (PEM, without a password)")
    if not problems and certificate_key != private_key:
        problems.append(
            f"{key_file}: is not the key of the first certificate in {certificate_file}"
        )
    if ca_file is not None:
        try:
            x509.load_pem_x509_certificates(contents[ca_file])
        except _UNREADABLE:
            problems.append(f"{ca_file}: holds no readable certificate (PEM)")
    return problems


def first_end(certificates: bytes) -> datetime:
    """Return when the first of the certificates in PEM ends. They must be readable."""
    loaded = x509.load_pem_x509_certificates(certificates)
    return min(certificate.not_valid_after_utc for certificate in loaded)


def _public_bytes(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def server_credentials(
    certificate_file: Path | None,
    key_file: Path | None,
    client_ca_file: Path | None,
    observer: CredentialsObserver | None = None,
    events: EventLog | None = None,
) -> grpc.ServerCredentials | None:
    """Return what these files say; None where there is no certificate: plain text.

    events: see RotatingCredentials.
    """
    if certificate_file is None or key_file is None:
        return None
    credentials = RotatingCredentials(
        certificate_file, key_file, client_ca_file, observer=observer, events=events
    )
    return credentials.server_credentials()
