"""Finding codes explained: from the registry, with what each does under the given policies."""

import difflib
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otpc_policy.cli.render.verbatim import Verbatim
from otpc_policy.policy.finding import Effect
from otpc_policy.policy.model import Policy
from otpc_policy.policy.pci_dss import pci_dss_requirements
from otpc_policy.policy.registry import FindingCode, finding_codes

_EFFECT_STYLES = {
    Effect.ADVISORY: "cyan",
    Effect.DENY: "bold red",
    Effect.INDETERMINATE: "bold yellow",
    Effect.OFF: "dim",
}
_NEAR_MISSES = 3


def near_misses(code: str) -> list[str]:
    """Return the codes that look most like this one, best first."""
    return difflib.get_close_matches(code, finding_codes(), n=_NEAR_MISSES, cutoff=0.6)


def codes_view(default: Policy) -> Table:
    """Return every code with its severity and its effect under the default policy."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("CODE", "SEVERITY", "EFFECT"):
        table.add_column(name, no_wrap=True)
    for code in sorted(finding_codes()):
        finding = finding_codes()[code]
        table.add_row(
            Text(code, style="bold"),
            finding.severity.name.lower(),
            _effect_text(_effect(finding, default)),
        )
    return table


def explanation_view(finding: FindingCode, policies: Sequence[Policy]) -> RenderableType:
    """Return one code explained."""
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(no_wrap=True, style="dim")
    head.add_column(overflow="fold")
    head.add_row("code", Text(finding.code, style="bold"))
    head.add_row("meaning", Text(finding.meaning))
    head.add_row("severity", finding.severity.name.lower())
    head.add_row("effect", _effects(finding, policies))
    if finding.rule_id:
        head.add_row("rule", finding.rule_id)
    head.add_row("source", Text(finding.citation))
    if requirements := pci_dss_requirements().get(finding.rule_id):
        head.add_row(
            "PCI DSS",
            Text(", ".join(requirements)).append("  our mapping, of 4.0.1", style="dim"),
        )
    parts: list[RenderableType] = [
        head,
        Padding(Text("What to do", style="bold"), (1, 0, 0, 0)),
        Padding(Text(finding.remediation), (0, 0, 0, 2)),
    ]
    for cause, text in finding.causes.items():
        parts.append(Padding(Text(f"Where it is {cause}", style="bold"), (1, 0, 0, 2)))
        parts.append(Padding(Text(text), (0, 0, 0, 4)))
    for server, lines in finding.remedies.items():
        parts.append(Padding(Text(server, style="bold"), (1, 0, 0, 2)))
        parts.append(Verbatim(lines, indent=4, style="green"))
    return Group(*parts)


def _effects(finding: FindingCode, policies: Sequence[Policy]) -> Text:
    if finding.effect is not None:
        return _effect_text(finding.effect).append(", whatever the policy", style="dim")
    return Text("\n").join(
        _effect_text(_effect(finding, policy)).append(f" under {policy.name}", style="dim")
        for policy in policies
    )


def _effect(finding: FindingCode, policy: Policy) -> Effect:
    if finding.effect is not None:
        return finding.effect
    return next(
        (rule.effects[finding.code] for rule in policy.rules if finding.code in rule.effects),
        Effect.OFF,
    )


def _effect_text(effect: Effect) -> Text:
    word = "off" if effect is Effect.OFF else effect.name
    return Text.assemble((word, _EFFECT_STYLES.get(effect, "")))
