"""sslscan, read from XML, which gives code points.

It knows the suites of its OpenSSL, except PSK and SRP, for which it has no credentials. It also
asks for other suites with its own hellos. Those it finds are compared and count as known, but a
suite outside OpenSSL that it does not report counts as not known.
"""

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from subprocess import run as run_now
from xml.etree import ElementTree

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import ToolReport
from tests.differential.tools.running import run
from tests.support.loopback import Listener
from tests.support.requirements import require

_VERSIONS = {
    "SSLv2": TlsVersion.SSL_2_0,
    "SSLv3": TlsVersion.SSL_3_0,
    "TLSv1.0": TlsVersion.TLS_1_0,
    "TLSv1.1": TlsVersion.TLS_1_1,
    "TLSv1.2": TlsVersion.TLS_1_2,
    "TLSv1.3": TlsVersion.TLS_1_3,
}
_PROTOCOLS = {
    ("ssl", "2"): TlsVersion.SSL_2_0,
    ("ssl", "3"): TlsVersion.SSL_3_0,
    ("tls", "1.0"): TlsVersion.TLS_1_0,
    ("tls", "1.1"): TlsVersion.TLS_1_1,
    ("tls", "1.2"): TlsVersion.TLS_1_2,
    ("tls", "1.3"): TlsVersion.TLS_1_3,
}
_NOT_ASKED = (
    "heartbleed",
    "renegotiation",
    "compression",
    "fallback",
    "groups",
    "cipher-details",
    "check-certificate",
)
_LINE = re.compile(r"^\s*0x(\w\w),0x(\w\w) - (\S+)\s+(\S+)", re.MULTILINE)


async def sslscan(listener: Listener, server_name: str, directory: Path) -> ToolReport:
    """Scan."""
    command = [
        require("sslscan"),
        *(f"--no-{name}" for name in _NOT_ASKED),
        "--show-cipher-ids",
        f"--sni-name={server_name}",
        "--xml=sslscan.xml",
        str(listener),
    ]
    output, failure = await run(command, directory)
    if failure:
        return ToolReport(broken=f"{failure}: {output[-300:]}")
    return read(directory / "sslscan.xml")


def read(path: Path) -> ToolReport:
    """Read the XML of one scan."""
    root = ElementTree.parse(path)
    offered: dict[TlsVersion, set[int]] = defaultdict(set)
    for element in root.iter("cipher"):
        offered[_VERSIONS[element.get("sslversion", "")]].add(int(element.get("id", ""), 16))
    reported = frozenset(
        _PROTOCOLS[element.get("type", ""), element.get("version", "")]
        for element in root.iter("protocol")
        if element.get("enabled") == "1"
    )
    found = {version: frozenset(seen) for version, seen in offered.items()}
    everything = {
        version: found.get(version, frozenset()) | known().get(version, frozenset())
        for version in TlsVersion
    }
    return ToolReport(offered=found, known=everything, reported_versions=reported)


@cache
def known() -> dict[TlsVersion, frozenset[int]]:
    """Return what the OpenSSL that sslscan is linked with can offer."""
    listed = run_now(
        [require("openssl"), "ciphers", "-s", "-V", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    suites = [(int(match[1] + match[2], 16), match[4]) for match in _LINE.finditer(listed)]
    older = frozenset(code for code, since in suites if since in ("SSLv3", "TLSv1"))
    newer = frozenset(code for code, since in suites if since != "TLSv1.3")
    return {
        TlsVersion.TLS_1_0: older,
        TlsVersion.TLS_1_1: older,
        TlsVersion.TLS_1_2: newer,
        TlsVersion.TLS_1_3: frozenset(code for code, since in suites if since == "TLSv1.3"),
    }
