"""The clients without a channel: rules answer in the place of the service."""

from typing import Any

import grpc
from google.protobuf.message import Message

from otpc_policy_client.answer_cache import CacheLimits
from otpc_policy_client.blocking import PolicyClient
from otpc_policy_client.errors import CallError
from otpc_policy_client.for_asyncio import AsyncPolicyClient
from otpc_policy_client.observing import Observer
from otpc_policy_client.testing.rules import Rules, batch
from otpc_policy_client.v1 import policy_pb2 as pb


class FakePolicyClient(PolicyClient):
    """A PolicyClient that rules answer. Rules know checks; other methods are UNIMPLEMENTED.

    Arguments otherwise as of PolicyClient. It keeps nothing unless a cache is given: a rule that a
    test changes holds at once.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        timeout_s: float = 5.0,
        cache: CacheLimits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self._begin(
            _Calls(self.rules), timeout_s=timeout_s, cache=cache, watch=False, observer=observer
        )

    def _end_channel(self) -> None:
        """There is none."""


class AsyncFakePolicyClient(AsyncPolicyClient):
    """An AsyncPolicyClient that rules answer. Arguments as of FakePolicyClient."""

    def __init__(
        self,
        rules: Rules | None = None,
        *,
        timeout_s: float = 5.0,
        cache: CacheLimits | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self._begin(
            _AsyncCalls(self.rules),
            timeout_s=timeout_s,
            cache=cache,
            watch=False,
            observer=observer,
        )

    async def _end_channel(self) -> None:
        """There is none."""


class _Calls:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def call(self, method: str, request: Message, timeout_s: float) -> Message:
        if isinstance(request, pb.CheckEndpointRequest):
            return self._rules.answer(request)
        if isinstance(request, pb.BatchCheckEndpointsRequest):
            return batch(self._rules, request)
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, f"the fake has no {method}")

    def follow(self, method: str, request: Message, timeout_s: float | None = None) -> Any:
        raise CallError(grpc.StatusCode.UNIMPLEMENTED, f"the fake has no {method}")


class _AsyncCalls(_Calls):
    async def call(self, method: str, request: Message, timeout_s: float) -> Message:  # type: ignore[override]
        return super().call(method, request, timeout_s)
