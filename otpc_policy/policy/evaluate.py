"""From facts, a policy and an instant to a verdict: rules report, the policy sets the effects."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from otpc_policy.core.facts import (
    AddressFacts,
    ClientAuth,
    EndpointFacts,
    ResolutionStatus,
    Support,
    TlsService,
)
from otpc_policy.pki.judge import ChainJudge
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.deployments import gaps, presented_chains
from otpc_policy.policy.finding import Decision, Effect, Finding, FindingEvidence, Verdict
from otpc_policy.policy.incomplete import Incomplete
from otpc_policy.policy.model import Policy, RuleSettings
from otpc_policy.policy.parameters import Permitted
from otpc_policy.policy.registry import finding_codes, remedy_under
from otpc_policy.policy.resolution_findings import resolution_findings
from otpc_policy.policy.revocations import revocations
from otpc_policy.policy.rule import MEASUREMENT_INCOMPLETE, PresentedChain, Report, Subject, unknown
from otpc_policy.policy.rules import CERTIFICATE_RULES, RULES
from otpc_policy.policy.rules.protocol import TLS_MINIMUM_VERSION, TLS_SERVED
from otpc_policy.policy.rules.validity import (
    CERTIFICATE_VALIDITY,
    end_of_validity,
    validity_instants,
)
from otpc_policy.policy.service_findings import (
    ADDRESS_FORBIDDEN,
    order_of,
    service_finding,
)
from otpc_policy.policy.waivers import Waiver, waived


def evaluate(
    facts: EndpointFacts,
    policy: Policy,
    *,
    trust: Trust,
    now: datetime,
    expected_client_auth: ClientAuth | None = None,
    waivers: Sequence[Waiver] = (),
    judge: ChainJudge | None = None,
) -> Verdict:
    """Judge a measured endpoint. Every address counts, and the worst decides.

    expected_client_auth, waivers: what was agreed with the partner; None where nothing was.
    judge: of the endpoint's chains under this trust and at this instant, where it is shared with
    other policies; None for one of its own.
    """
    if facts.forbidden or facts.resolution is not ResolutionStatus.RESOLVED:
        return _verdict(policy, _not_dialled(facts), None)

    if judge is None:
        judge = ChainJudge(server_name=facts.server_name, trust=trust, at=now)
    reachable = [address for address in facts.addresses if address.reachable is Support.YES]
    settings = {rule.id: rule for rule in policy.rules}
    plaintext_denies = settings[TLS_SERVED.id].effects["TLS_NOT_SERVED"] is Effect.DENY
    # Where plain-text HTTP already denies, the other rules have nothing to judge. Only a denial may
    # leave an address out.
    speaking = [
        _without_refused_suites(address)
        for address in reachable
        if not (plaintext_denies and address.tls is TlsService.PLAINTEXT_HTTP)
    ]
    subject = Subject(
        depth=facts.depth,
        server_name=facts.server_name,
        addresses=speaking,
        chains=presented_chains(speaking, judge.judge),
        gaps=gaps(speaking),
        expected_client_auth=expected_client_auth,
    )
    # Addresses of which tls.served already reports that not even TLS could be established.
    silent = frozenset(
        address.address
        for address in speaking
        if address.tls is TlsService.UNKNOWN and settings[TLS_SERVED.id].is_enabled
    )
    measured = [address.address for address in facts.addresses]
    unmeasured = [address.address for address in facts.unmeasured]
    findings = _Findings([*measured, *unmeasured], now, _permitted_versions(settings, now))
    incomplete = Incomplete(speaking)
    for rule in RULES:
        rule_settings = settings[rule.id]
        if not rule_settings.is_enabled:
            continue
        if rule is TLS_SERVED:
            reports = rule.judge(
                replace(subject, addresses=reachable), rule_settings.parameters, now
            )
        else:
            reports = _without_noise(rule.judge(subject, rule_settings.parameters, now), silent)
        findings.add(rule_settings, incomplete.take(rule_settings, reports))
    for of_rule, report in incomplete.joined():
        findings.add(of_rule, (report,))
    findings.add(None, _not_measured(facts))
    changes = changes_at(subject.chains, policy, waivers, now)
    others = (*_omitted(facts), *resolution_findings(facts))
    verdict = _verdict(policy, waived([*findings.made(), *others], waivers, now), changes)
    return replace(verdict, revocations=revocations(subject.chains))


def evaluate_chain(
    chain: Sequence[bytes],
    policy: Policy,
    *,
    server_name: str | None,
    trust: Trust,
    request_anchors: Sequence[bytes],
    now: datetime,
    waivers: Sequence[Waiver] = (),
    judge: ChainJudge | None = None,
) -> Verdict:
    """Judge a chain that did not come from a measurement, by the certificate rules alone.

    chain: DER, leaf first, not empty. judge: as of evaluate. A must-staple leaf is not reported:
    the staple belongs to the handshake, so its absence shows only when the endpoint is checked.
    """
    if judge is None:
        judge = ChainJudge(
            server_name=server_name, trust=trust, request_anchors=request_anchors, at=now
        )
    chains = (PresentedChain(judgement=judge.judge(chain, None), staple_observed=False),)
    subject = Subject(server_name=server_name, chains=chains)
    settings = {rule.id: rule for rule in policy.rules}
    findings, incomplete = _Findings([], now), Incomplete(())
    for rule in CERTIFICATE_RULES:
        if settings[rule.id].is_enabled:
            reports = rule.judge(subject, settings[rule.id].parameters, now)
            findings.add(settings[rule.id], incomplete.take(settings[rule.id], reports))
    for of_rule, report in incomplete.joined():
        findings.add(of_rule, (report,))
    return _verdict(
        policy,
        waived(findings.made(), waivers, now),
        changes_at(chains, policy, waivers, now),
    )


def changes_at(
    chains: Iterable[PresentedChain], policy: Policy, waivers: Iterable[Waiver], now: datetime
) -> datetime | None:
    """Return the first instant after now at which time alone can change findings or waivers.

    Certificates off the path count too: when the path breaks, another may replace it. So does the
    anchor, served or not: when it expires, the path is no longer valid. So does
    whatever the policy permits until an instant, whether the endpoint offers it or not: a
    judgement that is made again is cheap.
    """
    validity = next(rule for rule in policy.rules if rule.id == CERTIFICATE_VALIDITY.id)
    instants: list[datetime] = [waiver.ends_at for waiver in waivers]
    instants += policy.permissions_end
    for presented in chains:
        judgement = presented.judgement
        ends = (
            judgement.trust_ends_at,
            judgement.staple_changes_at,
            judgement.crl_changes_at,
        )
        instants += [end for end in ends if end is not None]
        if judgement.path_valid_until is not None:
            # The anchor is on the path, and is seldom served.
            instants += end_of_validity(judgement.path_valid_until)
        for view in judgement.certificates:
            if view is not None:
                instants += validity_instants(view, validity.parameters)
    return min((instant for instant in instants if instant > now), default=None)


def _not_dialled(facts: EndpointFacts) -> list[Finding]:
    if facts.forbidden or facts.resolution is ResolutionStatus.FORBIDDEN:
        findings = [
            service_finding(
                ADDRESS_FORBIDDEN,
                f"{facts.host} has an address that may not be dialled: {forbidden.reason}",
                forbidden.address,
            )
            for forbidden in facts.forbidden
        ]
        return findings or [
            service_finding(
                ADDRESS_FORBIDDEN, f"{facts.host} has an address that may not be dialled"
            )
        ]
    return list(resolution_findings(facts))


def _not_measured(facts: EndpointFacts) -> Iterator[Report]:
    """Report what no rule can: addresses that do not answer or were left out."""
    for address in facts.addresses:
        if address.reachable is not Support.YES:
            observed = (
                "refuses TCP connections" if address.reachable is Support.NO else "does not answer"
            )
            # A refusal needs no reason; its remark would say the same again.
            remarks = address.remarks if address.reachable is not Support.NO else ()
            reasons = "".join(f"; {remark}" for remark in remarks)
            yield Report(
                code="TARGET_UNREACHABLE",
                message=f"port {facts.port} {observed}{reasons}",
                addresses=(address.address,),
            )
    for unmeasured in facts.unmeasured:
        yield unknown(f"the address was not measured: {unmeasured.reason}", unmeasured.address)
    if not facts.addresses and not facts.unmeasured:
        yield unknown(f"no address of {facts.host} was measured")


def _omitted(facts: EndpointFacts) -> list[Finding]:
    code = "ADDRESS_FAMILY_NOT_MEASURED"
    return [
        service_finding(
            code,
            f"addresses of {facts.host} of family {family} were not measured: no route from here",
        )
        for family in facts.omitted_families
    ]


def _without_refused_suites(address: AddressFacts) -> AddressFacts:
    """Drop refusals once: there are hundreds of them, and no rule asks for any."""
    return replace(
        address,
        cipher_suites=tuple(
            fact for fact in address.cipher_suites if fact.support is not Support.NO
        ),
    )


def _without_noise(reports: Iterable[Report], silent: frozenset[str]) -> Iterator[Report]:
    """Leave out what else is unknown about silent addresses. Proven facts stay."""
    for report in reports:
        if not (
            report.code == MEASUREMENT_INCOMPLETE
            and report.addresses
            and silent.issuperset(report.addresses)
        ):
            yield report


@dataclass(slots=True)
class _Group:
    """Equal reports, and the addresses they are about."""

    settings: RuleSettings | None
    report: Report
    addresses: dict[str, None] = field(default_factory=dict)
    evidence: dict[FindingEvidence, None] = field(default_factory=dict)


class _Findings:
    """Collects reports, and merges those that hold for every address."""

    def __init__(
        self, addresses: Sequence[str], now: datetime, permitted_versions: tuple[str, ...] = ()
    ) -> None:
        self._addresses, self._now, self._versions = set(addresses), now, permitted_versions
        self._groups: dict[tuple[str, str, str, int | None, Effect | None], _Group] = {}

    def add(self, settings: RuleSettings | None, reports: Iterable[Report]) -> None:
        for report in reports:
            key = (
                settings.id if settings else "",
                report.code,
                report.message,
                report.certificate_index,
                report.effect,
            )
            group = self._groups.setdefault(key, _Group(settings, report))
            group.addresses.update(dict.fromkeys(report.addresses))
            group.evidence.update(dict.fromkeys(report.evidence))

    def made(self) -> list[Finding]:
        return [finding for group in self._groups.values() for finding in self._of(group)]

    def _of(self, group: _Group) -> Iterator[Finding]:
        report, settings, entry = group.report, group.settings, finding_codes()[group.report.code]
        effect = entry.effect or (
            settings.effects[report.code] if settings else Effect.INDETERMINATE
        )
        if effect is Effect.OFF:
            return
        everywhere = not group.addresses or self._addresses.issubset(group.addresses)
        for address in ("",) if everywhere else group.addresses:
            yield Finding(
                code=report.code,
                severity=settings.severities.get(report.code, entry.severity)
                if settings
                else entry.severity,
                effect=report.effect or effect,
                rule_id=settings.id if settings else "",
                message=report.message,
                remediation=entry.causes.get(report.cause)
                or remedy_under(
                    report.code,
                    _listed_suites(settings),
                    self._versions,
                    _listed_groups(settings, self._now),
                ),
                citation=entry.citation if entry.effect or settings is None else settings.citation,
                evidence=tuple(group.evidence),
                certificate_index=report.certificate_index,
                address=address,
                about=report.about,
            )


def _permitted_versions(settings: Mapping[str, RuleSettings], now: datetime) -> tuple[str, ...]:
    """Return the labels of the versions that the policy permits; empty where it forbids none."""
    rule = settings[TLS_MINIMUM_VERSION.id]
    versions = rule.parameters["permitted_versions"]
    return versions.at(now) if rule.is_enabled and isinstance(versions, Permitted) else ()


def _listed_suites(settings: RuleSettings | None) -> tuple[str, ...]:
    """Return the suites of the rule; without those that are permitted for now only."""
    suites = settings.parameters.get("suites", ()) if settings else ()
    if isinstance(suites, Permitted):
        return suites.lasting
    return suites if isinstance(suites, tuple) else ()


def _listed_groups(settings: RuleSettings | None, now: datetime) -> tuple[str, ...]:
    """Return the groups of the rule. Those that have an end too: often there are no others yet."""
    groups = settings.parameters.get("groups", ()) if settings else ()
    if isinstance(groups, Permitted):
        return groups.at(now)
    return groups if isinstance(groups, tuple) else ()


def _verdict(policy: Policy, findings: Iterable[Finding], changes: datetime | None) -> Verdict:
    """Decide. A report-only policy softens denials by its rules and nothing else.

    Unknown stays INDETERMINATE under it: a policy on trial must not turn "could not determine" into
    "compliant", and no waiver covers unknown either. A forbidden address denies under any policy.
    """
    ordered = tuple(sorted(findings, key=order_of))
    counted = (
        ordered
        if policy.enforcing
        else [
            finding
            for finding in ordered
            if finding.effect is not Effect.DENY or finding.code == ADDRESS_FORBIDDEN
        ]
    )
    return Verdict(
        decision=_decision(counted),
        evaluated_decision=_decision(ordered),
        findings=ordered,
        changes_at=changes,
    )


def _decision(findings: Iterable[Finding]) -> Decision:
    effects = {finding.effect for finding in findings}
    if Effect.DENY in effects:
        return Decision.DENY
    return Decision.INDETERMINATE if Effect.INDETERMINATE in effects else Decision.ALLOW
