"""The servicer of otpc_policy.v1.PolicyAdminService."""

from typing import Protocol

import structlog
from google.protobuf.message import DecodeError

from otpc_policy.catalog.context import Catalog
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.rpc.authorisation import invalidation_demand, permissions_in, require
from otpc_policy.rpc.convert import policy_message, undecodable
from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.status import ConfigurationRefused
from otpc_policy.v1 import policy_pb2 as pb

_log = structlog.get_logger("otpc_policy.rpc")


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
    """Answers both methods. Who may call them is for the guard, which endpoints asked here."""

    def __init__(self, *, results: ResultInvalidator, reloads: Reloads) -> None:
        self._results = results
        self._reloads = reloads

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
        _log.info("results_invalidated", port=message.port, count=count)
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
        policies = generation.policies
        return pb.ReloadPoliciesResponse(
            policies=(policy_message(policy, policies) for policy in policies.ordered()),
            configuration_revision=generation.revision,
            changed=generation.revision != before,
            partner_count=len(generation.partners),
        ).SerializeToString()
