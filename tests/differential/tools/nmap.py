"""nmap's script ssl-enum-ciphers, read from XML.

It names suites by its own table, which also lists the suites that it knows.
"""

import re
from collections import defaultdict
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import ToolReport
from tests.differential.tools.running import run
from tests.support.loopback import Listener
from tests.support.requirements import require

_VERSIONS = {
    "SSLv3": TlsVersion.SSL_3_0,
    "TLSv1.0": TlsVersion.TLS_1_0,
    "TLSv1.1": TlsVersion.TLS_1_1,
    "TLSv1.2": TlsVersion.TLS_1_2,
    "TLSv1.3": TlsVersion.TLS_1_3,
}
_TABLE = Path("/usr/share/nmap/nselib/tls.lua")
_ENTRY = re.compile(
    r'^(?:\[")?((?:TLS|SSL)_[A-Za-z0-9_]+)(?:"\])?\s*=\s*0x([0-9A-Fa-f]{4}),', re.MULTILINE
)


async def nmap(listener: Listener, server_name: str, directory: Path) -> ToolReport:
    """Scan. The plus sign forces the script even if nmap guesses that the port is not TLS."""
    command = [
        require("nmap"),
        "-n",
        "-Pn",
        "-sT",
        "-p",
        str(listener.port),
        "--script",
        "+ssl-enum-ciphers",
    ]
    command += [
        "--script-args",
        f"tls.servername={server_name}",
        "-oX",
        "nmap.xml",
        listener.address,
    ]
    output, failure = await run(command, directory)
    if failure:
        return ToolReport(broken=f"{failure}: {output[-300:]}")
    return read(directory / "nmap.xml")


def read(path: Path) -> ToolReport:
    """Read the XML of one scan."""
    offered: dict[TlsVersion, set[int]] = defaultdict(set)
    for script in ElementTree.parse(path).iter("script"):
        if script.get("id") == "ssl-enum-ciphers":
            for table in script.findall("table"):
                version = _VERSIONS[table.get("key", "")]
                offered[version].update(
                    known()[element.text or ""]
                    for element in table.iter("elem")
                    if element.get("key") == "name"
                )
    suites = frozenset(known().values())
    return ToolReport(
        offered={version: frozenset(seen) for version, seen in offered.items()},
        known={
            version: frozenset(
                suite for suite in suites if (suite >> 8 == 0x13) == (version is TlsVersion.TLS_1_3)
            )
            for version in _VERSIONS.values()
        },
    )


@cache
def known() -> dict[str, int]:
    """Return nmap's own table of suites."""
    return {match[1]: int(match[2], 16) for match in _ENTRY.finditer(_TABLE.read_text())}
