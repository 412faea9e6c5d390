"""The terms under which one endpoint is judged, and the generation of policies, partners and trust that they come from.

A generation never changes: whoever took one at the start of a call judges by it to the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from otpc_policy.catalog.partners.deadlines import deadline_findings, deadline_instants
from otpc_policy.catalog.partners.entry import Partner, Trusted, TrustKind
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.endpoint import Endpoint
from otpc_policy.facts import EndpointFacts
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.evaluate import evaluate, evaluate_chain
from otpc_policy.policy.finding import Finding, Verdict
from otpc_policy.policy.model import Policy, PolicySet
from otpc_policy.policy.service_findings import order_of, service_finding
from otpc_policy.policy.worse import worse_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What one endpoint is judged by.

    policy: the one that was asked for. partner: whose endpoint it is, None for nobody's. partner_policy: the one that the partner's entry
    names, None where it names none or the same; both then judge, and the worse wins. trust: for this endpoint alone. revision: of the generation.
    """

    policy: Policy
    partner: Partner | None = None
    partner_policy: Policy | None = None
    trust: Trust
    revision: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Tells apart what judges one endpoint differently."""
        return self.revision, self.policy.revision

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Those that judge."""
        return (self.policy,) if self.partner_policy is None else (self.policy, self.partner_policy)

    def refusal(self, endpoint: Endpoint) -> Finding | None:
        """Return why the endpoint is denied without a look at it, or None: a server name that is not the host must stand in the partner's entry."""
        partner = self.partner
        if partner is None or endpoint.server_name == endpoint.host or endpoint.server_name in partner.server_names:
            return None
        return service_finding(
            "SERVER_NAME_NOT_LISTED", f"{endpoint.server_name} is not among the server names of partner {partner.id}, whose endpoint {endpoint} is"
        )

    def evaluate(self, facts: EndpointFacts, now: datetime) -> Verdict:
        """Judge a measured endpoint."""
        client_auth = self.partner.client_auth if self.partner is not None else None
        waivers = self.partner.waivers if self.partner is not None else ()
        return self._joined(
            (evaluate(facts, policy, trust=self.trust, now=now, expected_client_auth=client_auth, waivers=waivers) for policy in self.policies), now
        )

    def evaluate_chain(self, chain: Sequence[bytes], *, server_name: str | None, request_anchors: Sequence[bytes], now: datetime) -> Verdict:
        """Judge a chain in hand."""
        waivers = self.partner.waivers if self.partner is not None else ()
        return self._joined(
            (
                evaluate_chain(chain, policy, server_name=server_name, trust=self.trust, request_anchors=request_anchors, now=now, waivers=waivers)
                for policy in self.policies
            ),
            now,
        )

    def _joined(self, verdicts: Iterable[Verdict], now: datetime) -> Verdict:
        first, *others = verdicts
        for other in others:
            first = worse_of(first, other)
        if self.partner is None:
            return first
        instants = (one for one in (first.changes_at, *deadline_instants(self.partner)) if one is not None and one > now)
        findings = (*first.findings, *deadline_findings(self.partner, now))
        return replace(first, findings=tuple(sorted(findings, key=order_of)), changes_at=min(instants, default=None))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Generation:
    """Everything that judges, as it was loaded together. trust: Mozilla's roots, and entries that hold whoever's endpoint it is.

    revision: SHA-256 of it all, in hexadecimal. Every policy that a partner names is among the policies.
    """

    policies: PolicySet
    trust: Trust
    partners: PartnerIndex = field(default_factory=PartnerIndex)
    revision: str = ""

    def terms_for(self, endpoint: Endpoint, policy_name: str) -> Terms:
        """Return the terms of an endpoint. Raises UnknownPolicy by the caller's fault."""
        return self._terms(self.partners.find(endpoint.host, endpoint.port), endpoint.server_name, policy_name)

    def terms_for_name(self, server_name: str | None, policy_name: str) -> Terms:
        """Return the terms of a chain that somebody has in hand for this name. Raises UnknownPolicy by the caller's fault."""
        return self._terms(None if server_name is None else self.partners.find_by_name(server_name), server_name, policy_name)

    def _terms(self, partner: Partner | None, server_name: str | None, policy_name: str) -> Terms:
        policy = self.policies.get(policy_name)
        named = self.policies.get(partner.policy) if partner is not None and partner.policy else policy
        entries = () if server_name is None else tuple(one for one in self.trust.entries if one.speaks_for(server_name))
        trusted = () if partner is None or server_name is None else tuple(_trust_entry(one, server_name) for one in partner.trusted)
        return Terms(
            policy=policy,
            partner=partner,
            partner_policy=None if named.revision == policy.revision else named,
            trust=replace(self.trust, entries=(*trusted, *entries)),
            revision=self.revision,
        )


def _trust_entry(trusted: Trusted, server_name: str) -> TrustEntry:
    """Return a statement for this one name: what a partner trusts holds at its endpoints and nowhere else."""
    pins = frozenset({trusted.pin}) if trusted.pin else frozenset()
    return TrustEntry(
        hosts=(server_name,),
        anchors=trusted.anchors,
        certificate_pins=pins if trusted.kind is TrustKind.CERTIFICATE else frozenset(),
        spki_pins=pins if trusted.kind is TrustKind.SPKI else frozenset(),
        note=trusted.note,
        ends_at=trusted.ends_at,
    )
