"""`otpc-policy engine` as a program, and the certificates for mutual TLS with a service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import free_port


@contextmanager
def engine_program(
    *options: str, python: str = sys.executable
) -> Iterator["subprocess.Popen[str]"]:
    """Run an engine that may measure loopback until the context ends.

    python: the interpreter of an environment in which the engine is installed.
    """
    command = [python, "-m", "otpc_policy", "engine", *options]
    opened = ("--allow-network", "127.0.0.0/8", "--allow-network", "::1/128")
    environment = {name: value for name, value in os.environ.items() if "OTPC" not in name}
    with subprocess.Popen(
        [*command, *opened], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline().startswith("measuring on ")
            yield process
        finally:
            process.terminate()
            process.wait(30)


@dataclass(frozen=True, slots=True, kw_only=True)
class MutualTls:
    """The files of an engine on a free port and of a service that uses it."""

    folder: Path
    authority: CertificateAuthority
    port: int

    @property
    def options(self) -> tuple[str, ...]:
        """Options of the engine."""
        certificate, key = str(self._file("engine.pem")), str(self._file("engine.key"))
        listen = ("--listen", f"127.0.0.1:{self.port}", "--tls-client-ca", str(self._ca))
        return (*listen, "--tls-certificate", certificate, "--tls-key", key)

    @property
    def settings(self) -> dict[str, object]:
        """Settings of the service."""
        return {
            "engine_addresses": [f"localhost:{self.port}"],
            "engine_certificate_file": self._file("front.pem"),
            "engine_key_file": self._file("front.key"),
            "engine_ca_file": self._ca,
        }

    def trust(self, *authorities: CertificateAuthority) -> None:
        """Have both sides accept certificates of these authorities, and of no others."""
        _replace(self._ca, b"".join(authority.pem for authority in authorities))

    def issue_for_engine(self, authority: CertificateAuthority) -> Issued:
        """Return a new certificate for the engine."""
        return authority.issue(dns=("localhost",))

    def issue_for_front(self, authority: CertificateAuthority) -> Issued:
        """Return a new certificate for the service."""
        return authority.issue(dns=("front.test",), extended_key_usage=("client_auth",))

    def replace_certificate(self, owner: str, leaf: Issued) -> None:
        """Replace one of the two files of the owner: "engine" or "front"."""
        _replace(self._file(f"{owner}.pem"), leaf.chain_pem)

    def replace_key(self, owner: str, leaf: Issued) -> None:
        """Replace the other one."""
        _replace(self._file(f"{owner}.key"), leaf.key_pem)

    @property
    def _ca(self) -> Path:
        return self._file("ca.pem")

    def _file(self, name: str) -> Path:
        return self.folder / name


def _replace(path: Path, contents: bytes) -> None:
    """Write the file as tools that renew certificates do: it is never there in part."""
    fresh = path.with_suffix(".fresh")
    fresh.write_bytes(contents)
    fresh.replace(path)


def mutual_tls(folder: Path) -> MutualTls:
    """Write certificates of one authority for an engine on a free port and for a service."""
    authority = CertificateAuthority.create("Engines and fronts")
    files = MutualTls(folder=folder, authority=authority, port=free_port("127.0.0.1"))
    files.trust(authority)
    for owner, leaf in (
        ("engine", files.issue_for_engine(authority)),
        ("front", files.issue_for_front(authority)),
    ):
        files.replace_certificate(owner, leaf)
        files.replace_key(owner, leaf)
    return files
