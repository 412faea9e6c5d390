"""What OpenSSL says of the same chains."""

import base64
import subprocess
import tempfile
from pathlib import Path

from tests.chains.case import ChainCase


def openssl_accepts(case: ChainCase) -> tuple[bool, str]:
    """Return whether `openssl verify` accepts the chain for a server of that name at that instant,
    and what it printed.
    """
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        trusted = [*case.roots, *case.anchors, *case.request_anchors]
        (at / "roots.pem").write_bytes(b"".join(pem(made.der) for made in trusted))
        (at / "leaf.pem").write_bytes(pem(case.chain[0]))
        (at / "rest.pem").write_bytes(b"".join(pem(der) for der in case.chain[1:]))
        name = (
            "-verify_ip"
            if case.server_name.replace(".", "").isdigit() or ":" in case.server_name
            else "-verify_hostname"
        )
        command = [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-auth_level",
            "2",
            name,
            case.server_name,
        ]
        command += [
            "-attime",
            str(int(case.at.timestamp())),
            "-no-CAfile",
            "-no-CApath",
            "-no-CAstore",
            "-trusted",
            "roots.pem",
        ]
        command += ["-untrusted", "rest.pem"] if len(case.chain) > 1 else []
        run = subprocess.run(
            [*command, "leaf.pem"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    return run.returncode == 0, f"{run.stdout}{run.stderr}".strip()


def pem(der: bytes) -> bytes:
    """Write a certificate as PEM, whatever the bytes are: OpenSSL is to read them itself."""
    return (
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    )
