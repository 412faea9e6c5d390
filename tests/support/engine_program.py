"""`otpc-policy engine` as a program, and the certificates for mutual TLS with a service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    """options: of an engine over TCP. settings: of a service that uses it."""

    options: tuple[str, ...]
    settings: dict[str, object]


def mutual_tls(folder: Path) -> MutualTls:
    """Write certificates of one authority for an engine on a free port and for a service."""
    authority = CertificateAuthority.create("Engines and fronts")
    ca = folder / "ca.pem"
    ca.write_bytes(authority.pem)
    certificate, key = authority.issue(dns=("localhost",)).write(folder, "engine")
    front = authority.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    front_certificate, front_key = front.write(folder, "front")
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
    )
