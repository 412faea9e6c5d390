"""Finds differences between what is allowed and what is reported, without judging them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from otpc_policy.core.facts import Support, TlsVersion
from tests.differential.case import Case, ToolReport
from tests.differential.ours import OurReport

OURS = "otpc-policy"


class Kind(Enum):
    """How a statement differs from the truth.

    MISSING: allowed, and not reported. EXTRA: reported, and not allowed. DENIED: allowed, and
    reported as refused, which is worse than UNKNOWN. UNKNOWN: not determined. NO_ANSWER: the tool
    failed.
    """

    MISSING = "missing"
    EXTRA = "extra"
    DENIED = "denied"
    UNKNOWN = "unknown"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A statement that differs.

    version: None if the tool failed. suite: None if the statement is about the version itself.
    """

    server: str
    tool: str
    kind: Kind
    version: TlsVersion | None = None
    suite: int | None = None
    detail: str = ""


def against_tool(case: Case, tool: str, report: ToolReport) -> Iterator[Difference]:
    """Yield the differences of a tool, for the suites that it knows."""
    if report.broken:
        yield Difference(server=case.name, tool=tool, kind=Kind.NO_ANSWER, detail=report.broken)
        return
    for version in TlsVersion:
        allowed, offered = (
            case.allowed.get(version, frozenset()),
            report.offered.get(version, frozenset()),
        )
        for suite in sorted((allowed & report.known.get(version, frozenset())) - offered):
            yield Difference(
                server=case.name, tool=tool, kind=Kind.MISSING, version=version, suite=suite
            )
        for suite in sorted(offered - allowed):
            yield Difference(
                server=case.name, tool=tool, kind=Kind.EXTRA, version=version, suite=suite
            )
        if report.reported_versions is not None and (version in report.reported_versions) != (
            version in case.allowed
        ):
            kind = Kind.EXTRA if version in report.reported_versions else Kind.MISSING
            yield Difference(server=case.name, tool=tool, kind=kind, version=version)


def against_us(case: Case, report: OurReport) -> Iterator[Difference]:
    """Yield the differences of our own facts, for every version and every suite."""
    for version in TlsVersion:
        allowed = case.allowed.get(version, frozenset())
        support = report.versions[version]
        truth = Support.YES if allowed else Support.NO
        if support is not truth:
            kind = (
                Kind.UNKNOWN
                if support is Support.UNKNOWN
                else Kind.EXTRA
                if support is Support.YES
                else Kind.DENIED
            )
            yield Difference(server=case.name, tool=OURS, kind=kind, version=version)
        yes, no, unknown = (
            side.get(version, frozenset()) for side in (report.yes, report.no, report.unknown)
        )
        kinds = {
            Kind.EXTRA: yes - allowed,
            Kind.DENIED: no & allowed,
            Kind.UNKNOWN: unknown,
            Kind.MISSING: allowed - yes - no - unknown,
        }
        for kind, suites in kinds.items():
            # The difference is the unknown version itself; its suites follow from it.
            if kind is not Kind.MISSING or support is Support.YES:
                for suite in sorted(suites):
                    yield Difference(
                        server=case.name, tool=OURS, kind=kind, version=version, suite=suite
                    )
