"""Verdicts: the decision, then the findings with their remedies, then what was measured."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from otpc_policy.cli.render.observation import certificates_table, observation_view, trace_view
from otpc_policy.cli.render.verbatim import Verbatim, remedy_sections
from otpc_policy.cli.render.words import (
    comma_list,
    decision_text,
    decision_word,
    effect_text,
    enum_word,
    instant_words,
    length_words,
    one_line,
    printable,
    severity_word,
    source_words,
)
from otpc_policy.v1 import policy_pb2 as pb

# Enough to distinguish revisions by eye; the JSON has all 64 digits.
_REVISION_DIGITS = 12
# INDETERMINATE is the widest effect.
_INDENT = 15
_SERVERS_SHOWN = 2


def check_view(response: pb.CheckEndpointResponse, *, explain: bool = False) -> RenderableType:
    """Return a whole answer of CheckEndpoint. explain: with every connection of the measurement."""
    head = _head(response, response.canonical_endpoint)
    for named in response.named_partners:
        words = f"{_partner_words(named)}; its trust and waivers do not apply to this host"
        _facts_row(head, "named partner", words)
    _facts_row(head, "judged", comma_list(response.judged_addresses) or "no address")
    if response.perspective:
        _facts_row(head, "judged from", printable(response.perspective))
    for judged in response.judged_certificates:
        if judged.HasField("revocation"):
            status = enum_word(pb.RevocationStatus, judged.revocation.status, "REVOCATION_STATUS_")
            _facts_row(head, "revocation", f"{status}: {judged.revocation.detail}")
    _time_rows(head, response.result_info)
    if response.HasField("retry_after"):
        _facts_row(head, "ask again", f"in {length_words(response.retry_after)}")
    parts: list[RenderableType] = [head, Text(), _findings(response)]
    if response.HasField("observation"):
        parts.extend(observation_view(response.observation, response.result_info.evaluation_time))
        if explain:
            parts.extend(trace_view(response.observation))
    return Group(*parts)


def validation_view(response: pb.ValidateCertificateResponse, subject: str) -> RenderableType:
    """Return a whole answer of ValidateCertificate. subject: what was judged, for people."""
    head = _head(response, subject)
    _facts_row(head, "judged at", instant_words(response.result_info.evaluation_time))
    if response.result_info.HasField("expire_time"):
        _facts_row(head, "use until", instant_words(response.result_info.expire_time))
    for unexamined in response.not_examined:
        _facts_row(head, "not examined", unexamined)
    parts: list[RenderableType] = [head, Text(), _findings(response)]
    if response.certificates:
        parts.append(
            Padding(
                certificates_table(response.certificates, response.result_info.evaluation_time),
                (1, 0, 0, 0),
            )
        )
    return Group(*parts)


def _findings(
    response: pb.CheckEndpointResponse | pb.ValidateCertificateResponse,
) -> RenderableType:
    """Return the findings, each with its policies unless all are of the one asked for."""
    asked_for = [response.policy.name]
    is_one = all(list(each.policies) == asked_for for each in response.findings if each.policies)
    return findings_view(response.findings, with_policies=not is_one)


def findings_view(findings: Sequence[pb.Finding], *, with_policies: bool = False) -> RenderableType:
    """Return the findings in their order: effect, code, message, and the remedy below.

    with_policies: with the policies that give each its effect.
    """
    if not findings:
        return Text("No findings: every rule is satisfied.", style="green")
    parts: list[RenderableType] = []
    remedied = set()
    for finding, rule_ids in _without_repetition(findings):
        parts.extend([*([Text()] if parts else []), *_finding_parts(finding, rule_ids)])
        if with_policies and finding.policies:
            parts.append(_indented(Text(f"by policy: {comma_list(finding.policies)}", style="dim")))
        if finding.remediation and finding.remediation not in remedied:
            parts.extend(_remedy_parts(finding))
        remedied.add(finding.remediation)
    return Group(*parts)


def reasons(response: pb.CheckEndpointResponse | pb.ValidateCertificateResponse) -> tuple[str, ...]:
    """Return the codes that caused DENY or INDETERMINATE, or all codes under ALLOW; each once."""
    decisive = {
        pb.DECISION_DENY: pb.EFFECT_DENY,
        pb.DECISION_INDETERMINATE: pb.EFFECT_INDETERMINATE,
    }.get(response.decision)
    return tuple(
        dict.fromkeys(
            finding.code
            for finding in response.findings
            if decisive is None or finding.effect == decisive
        )
    )


def _head(
    response: pb.CheckEndpointResponse | pb.ValidateCertificateResponse, subject: str
) -> Table:
    head = Table.grid(padding=(0, 2, 0, 0))
    head.add_column(no_wrap=True)
    head.add_column(overflow="fold")
    head.add_row(decision_text(response.decision), Text(one_line(subject), style="bold"))
    if response.decision != pb.DECISION_ALLOW and response.findings:
        _facts_row(head, "why", comma_list(reasons(response)))
    policy = response.policy
    enforcing = (
        ""
        if policy.enforcing
        else f", report-only: the rules say {decision_word(response.evaluated_decision)}"
    )
    _facts_row(
        head, "policy", f"{policy.name} (revision {policy.revision[:_REVISION_DIGITS]}{enforcing})"
    )
    if response.HasField("minimum_policy"):
        minimum = response.minimum_policy
        mode = "" if minimum.enforcing else ", report-only"
        described = f"{minimum.name} (revision {minimum.revision[:_REVISION_DIGITS]}{mode})"
        _facts_row(head, "minimum", f"{described} judges too, and the worse verdict wins")
    if response.HasField("partner"):
        _facts_row(head, "partner", _partner_words(response.partner))
    return head


def _partner_words(partner: pb.AppliedPartner) -> str:
    if not partner.HasField("policy"):
        return partner.id
    return f"{partner.id}; its policy {partner.policy.name} judges too, and the worse verdict wins"


def _time_rows(head: Table, times: pb.ResultInfo) -> None:
    if times.HasField("observation_time"):
        _facts_row(
            head,
            "observed",
            f"{instant_words(times.observation_time)}, {source_words(times.source)}",
        )
    if times.HasField("expire_time"):
        _facts_row(head, "use until", instant_words(times.expire_time))


def _facts_row(head: Table, name: str, text: str) -> None:
    head.add_row(Text(name, style="dim"), Text(one_line(text)))


def _without_repetition(findings: Sequence[pb.Finding]) -> Iterator[tuple[pb.Finding, list[str]]]:
    """Merge findings that differ in the rule alone, and yield each with its rules.

    A single certificate that could not be obtained leaves six rules undecided.
    """
    rule_ids: dict[tuple[object, ...], list[str]] = {}
    first: dict[tuple[object, ...], pb.Finding] = {}
    for finding in findings:
        key = (finding.code, finding.effect, finding.severity, finding.address, finding.message)
        first.setdefault(key, finding)
        rule_ids.setdefault(key, []).append(finding.rule_id)
    for same, finding in first.items():
        yield finding, [rule_id for rule_id in rule_ids[same] if rule_id]


def _finding_parts(finding: pb.Finding, rule_ids: Sequence[str]) -> Iterator[RenderableType]:
    effect = effect_text(finding.effect)
    title = Text.assemble(
        effect, " " * max(1, _INDENT - len(effect)), (one_line(finding.code), "bold")
    )
    title.append(f"  {severity_word(finding.severity)}", style="dim")
    if finding.address:
        title.append(f"  at {one_line(finding.address)}", style="dim")
    yield title
    yield _indented(Text(printable(finding.message)))
    if len(rule_ids) > 1:
        yield _indented(Text(f"rules: {comma_list(rule_ids)}", style="dim"))
    if finding.effect == pb.EFFECT_WAIVED and finding.HasField("waiver_expire_time"):
        yield _indented(
            Text(
                f"agreed exception until {instant_words(finding.waiver_expire_time)}",
                style="magenta",
            )
        )


def _remedy_parts(finding: pb.Finding) -> Iterator[RenderableType]:
    """Yield what to change and, for a denying finding, lines for the most common servers."""
    prose, *servers = remedy_sections(printable(finding.remediation))
    yield _indented(Text(f"Remedy: {prose.title}", style="green"))
    shown = servers[:_SERVERS_SHOWN] if finding.effect == pb.EFFECT_DENY else []
    for server in shown:
        yield _indented(Text(server.title, style="green"))
        yield Verbatim("\n".join(server.lines), indent=_INDENT, style="green")
    if len(shown) < len(servers):
        more = ", ".join(server.title.rstrip(":") for server in servers[len(shown) :])
        yield _indented(
            Text(f"For {more}: otpc-policy explain {one_line(finding.code)}", style="dim")
        )


def _indented(text: Text) -> RenderableType:
    text.overflow = "fold"
    return Padding(text, (0, 0, 0, _INDENT))
