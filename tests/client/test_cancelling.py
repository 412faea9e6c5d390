"""Whoever is cancelled takes nobody with him; options and interceptors reach gRPC's channel."""

import asyncio
import threading
from typing import Any

import grpc
import pytest

from otpc_policy_client import AsyncPolicyClient, PolicyClient
from otpc_policy_client.testing import allow, serve
from otpc_policy_client.v1 import policy_pb2 as pb
from tests.support.waiting import wait_until

HOST = "partner.example"


async def test_a_leader_that_is_cancelled_leaves_its_followers_to_ask() -> None:
    released, waiting = threading.Event(), list[pb.CheckEndpointRequest]()

    def stall(request: pb.CheckEndpointRequest) -> pb.CheckEndpointResponse:
        waiting.append(request)
        released.wait(20)
        return allow()(request)

    with serve() as server:
        server.rules.set(HOST, stall, allow())
        async with AsyncPolicyClient(server.target, watch=False, timeout_s=20) as client:
            leader = asyncio.create_task(client.check(HOST))
            await asyncio.to_thread(wait_until, lambda: bool(waiting))
            followers = [asyncio.create_task(client.check(HOST)) for _ in range(3)]
            cancelled = asyncio.create_task(client.check(HOST))
            await asyncio.sleep(0)
            leader.cancel()
            cancelled.cancel()
            verdicts = await asyncio.gather(*followers)
            for task in (leader, cancelled):
                with pytest.raises(asyncio.CancelledError):
                    await task
        released.set()
    assert all(each.permits_traffic for each in verdicts)
    assert len(server.rules.asked) == 2


async def test_closing_ends_what_follows_changes() -> None:
    before = asyncio.all_tasks()
    with serve() as server:
        server.rules.set(HOST, allow())
        async with AsyncPolicyClient(server.target) as client:
            await client.check(HOST)
        assert not [
            each for each in asyncio.all_tasks() - before if each.get_name() == "otpc-policy-client"
        ]
        with PolicyClient(server.target) as threaded:
            threaded.check(HOST)
        wait_until(lambda: all(each.name != "otpc-policy-client" for each in threading.enumerate()))


class Adding(grpc.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    """Counts calls."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.methods.append(details.method)
        return continuation(details, request)


class AsyncAdding(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]
    """Counts calls."""

    def __init__(self) -> None:
        self.methods: list[bytes] = []

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        self.methods.append(details.method)
        return await continuation(details, request)


async def test_interceptors_and_options_are_the_channels() -> None:
    # Answers that are longer than this are refused by the channel.
    options = [("grpc.max_receive_message_length", 1)]
    with serve() as server:
        server.rules.set(HOST, allow())
        adding, async_adding = Adding(), AsyncAdding()
        with PolicyClient(server.target, watch=False, interceptors=[adding]) as client:
            client.check(HOST)
        async with AsyncPolicyClient(
            server.target, watch=False, interceptors=[async_adding]
        ) as client:
            await client.check(HOST)
        assert adding.methods == ["/otpc_policy.v1.PolicyCheckService/CheckEndpoint"]
        assert len(async_adding.methods) == 1
        with (
            PolicyClient(server.target, watch=False, options=options) as client,
            pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"),
        ):
            client.check(HOST)
        async with AsyncPolicyClient(server.target, watch=False, options=options) as client:
            with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
                await client.check(HOST)


def test_channel_credentials_stand_alone() -> None:
    made = grpc.ssl_channel_credentials()
    with pytest.raises(ValueError, match="in place of"):
        PolicyClient("policy.internal:443", channel_credentials=made, dangerously_plaintext=True)
    with pytest.raises(ValueError, match="in place of"):
        PolicyClient("policy.internal:443", channel_credentials=made, root_certificates=b"x")
