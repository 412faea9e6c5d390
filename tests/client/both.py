"""The two clients behind one set of blocking calls, so that one test holds for both."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from otpc_policy_client import AsyncPolicyClient, PolicyClient
from otpc_policy_client.testing import AsyncFakePolicyClient, FakePolicyClient, Rules

_PATIENCE_S = 30.0
THREADS, ASYNCIO = "threads", "asyncio"

both = pytest.mark.parametrize("kind", [THREADS, ASYNCIO])


class InLoop:
    """An asynchronous client in an event loop of a thread of its own; every method blocks."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

        async def made() -> Any:
            return make()

        self.client = self.run(made())

    def run(self, awaitable: Awaitable[Any]) -> Any:
        async def awaited() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(_PATIENCE_S)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)
        return lambda *arguments, **options: self.run(method(*arguments, **options))

    def end(self) -> None:
        self.run(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE_S)
        self.loop.close()


@contextmanager
def client_of(kind: str, target: str, *, watch: bool = False, **options: Any) -> Iterator[Any]:
    """Yield a client of this kind with blocking methods.

    watch: off by default, because the beginning of a stream drops what was kept before.
    """
    options["watch"] = watch
    if kind == THREADS:
        with PolicyClient(target, **options) as client:
            yield client
        return
    inside = InLoop(lambda: AsyncPolicyClient(target, **options))
    try:
        yield inside
    finally:
        inside.end()


@contextmanager
def fake_of(kind: str, rules: Rules, **options: Any) -> Iterator[Any]:
    """Yield a fake of this kind with blocking methods."""
    if kind == THREADS:
        with FakePolicyClient(rules, **options) as client:
            yield client
        return
    inside = InLoop(lambda: AsyncFakePolicyClient(rules, **options))
    try:
        yield inside
    finally:
        inside.end()


class Events:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, event: Any, /) -> None:
        self.seen.append(event)

    def of(self, kind: type) -> list[Any]:
        return [each for each in tuple(self.seen) if isinstance(each, kind)]
