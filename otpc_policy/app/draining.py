"""The end of the service: stays useful until callers have gone elsewhere, then closes.

Three steps. In the *lame-duck period* readiness and health are negative and every call is served:
load balancers and clients that watch health leave by themselves. Then new calls are *held*, until
callers that send one call after the other have fallen silent. Then GOAWAY is sent: clients open
another connection, the held calls are refused with a status that clients retry there, and calls in
flight are finished.

The hold exists because gRPC ends every call that reaches a server after its stop began with a bare
CANCELLED, which no client retries, and because it can send GOAWAY only by a stop. A caller that
does not wait for answers and stays connected through the lame-duck period may still meet the
instant between the two.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import grpc
import structlog

from otpc_policy.app.lifecycle import Lifecycle, Phase
from otpc_policy.app.stopping import Stopping
from otpc_policy.ops.audit.trail import EventLog
from otpc_policy.rpc.health import HEALTH_SERVICE, Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor

# Late calls are held until none has arrived for this long. A caller that sends one call after the
# other sends the next within milliseconds, on a busy machine within tens.
_NONE_ARRIVES_S: Final = 0.1
# Callers that do not wait for answers never pause; for them waiting longer would change nothing.
_LONGEST_HOLD_S: Final = 0.5
# GOAWAY reaches callers within a round trip; this is a round trip around the world, with a margin.
_GOAWAY_S: Final = 0.25
# The interceptor finishes with a call before gRPC has sent the response; this is enough time to
# send it, on loopback and over a slow network.
_LAST_ANSWERS_S: Final = 0.25
# For the calls that are abandoned to end, and for their last answers.
_GIVEN_UP_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """Ends a server that is serving.

    events: records the beginning.
    end_waiting: ends what calls in flight wait for, so that they fail with a status of ours.
    end_streams: ends streams of changes, which last for as long as their callers like.
    delay_s: length of the lame-duck period. grace_s: longest wait for calls in flight after it.
    """

    server: grpc.aio.Server
    interceptor: CallInterceptor
    health: Health
    lifecycle: Lifecycle
    events: EventLog
    end_waiting: Callable[[], Awaitable[None]]
    end_streams: Callable[[], None] = lambda: None
    delay_s: float
    grace_s: float

    async def run(self, stopping: Stopping) -> None:
        """Report NOT_SERVING, then refuse new calls and finish those in flight.

        Streams that watch health do not hold up the drain.
        """
        self.lifecycle.phase = Phase.DRAINING
        log = structlog.get_logger("otpc_policy.app")
        delay_s = 0.0 if stopping.without_delay.is_set() else self.delay_s
        self.events.info("draining", calls=self.interceptor.in_flight, delay_s=delay_s)
        await self.health.drain()
        self.end_streams()
        await first_of(stopping.without_delay.wait(), timeout_s=delay_s)
        until_s = asyncio.get_running_loop().time() + self.grace_s
        closing = await self._close_to_new_calls(stopping, until_s)
        if self.interceptor.in_flight:
            log.warning("calls abandoned", calls=self.interceptor.in_flight)
            await self._abandon_calls(closing)
        else:
            await self.server.stop(None)
            await closing

    async def _close_to_new_calls(self, stopping: Stopping, until_s: float) -> "asyncio.Task[None]":
        """Refuse new calls and wait for those in flight. Return the stop of the server.

        until_s: the instant on the loop's clock at which to cease waiting.
        """
        loop = asyncio.get_running_loop()
        late = self.interceptor.refuse_new_calls(still_answered=(HEALTH_SERVICE,))
        await first_of(
            late.wait_until_none_arrives(_NONE_ARRIVES_S),
            stopping.forced.wait(),
            timeout_s=min(_LONGEST_HOLD_S, self.grace_s),
        )
        # Sends GOAWAY at once and then waits for every stream, watches included; the calls that
        # matter are waited for here.
        longest_s = self.grace_s + _LONGEST_HOLD_S + _GIVEN_UP_S
        closing = asyncio.create_task(self.server.stop(longest_s))
        releasing = loop.call_later(_GOAWAY_S, late.release)
        await first_of(
            closing,
            self.interceptor.wait_until_quiet(_LAST_ANSWERS_S),
            stopping.forced.wait(),
            timeout_s=until_s - loop.time(),
        )
        releasing.cancel()
        late.release()
        return closing

    async def _abandon_calls(self, closing: "asyncio.Task[None]") -> None:
        """End what calls wait for, so that their callers are told to go elsewhere.

        closing: the stop of the server. A call that goes on all the same is cut off.
        """
        ending = asyncio.ensure_future(self.end_waiting())
        await first_of(
            closing, self.interceptor.wait_until_quiet(_LAST_ANSWERS_S), timeout_s=_GIVEN_UP_S
        )
        await self.server.stop(None)
        await closing
        await ending


async def first_of(*awaited: Awaitable[object], timeout_s: float) -> None:
    """Wait until one of several ends, or for the time; those that this has begun are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        await asyncio.wait(tasks, timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, given in zip(tasks, awaited, strict=True):
            if task is not given:
                task.cancel()
