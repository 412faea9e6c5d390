"""Waivers: agreed exceptions that turn DENY into WAIVED until they end.

Unknown is never waived, and some denials never are. A waiver of a finding about versions or suites
lists what it covers; a finding about anything else in addition stays DENY.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from otpc_policy.policy.finding import Effect, Finding, FindingEvidence
from otpc_policy.policy.registry import WaiverCoverage, finding_codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One agreed exception.

    covers: IANA names of suites and labels of versions, as the code's WaiverCoverage demands.
    ends_at: it is no longer applied from this instant on.
    """

    code: str
    covers: frozenset[str] = frozenset()
    reason: str
    owner: str
    ends_at: datetime


def problem_with_waived_code(code: str) -> str | None:
    """Return why a code cannot be waived, for the author of the waiver, or None."""
    entry = finding_codes().get(code)
    if entry is None:
        return f"{code!r} is not a finding code"
    if entry.coverage is WaiverCoverage.NEVER:
        return f"{code} can never be waived"
    if entry.effect is Effect.INDETERMINATE:
        return f"{code} means that something is unknown, and unknown is never waived"
    if entry.effect is not None:
        return f"{code} has an effect that nothing changes, so there is nothing to waive"
    return None


def problem_with_coverage(code: str, suites: Sequence[str], versions: Sequence[str]) -> str | None:
    """Return why a waiver of this code cannot list these suites and versions, or None."""
    match finding_codes()[code].coverage:
        case WaiverCoverage.CODE if suites or versions:
            return f"a waiver of {code} covers the code and must list no suites and no versions"
        case WaiverCoverage.SUITES if versions or not suites:
            return f"a waiver of {code} must list the suites that it covers, and no versions"
        case WaiverCoverage.VERSIONS if suites or not versions:
            return f"a waiver of {code} must list the versions that it covers, and no suites"
        case WaiverCoverage.SUITES_OR_VERSIONS if not (suites or versions):
            instead = "the suites that are accepted instead of the required ones"
            instead += ", or the versions that are offered instead of TLS 1.2"
            return f"a waiver of {code} must list {instead}"
        case _:
            return None


def waived(findings: Iterable[Finding], waivers: Sequence[Waiver], now: datetime) -> list[Finding]:
    """Return the findings, as WAIVED those that deny and that active waivers cover whole.

    Several waivers of one code cover together; the exception then ends with the first of those that
    are needed.
    """
    active: dict[str, list[Waiver]] = {}
    for waiver in waivers:
        if now < waiver.ends_at:
            active.setdefault(waiver.code, []).append(waiver)
    return [_waived(finding, active.get(finding.code, ())) for finding in findings]


def _waived(finding: Finding, waivers: Sequence[Waiver]) -> Finding:
    if not waivers or finding.effect is not Effect.DENY:
        return finding
    coverage = finding_codes()[finding.code].coverage
    if coverage is WaiverCoverage.NEVER:
        return finding
    if coverage is WaiverCoverage.CODE:
        used = {max(waivers, key=lambda waiver: waiver.ends_at)}
    else:
        lasting = {item: _last_to_end(item, waivers) for item in finding.about}
        uncovered = [item for item, waiver in lasting.items() if waiver is None]
        if uncovered or not lasting:
            rest = ", ".join(uncovered) or "it"
            message = f"{finding.message}; the waivers for this partner do not cover {rest}"
            return replace(finding, message=message)
        used = {waiver for waiver in lasting.values() if waiver is not None}
    ends_at = min(waiver.ends_at for waiver in used)
    return replace(
        finding,
        effect=Effect.WAIVED,
        message=f"{finding.message}; waived until {ends_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        evidence=(*finding.evidence, *map(_evidence, sorted(used, key=_sort_key))),
        waiver_ends_at=ends_at,
    )


def _last_to_end(item: str, waivers: Iterable[Waiver]) -> Waiver | None:
    covering = (waiver for waiver in waivers if item in waiver.covers)
    return max(covering, key=lambda waiver: waiver.ends_at, default=None)


def _evidence(waiver: Waiver) -> FindingEvidence:
    observed = f"{waiver.reason} (owner: {waiver.owner})"
    return FindingEvidence("waiver", observed, f"until {waiver.ends_at.isoformat()}")


def _sort_key(waiver: Waiver) -> tuple[datetime, str]:
    return waiver.ends_at, waiver.reason
