"""Answers that nobody reads count until the call is over; beyond a share they are refused."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from otpc_policy.core.caller import Caller, Identity, IdentityKind
from otpc_policy.core.errors import Budget, CallerBudgetUsed, Overloaded
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.wire_budget import SHORT_BYTES, WireBudget
from tests.rpc.serving import FakeCounters, one_method, serving

KIB = 1024


class FakeContext:
    """A call that a test ends."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[object], None]] = []

    def add_done_callback(self, callback: Callable[[object], None]) -> None:
        self._callbacks.append(callback)

    def end(self) -> None:
        for callback in self._callbacks:
            callback(self)


def connection(port: int) -> Caller:
    return Caller(peer=f"ipv4:192.0.2.1:{port}")


NAMED = Caller(identities=(Identity(IdentityKind.DNS, "router.example"),), peer="ipv4:192.0.2.9:1")


def hold(budget: WireBudget, size: int, caller: Caller) -> FakeContext:
    context = FakeContext()
    as_grpc: Any = context
    budget.hold(size, caller, as_grpc)
    return context


def test_what_is_held_is_free_again_when_the_call_is_over() -> None:
    budget = WireBudget(1000 * KIB, most_of_a_caller=100 * KIB)
    first = hold(budget, 60 * KIB, NAMED)
    with pytest.raises(CallerBudgetUsed) as raised:
        hold(budget, 60 * KIB, NAMED)
    assert raised.value.budget is Budget.BYTES
    first.end()
    assert budget.held == 0
    hold(budget, 60 * KIB, NAMED)


def test_one_caller_leaves_some_for_the_next_and_a_machine_for_others() -> None:
    budget = WireBudget(1000 * KIB, most_of_a_caller=1000 * KIB)
    for port in range(1, 50):
        for _ in range(100):
            try:
                hold(budget, 10 * KIB, connection(port))
            except CallerBudgetUsed:
                break
    assert 780 * KIB <= budget.held <= 800 * KIB
    hold(budget, 100 * KIB, NAMED)


def test_a_full_service_says_that_it_is_its_own_budget() -> None:
    budget = WireBudget(100 * KIB, most_of_a_caller=100 * KIB)
    with pytest.raises(Overloaded) as raised:
        hold(budget, 101 * KIB, NAMED)
    assert type(raised.value) is Overloaded


def test_short_answers_are_never_refused() -> None:
    budget = WireBudget(8 * KIB, most_of_a_caller=8 * KIB)
    for _ in range(1000):
        hold(budget, SHORT_BYTES, NAMED)
    assert budget.held == 0


def test_an_answer_counts_as_far_as_it_has_been_made() -> None:
    budget = WireBudget(1000 * KIB, most_of_a_caller=100 * KIB)
    context: Any = FakeContext()
    answer = budget.growing(NAMED, context)
    answer.resize(SHORT_BYTES)
    assert budget.held == 0
    for size in (60 * KIB, 90 * KIB, 80 * KIB):
        answer.resize(size)
        assert (answer.size, budget.held) == (size, size)
    with pytest.raises(CallerBudgetUsed):
        answer.resize(101 * KIB)
    assert (answer.size, budget.held) == (80 * KIB, 80 * KIB)
    context.end()
    answer.resize(90 * KIB)
    assert budget.held == 0


async def test_an_answer_counts_until_its_caller_has_taken_it_or_is_gone() -> None:
    """A unary handler has returned long before; gRPC keeps the bytes."""
    budget = WireBudget(1 << 30, most_of_a_caller=1 << 30)
    size = 8 * KIB * KIB

    async def answer(_request: bytes, context: Any) -> bytes:
        budget.hold(size, NAMED, context)
        return bytes(size)

    async def until_held(expected: int) -> None:
        async with asyncio.timeout(20):
            while budget.held != expected:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)

    async with serving(one_method(answer), CallInterceptor(FakeCounters())) as channel:
        # Longer than this client takes, so it reads none of it to the end.
        with pytest.raises(grpc.aio.AioRpcError):
            await channel.unary_unary("/test.Service/Call")(b"")
        await until_held(0)
