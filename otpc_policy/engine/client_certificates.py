"""Client certificates for partners that demand one. The engine alone reads the keys.

A certificate is presented only where both the host and the server name of an endpoint are the
partner's: a caller must not learn who we are to a partner by giving the partner's name to an
address of its own. It is presented only after the server has refused a client without one, so that
what a measurement says about client authentication stays proven.

TLS libraries read certificates and keys from files. Those that may open no file any more, or were
sent a key instead of its path, give them an unnamed file in memory (memfd_create(2)).
"""

import os
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.secret_files import in_words, read_secret

_WILDCARD: Final = "*."
# A chain of a few certificates has 10 kB.
_MOST_BYTES: Final = 256 * 1024

_log = structlog.get_logger("otpc_policy.engine")

# What tells one content of a file from the next.
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificateFiles:
    """Where the certificate for one partner is.

    hosts: the partner's, canonical; "*.name" stands for one more label. certificate_file: PEM
    chain, leaf first. key_file: PEM private key of that leaf, not encrypted.
    """

    partner: str
    hosts: tuple[str, ...]
    certificate_file: Path
    key_file: Path


def files_from(tree: Mapping[str, Mapping[str, Any]]) -> tuple[ClientCertificateFiles, ...]:
    """Return what the setting client_certificates says. tree: by partner."""
    return tuple(
        ClientCertificateFiles(
            partner=partner,
            hosts=tuple(table["hosts"]),
            certificate_file=Path(table["certificate_file"]),
            key_file=Path(table["key_file"]),
        )
        for partner, table in tree.items()
    )


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """A chain and its key in PEM. No text of it shows the key."""

    chain_pem: str
    key_pem: str = field(repr=False)

    @contextmanager
    def as_files(self) -> Iterator[tuple[str, str]]:
        """Yield paths of chain and key that this process can open while the context lasts."""
        descriptors: list[int] = []
        try:
            for content in (self.chain_pem, self.key_pem):
                descriptor = os.memfd_create("client certificate", os.MFD_CLOEXEC)
                descriptors.append(descriptor)
                os.write(descriptor, content.encode("ascii"))
            chain, key = (f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
            yield chain, key
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have the context present the certificate. Raises ssl.SSLError, ValueError."""
        with self.as_files() as (chain, key):
            context.load_cert_chain(chain, key, password=_refuse_password)


class ClientCertificates:
    """By endpoint. Files are read again when they change; what is unusable replaces nothing.

    Raises ConfigurationError with all problems if one is unusable at the start.
    """

    def __init__(self, files: Iterable[ClientCertificateFiles] = ()) -> None:
        self._files = tuple(files)
        self._by_host = {host: each for each in self._files for host in each.hosts}
        self._kept: dict[str, tuple[tuple[_Stamp, ...], ClientCredentials]] = {}
        problems: list[str] = []
        for each in self._files:
            try:
                stamps = _stamps(each)
                self._kept[each.partner] = stamps, _read(each)
            except (OSError, ValueError) as error:
                problems.append(f"client_certificates.{each.partner}: {in_words(error)}")
        if problems:
            raise ConfigurationError(problems)

    def for_endpoint(self, endpoint: Endpoint) -> ClientCredentials | None:
        """Return what to present to an endpoint that demands a certificate."""
        files = self._files_for(endpoint.host)
        if files is None or self._files_for(endpoint.server_name) is not files:
            return None
        stamps, credentials = self._kept[files.partner]
        try:
            now = _stamps(files)
            if now != stamps:
                credentials = _read(files)
                _log.info("client certificate read again", partner=files.partner)
        except (OSError, ValueError) as error:
            _log.error(
                "client certificate cannot be read again; the last one is kept",
                partner=files.partner,
                reason=in_words(error),
            )
            return credentials
        self._kept[files.partner] = now, credentials
        return credentials

    def _files_for(self, host: str) -> ClientCertificateFiles | None:
        exact = self._by_host.get(host)
        return exact or self._by_host.get(_WILDCARD + host.partition(".")[2])


def _stamps(files: ClientCertificateFiles) -> tuple[_Stamp, ...]:
    found = (path.stat() for path in (files.certificate_file, files.key_file))
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)


def _read(files: ClientCertificateFiles) -> ClientCredentials:
    """Return certificate and key, which belong together. Raises OSError, ValueError."""
    key = read_secret(files.key_file, what="private key", most_bytes=_MOST_BYTES)
    if not key.isascii():
        raise ValueError(f"{files.key_file}: not PEM")
    credentials = ClientCredentials(_content(files.certificate_file), key)
    try:
        credentials.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").replace("_", " ").lower()
        raise ValueError(
            f"{files.certificate_file} and {files.key_file} cannot be used: {reason}"
        ) from None
    return credentials


def _content(path: Path) -> str:
    with path.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path}: too long for a certificate chain or a key")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not PEM") from None


def _refuse_password() -> str:
    raise ValueError("the key is encrypted; an engine has nobody to ask for its password")
