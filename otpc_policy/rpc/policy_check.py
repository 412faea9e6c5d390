"""The servicer of otpc_policy.v1.PolicyCheckService.

It takes and returns serialised messages, and raises the errors of the status table.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from contextlib import nullcontext
from typing import TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2

from otpc_policy.catalog.access import Permissions
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.role import Rpc
from otpc_policy.check import (
    ChangeFeed,
    Clock,
    ResultSource,
    WatchedEndpoints,
    judge_chain_in_hand,
)
from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.core.spans import span
from otpc_policy.ops.audit.schema import constant_fields
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.ops.metrics.tallies import Observed
from otpc_policy.ops.timestamps import rfc3339
from otpc_policy.rpc.answers import (
    MAX_KEPT_ANSWERS,
    CheckAnswers,
    Checks,
    DecisionCounters,
    is_plain_allow,
    used_budgets_counted,
    verdict_fields,
)
from otpc_policy.rpc.audited import audited_call, refusal_reason
from otpc_policy.rpc.authorisation import (
    check_demand,
    permissions_in,
    policy_demand,
    require,
    validation_demand,
)
from otpc_policy.rpc.batches import batch_response, size_of, within_limit
from otpc_policy.rpc.convert import (
    ParsedCheck,
    parse_batch_request,
    parse_page_size,
    parse_validate_request,
    policy_message,
    read_check_request,
    undecodable,
    validate_response,
)
from otpc_policy.rpc.current_call import current_call
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.request_id import new_id
from otpc_policy.rpc.status import is_expected, status_of
from otpc_policy.rpc.watched_pages import MOST_WATCHED_PAGE, WATCHED_PAGE, watched_page
from otpc_policy.rpc.wire_budget import SHORT_BYTES, GrowingAnswer, WireBudget, unlimited
from otpc_policy.turns import turn
from otpc_policy.v1 import policy_pb2 as pb

log = structlog.get_logger("otpc_policy.rpc")

# gRPC rounds a deadline up when it writes it into the request: to 10 ms from one second on, to
# 100 ms from ten, to one second from a hundred.
_DEADLINE_ROUNDING = 0.01

# An item with long names in other scripts than Latin takes two milliseconds.
_PARSED_AT_ONCE = 5
# Chains have four certificates of two kilobytes, half as much again in PEM.
_SHORT_CHAIN_BYTES = 16 * 1024

_M = TypeVar("_M", bound=Message)


class PolicyCheckServicer:
    """Answers the six methods.

    generation: the current one; each call takes it once, at its start.
    deadline_reserve_s: held back from a caller's deadline, so that the response still arrives.
    default_wait_s: how long a caller without a deadline waits for a measurement. wire: what answers
    may take until they have been read; None for no bound. max_kept: see CheckAnswers. watched: None
    where nothing is watched. feed: of what is published about it.
    """

    def __init__(
        self,
        *,
        checks: Checks,
        generation: Callable[[], Catalog],
        clock: Clock,
        counters: DecisionCounters,
        decisions: AuditTrail,
        deadline_reserve_s: float = 0.075,
        default_wait_s: float = 30.0,
        allow_request_anchors: bool = False,
        wire: WireBudget | None = None,
        max_kept: int = MAX_KEPT_ANSWERS,
        watched: WatchedEndpoints | None = None,
        feed: ChangeFeed | None = None,
    ) -> None:
        self._answers = CheckAnswers(
            checks=checks, counters=counters, decisions=decisions, max_kept=max_kept
        )
        self._generation = generation
        self._clock = clock
        self._counters = counters
        self._wire = wire if wire is not None else unlimited()
        self._decisions = decisions
        self._deadline_reserve_s = deadline_reserve_s
        self._default_wait_s = default_wait_s
        self._allow_request_anchors = allow_request_anchors
        self._watched = watched
        self._feed = feed

    async def check_endpoint(self, request: bytes, context: Context) -> bytes:
        """CheckEndpoint."""
        generation = self._generation()
        permissions = permissions_in(generation)
        response = await self._answers.repeat(request, generation, permissions)
        if response is None:
            response = await self._answers.answer_request(
                request,
                generation,
                permissions,
                wait_s=self._wait_s(context),
                caller=current_call.get().caller,
            )
        self._hold(len(response), context)
        return response

    async def batch_check_endpoints(self, request: bytes, context: Context) -> bytes:
        """BatchCheckEndpoints: items concurrently, identical ones once."""
        items = parse_batch_request(_parse(pb.BatchCheckEndpointsRequest, request))
        wait_s, generation = self._wait_s(context), self._generation()
        permissions = permissions_in(generation)
        parsed: list[ParsedCheck | status_pb2.Status] = []
        for at in range(0, len(items), _PARSED_AT_ONCE):
            async with turn():
                parsed += map(_parsed_or_error, items[at : at + _PARSED_AT_ONCE])
        distinct = dict.fromkeys(item for item in parsed if isinstance(item, ParsedCheck))
        # Counted as they are made: many batches at once wait for their turn to be joined.
        made = self._wire.growing(current_call.get().caller, context)
        outcomes = dict(
            zip(
                distinct,
                await asyncio.gather(
                    *(
                        self._outcome(item, generation, permissions, wait_s, made)
                        for item in distinct
                    )
                ),
                strict=True,
            )
        )
        in_order = [outcomes[item] if isinstance(item, ParsedCheck) else item for item in parsed]
        async with turn():
            results = within_limit(in_order, current_call.get().request_id)
            for index, result in enumerate(results):
                if not isinstance(result, bytes):
                    self._decisions.record_refusal(
                        audited_call("BatchCheckEndpoints"), refusal_reason(result, index)
                    )
            # An answer counts as often as it is repeated. Errors are short, and do not count.
            with used_budgets_counted(self._counters):
                made.resize(sum(size_of(each) for each in results if isinstance(each, bytes)))
            return batch_response(results)

    async def validate_certificate(self, request: bytes, context: Context) -> bytes:
        """ValidateCertificate.

        Judged on the event loop: a chain takes about a millisecond, less than a thread and back
        under load. A quarter of a megabyte of text takes a hundred times that, and so a turn.
        """
        async with turn() if len(request) > _SHORT_CHAIN_BYTES else nullcontext():
            response = self._validated(request)
            self._hold(response.ByteSize(), context)
            return response.SerializeToString()

    def _validated(self, request: bytes) -> pb.ValidateCertificateResponse:
        message = _parse(pb.ValidateCertificateRequest, request)
        parsed = parse_validate_request(message, allow_request_anchors=self._allow_request_anchors)
        asked = parsed.request
        generation = self._generation()
        require(permissions_in(generation), validation_demand(parsed, generation))
        with span("judge"):
            answer = judge_chain_in_hand(asked, generation, self._clock.now())
        check_id, call = new_id(), audited_call("ValidateCertificate")
        self._counters.decided(
            rpc="ValidateCertificate",
            decision=answer.verdict.decision,
            findings=answer.verdict.findings,
            result_age_s=None,
            source=ResultSource.REQUEST.name,
            seconds=call.duration_s,
            observed=Observed(call.sampled_trace_id, check_id),
        )
        verdict = verdict_fields(
            answer.policy,
            answer.verdict,
            minimum_policy=answer.minimum_policy,
            partner_id=answer.partner_id,
            configuration_revision=answer.configuration_revision,
        )
        name, judged_at = asked.server_name or "", rfc3339(answer.judged_at)
        fields = {"server_name": name, **verdict, "judged_at": judged_at}
        self._decisions.record_decision(
            call,
            at=self._clock.now(),
            check_id=check_id,
            source=ResultSource.REQUEST.name,
            constant=constant_fields(fields),
            is_sampled=is_plain_allow(answer.verdict),
        )
        return validate_response(answer, asked.chain, parsed.view, check_id)

    async def get_policy(self, request: bytes, context: Context) -> bytes:
        """GetPolicy."""
        generation = self._generation()
        policies, name = generation.policies, _parse(pb.GetPolicyRequest, request).name
        require(permissions_in(generation), policy_demand(name, generation, Rpc.GET_POLICY))
        message = policy_message(policies.get(name), policies, with_document=True)
        response = pb.GetPolicyResponse(policy=message)
        self._hold(response.ByteSize(), context)
        return response.SerializeToString()

    async def list_policies(self, request: bytes, context: Context) -> bytes:
        """ListPolicies: those that the caller's roles permit.

        A page token is the last name of the previous page, so it stays valid over a reload.
        """
        message = _parse(pb.ListPoliciesRequest, request)
        size, after = parse_page_size(message), _name_in(message.page_token)
        generation = self._generation()
        policies, permissions = generation.policies, permissions_in(generation)
        rest = [
            policy
            for policy in policies.ordered()
            if policy.name > after
            and not permissions.missing(policy_demand(policy.name, generation, Rpc.LIST_POLICIES))
        ]
        page = rest[:size]
        response = pb.ListPoliciesResponse(
            policies=(policy_message(policy, policies) for policy in page),
            next_page_token=_token_of(page[-1].name) if len(rest) > size else "",
        )
        self._hold(response.ByteSize(), context)
        return response.SerializeToString()

    async def list_watched(self, request: bytes, context: Context) -> bytes:
        """ListWatched: those that the caller's roles permit.

        A page token is the last endpoint of the previous page, so it stays valid over a reload.
        """
        message = _parse(pb.ListWatchedRequest, request)
        size = parse_page_size(message, default=WATCHED_PAGE, most=MOST_WATCHED_PAGE)
        after = _name_in(message.page_token)
        response = pb.ListWatchedResponse()
        if self._watched is not None:
            generation = self._generation()
            permissions = permissions_in(generation)
            feed = self._feed if self._feed is not None and self._feed.is_current else None
            if feed is not None:
                # Before the page is made: what changes meanwhile may come again.
                response.cursor = feed.cursor(permissions.scope)
            page, last = await watched_page(
                self._watched,
                feed,
                generation,
                permissions,
                partner_id=message.partner_id,
                after=after,
                size=size,
            )
            response.endpoints.extend(page)
            response.next_page_token = _token_of(last) if last else ""
        self._hold(response.ByteSize(), context)
        return response.SerializeToString()

    async def _outcome(
        self,
        parsed: ParsedCheck,
        generation: Catalog,
        permissions: Permissions,
        wait_s: float,
        made: GrowingAnswer,
    ) -> bytes | status_pb2.Status:
        """Return the outcome of an item. This is its outermost frame: a bug, too, is its error.

        made: the answers of the batch so far; this one is an error where it is one too many.
        """
        try:
            demand = check_demand(parsed, generation, Rpc.BATCH_CHECK_ENDPOINTS)
            require(permissions, demand)
            with span("check"):
                answer = await self._answers.answer(
                    parsed,
                    generation,
                    wait_s=wait_s,
                    caller=current_call.get().caller,
                    rpc="BatchCheckEndpoints",
                    may_see_internal_addresses=permissions.may_see_internal_addresses(demand),
                )
            with used_budgets_counted(self._counters):
                made.resize(made.size + size_of(answer))
            return answer
        except Exception as error:
            if not is_expected(error):
                log.exception("item of a batch failed", request_id=current_call.get().request_id)
            return status_of(error, current_call.get().request_id)

    def _hold(self, size: int, context: Context) -> None:
        """Count an answer until it has been taken. Raises CallerBudgetUsed, Overloaded."""
        if size <= SHORT_BYTES:
            return
        with used_budgets_counted(self._counters):
            self._wire.hold(size, current_call.get().caller, context)

    def _wait_s(self, context: Context) -> float:
        remaining_s: float | None = context.time_remaining()
        return (
            self._default_wait_s
            if remaining_s is None
            else max(0.0, remaining_s * (1 - _DEADLINE_ROUNDING) - self._deadline_reserve_s)
        )


def _parse(kind: type[_M], raw: bytes) -> _M:
    try:
        return kind.FromString(raw)
    except DecodeError:
        raise undecodable(kind.DESCRIPTOR.name) from None


def _parsed_or_error(item: pb.CheckEndpointRequest) -> ParsedCheck | status_pb2.Status:
    try:
        # Items are often repeated, within a batch and from one to the next.
        return read_check_request(item.SerializeToString())
    except InvalidRequest as error:
        return status_of(error, current_call.get().request_id)


def _token_of(name: str) -> str:
    return base64.urlsafe_b64encode(name.encode()).decode("ascii")


def _name_in(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            [FieldViolation("page_token", "was not issued by this method")]
        ) from None
