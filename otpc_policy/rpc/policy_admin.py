"""The servicer of otpc_policy.v1.PolicyAdminService."""

from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from otpc_policy.catalog.context import Catalog
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.audit.schema import who_called
from otpc_policy.ops.audit.trail import EventLog
from otpc_policy.rpc.audited import audited_call
from otpc_policy.rpc.authorisation import invalidation_demand, permissions_in, require
from otpc_policy.rpc.convert import policy_message, undecodable
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.status import ConfigurationRefused
from otpc_policy.v1 import policy_pb2 as pb


class ResultInvalidator(Protocol):
    """Forgets facts. port: 0 for every port. Returns how many there were."""

    async def invalidate(self, host: str, port: int) -> int: ...


class Reloads(Protocol):
    """Holds the current generation. reload and validate raise ConfigurationError."""

    @property
    def current(self) -> Catalog: ...
    async def reload(self, cause: str) -> Catalog: ...
    async def validate(self) -> Catalog: ...


class PolicyAdminServicer:
    """Answers both methods. Who may call them is for the guard, which endpoints asked here.

    events: where it is recorded who did what; by default the log.
    """

    def __init__(
        self,
        *,
        results: ResultInvalidator,
        reloads: Reloads,
        events: EventLog | None = None,
    ) -> None:
        self._results = results
        self._reloads = reloads
        self._events: EventLog = events or structlog.get_logger("otpc_policy.rpc")

    async def invalidate_results(self, request: bytes, _context: Context) -> bytes:
        """InvalidateResults."""
        try:
            message = pb.InvalidateResultsRequest.FromString(request)
        except DecodeError:
            raise undecodable("InvalidateResultsRequest") from None
        # Port 0 means every port here, and the parser would make it 443.
        endpoint = parse_endpoint(message.host, message.port)
        port = endpoint.port if message.port else 0
        generation = self._reloads.current
        demand = invalidation_demand(endpoint.host, port, generation)
        require(permissions_in(generation), demand)
        count = await self._results.invalidate(endpoint.host, port)
        self._record("InvalidateResults", host=endpoint.host, port=port, count=count)
        return pb.InvalidateResultsResponse(invalidated_count=count).SerializeToString()

    async def reload_policies(self, request: bytes, _context: Context) -> bytes:
        """ReloadPolicies."""
        try:
            message = pb.ReloadPoliciesRequest.FromString(request)
        except DecodeError:
            raise undecodable("ReloadPoliciesRequest") from None
        before = self._reloads.current.revision
        try:
            generation = await (
                self._reloads.validate() if message.validate_only else self._reloads.reload("call")
            )
        except ConfigurationError as error:
            raise ConfigurationRefused(error.problems) from None
        policies, changed = generation.policies, generation.revision != before
        self._record(
            "ReloadPolicies",
            validate_only=message.validate_only,
            changed=changed,
            revision=generation.revision,
        )
        return pb.ReloadPoliciesResponse(
            policies=(policy_message(policy, policies) for policy in policies.ordered()),
            configuration_revision=generation.revision,
            changed=changed,
            partner_count=len(generation.partners),
        ).SerializeToString()

    def _record(self, rpc: str, **fields: object) -> None:
        """Record what a caller had done. What it was refused is a refusal like any other."""
        call = audited_call(rpc)
        trace = {"trace_id": call.trace_id} if call.trace_id else {}
        self._events.info(
            "admin_action",
            **who_called(call.caller),
            rpc=rpc,
            duration_s=round(call.duration_s, 6),
            request_id=call.request_id,
            **trace,
            **fields,
        )
