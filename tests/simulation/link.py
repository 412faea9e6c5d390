"""One replica's way to the store: a client that StoreServer takes for that of redis-py."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import redis.exceptions

from otpc_policy.fleet import schedule_scripts, scripts
from otpc_policy.fleet.scripts import Script
from tests.simulation.store import ScriptedStore

_SCRIPTS = {
    each.sha: each
    for module in (scripts, schedule_scripts)
    for each in vars(module).values()
    if isinstance(each, Script)
}
# There and back within a data centre.
_USUAL_S = (0.0003, 0.003)


class Link:
    """is_cut: every question fails. loses: the part of questions, and of answers, that is lost.

    delay_s: of each way at most, in addition. ran: is told of each script that the store has run,
    with its keys, arguments and answer.
    """

    def __init__(
        self,
        store: ScriptedStore,
        draw: Random,
        ran: Callable[[Script, tuple[str, ...], tuple[Any, ...], Any], None],
    ) -> None:
        self._store, self._draw, self._ran = store, draw, ran
        self.is_cut = False
        self.loses = 0.0
        self.delay_s = 0.0

    async def execute_command(self, command: str, sha: str, count: int, *rest: Any) -> Any:
        """Run a script. Every server here knows every script."""
        assert command == "EVALSHA"
        script, keys, arguments = _SCRIPTS[sha], rest[:count], rest[count:]
        return await self._asked(lambda: self._run(script, keys, arguments))

    def pipeline(self, *, transaction: bool) -> "_Pipeline":
        """Return what collects commands."""
        assert not transaction
        return _Pipeline(self)

    async def aclose(self, *, close_connection_pool: bool) -> None:
        """Do nothing."""

    async def _asked(self, ask: Callable[[], Any]) -> Any:
        await self._pass()
        answer = ask()
        await self._pass()
        return answer

    async def _pass(self) -> None:
        if self.is_cut:
            raise redis.exceptions.ConnectionError("cut")
        # On its way for ever: whoever waits has a deadline.
        if self.loses and self._draw.random() < self.loses:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(self._draw.uniform(*_USUAL_S) + self._draw.uniform(0, self.delay_s))
        if self.is_cut:
            raise redis.exceptions.ConnectionError("cut")

    def _run(self, script: Script, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
        answer = self._store.run(script, keys, arguments)
        self._ran(script, keys, arguments, answer)
        return answer


class _Pipeline:
    """Commands for one round trip: TIME, and the script for notices."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> "_Pipeline":
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def execute_command(self, *command: Any) -> None:
        """Add a command."""
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        """Return the answers, among which there are no errors."""
        assert not raise_on_error
        answers: list[Any] = await self._link._asked(
            lambda: [self._one(each) for each in self._commands]
        )
        return answers

    def _one(self, command: tuple[Any, ...]) -> Any:
        if command[0] == "TIME":
            return self._link._store.time()
        _, sha, count, *rest = command
        return self._link._run(_SCRIPTS[sha], tuple(rest[:count]), tuple(rest[count:]))
