"""A catalog, and the context that it gives for judging one endpoint.

A catalog is one generation of policies, partners and trust, loaded together. It never changes, so a
call that took one at its start is judged by it to its end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from otpc_policy.catalog.access import Access, access_without_roles
from otpc_policy.catalog.entry import Partner, Trusted, TrustKind
from otpc_policy.catalog.partners.deadlines import deadline_findings, deadline_instants
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import ClientAuth, EndpointFacts
from otpc_policy.pki.crl import CrlStatements
from otpc_policy.pki.judge import ChainJudge
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.evaluate import evaluate, evaluate_chain
from otpc_policy.policy.finding import Finding, Verdict
from otpc_policy.policy.model import Policy, PolicySet
from otpc_policy.policy.service_findings import order_of, service_finding
from otpc_policy.policy.worse import worse_of


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingContext:
    """What one endpoint is judged by.

    policy: the one that the request asked for.
    partner: the owner of the endpoint, or None.
    partner_policy: the policy in the partner's entry; None where the entry names none or the same
        one. Where there are two policies, both judge and the worse verdict wins.
    trust: for this endpoint alone.
    expected_client_auth: what was agreed with the partner; None if nothing was.
    revision: of the catalog.
    """

    policy: Policy
    partner: Partner | None = None
    partner_policy: Policy | None = None
    trust: Trust
    expected_client_auth: ClientAuth | None = None
    revision: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Two contexts for one endpoint that judge differently have different keys."""
        return self.revision, self.policy.revision

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy that judges."""
        if self.partner_policy is None:
            return (self.policy,)
        return (self.policy, self.partner_policy)

    def refusal(self, endpoint: Endpoint) -> Finding | None:
        """Return why the endpoint is denied without being measured, or None.

        A server name other than the host must be listed in the partner's entry.
        """
        partner = self.partner
        if partner is None or endpoint.server_name == endpoint.host:
            return None
        if endpoint.server_name in partner.server_names:
            return None
        return service_finding(
            "SERVER_NAME_NOT_LISTED",
            f"{endpoint} belongs to partner {partner.id}, whose server names do not include "
            f"{endpoint.server_name}",
        )

    def chain_judge(
        self, server_name: str, now: datetime, crls: CrlStatements | None = None
    ) -> ChainJudge:
        """Return who judges the endpoint's chains at an instant, for all policies.

        crls: what CRLs say; None where nobody looks at them.
        """
        return ChainJudge(server_name=server_name, trust=self.trust, at=now, crls=crls)

    def evaluate(
        self, facts: EndpointFacts, now: datetime, judge: ChainJudge | None = None
    ) -> Verdict:
        """Judge a measured endpoint.

        judge: what chain_judge returned for its server name and this instant; None for a new one.
        """
        partner = self.partner
        judge = judge or self.chain_judge(facts.server_name, now)
        return self._joined(
            (
                evaluate(
                    facts,
                    policy,
                    trust=self.trust,
                    now=now,
                    expected_client_auth=self.expected_client_auth,
                    waivers=partner.waivers if partner is not None else (),
                    judge=judge,
                )
                for policy in self.policies
            ),
            now,
        )

    def evaluate_chain(
        self,
        chain: Sequence[bytes],
        *,
        server_name: str | None,
        request_anchors: Sequence[bytes],
        now: datetime,
    ) -> Verdict:
        """Judge a chain that the caller holds; chain and request_anchors are DER, leaf first."""
        partner = self.partner
        judge = ChainJudge(
            server_name=server_name, trust=self.trust, request_anchors=request_anchors, at=now
        )
        return self._joined(
            (
                evaluate_chain(
                    chain,
                    policy,
                    server_name=server_name,
                    trust=self.trust,
                    request_anchors=request_anchors,
                    now=now,
                    waivers=partner.waivers if partner is not None else (),
                    judge=judge,
                )
                for policy in self.policies
            ),
            now,
        )

    def _joined(self, verdicts: Iterable[Verdict], now: datetime) -> Verdict:
        joined, *others = verdicts
        for other in others:
            joined = worse_of(joined, other)
        if self.partner is None:
            return joined
        instants = (joined.changes_at, *deadline_instants(self.partner))
        following = (at for at in instants if at is not None and at > now)
        findings = (*joined.findings, *deadline_findings(self.partner, now))
        return replace(
            joined,
            findings=tuple(sorted(findings, key=order_of)),
            changes_at=min(following, default=None),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Catalog:
    """One generation of everything that judges.

    policies: every policy that a partner names is among them.
    trust: Mozilla's roots, and the entries that hold for any endpoint of their hosts.
    access: which callers may do what.
    revision: SHA-256 of the whole, in hexadecimal.
    """

    policies: PolicySet
    trust: Trust
    partners: PartnerIndex = field(default_factory=PartnerIndex)
    access: Access = field(default_factory=access_without_roles)
    revision: str = ""

    def context_for(self, endpoint: Endpoint, policy_name: str) -> JudgingContext:
        """Return what judges an endpoint; "" means the default policy.

        Raises UnknownPolicy by the caller's fault.
        """
        partner = self.partners.find(endpoint.host, endpoint.port)
        return self._context(partner, endpoint.server_name, policy_name)

    def context_for_name(self, server_name: str | None, policy_name: str) -> JudgingContext:
        """Return what judges a chain that is to be served under this name.

        Raises UnknownPolicy by the caller's fault.
        """
        partner = None if server_name is None else self.partners.find_by_name(server_name)
        return self._context(partner, server_name, policy_name)

    def _context(
        self, partner: Partner | None, server_name: str | None, policy_name: str
    ) -> JudgingContext:
        policy = self.policies.get(policy_name)
        partner_policy: Policy | None = None
        if partner is not None and partner.policy:
            partner_policy = self.policies.get(partner.policy)
        entries: tuple[TrustEntry, ...] = ()
        if server_name is not None:
            of_partner = partner.trusted if partner is not None else ()
            entries = (
                *(_trust_entry(trusted, server_name) for trusted in of_partner),
                *(entry for entry in self.trust.entries if entry.speaks_for(server_name)),
            )
        if partner_policy is not None and partner_policy.revision == policy.revision:
            partner_policy = None
        return JudgingContext(
            policy=policy,
            partner=partner,
            partner_policy=partner_policy,
            trust=replace(self.trust, entries=entries),
            expected_client_auth=partner.client_auth if partner is not None else None,
            revision=self.revision,
        )


def _trust_entry(trusted: Trusted, server_name: str) -> TrustEntry:
    """Return an entry for this name alone: a partner's trust holds at its own endpoints only."""
    pins = frozenset({trusted.pin}) if trusted.pin else frozenset()
    return TrustEntry(
        hosts=(server_name,),
        anchors=trusted.anchors,
        certificate_pins=pins if trusted.kind is TrustKind.CERTIFICATE else frozenset(),
        spki_pins=pins if trusted.kind is TrustKind.SPKI else frozenset(),
        note=trusted.note,
        ends_at=trusted.ends_at,
    )
