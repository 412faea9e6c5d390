"""The client's name before it became a distribution of its own. It goes with the next release.

It does what otpc_policy_client does, without a cache and in the old form: responses in place of
verdicts. Nothing in the service imports it: the service runs without the client, and the client
without it.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

try:
    from otpc_policy_client import (
        KEEPALIVE_TIME_S,
        AsyncPolicyClient,
        ChangesUnknown,
        Followed,
        JudgedSocket,
        JudgedStreams,
        MakeContext,
        NotAsJudged,
        PolicyClient,
        TrafficNotPermitted,
        check_request,
        client_context,
        permits_traffic,
        validate_request,
    )
    from otpc_policy_client.questions import CheckFields, Question
    from otpc_policy_client.v1 import policy_pb2 as pb
except ModuleNotFoundError as error:
    raise ImportError(
        "otpc_policy.client has moved to a distribution of its own: "
        "pip install otpc-policy-client, and import otpc_policy_client"
    ) from error

__all__ = [
    "KEEPALIVE_TIME_S",
    "AsyncPolicyCheckClient",
    "ChangesUnknown",
    "Followed",
    "JudgedSocket",
    "JudgedStreams",
    "MakeContext",
    "NotAsJudged",
    "PolicyCheckClient",
    "TrafficNotPermitted",
    "check_request",
    "client_context",
    "permits_traffic",
    "validate_request",
]

warnings.warn(
    "otpc_policy.client is now otpc_policy_client (pip install otpc-policy-client); "
    "the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)


class PolicyCheckClient(PolicyClient):
    """PolicyClient in its old form. Arguments as of it, but for cache and watch."""

    def __init__(self, target: str, **arguments: Any) -> None:
        super().__init__(target, cache=None, watch=False, **arguments)

    def check(  # type: ignore[override]
        self, host: str, *, timeout_s: float, **fields: Unpack[CheckFields]
    ) -> pb.CheckEndpointResponse:
        """Ask about an endpoint."""
        return super().check(host, timeout_s=timeout_s, **fields).response

    def check_batch(  # type: ignore[override]
        self, requests: Sequence[Any], *, timeout_s: float
    ) -> Sequence[pb.BatchCheckEndpointsResult]:
        """Ask about 1 to 100 endpoints; results in the same order, each a response or an error."""
        return self._ask(_batch(requests), self._deadline(timeout_s))


class AsyncPolicyCheckClient(AsyncPolicyClient):
    """AsyncPolicyClient in its old form. Arguments as of it, but for cache and watch."""

    def __init__(self, target: str, **arguments: Any) -> None:
        super().__init__(target, cache=None, watch=False, **arguments)

    async def check(  # type: ignore[override]
        self, request: Any, *, timeout_s: float
    ) -> pb.CheckEndpointResponse:
        """Ask about one endpoint; check_request makes the request."""
        return (await super().check(request, timeout_s=timeout_s)).response

    async def check_batch(  # type: ignore[override]
        self, requests: Sequence[Any], *, timeout_s: float
    ) -> Sequence[pb.BatchCheckEndpointsResult]:
        """Ask about 1 to 100 endpoints; results in the same order, each a response or an error."""
        return await self._ask(_batch(requests), self._deadline(timeout_s))


def _batch(requests: Sequence[Any]) -> Question[Sequence[pb.BatchCheckEndpointsResult]]:
    items = [pb.CheckEndpointRequest.FromString(each.SerializeToString()) for each in requests]
    batch = pb.BatchCheckEndpointsRequest(requests=items)
    return Question("BatchCheckEndpoints", batch, lambda response, _: response.results)
