"""testssl.sh: protocols (-p) and every suite by version (-E), read from its JSON.

It knows the suites in its mapping file.
"""

import json
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import ToolReport
from tests.differential.tools.running import run
from tests.support.loopback import Listener
from tests.support.requirements import require

_MAPPING = Path("/etc/testssl/cipher-mapping.txt")
_VERSIONS = {
    "ssl2": TlsVersion.SSL_2_0,
    "ssl3": TlsVersion.SSL_3_0,
    "tls1": TlsVersion.TLS_1_0,
    "tls1_1": TlsVersion.TLS_1_1,
    "tls1_2": TlsVersion.TLS_1_2,
    "tls1_3": TlsVersion.TLS_1_3,
}
_PROTOCOLS = {
    "SSLv2": "ssl2",
    "SSLv3": "ssl3",
    "TLS1": "tls1",
    "TLS1_1": "tls1_1",
    "TLS1_2": "tls1_2",
    "TLS1_3": "tls1_3",
}
_CIPHER = re.compile(r"^cipher-(ssl2|ssl3|tls1|tls1_1|tls1_2|tls1_3)_x([0-9a-f]+)$")
_LINE = re.compile(r"^\s*0x(\w\w),0x(\w\w)(?:,0x(\w\w))? - ", re.MULTILINE)


async def testssl(listener: Listener, server_name: str, directory: Path) -> ToolReport:
    """Scan."""
    options = [
        "--quiet",
        "--color",
        "0",
        "--warnings",
        "off",
        "--ip",
        listener.address,
        "--openssl-timeout",
        "5",
        "--jsonfile",
        "testssl.json",
    ]
    output, failure = await run(
        [require("testssl"), *options, "-p", "-E", f"https://{server_name}:{listener.port}"],
        directory,
    )
    path = directory / "testssl.json"
    if not path.exists() or failure.startswith("did not end"):
        return ToolReport(broken=f"{failure}: {output[-300:]}")
    return read(json.loads(path.read_text()))


def read(findings: list[dict[str, str]]) -> ToolReport:
    """Read the findings of one scan."""
    offered: dict[TlsVersion, set[int]] = defaultdict(set)
    reported = set()
    for finding in findings:
        if finding["severity"] == "FATAL":
            return ToolReport(broken=finding["finding"])
        match = _CIPHER.match(finding["id"])
        if match:
            offered[_VERSIONS[match[1]]].add(int(match[2], 16))
        if finding["id"] in _PROTOCOLS and finding["finding"].startswith("offered"):
            reported.add(_VERSIONS[_PROTOCOLS[finding["id"]]])
    return ToolReport(
        offered={version: frozenset(seen) for version, seen in offered.items()},
        known=known(),
        reported_versions=frozenset(reported),
    )


@cache
def known() -> dict[TlsVersion, frozenset[int]]:
    """Return what testssl.sh's mapping lists, by version."""
    suites = frozenset(
        int("".join(filter(None, match.groups())), 16)
        for match in _LINE.finditer(_MAPPING.read_text())
    )
    modern = frozenset(suite for suite in suites if suite >> 8 == 0x13)
    old = frozenset(suite for suite in suites if suite > 0xFFFF)
    return {
        version: old
        if version is TlsVersion.SSL_2_0
        else modern
        if version is TlsVersion.TLS_1_3
        else suites - modern - old
        for version in _VERSIONS.values()
    }
