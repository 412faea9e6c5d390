"""Judging facts for one checker, and keeping a judgement for as long as nothing can change it."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from otpc_policy.check.values import CheckRequest, Judged
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    EndpointFacts,
    ResolutionFailure,
    ResolutionStatus,
)
from otpc_policy.policy.finding import Decision, Finding, Verdict
from otpc_policy.policy.service_findings import denied, indeterminate, order_of

# Of facts that stay in the cache: what one generation of the configuration judged is of no use to the next.
_MAXIMUM_KEPT = 4_096

_JudgementKey = tuple[Endpoint, tuple[str, str], Depth]
_AloneKey = tuple[int, Endpoint, tuple[str, str]]


class Judge:
    """Applies the terms of requests. Judgements are kept of facts that are held; all others would outlive their facts in the cache, and fill memory."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[AddressFacts, set[_JudgementKey], set[_AloneKey]]] = {}
        self._kept: OrderedDict[_JudgementKey, tuple[Judged, Resolution]] = OrderedDict()
        self._alone: OrderedDict[_AloneKey, tuple[AddressFacts, datetime, Verdict]] = OrderedDict()

    def hold(self, facts: AddressFacts) -> None:
        """Keep judgements of these facts from now on, until they are released."""
        self._held.setdefault(id(facts), (facts, set(), set()))

    def release(self, gone: Iterable[AddressFacts]) -> None:
        """Forget every judgement that rests on any of these facts."""
        for facts in gone:
            _, judgements, alone = self._held.pop(id(facts), (facts, (), ()))
            for key in judgements:
                self._kept.pop(key, None)
            for alone_key in alone:
                self._alone.pop(alone_key, None)

    def kept(self, request: CheckRequest, resolution: Resolution, newest: tuple[AddressFacts | None, ...]) -> Judged | None:
        """Return the kept judgement if it rests on exactly these facts. Whether it has expired is for the caller to see."""
        entry = self._kept.get((request.endpoint, request.terms.key, request.depth))
        if entry is None:
            return None
        judged, of = entry
        if resolution is not of and _of_facts(resolution) != _of_facts(of):
            return None
        facts = judged.facts.addresses
        return judged if len(facts) == len(newest) and all(one is other for one, other in zip(facts, newest, strict=True)) else None

    def judge(
        self,
        request: CheckRequest,
        resolution: Resolution,
        facts: tuple[AddressFacts, ...],
        *,
        findings: tuple[Finding, ...] = (),
        expires_at: datetime,
        now: datetime,
        keep: bool = True,
    ) -> Judged:
        """Return the judgement of all addresses together and keep it if it is whole.

        findings: why facts are missing; such a judgement is not kept, nor one with keep off (a stale one, whose end
        is this caller's), nor one of facts that are not held. expires_at: end of the facts' lifetimes.
        """
        whole = _endpoint_facts(request, facts, resolution)
        if len(facts) == 1 and whole == _endpoint_facts(request, facts, None):
            verdict = _with(self._verdict_alone(request, facts[0], now), findings)
        else:
            something_to_judge = facts or resolution.left_out or resolution.status is not ResolutionStatus.RESOLVED
            verdict = _with(request.terms.evaluate(whole, now) if something_to_judge else None, findings)
        judged = _judged(request, whole, verdict, expires_at)
        if facts and keep and not findings and all(id(one) in self._held for one in facts):
            key = (request.endpoint, request.terms.key, request.depth)
            for one in facts:
                self._held[id(one)][1].add(key)
            self._kept[key] = (judged, resolution)
            self._kept.move_to_end(key)
            if len(self._kept) > _MAXIMUM_KEPT:
                self._kept.popitem(last=False)
        return judged

    def refused(self, request: CheckRequest, finding: Finding, expires_at: datetime) -> Judged:
        """Return the denial of an endpoint that is not looked at."""
        return _judged(request, _endpoint_facts(request, (), None), denied(finding), expires_at)

    def decision(self, request: CheckRequest, facts: AddressFacts, now: datetime) -> Decision:
        """Return what the policy makes of one address alone: it decides how long the facts answer."""
        return self._verdict_alone(request, facts, now).evaluated_decision

    def changes_at(self, request: CheckRequest, facts: AddressFacts, since: datetime) -> datetime | None:
        """Return the first instant after since at which time alone changes the verdict about one address."""
        return self._verdict_alone(request, facts, since).changes_at

    def _verdict_alone(self, request: CheckRequest, facts: AddressFacts, now: datetime) -> Verdict:
        key = (id(facts), request.endpoint, request.terms.key)
        entry = self._alone.get(key)
        if entry is not None:
            of, since, verdict = entry
            if of is facts and since <= now and (verdict.changes_at is None or now < verdict.changes_at):
                return verdict
        verdict = request.terms.evaluate(_endpoint_facts(request, (facts,), None), now)
        if id(facts) not in self._held:
            return verdict
        self._held[id(facts)][2].add(key)
        self._alone[key] = (facts, now, verdict)
        self._alone.move_to_end(key)
        if len(self._alone) > _MAXIMUM_KEPT:
            self._alone.popitem(last=False)
        return verdict


def _judged(request: CheckRequest, facts: EndpointFacts, verdict: Verdict, expires_at: datetime) -> Judged:
    terms = request.terms
    return Judged(
        endpoint=request.endpoint,
        policy=terms.policy,
        partner_id=terms.partner.id if terms.partner is not None else "",
        partner_policy=terms.partner_policy,
        configuration_revision=terms.revision,
        facts=facts,
        verdict=verdict,
        observed_at=min((one.observed_at for one in facts.addresses), default=None),
        expires_at=min(expires_at, verdict.changes_at) if verdict.changes_at is not None else expires_at,
        judged_addresses=tuple(one.address for one in facts.addresses),
    )


def _with(verdict: Verdict | None, findings: tuple[Finding, ...]) -> Verdict:
    """Return the verdict with further findings that make it INDETERMINATE unless a rule denies. verdict: None where no fact was there to judge."""
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


def _endpoint_facts(request: CheckRequest, facts: tuple[AddressFacts, ...], resolution: Resolution | None) -> EndpointFacts:
    return EndpointFacts(
        host=request.endpoint.host,
        port=request.endpoint.port,
        server_name=request.endpoint.server_name,
        depth=request.depth,
        resolution=resolution.status if resolution is not None else ResolutionStatus.RESOLVED,
        addresses=facts,
        unmeasured=resolution.left_out if resolution is not None else (),
        omitted_families=resolution.omitted_families if resolution is not None else (),
        forbidden=resolution.forbidden if resolution is not None else (),
        resolution_failure=resolution.failure if resolution is not None else ResolutionFailure.NONE,
        unresolved_families=resolution.unresolved_families if resolution is not None else (),
        resolution_is_stale=resolution.is_stale if resolution is not None else False,
    )


def _of_facts(resolution: Resolution) -> tuple[object, ...]:
    """Return what a resolution adds to the facts about its addresses."""
    return (
        resolution.left_out,
        resolution.omitted_families,
        resolution.failure,
        resolution.unresolved_families,
        resolution.is_stale,
    )
