"""Starts each server and lets everybody look at it, two servers at a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from tests.differential.case import Case, ToolReport
from tests.differential.comparison import OURS
from tests.differential.ours import ours
from tests.differential.result import Result
from tests.differential.tools.nmap import nmap
from tests.differential.tools.sslscan import sslscan
from tests.differential.tools.sslyze_scan import sslyze
from tests.differential.tools.testssl import testssl
from tests.support.loopback import Listener

Tool = Callable[[Listener, str, Path], Awaitable[ToolReport]]
TOOLS: Mapping[str, Tool] = {"sslyze": sslyze, "nmap": nmap, "sslscan": sslscan, "testssl": testssl}
SERVER_NAME = "partner.test"
_AT_ONCE = 2
# These tests compare claims, not speed: other processes use the same cores.
LIMITS = ScanLimits(workers=2, scan_deadline_s=60.0, connection_deadline_s=10.0)


class CannotRun(Exception):
    """Servers did not start, or programs that CI demands are not on the machine."""


async def look_at(
    cases: Sequence[Case], tools: Sequence[str], say: Callable[[str], None]
) -> tuple[list[Result], dict[str, str]]:
    """Return a result for each server, in order, and the reason for each server skipped here.

    Raises CannotRun, after all others were scanned, if servers failed to start.
    """
    turns = asyncio.Semaphore(_AT_ONCE)
    scanner = SslyzeScanner(limits=LIMITS, now=lambda: datetime.now(UTC))
    await scanner.start()
    skipped: dict[str, str] = {}
    missing: list[str] = []

    async def result_of(case: Case) -> Result | None:
        async with turns:
            try:
                result = await _look_at_one(case, tools, scanner)
            except pytest.skip.Exception as reason:
                skipped[case.name] = str(reason)
                say(f"{case.name}: skipped: {reason}")
                return None
            except (pytest.fail.Exception, AssertionError) as reason:
                missing.append(f"{case.name}: {reason}")
                return None
            say(
                f"{case.name}: "
                + ", ".join(f"{tool} {seconds:.1f} s" for tool, seconds in result.seconds.items())
            )
            return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(result_of(case)) for case in cases]
    finally:
        await scanner.stop()
    if missing:
        raise CannotRun("\n".join(missing))
    return [result for result in (task.result() for task in tasks) if result is not None], skipped


async def _look_at_one(case: Case, tools: Sequence[str], scanner: SslyzeScanner) -> Result:
    running = case.serve()
    listener = await asyncio.to_thread(_entered, running)
    try:
        began = time.monotonic()
        our_report = await ours(scanner, listener, SERVER_NAME)
        reports: dict[str, ToolReport] = {}
        seconds = {OURS: time.monotonic() - began}
        for name in tools:
            if name == "testssl" and not case.with_testssl:
                continue
            began = time.monotonic()
            with TemporaryDirectory(prefix="otpc-tool-") as directory:
                reports[name] = await TOOLS[name](listener, SERVER_NAME, Path(directory))
            seconds[name] = time.monotonic() - began
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    return Result(case=case, ours=our_report, tools=reports, seconds=seconds)


def _entered(running: AbstractContextManager[Listener]) -> Listener:
    return running.__enter__()
