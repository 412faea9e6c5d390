"""Waivers: agreed exceptions that turn DENY into WAIVED until they end. Unknown is never waived, and some denials never are.

A waiver of a version or cipher finding lists what it covers; a finding that is about anything else as well stays DENY.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from otpc_policy.policy.finding import Effect, Finding, FindingEvidence
from otpc_policy.policy.registry import FINDING_CODES

_NEVER_WAIVED = frozenset({"TLS_NOT_SERVED", "CERTIFICATE_UNTRUSTED", "CERTIFICATE_NAME_MISMATCH", "CERTIFICATE_REVOKED", "TARGET_ADDRESS_FORBIDDEN"})


class Coverage(Enum):
    """What a waiver of a code has to list."""

    NOTHING = "nothing"
    SUITES = "suites"
    VERSIONS = "versions"
    SUITES_OR_VERSIONS = "suites or versions"


_COVERAGE: Mapping[str, Coverage] = {
    "TLS_VERSION_BELOW_MINIMUM": Coverage.VERSIONS,
    "CIPHER_SUITE_NOT_LISTED": Coverage.SUITES,
    "CIPHER_SUITE_INSECURE": Coverage.SUITES,
    # The suites that the server may accept in place of the required ones, or the versions that it may offer in place of TLS 1.2.
    "CIPHER_SUITE_NONE_REQUIRED": Coverage.SUITES_OR_VERSIONS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One agreed exception. covers: IANA names of suites and labels of versions, as coverage_of(code) demands. ends_at: it stops at this instant."""

    code: str
    covers: frozenset[str] = frozenset()
    reason: str
    owner: str
    ends_at: datetime


def coverage_of(code: str) -> Coverage:
    """Return what a waiver of the code has to list."""
    return _COVERAGE.get(code, Coverage.NOTHING)


def problem_with_waived_code(code: str) -> str | None:
    """Say why a code cannot be waived, for whoever wrote the waiver, or None."""
    entry = FINDING_CODES.get(code)
    if entry is None:
        return f"{code!r} is no finding code"
    if code in _NEVER_WAIVED:
        return f"{code} can never be waived"
    if entry.effect is Effect.INDETERMINATE:
        return f"{code} says that something is unknown, and unknown is never waived"
    if entry.effect is not None:
        return f"{code} has an effect that nothing changes, so there is nothing to waive"
    return None


def waived(findings: Iterable[Finding], waivers: Sequence[Waiver], now: datetime) -> list[Finding]:
    """Return the findings, those that deny and are wholly covered by waivers that have not ended as WAIVED.

    Several waivers of one code cover together; the exception then ends with the first of those that are needed.
    """
    if not waivers:
        return list(findings)
    active = [one for one in waivers if now < one.ends_at]
    return [_waived(finding, [one for one in active if one.code == finding.code]) if finding.effect is Effect.DENY else finding for finding in findings]


def _waived(finding: Finding, waivers: Sequence[Waiver]) -> Finding:
    if not waivers or finding.code in _NEVER_WAIVED:
        return finding
    if coverage_of(finding.code) is Coverage.NOTHING:
        used = {max(waivers, key=lambda one: one.ends_at)}
    else:
        lasting = {item: max((one for one in waivers if item in one.covers), key=lambda one: one.ends_at, default=None) for item in finding.about}
        uncovered = [item for item, waiver in lasting.items() if waiver is None]
        if uncovered or not lasting:
            return replace(finding, message=f"{finding.message}; what is waived for this partner does not cover {', '.join(uncovered) or 'it'}")
        used = {waiver for waiver in lasting.values() if waiver is not None}
    ends_at = min(one.ends_at for one in used)
    return replace(
        finding,
        effect=Effect.WAIVED,
        message=f"{finding.message}; waived until {ends_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        evidence=(
            *finding.evidence,
            *(FindingEvidence("waiver", f"{one.reason} (owner: {one.owner})", f"until {one.ends_at.isoformat()}") for one in sorted(used, key=_order)),
        ),
        waiver_ends_at=ends_at,
    )


def _order(waiver: Waiver) -> tuple[datetime, str]:
    return waiver.ends_at, waiver.reason
