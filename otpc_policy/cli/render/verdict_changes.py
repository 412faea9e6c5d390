"""Changes of verdicts: a line for each."""

from rich.text import Text

from otpc_policy.cli.render.words import comma_list, decision_text, one_line, to_datetime
from otpc_policy.v1 import policy_pb2 as pb

_NONE = "-"


def change_line(change: pb.VerdictChange) -> Text:
    """Return one line: when, where, whose, what held and what holds, why."""
    host = one_line(change.host)
    endpoint = f"[{host}]:{change.port}" if ":" in host else f"{host}:{change.port}"
    line = Text(f"{to_datetime(change.change_time):%Y-%m-%dT%H:%M:%SZ}  ")
    line.append(endpoint, style="bold")
    line.append(f"  {one_line(change.partner_id) or _NONE}  ")
    line.append_text(_decision(change.previous_decision))
    line.append(" -> ")
    line.append_text(
        Text("no longer watched") if change.removed else decision_text(change.decision)
    )
    if change.finding_codes:
        line.append(f"  {comma_list(change.finding_codes)}")
    return line


def _decision(decision: "pb.Decision.ValueType") -> Text:
    return decision_text(decision) if decision != pb.DECISION_UNSPECIFIED else Text("none")
