"""Parameters for finite-field Diffie-Hellman, for servers that have none of their own."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.support.requirements import require


def ffdhe2048() -> Path:
    """Return a PEM file with the group ffdhe2048 (RFC 7919), kept until the process ends."""
    return _parameters("ffdhe2048")


def ffdhe3072() -> Path:
    """Return a PEM file with the group ffdhe3072 (RFC 7919), kept until the process ends."""
    return _parameters("ffdhe3072")


@cache
def _parameters(group: str) -> Path:
    # The object is held by the cache of _directory(), so that the file stays until the end.
    path = Path(_directory().name) / f"{group}.pem"
    command = [
        require("openssl"),
        "genpkey",
        "-genparam",
        "-algorithm",
        "DH",
        "-pkeyopt",
        f"group:{group}",
        "-out",
        str(path),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return path


@cache
def _directory() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="otpc-dh-")
