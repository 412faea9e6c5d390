"""`otpc-policy engine` as a program, and the certificates for mutual TLS with a service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.certificates import CertificateAuthority
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


@dataclass(frozen=True, slots=True)
class MutualTls:
    """options: of an engine over TCP. settings: of a service that uses it.

    folder: where the files of both are.
    """

    options: tuple[str, ...]
    settings: dict[str, Any]
    folder: Path

    def rotation(self) -> Iterator[str]:
        """Move both sides to another authority, one file at a time, and yield each file's name.

        At every step each side has a pair, old or new, that the other side trusts. After the last
        step nothing of the old authority is trusted any more.
        """
        ca, new = self.folder / "ca.pem", CertificateAuthority.create("Engines and fronts, new")
        staged = self.folder / "staged"
        staged.mkdir()
        _issue(new, staged)
        (staged / "ca.pem").write_bytes(ca.read_bytes() + new.pem)
        for name in ("ca.pem", "engine.pem", "engine.key", "front.pem", "front.key"):
            yield _replace(staged / name, self.folder)
        (staged / "ca.pem").write_bytes(new.pem)
        yield _replace(staged / "ca.pem", self.folder)


def mutual_tls(folder: Path) -> MutualTls:
    """Write certificates of one authority for an engine on a free port and for a service."""
    authority = CertificateAuthority.create("Engines and fronts")
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    certificate, key, front_certificate, front_key = _issue(authority, folder)
    port = free_port("127.0.0.1")
    listen = ("--listen", f"127.0.0.1:{port}", "--tls-client-ca", str(ca))
    return MutualTls(
        options=(*listen, "--tls-certificate", str(certificate), "--tls-key", str(key)),
        settings={
            "engine_addresses": [f"localhost:{port}"],
            "engine_certificate_file": front_certificate,
            "engine_key_file": front_key,
            "engine_ca_file": ca,
        },
        folder=folder,
    )


def _issue(authority: CertificateAuthority, folder: Path) -> tuple[Path, Path, Path, Path]:
    """Write certificate and key of an engine, then those of a front; return their paths."""
    engine = authority.issue(dns=("localhost",))
    front = authority.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    return (*engine.write(folder, "engine"), *front.write(folder, "front"))


def _replace(file: Path, folder: Path) -> str:
    """Move a file into the folder, over the one of its name; return that name."""
    file.replace(folder / file.name)
    return file.name
