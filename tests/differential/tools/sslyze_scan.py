"""sslyze's own scan commands, in a separate process.

Run as `python -m tests.differential.tools.sslyze_scan ADDRESS PORT SERVER_NAME`.

Its verdicts are read as a reader of its report would read them: accepted or not.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_name
from tests.differential.case import ToolReport
from tests.differential.tools.running import run
from tests.support.loopback import Listener

_COMMANDS = {
    "ssl_2_0_cipher_suites": TlsVersion.SSL_2_0,
    "ssl_3_0_cipher_suites": TlsVersion.SSL_3_0,
    "tls_1_0_cipher_suites": TlsVersion.TLS_1_0,
    "tls_1_1_cipher_suites": TlsVersion.TLS_1_1,
    "tls_1_2_cipher_suites": TlsVersion.TLS_1_2,
    "tls_1_3_cipher_suites": TlsVersion.TLS_1_3,
}
_ROOT = Path(__file__).parents[3]


async def sslyze(listener: Listener, server_name: str, directory: Path) -> ToolReport:
    """Scan."""
    command = [
        sys.executable,
        "-m",
        "tests.differential.tools.sslyze_scan",
        listener.address,
        str(listener.port),
        server_name,
    ]
    output, failure = await run(
        command, directory, environment={**os.environ, "PYTHONPATH": str(_ROOT)}
    )
    if failure:
        return ToolReport(broken=f"{failure}: {output[-300:]}")
    return read(output)


def read(output: str) -> ToolReport:
    """Read what _scan() printed, on the last line."""
    result = json.loads(output.splitlines()[-1])
    if "broken" in result:
        return ToolReport(broken=str(result["broken"]))
    offered = {
        TlsVersion[version]: _code_points(sides["accepted"]) for version, sides in result.items()
    }
    known = {
        TlsVersion[version]: _code_points(sides["accepted"] + sides["rejected"])
        for version, sides in result.items()
    }
    return ToolReport(
        offered={version: suites for version, suites in offered.items() if suites}, known=known
    )


def _code_points(names: list[str]) -> frozenset[int]:
    found = {name: suite_by_name(name) for name in names}
    unnamed = sorted(name for name, suite in found.items() if suite is None)
    assert not unnamed, f"sslyze names suites that we do not: {unnamed}"
    return frozenset(suite.code_point for suite in found.values() if suite)


def _scan(address: str, port: int, server_name: str) -> dict[str, object]:
    from sslyze.plugins.scan_commands import ScanCommand
    from sslyze.scanner.models import ServerScanRequest
    from sslyze.scanner.scanner import Scanner
    from sslyze.server_setting import ServerNetworkLocation

    scanner = Scanner(concurrent_server_scans_limit=1)
    location = ServerNetworkLocation(server_name, port, ip_address=address)
    scanner.queue_scans(
        [
            ServerScanRequest(
                server_location=location, scan_commands={ScanCommand(name) for name in _COMMANDS}
            )
        ]
    )
    (result,) = scanner.get_results()
    if result.scan_result is None:
        trace = result.connectivity_error_trace
        reason = trace.exc_type.__name__ if trace else "no reason given"
        return {"broken": f"no connection: {reason}"}
    versions: dict[str, object] = {}
    for name, version in _COMMANDS.items():
        attempt = getattr(result.scan_result, name)
        if attempt.result is None:
            return {"broken": f"{name}: {attempt.error_reason}"}
        versions[version.name] = {
            "accepted": [each.cipher_suite.name for each in attempt.result.accepted_cipher_suites],
            "rejected": [each.cipher_suite.name for each in attempt.result.rejected_cipher_suites],
        }
    return versions


async def _main() -> None:
    address, port, server_name = sys.argv[1:]
    print(json.dumps(await asyncio.to_thread(_scan, address, int(port), server_name)))


if __name__ == "__main__":
    asyncio.run(_main())
