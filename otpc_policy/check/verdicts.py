"""Judges facts under a generation, and keeps verdicts for as long as nothing can change them.

A verdict is a function of the facts, of what CRLs say, of what judges, and of time. So it is kept
by the names of the facts and of the statements, by the generation and by the policy, together with
the span of time it holds for. Nothing here holds facts: a verdict may outlive them in the store,
and is then found by nobody. Only what was said last of an endpoint's chains is kept with them,
because the verdicts on its addresses, alone and together, come at one instant and share one budget.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from otpc_policy.catalog.context import Catalog, JudgingContext
from otpc_policy.check.freshness import Lifetime
from otpc_policy.check.lifetimes import Lifetimes
from otpc_policy.check.stored_facts import StoredFacts
from otpc_policy.check.values import (
    BesideAddresses,
    CheckRequest,
    JudgedCertificate,
    Judgement,
    JudgementKey,
    endpoint_facts,
)
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth, EndpointFacts, ResolutionStatus
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.pki.certificate import spki_sha256
from otpc_policy.pki.crl import CrlStatements
from otpc_policy.pki.judge import ChainJudge
from otpc_policy.policy.connection_terms import connection_terms
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.service_findings import denied, indeterminate, order_of
from otpc_policy.recently_used import RecentlyUsed

# Of each: questions, verdicts, judgements. A verdict takes a few kilobytes.
_MAX_KEPT: Final = 4_096
_NOTHING_BESIDE = BesideAddresses()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """An endpoint, from where and how deeply it is measured, and what judges it.

    name: tells it from every other question: endpoint, depth, perspective, generation and policy in
    one text.
    lifetimes: under its policies. refusal: why the endpoint is denied unmeasured, or None.
    """

    name: str
    endpoint: Endpoint
    depth: Depth
    context: JudgingContext
    lifetimes: Lifetimes
    refusal: Finding | None
    perspective: str = DEFAULT_PERSPECTIVE


# The name of the policy, and what is asked about, from where.
_QuestionKey = tuple[str, Depth, Endpoint, str]


class _Dated(NamedTuple):
    """A verdict and the instant of its evaluation. It holds from then until it changes."""

    since: datetime
    verdict: Verdict

    def holds_at(self, now: datetime) -> bool:
        changes_at = self.verdict.changes_at
        return self.since <= now and (changes_at is None or now < changes_at)


class RevocationLists(CrlStatements, Protocol):
    """What CRLs say, and names for it.

    grounds: what verdicts about these leaves (SHA-256) rest on; equal as long as nothing else is
    known about any of them. revision: changes with every grounds.
    """

    @property
    def revision(self) -> int: ...
    def grounds(self, leaves: Iterable[bytes]) -> tuple[int, ...]: ...


class Verdicts:
    """The judge. lifetimes: of facts, where a policy sets none of its own.

    crls: None where nobody looks at CRLs. max_kept: questions, verdicts and judgements, of each.
    """

    def __init__(
        self,
        lifetimes: Lifetimes,
        crls: RevocationLists | None = None,
        *,
        max_kept: int = _MAX_KEPT,
    ) -> None:
        self._lifetimes, self._crls = lifetimes, crls
        self._generation: Catalog | None = None
        self._questions = RecentlyUsed[_QuestionKey, Question](max_entries=max_kept)
        self._verdicts = RecentlyUsed[JudgementKey, _Dated](max_entries=max_kept)
        self._judgements = RecentlyUsed[JudgementKey, Judgement](max_entries=max_kept)
        self._chains: tuple[tuple[str, datetime, int], ChainJudge] | None = None

    def question(
        self,
        request: CheckRequest,
        generation: Catalog,
        *,
        perspective: str = DEFAULT_PERSPECTIVE,
    ) -> Question:
        """Return what the request asks under a generation. Raises UnknownPolicy.

        perspective: the one that the request means.
        """
        if generation is not self._generation:
            self._begin(generation)
        key = (request.policy_name, request.depth, request.endpoint, perspective)
        question = self._questions.get(key)
        if question is None:
            context = generation.context_for(request.endpoint, request.policy_name)
            question = Question(
                name=_name(request.endpoint, request.depth, perspective, *context.key),
                endpoint=request.endpoint,
                depth=request.depth,
                context=context,
                lifetimes=self._lifetimes.under(*context.policies),
                refusal=context.refusal(request.endpoint),
                perspective=perspective,
            )
            self._questions.put(key, question)
        return question

    def kept(
        self, question: Question, resolution: Resolution, stored: Sequence[StoredFacts | None]
    ) -> Judgement | None:
        """Return the judgement that rests on exactly these facts, if it was made before.

        stored: by address. Whether the judgement still holds is for the caller to see.
        """
        known = [each for each in stored if each is not None]
        if len(known) != len(stored):
            return None
        return self._judgements.get(self._key(question, known, resolution))

    def is_outdated(self, judgement: Judgement) -> bool:
        """Tell whether CRLs say something else by now of a leaf in a judgement that was kept."""
        if self._crls is None or judgement.key is None:
            return False
        leaves = [each.leaf_sha256 for each in judgement.judged_certificates]
        return self._crls.grounds(leaves) != judgement.key[-1]

    def judge(
        self,
        question: Question,
        resolution: Resolution | None,
        stored: Sequence[StoredFacts],
        *,
        so_far: Sequence[AddressFacts] = (),
        findings: Sequence[Finding] = (),
        expires_at: datetime,
        now: datetime,
        keep: bool = True,
    ) -> Judgement:
        """Return the judgement of all addresses together.

        It is kept if it is whole and everybody's: not with keep off (facts past their lifetime,
        which other callers need not accept), not with findings (why facts are missing), not with
        so_far (facts of measurements under way). expires_at: the end of the facts' lifetimes.
        """
        addresses = (*(known.facts for known in stored), *so_far)
        verdict: Verdict | None
        if stored and not so_far:
            verdict = self._verdict(question, stored, resolution, now)
        else:
            facts = endpoint_facts(question.endpoint, question.depth, addresses, resolution)
            verdict = self._evaluated(question, facts, now)
        is_kept = bool(stored) and keep and not findings and not so_far
        judgement = _judgement(
            question,
            _with(verdict, findings),
            key=self._key(question, stored, resolution) if is_kept else None,
            addresses=addresses,
            expires_at=expires_at,
            now=now,
        )
        if judgement.key is not None:
            self._judgements.put(judgement.key, judgement)
        return judgement

    def refuse(self, question: Question, refusal: Finding, now: datetime) -> Judgement:
        """Return the denial of an endpoint that is not measured."""
        return _judgement(
            question,
            denied(refusal),
            key=None,
            addresses=(),
            expires_at=now + question.lifetimes.deny,
            now=now,
        )

    def doubted(
        self, judgement: Judgement, findings: Sequence[Finding], *, expires_at: datetime
    ) -> Judgement:
        """Return a judgement with findings that keep one caller from relying on it.

        It is INDETERMINATE unless a rule denies, kept for nobody, and expires at expires_at if it
        would not sooner.
        """
        return replace(
            judgement,
            key=None,
            verdict=_with(judgement.verdict, findings),
            expires_at=min(judgement.expires_at, expires_at),
        )

    def denies(self, question: Question, so_far: AddressFacts, now: datetime) -> bool:
        """Tell whether facts of a measurement under way deny, whatever it may still find."""
        facts = endpoint_facts(question.endpoint, question.depth, (so_far,))
        return self._evaluate(question, facts, now).evaluated_decision is Decision.DENY

    def lifetime(self, question: Question, stored: StoredFacts, at: datetime) -> Lifetime:
        """Return how long the facts of one address answer, judged alone at an instant."""
        verdict = self._verdict(question, (stored,), None, at)
        return Lifetime(question.lifetimes.of(verdict.evaluated_decision), verdict.changes_at)

    def _begin(self, generation: Catalog) -> None:
        """Let go of what an earlier generation judged, for nobody asks for it any more.

        Else the documents of every generation there was would stay in memory.
        """
        earlier, self._generation = self._generation, generation
        self._questions.clear()
        if earlier is not None and earlier.revision != generation.revision:
            self._verdicts.clear()
            self._judgements.clear()

    def _verdict(
        self,
        question: Question,
        stored: Sequence[StoredFacts],
        resolution: Resolution | None,
        now: datetime,
    ) -> Verdict:
        key = self._key(question, stored, resolution)
        dated = self._verdicts.get(key)
        if dated is None or not dated.holds_at(now):
            addresses = tuple(known.facts for known in stored)
            facts = endpoint_facts(question.endpoint, question.depth, addresses, resolution)
            dated = _Dated(now, self._evaluate(question, facts, now))
            self._verdicts.put(key, dated)
        return dated.verdict

    def _evaluated(self, question: Question, facts: EndpointFacts, now: datetime) -> Verdict | None:
        """Return a verdict that is not kept; None if there is nothing to judge."""
        is_resolved = facts.resolution is ResolutionStatus.RESOLVED
        if facts.addresses or facts.unmeasured or not is_resolved:
            return self._evaluate(question, facts, now)
        return None

    def _evaluate(self, question: Question, facts: EndpointFacts, now: datetime) -> Verdict:
        crls = self._crls
        key = question.name, now, 0 if crls is None else crls.revision
        if self._chains is None or self._chains[0] != key:
            self._chains = key, question.context.chain_judge(facts.server_name, now, crls)
        return question.context.evaluate(facts, now, self._chains[1])

    def _key(
        self, question: Question, stored: Sequence[StoredFacts], resolution: Resolution | None
    ) -> JudgementKey:
        facts_ids = tuple([known.facts_id for known in stored])
        beside = _NOTHING_BESIDE if resolution is None else BesideAddresses.of(resolution)
        grounds: tuple[int, ...] = ()
        if self._crls is not None:
            grounds = self._crls.grounds([leaf for known in stored for leaf in known.leaves])
        return question.name, facts_ids, beside, grounds


def _name(endpoint: Endpoint, depth: Depth, perspective: str, generation: str, policy: str) -> str:
    # None of the parts contains a space. A text, because it is hashed with every look-up.
    return f"{endpoint} {endpoint.server_name} {depth.value} {perspective} {generation} {policy}"


def _judgement(
    question: Question,
    verdict: Verdict,
    *,
    key: JudgementKey | None,
    addresses: Sequence[AddressFacts],
    expires_at: datetime,
    now: datetime,
) -> Judgement:
    context = question.context
    changes_at = verdict.changes_at
    return Judgement(
        key=key,
        endpoint=question.endpoint,
        depth=question.depth,
        policy=context.policy,
        minimum_policy=context.minimum_policy,
        partner_id=context.partner.id if context.partner is not None else "",
        partner_policy=context.partner_policy,
        named_partners=context.named_partners,
        configuration_revision=context.revision,
        verdict=verdict,
        observed_at=min((facts.observed_at for facts in addresses), default=None),
        judged_at=now,
        expires_at=expires_at if changes_at is None else min(expires_at, changes_at),
        judged_addresses=tuple(facts.address for facts in addresses),
        judged_certificates=_judged_certificates(addresses),
        terms=connection_terms(context.policies, verdict.findings, now),
        perspective=question.perspective,
    )


def _judged_certificates(addresses: Iterable[AddressFacts]) -> tuple[JudgedCertificate, ...]:
    leaves = {
        deployment.chain[0]
        for facts in addresses
        for deployment in facts.deployments
        if deployment.chain
    }
    return tuple(
        sorted(
            JudgedCertificate(hashlib.sha256(leaf).digest(), spki_sha256(leaf) or b"")
            for leaf in leaves
        )
    )


def _with(verdict: Verdict | None, findings: Sequence[Finding]) -> Verdict:
    """Return the verdict with findings that make it INDETERMINATE unless a rule denies.

    verdict: None if there was nothing to judge.
    """
    if verdict is None:
        return indeterminate(findings)
    if not findings:
        return verdict
    return replace(
        verdict,
        decision=_at_most_indeterminate(verdict.decision),
        evaluated_decision=_at_most_indeterminate(verdict.evaluated_decision),
        findings=tuple(sorted((*verdict.findings, *findings), key=order_of)),
    )


def _at_most_indeterminate(decision: Decision) -> Decision:
    return decision if decision is Decision.DENY else Decision.INDETERMINATE
