"""A catalog, and the context that it gives for judging one endpoint.

A catalog is one generation of policies, partners and trust, loaded together. It never changes, so a
call that took one at its start is judged by it to its end.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

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
from otpc_policy.policy.strictness import is_implied
from otpc_policy.policy.worse import attributed, worse_of


class NamedPartner(NamedTuple):
    """A partner whose entry names the server name, while the host is not in it.

    policy: of its entry; None where the entry names none, or the one that the request asked for.
    """

    id: str
    policy: Policy | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingContext:
    """What one endpoint is judged by. Where policies differ, all judge and the worst verdict wins.

    A partner found by its server name alone adds demands and takes none away: its policy and its
    agreement about client certificates judge, its trust and its waivers do not apply. They were
    agreed for its endpoints, and whoever asks could give any host this server name.

    policy: the one that the request asked for.
    minimum_policy: below which no verdict falls, whatever was asked for; None where there is none,
        or it is the one that was asked for.
    partner: the owner of the endpoint, or None.
    partner_policy: the policy in the partner's entry; None where the entry names none or the same
        one as the request.
    named_partners: found by the server name, other than the owner.
    trust: for this endpoint alone.
    expected_client_auth: what was agreed with each of the partners, every kind once.
    revision: of the catalog.
    policies: every policy that applies, each once. judging: those of them that have to judge,
        because no other is proven to decide at least as strictly.
    """

    policy: Policy
    minimum_policy: Policy | None = None
    partner: Partner | None = None
    partner_policy: Policy | None = None
    named_partners: tuple[NamedPartner, ...] = ()
    trust: Trust
    expected_client_auth: tuple[ClientAuth, ...] = ()
    revision: str = ""
    policies: tuple[Policy, ...] = field(init=False, repr=False)
    judging: tuple[Policy, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        added = (
            self.minimum_policy,
            self.partner_policy,
            *(named.policy for named in self.named_partners),
        )
        distinct = {self.policy.revision: self.policy}
        distinct |= {policy.revision: policy for policy in added if policy is not None}
        policies = tuple(distinct.values())
        object.__setattr__(self, "policies", policies)
        object.__setattr__(self, "judging", _not_implied(policies))

    @property
    def key(self) -> tuple[str, str]:
        """Two contexts for one endpoint that judge differently have different keys."""
        return self.revision, self.policy.revision

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
                attributed(
                    evaluate(
                        facts,
                        policy,
                        trust=self.trust,
                        now=now,
                        expected_client_auth=expected,
                        waivers=partner.waivers if partner is not None else (),
                        judge=judge,
                    ),
                    policy.name,
                )
                for policy in self.judging
                for expected in self.expected_client_auth or (None,)
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
                attributed(
                    evaluate_chain(
                        chain,
                        policy,
                        server_name=server_name,
                        trust=self.trust,
                        request_anchors=request_anchors,
                        now=now,
                        waivers=partner.waivers if partner is not None else (),
                        judge=judge,
                    ),
                    policy.name,
                )
                for policy in self.judging
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
        named = tuple(self._named(endpoint, partner))
        return self._context(partner, named, endpoint.server_name, policy_name)

    def context_for_name(self, server_name: str | None, policy_name: str) -> JudgingContext:
        """Return what judges a chain that is to be served under this name.

        Raises UnknownPolicy by the caller's fault.
        """
        partner = None if server_name is None else self.partners.find_by_name(server_name)
        return self._context(partner, (), server_name, policy_name)

    def _named(self, endpoint: Endpoint, owner: Partner | None) -> Iterator[Partner]:
        """Yield the partners that the server name leads to at this port, without the owner.

        A name in another entry's server_names is no claim on an endpoint that has an owner: it may
        be that of a network which serves both.
        """
        name, port = endpoint.server_name, endpoint.port
        of_name = self.partners.find(name, port)
        if of_name is not None and of_name is not owner:
            yield of_name
        if owner is None:
            for partner in self.partners.listing(name, port):
                if partner is not of_name:
                    yield partner

    def _context(
        self,
        owner: Partner | None,
        named: Sequence[Partner],
        server_name: str | None,
        policy_name: str,
    ) -> JudgingContext:
        policy = self.policies.get(policy_name)
        entries: tuple[TrustEntry, ...] = ()
        if server_name is not None:
            of_owner = owner.trusted if owner is not None else ()
            entries = (
                *(_trust_entry(trusted, server_name) for trusted in of_owner),
                *(entry for entry in self.trust.entries if entry.speaks_for(server_name)),
            )
        agreed = (partner.client_auth for partner in (owner, *named) if partner is not None)
        return JudgingContext(
            policy=policy,
            minimum_policy=_other_than(policy, self.policies.minimum),
            partner=owner,
            partner_policy=self._policy_of(owner, policy),
            named_partners=tuple(
                NamedPartner(partner.id, self._policy_of(partner, policy)) for partner in named
            ),
            trust=replace(self.trust, entries=entries),
            expected_client_auth=tuple(dict.fromkeys(each for each in agreed if each is not None)),
            revision=self.revision,
        )

    def _policy_of(self, partner: Partner | None, requested: Policy) -> Policy | None:
        """Return the policy that a partner adds to the requested one."""
        if partner is None or not partner.policy:
            return None
        return _other_than(requested, self.policies.get(partner.policy))


def _other_than(requested: Policy, policy: Policy | None) -> Policy | None:
    same = policy is None or policy.revision == requested.revision
    return None if same else policy


def _not_implied(policies: Sequence[Policy]) -> tuple[Policy, ...]:
    """Return the policies without those that another one implies. policies: distinct.

    The first always stays: its name is that of the answer.
    """
    kept = list(policies)
    for policy in policies[1:]:
        if any(is_implied(policy, by=other) for other in kept if other is not policy):
            kept.remove(policy)
    return tuple(kept)


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
