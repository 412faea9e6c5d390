"""Writes REPORT.md: a row for each server, and the explained differences.

Nothing in it depends on time or load.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from otpc_policy.core.facts import TlsVersion
from tests.differential.case import ToolReport, size, suite_name
from tests.differential.comparison import OURS, Difference, Kind
from tests.differential.explanations import Accounted, Explanation
from tests.differential.group_comparison import GroupResult, group_lines
from tests.differential.result import Result

PATH = Path(__file__).with_name("REPORT.md")
_SIGNS = {Kind.MISSING: "-", Kind.EXTRA: "+", Kind.DENIED: "!", Kind.UNKNOWN: "?"}
_HEAD = """\
# Who sees what

Written by `make test-differential`; not edited by hand. Each server's configuration says which
suites over which versions it must accept, and that is compared with what this project's scanner
measures and with what other scanners report. A pair is one suite over one version.

*allowed* is the number of pairs that the configuration allows. *ours* is the number that we
measured as YES; `?n` facts are left UNKNOWN, versions included. For a tool: pairs reported of those
that it knows; `-n` are missing, `+n` are reported and not allowed, each with the number of its
explanation below. An empty cell: the tool did not look at this server.
"""


def write(
    results: Sequence[Result],
    accounted: Accounted,
    skipped: Mapping[str, str],
    tools: Sequence[str],
    groups: Sequence[GroupResult],
    *,
    path: Path = PATH,
) -> None:
    """Write the report."""
    path.write_text(text(results, accounted, skipped, tools, groups))


def text(
    results: Sequence[Result],
    accounted: Accounted,
    skipped: Mapping[str, str],
    tools: Sequence[str],
    groups: Sequence[GroupResult] = (),
) -> str:
    """Return the report."""
    numbers: dict[tuple[str, str], Counter[tuple[Kind, str]]] = defaultdict(Counter)
    for difference, explanation in accounted.explained:
        numbers[difference.server, difference.tool][difference.kind, explanation.number] += 1
    lines = [
        _HEAD,
        f"| server | stack | versions | allowed | ours | {' | '.join(tools)} |",
        "|---|---|---|---:|---|" + "---|" * len(tools),
    ]
    for result in results:
        case = result.case
        cells = [
            case.name,
            case.stack,
            _versions(result),
            str(size(case.allowed)),
            _ours(result, numbers[case.name, OURS]),
        ]
        cells += [_tool(result, result.tools.get(tool), numbers[case.name, tool]) for tool in tools]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"{len(results)} servers, {sum(size(result.case.allowed) for result in results)} pairs.",
        "",
    ]
    lines += _narrowed(results)
    lines += _explained(accounted)
    lines += group_lines(groups)
    if skipped:
        lines += [
            "",
            "## Not on the machine that wrote this",
            "",
            *(f"- {name}: {reason}" for name, reason in sorted(skipped.items())),
        ]
    return "\n".join(lines) + "\n"


def _versions(result: Result) -> str:
    return ", ".join(
        version.label.replace("TLS ", "")
        for version in TlsVersion
        if version in result.case.allowed
    )


def _ours(result: Result, explained: Counter[tuple[Kind, str]]) -> str:
    return " ".join(filter(None, (str(size(result.ours.yes)), _marks(explained))))


def _tool(result: Result, report: ToolReport | None, explained: Counter[tuple[Kind, str]]) -> str:
    if report is None:
        return ""
    if report.broken:
        return f"no answer {_marks(explained)}"
    known = sum(
        len(suites & report.known.get(version, frozenset()))
        for version, suites in result.case.allowed.items()
    )
    return " ".join(filter(None, (f"{size(report.offered)} of {known}", _marks(explained))))


def _marks(explained: Counter[tuple[Kind, str]]) -> str:
    return " ".join(
        f"{_SIGNS[kind]}{count} [{number}]" if kind in _SIGNS else f"[{number}]"
        for (kind, number), count in sorted(explained.items(), key=str)
    )


def _narrowed(results: Sequence[Result]) -> list[str]:
    """Say why configurations allow less than their strings name."""
    servers: dict[str, list[str]] = defaultdict(list)
    for result in results:
        for reason in result.case.reasons:
            servers[reason].append(result.case.name)
    rows = [f"| {reason} | {', '.join(names)} |" for reason, names in sorted(servers.items())]
    return [
        "## Why a configuration allows less than its strings name",
        "",
        "| reason | servers |",
        "|---|---|",
        *rows,
        "",
    ]


def _explained(accounted: Accounted) -> list[str]:
    found: dict[Explanation, list[Difference]] = defaultdict(list)
    for difference, explanation in accounted.explained:
        found[explanation].append(difference)
    lines = [
        "## Differences, explained",
        "",
        "| number | tool | differs | servers | about | reason | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for explanation in sorted(found, key=lambda each: each.number):
        differences = found[explanation]
        servers = sorted({difference.server for difference in differences})
        about = sorted({_about(difference) for difference in differences})
        shown = (
            ", ".join(about)
            if len(about) <= 6
            else f"{', '.join(about[:5])} and {len(about) - 5} more"
        )
        cells = (
            explanation.number,
            explanation.tool,
            f"{explanation.kind.value}, {len(differences)}",
            ", ".join(servers),
            shown,
            explanation.reason,
            explanation.source,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _about(difference: Difference) -> str:
    if difference.suite is None:
        return difference.version.label if difference.version else "the whole server"
    return suite_name(difference.suite)
