"""Policies: the list, and a policy with its rules and the effect of each code."""

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otpc_policy.cli.render.words import effect_text, length_words, one_line, severity_word
from otpc_policy.v1 import policy_pb2 as pb


def policies_view(policies: Iterable[pb.Policy]) -> Table:
    """Return one row for each policy."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("POLICY", "REVISION", "MODE"):
        table.add_column(name, no_wrap=True)
    table.add_column("TITLE", overflow="fold")
    for policy in policies:
        title = Text(one_line(policy.name), style="bold")
        title.append(_role(policy), style="dim")
        table.add_row(title, policy.revision[:12], _mode(policy), Text(one_line(policy.title)))
    return table


def policy_view(policy: pb.Policy) -> RenderableType:
    """Return a policy in full."""
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(no_wrap=True, style="dim")
    head.add_column(overflow="fold")
    head.add_row(
        "policy",
        Text(one_line(policy.name) + _role(policy), style="bold"),
    )
    head.add_row("title", Text(one_line(policy.title)))
    head.add_row("source", Text(one_line(policy.source)))
    head.add_row("revision", policy.revision)
    head.add_row("mode", _mode(policy))
    if policy.extends:
        head.add_row("extends", Text(one_line(policy.extends)))
    head.add_row("lifetimes", _lifetimes(policy.lifetimes))
    return Group(head, *(Padding(_rule(rule), (1, 0, 0, 0)) for rule in policy.rules))


def _role(policy: pb.Policy) -> str:
    roles = [
        word
        for word, has in (("default", policy.is_default), ("minimum", policy.is_minimum))
        if has
    ]
    return f" ({', '.join(roles)})" if roles else ""


def _mode(policy: pb.Policy) -> str:
    return "enforcing" if policy.enforcing else "report-only"


def _lifetimes(lifetimes: pb.ResultLifetimes) -> str:
    """Return how long results stay valid; what the policy leaves open is a setting."""
    every = {"ALLOW": lifetimes.allow, "DENY": lifetimes.deny, "INDETERMINATE": lifetimes.unknown}
    # A lifetime that is set is above zero.
    given = [
        f"{word} {length_words(length)}"
        for word, length in every.items()
        if length.seconds or length.nanos
    ]
    return (
        ", ".join([*given, "others as the service is set"] if 0 < len(given) < 3 else given)
        or "as the service is set"
    )


def _rule(rule: pb.PolicyRule) -> RenderableType:
    codes = Table.grid(padding=(0, 2, 0, 0))
    codes.add_column(no_wrap=True)
    codes.add_column(no_wrap=True)
    codes.add_column(overflow="fold")
    for code in rule.codes:
        codes.add_row(
            effect_text(code.effect),
            Text(severity_word(code.severity), style="dim"),
            Text(one_line(code.code)),
        )
    lines: list[RenderableType] = [
        Text(one_line(rule.id), style="bold"),
        Text(one_line(rule.summary)),
        Text(one_line(rule.citation), style="dim"),
    ]
    lines.extend(Text(one_line(parameter), style="cyan") for parameter in rule.parameters)
    return Group(lines[0], Padding(Group(*lines[1:], codes), (0, 0, 0, 2)))
