"""Groups of TLS 1.3: what each configuration allows, and what is measured. No other tool is asked:
none of them sees the groups of TLS 1.3 without computing keys.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from otpc_policy.core.facts import Depth, Support
from otpc_policy.core.registries.groups import CLIENT_GROUPS
from otpc_policy.engine.scanner import SslyzeScanner
from tests.differential.group_cases import GroupCase, names
from tests.engine.partners import endpoint
from tests.support.loopback import vetted


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupResult:
    """What was measured at one server. further: connections beyond those of a scan without groups;
    only for the screen.
    """

    case: GroupCase
    yes: frozenset[int]
    no: frozenset[int]
    further: int

    @property
    def is_as_configured(self) -> bool:
        """Everything is known, and as it is configured."""
        return self.yes == self.case.groups and self.yes | self.no == set(CLIENT_GROUPS)


async def look_at_groups(
    cases: Sequence[GroupCase], scanner: SslyzeScanner
) -> tuple[list[GroupResult], dict[str, str]]:
    """Return a result for each server, in order, and the reason for each that was skipped."""
    results: list[GroupResult] = []
    skipped: dict[str, str] = {}
    for case in cases:
        try:
            results.append(await _look_at(case, scanner))
        except pytest.skip.Exception as reason:
            skipped[case.name] = str(reason)
    return results, skipped


async def _look_at(case: GroupCase, scanner: SslyzeScanner) -> GroupResult:
    running = case.serve()
    at = await asyncio.to_thread(running.__enter__)
    try:
        without, facts = [
            await scanner.measure(
                endpoint(at.port), vetted(at.address), Depth.STANDARD, asks_groups=asked
            )
            for asked in (False, True)
        ]
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    found = {
        support: frozenset(fact.code_point for fact in facts.groups if fact.support is support)
        for support in (Support.YES, Support.NO)
    }
    return GroupResult(
        case=case,
        yes=found[Support.YES],
        no=found[Support.NO],
        further=facts.connections_used - without.connections_used,
    )


def group_lines(results: Sequence[GroupResult]) -> Iterator[str]:
    """Yield the part of the report about groups. Nothing in it depends on time or load."""
    yield from (
        "",
        "## Groups of TLS 1.3",
        "",
        "*ours* are the groups that we measured as YES; all others that clients offer are NO, but",
        "for `?n` that are left UNKNOWN. The other scanners do not ask about groups of TLS 1.3.",
        "",
        "| server | stack | configured | ours |",
        "|---|---|---|---|",
    )
    for result in results:
        case, unknown = result.case, len(CLIENT_GROUPS) - len(result.yes | result.no)
        ours = "the same" if result.yes == case.groups else names(result.yes)
        ours += f" ?{unknown}" if unknown else ""
        yield f"| {case.name} | {case.stack} | {names(case.groups)} | {ours} |"
