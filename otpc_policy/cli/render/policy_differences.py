"""The difference of two policies: for people, and for programs."""

import json
from collections.abc import Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otpc_policy.cli.policy_differences import Difference
from otpc_policy.cli.render.words import one_line
from otpc_policy.v1 import policy_pb2 as pb


def differences_view(
    first: pb.Policy, second: pb.Policy, found: Sequence[Difference]
) -> RenderableType:
    """Return both policies by name and revision, and below them each rule with its sentences."""
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(no_wrap=True, style="bold")
    head.add_column(no_wrap=True, style="dim")
    head.add_column(overflow="fold")
    for policy in (first, second):
        head.add_row(one_line(policy.name), policy.revision[:12], Text(one_line(policy.title)))
    if not found:
        return Group(head, Padding(Text("Both demand the same."), (1, 0, 0, 0)))
    parts: list[RenderableType] = [head]
    for rule, of_rule in groupby(found, key=lambda difference: difference.rule):
        parts.append(Padding(Text(rule or "the whole policy", style="bold"), (1, 0, 0, 0)))
        parts += [Padding(Text(one_line(each.sentence)), (0, 0, 0, 2)) for each in of_rule]
    return Group(*parts)


def differences_json(first: pb.Policy, second: pb.Policy, found: Sequence[Difference]) -> str:
    """Return the same as JSON: first, second, and differences with rule, about and sentence."""
    document = {
        **{
            key: {"name": policy.name, "revision": policy.revision, "title": policy.title}
            for key, policy in (("first", first), ("second", second))
        },
        "differences": [
            {"rule": each.rule, "about": each.about, "sentence": each.sentence} for each in found
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
