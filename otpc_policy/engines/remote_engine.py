"""One engine of others at the end of a channel, watched until it is stopped."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

import grpc
import structlog

from otpc_policy.core.addresses import Resolution
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import AddressFacts
from otpc_policy.core.fetching import Fetched, HttpUrl
from otpc_policy.engines.client import EngineClient
from otpc_policy.engines.errors import EngineFailed, EngineLost
from otpc_policy.engines.heartbeats import Silence
from otpc_policy.engines.ports import EngineState, Report, Target, Terms
from otpc_policy.measurement.engine_lied import EngineLied

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
# One that lied is left alone for so long: it cannot be killed from here.
_CONDEMNED_S: Final = 30.0


class RemoteEngine:
    """One engine at the end of a channel, which it watches until it is stopped."""

    def __init__(
        self,
        name: str,
        channel: grpc.aio.Channel,
        client: EngineClient,
        changed: Callable[[], None],
    ) -> None:
        self._name, self._channel, self._client, self._changed = name, channel, client, changed
        self._silence = Silence(client)
        self._is_watched = self._is_leaving = self._was_lost = False
        self._condemned_until_s = 0.0
        self._under_way = self._restarts = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._log = structlog.get_logger("otpc_policy.engines")
        self._watching = asyncio.create_task(self._watch())

    @property
    def name(self) -> str:
        """See ports.Engine."""
        return self._name

    @property
    def is_up(self) -> bool:
        """See ports.Engine."""
        is_sound = self._is_watched and self._silence.is_short
        return is_sound and not (self._client.state.is_draining or self._is_leaving)

    @property
    def state(self) -> EngineState:
        """See ports.Engine."""
        state = self._client.state
        return state if self._is_watched else replace(state, queued=0, workers_alive=0)

    @property
    def pid(self) -> int | None:
        """None: the process is elsewhere."""
        return None

    @property
    def restarts(self) -> int:
        """See ports.Engine."""
        return self._restarts

    async def measure(
        self, target: Target, terms: Terms, *, left_standard_part: Callable[[], None]
    ) -> Report:
        """See ports.Engine."""
        with self._calling():
            return await self._client.measure(target, terms, left_standard_part=left_standard_part)

    def share_connections(self, target: Target, connections: int) -> None:
        """See ports.Engine."""
        self._client.share_connections(target, connections)

    async def partial(self, target: Target) -> AddressFacts | None:
        """See ports.Engine."""
        return await self._client.partial(target)

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """See ports.Engine."""
        with self._calling():
            return await self._client.resolve(host, fresh=fresh, within_s=within_s)

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        """See ports.Engine."""
        with self._calling():
            return await self._client.fetch_crl(url, max_bytes=max_bytes, deadline_s=deadline_s)

    async def answers(self, *, within_s: float) -> bool:
        """See ports.Engine."""
        return await self._client.answers(within_s=within_s)

    def condemn(self, why: str) -> None:
        """See ports.Engine. It is left alone for a while, and what it measures is given up."""
        self._log.error("engine condemned", engine=self.name, reason=why)
        self._condemned_until_s = asyncio.get_running_loop().time() + _CONDEMNED_S
        self._was_lost |= self._is_watched
        self._is_watched = False
        self._client.give_up()
        self._watching.cancel()
        self._watching = asyncio.create_task(self._watch())
        self._changed()

    def leave(self) -> None:
        """Take no more measurements: whoever waits for a turn here goes elsewhere."""
        self._is_leaving = True

    async def stop(self, within_s: float) -> None:
        """Close the channel when no call is under way any more, or after within_s."""
        try:
            async with asyncio.timeout(within_s):
                await self._is_idle.wait()
        except TimeoutError:
            pass
        finally:
            self._watching.cancel()
            await asyncio.wait({self._watching})
            await self._channel.close(None)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        self._under_way += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_idle.set()

    async def _watch(self) -> None:
        """Keep watching, whatever the engine does."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        why_not_found = ""
        while True:
            await asyncio.sleep(max(0.0, self._condemned_until_s - loop.time()))
            why = await self._watch_once()
            was_watched, self._is_watched = self._is_watched, False
            if was_watched:
                self._log.warning("engine lost", engine=self.name, reason=why)
                self._was_lost = True
                why_not_found = ""
            elif why != why_not_found:
                self._log.warning("engine not found", engine=self.name, reason=why)
                why_not_found = why
            self._changed()
            pause_s = _FIRST_PAUSE_S if was_watched else 2 * pause_s
            await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    async def _watch_once(self) -> str:
        """Watch until it ends, and return why."""
        watching = asyncio.create_task(self._client.watch(self._reported))
        try:
            while not await self._silence.until_next_look({watching}):
                self._silence.look()
                if self._silence.is_over_long:
                    self._client.give_up()
                    return "it is silent"
            await watching
        except EngineLied as lie:
            self._client.give_up()
            self._condemned_until_s = asyncio.get_running_loop().time() + _CONDEMNED_S
            return f"it lied: {lie}"
        except (EngineLost, EngineFailed, Overloaded) as error:
            # The last two: there is no engine, but something else that speaks gRPC.
            return str(error)
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        return "it reports nothing more"

    def _reported(self) -> None:
        if self._was_lost and not self._is_watched:
            self._restarts += 1
            self._was_lost = False
        self._is_watched = True
        self._changed()
