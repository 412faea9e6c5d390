"""Compares our scanner and four others with the truth, on real servers.

Run as `python -m tests.differential [--only PATTERN] [--tools NAMES] [--seed N]`. It fails if a
difference has no explanation, if an explanation has no difference, or if a claim of ours is wrong.
Servers of which groups are compared are named "groups-…" in a pattern.
Without options it writes REPORT.md.
"""

import argparse
import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

import pytest

from otpc_policy.engine.scanner import SslyzeScanner
from tests.differential import explanations, report
from tests.differential.case import Case, size, suite_name
from tests.differential.comparison import OURS, Difference
from tests.differential.explanations import Accounted
from tests.differential.generated import SEED, generated
from tests.differential.group_cases import group_cases
from tests.differential.group_comparison import GroupResult, look_at_groups
from tests.differential.other_stacks import other_stacks
from tests.differential.result import Result
from tests.differential.running import LIMITS, TOOLS, CannotRun, look_at
from tests.differential.suite_cases import suite_cases
from tests.support.certificates import CertificateAuthority
from tests.support.requirements import require

_SHOWN = 6
_PROGRAMS = {"sslyze": None, "nmap": "nmap", "sslscan": "sslscan", "testssl": "testssl"}


def main() -> int:
    """Run, print and write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential")
    parser.add_argument("--only", default="*", help="names of servers, as a pattern")
    parser.add_argument(
        "--tools",
        default=",".join(TOOLS),
        help="which scanners in addition to ours, separated by commas",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=SEED,
        help="draw other configurations; no tool's differences are explained for these",
    )
    arguments = parser.parse_args()
    try:
        tools = [tool for tool in arguments.tools.split(",") if tool and _there(tool)]
        cases = [
            case for case in all_cases(arguments.seed) if fnmatchcase(case.name, arguments.only)
        ]
        began = time.monotonic()
        results, skipped = asyncio.run(look_at(cases, tools, lambda line: print(line, flush=True)))
        groups, without_groups = asyncio.run(_groups(arguments.only))
    except (pytest.fail.Exception, CannotRun) as missing:
        print(missing)
        return 1
    pairs = frozenset(
        f"{result.case.name} {tool}" for result in results for tool in (OURS, *result.tools)
    )
    accounted = explanations.account(
        (difference for result in results for difference in result.differences()),
        explanations.load(),
        pairs,
    )
    if arguments.seed != SEED:
        # The table covers the servers of the default seed.
        accounted = replace(accounted, stale=())
    elif arguments.only == "*" and tools == list(TOOLS):
        report.write(results, accounted, {**skipped, **without_groups}, tools, groups)
    _print_summary(results, accounted, tools, time.monotonic() - began)
    wrong = [result for result in groups if not result.is_as_configured]
    for result in groups:
        is_wrong = "" if result.is_as_configured else ", NOT AS CONFIGURED"
        print(f"  groups of {result.case.name}: {result.further} connections more{is_wrong}")
    return 1 if accounted.unexplained or accounted.stale or wrong else 0


async def _groups(only: str) -> tuple[list[GroupResult], dict[str, str]]:
    """Compare groups at the servers of this pattern, one after the other."""
    cases = [
        case
        for case in group_cases(CertificateAuthority.create())
        if fnmatchcase(f"groups-{case.name}", only)
    ]
    scanner = SslyzeScanner(limits=LIMITS, now=lambda: datetime.now(UTC))
    await scanner.start()
    try:
        return await look_at_groups(cases, scanner)
    finally:
        await scanner.stop()


def all_cases(seed: int = SEED, authority: CertificateAuthority | None = None) -> list[Case]:
    """Return every server of the comparison. authority: issues their certificates, if given."""
    authority = authority or CertificateAuthority.create()
    return [*suite_cases(authority), *other_stacks(authority), *generated(authority, seed)]


def _there(tool: str) -> bool:
    program = _PROGRAMS[tool]
    try:
        return program is None or bool(require(program))
    except pytest.skip.Exception as reason:
        print(f"{tool}: skipped: {reason}")
        return False


def _print_summary(
    results: list[Result], accounted: Accounted, tools: list[str], took_s: float
) -> None:
    for line in _grouped(accounted.unexplained):
        print(f"UNEXPLAINED {line}")
    for explanation in accounted.stale:
        print(f"STALE {explanation.number}: nothing differs like this any more")
    pairs = sum(size(result.case.allowed) for result in results)
    print(f"{len(results)} servers, {pairs} allowed pairs of version and suite, {took_s:.0f} s")
    for tool in (OURS, *tools):
        times = sorted(result.seconds[tool] for result in results if tool in result.seconds)
        if times:
            print(
                f"  {tool:12} {len(times):3} servers, median {times[len(times) // 2]:.1f} s, "
                f"longest {times[-1]:.1f} s"
            )
    print(
        f"{len(accounted.explained)} differences explained, {len(accounted.unexplained)} not; "
        f"{len(accounted.stale)} explanations stale"
    )


def _grouped(differences: Iterable[Difference]) -> Iterator[str]:
    """Yield one line for each server, tool, kind and version: how many, and the first few."""
    groups: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for each in differences:
        name = "the version itself" if each.suite is None else suite_name(each.suite)
        place = each.version.label if each.version else each.detail
        groups[each.server, each.tool, each.kind.value, place].append(name)
    for (server, tool, kind, version), names in groups.items():
        shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
        yield f"{server}: {tool}: {kind}: {version}: {len(names)}: {shown}"


if __name__ == "__main__":
    sys.exit(main())
