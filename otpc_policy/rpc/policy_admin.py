"""The servicer of otpc_policy.v1.PolicyAdminService, and who may call it."""

from collections.abc import Set
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from otpc_policy.catalog.context import Catalog
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.rpc.convert import policy_message, undecodable
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.status import CallerNotPermitted, CallerUnknown, ConfigurationRefused
from otpc_policy.v1 import policy_pb2 as pb

_log = structlog.get_logger("otpc_policy.rpc")

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
    this machine alone; then everyone there may.
    """

    def __init__(self, *, results: ResultInvalidator, reloads: Reloads, callers: Set[str]) -> None:
        self._results = results
        self._reloads = reloads
        self._callers = frozenset(callers)

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
        _log.info("results_invalidated", port=message.port, count=count)
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
        policies = generation.policies
        return pb.ReloadPoliciesResponse(
            policies=(policy_message(policy, policies) for policy in policies.ordered()),
            configuration_revision=generation.revision,
            changed=generation.revision != before,
            partner_count=len(generation.partners),
        ).SerializeToString()

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
