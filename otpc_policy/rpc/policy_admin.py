"""The servicer of otpc_policy.v1.PolicyAdminService, and who may call it."""

from collections.abc import Set
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from otpc_policy.catalog.context import Catalog
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.audit.trail import EventLog
from otpc_policy.rpc.audited import audited_call
from otpc_policy.rpc.convert import policy_message, undecodable
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.status import CallerNotPermitted, CallerUnknown, ConfigurationRefused
from otpc_policy.v1 import policy_pb2 as pb

# Every subjectAltName of the caller's certificate, as gRPC gives them. The common name does not
# count: an issuer need not verify it.
_IDENTITIES = "x509_subject_alternative_name"


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
    """Answers both methods.

    callers: subjectAltNames of those who may call. Empty only if the listener is reachable from
    this machine alone; then everyone there may. events: where it is recorded who did what; by
    default the log.
    """

    def __init__(
        self,
        *,
        results: ResultInvalidator,
        reloads: Reloads,
        callers: Set[str],
        events: EventLog | None = None,
    ) -> None:
        self._results = results
        self._reloads = reloads
        self._callers = frozenset(callers)
        self._events: EventLog = events or structlog.get_logger("otpc_policy.rpc")

    async def invalidate_results(self, request: bytes, context: Context) -> bytes:
        """InvalidateResults."""
        self._authorise(context)
        try:
            message = pb.InvalidateResultsRequest.FromString(request)
        except DecodeError:
            raise undecodable("InvalidateResultsRequest") from None
        # Port 0 means every port here, and the parser would make it 443.
        endpoint = parse_endpoint(message.host, message.port)
        port = endpoint.port if message.port else 0
        count = await self._results.invalidate(endpoint.host, port)
        self._record("InvalidateResults", host=endpoint.host, port=port, count=count)
        return pb.InvalidateResultsResponse(invalidated_count=count).SerializeToString()

    async def reload_policies(self, request: bytes, context: Context) -> bytes:
        """ReloadPolicies."""
        self._authorise(context)
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
            policies=(
                policy_message(policy, is_default=policy.name == policies.default_name)
                for policy in policies.ordered()
            ),
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
            caller=call.caller.label,
            peer=call.caller.peer,
            rpc=rpc,
            duration_s=round(call.duration_s, 6),
            request_id=call.request_id,
            **trace,
            **fields,
        )

    def _authorise(self, context: Context) -> None:
        if not self._callers:
            return
        identities = {
            name.decode("utf-8", "replace") for name in context.auth_context().get(_IDENTITIES, ())
        }
        if not identities:
            raise CallerUnknown
        if not identities & self._callers:
            raise CallerNotPermitted
