"""How a measurement spends its time, for the trace that its front records.

The engine has no way to a collector, and must not get one: it reports its parts with the facts.
Handshake workers are timed from outside and know nothing of it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from otpc_policy.engine.stages import Stage
from otpc_policy.measurement.limits import MAX_SPANS
from otpc_policy.measurement.span_codec import Part, ReportedSpan

_OF_STAGE: Final[Mapping[Stage, Part]] = {
    Stage.QUEUED: Part.QUEUE,
    Stage.DEEP_QUEUED: Part.DEEP_QUEUE,
    Stage.DEEP_BEGUN: Part.DEEP,
}


class SpanLog:
    """The parts of one measurement that have ended, MAX_SPANS at most. Made as it begins."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._stage: tuple[Part, float] | None = None
        self._ended: list[ReportedSpan] = []

    def entered(self, stage: Stage) -> None:
        """Take down a stage as it begins."""
        self._end_stage()
        part = _OF_STAGE.get(stage)
        self._stage = None if part is None else (part, self._now_s())

    def spans(self) -> tuple[ReportedSpan, ...]:
        """Return the parts. The measurement has ended."""
        self._end_stage()
        return tuple(self._ended)

    @contextmanager
    def timed(self, part: Part, connections: int) -> Iterator[None]:
        """Take down the part that the block is."""
        started_s = self._now_s()
        try:
            yield
        finally:
            self._add(part, started_s, connections)

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._add(*self._stage, 0)
            self._stage = None

    def _add(self, part: Part, started_s: float, connections: int) -> None:
        if len(self._ended) < MAX_SPANS:
            self._ended.append(
                ReportedSpan(
                    part=part,
                    started_s=started_s,
                    duration_s=self._now_s() - started_s,
                    connections=connections,
                )
            )

    def _now_s(self) -> float:
        return self._loop.time() - self._began_s


# Every measurement runs in its own task, so each has its own log here.
_log: ContextVar[SpanLog | None] = ContextVar("span_log", default=None)


@contextmanager
def logged_in_tasks_begun_here(log: SpanLog | None) -> Iterator[None]:
    """Have the log fill as the tasks that are begun in this context spend their time."""
    token = _log.set(log)
    try:
        yield
    finally:
        _log.reset(token)


@contextmanager
def timed(part: Part, *, connections: int = 1) -> Iterator[None]:
    """Take down the part that the block is, in the measurement that this task carries out."""
    log = _log.get()
    if log is None:
        yield
        return
    with log.timed(part, connections):
        yield
