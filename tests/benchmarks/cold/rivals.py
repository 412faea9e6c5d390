"""Other tools, asked in the way of their manuals which versions and suites the server accepts."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.cold.cost import Cost
from tests.benchmarks.far_partner import FarPartner

# Debian's package has the suffix in its name, its program does not.
_TESTSSL = ("testssl", "testssl.sh")


@dataclass(frozen=True, slots=True)
class _Target:
    address: str
    port: int
    name: str


def _sslyze(target: _Target) -> Sequence[str]:
    versions = ("--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1", "--tlsv1_2", "--tlsv1_3")
    return (
        sys.executable,
        "-m",
        "sslyze",
        "--certinfo",
        *versions,
        "--mozilla_config=disable",
        f"--sni={target.name}",
        f"{target.address}:{target.port}",
    )


def _nmap(target: _Target) -> Sequence[str]:
    script = ("--script=ssl-enum-ciphers", f"--script-args=tls.servername={target.name}")
    return ("nmap", "-Pn", "-n", "-p", str(target.port), *script, target.address)


def _sslscan(target: _Target) -> Sequence[str]:
    return (
        "sslscan",
        "--no-colour",
        f"--sni-name={target.name}",
        f"{target.address}:{target.port}",
    )


def _testssl(target: _Target) -> Sequence[str]:
    program = next((name for name in _TESTSSL if shutil.which(name)), _TESTSSL[-1])
    # Versions, and the accepted suites of each. testssl.sh resolves the name unless --ip is given.
    return (
        program,
        "--quiet",
        "--color=0",
        "--warnings=off",
        "--nodns=min",
        f"--ip={target.address}",
        "-p",
        "-E",
        f"{target.name}:{target.port}",
    )


TOOLS: Mapping[str, Callable[[_Target], Sequence[str]]] = {
    "sslyze": _sslyze,
    "nmap": _nmap,
    "sslscan": _sslscan,
    "testssl.sh": _testssl,
}


def missing(tool: str) -> bool:
    """Whether the tool is missing on this machine."""
    return shutil.which(TOOLS[tool](_Target("", 0, ""))[0]) is None


def run_tool(tool: str, partner: FarPartner, directory: Path) -> Cost:
    """Run a tool once against the partner's last name.

    Raises SystemExit if it did not see a suite that the server accepts.
    """
    name = partner.names[-1]
    command = TOOLS[tool](_Target(partner.hosts[name], partner.port, name))
    connections_before, _ = partner.counts()
    began = time.perf_counter()
    with (
        (directory / "tool.log").open("w+") as log,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
    ):
        # wait4 returns the CPU of this child and of all children that it waited for.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - began
        log.seek(0)
        output = log.read()
    if "CHACHA20" not in output:
        raise SystemExit(f"{tool} saw nothing of the server:\n{output}")
    connections, most_open = partner.counts()
    return Cost(
        wall_s=wall_s,
        cpu_s=usage.ru_utime + usage.ru_stime,
        connections=connections - connections_before,
        most_open=most_open,
    )
