"""Publishes what the watch list finds, at a bounded rate.

Theory of operation. Each state that the watch list takes note of is published soon: ALLOW and DENY
at once, INDETERMINATE only where two checks in a row end so. One such check may be this replica's
own trouble, and another may do better half a minute later; a verdict that has lapsed meanwhile is
published as lapsed. Every few seconds all endpoints are compared with what is published, which
finds what has lapsed, what nobody watches any more, and what the store has lost.

Only what this process has itself judged, under policies that it has loaded, is published. Where
nothing at all is watched any more, a folder of partners may just not be there: then nothing is
removed, and forgotten only after a while.
"""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, Protocol

from otpc_policy.check import NO_RESULT, StoreUnavailable, VerdictChange, WatchedState
from otpc_policy.fleet.change_tail import ChangeTail
from otpc_policy.fleet.changes import Changes, How, Outcome
from otpc_policy.fleet.watch_table import WatchTable
from otpc_policy.fleet.watched import Watched
from otpc_policy.policy.finding import Decision

_logger = logging.getLogger(__name__)

TICK_S: Final = 0.5
RATE_PER_S: Final = 500
"""Verdicts that are published in a second at most, such as all of them after a reload."""
_RECONCILE_S: Final = 5.0
_MOST_AT_A_LOOK: Final = int(RATE_PER_S * _RECONCILE_S)
_AT_ONCE: Final = 500
# What was refused is still good, or another replica's: it is not asked about at every look.
_REFUSED_S: Final = 30.0


class PublishObserver(Protocol):
    """Counts verdicts that were published, for metrics. outcome: of fleet.changes.Outcome."""

    def verdict_published(self, outcome: str) -> None: ...


class VerdictPublisher:
    """run() it for as long as the service runs. now, monotonic: the clock."""

    def __init__(
        self,
        table: WatchTable,
        changes: Changes,
        tail: ChangeTail,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        observer: PublishObserver,
    ) -> None:
        self._table, self._changes, self._tail = table, changes, tail
        self._now, self._monotonic, self._observer = now, monotonic, observer
        # What was watched here before, and so may be removed by this process.
        self._mine: set[str] = set()
        # Endpoints whose verdict was another than the published one when they were last looked at.
        self._differed: set[str] = set()
        self._refused_at: dict[str, float] = {}
        # The endpoint that the last look had no time for; "" where it was through.
        self._goes_on_at = ""
        self._reconciled_at: float | None = None

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            try:
                await self.tick()
            except StoreUnavailable:
                pass
            except Exception:
                _logger.exception("verdicts cannot be published")
            await asyncio.sleep(TICK_S)

    async def tick(self) -> None:
        """Publish what the watch list has found since. Raises StoreUnavailable."""
        for _ in range(max(1, int(RATE_PER_S * TICK_S))):
            found = self._table.take_changed()
            if found is None:
                break
            name, is_confirmed = found
            try:
                await self._publish_found(name, is_confirmed=is_confirmed)
            except StoreUnavailable:
                self._table.put_back(name, is_confirmed=is_confirmed)
                raise
        now = self._monotonic()
        if self._reconciled_at is None or now - self._reconciled_at >= _RECONCILE_S:
            self._reconciled_at = now
            await self.reconcile()

    async def reconcile(self) -> None:
        """Compare all endpoints with what is published. Raises StoreUnavailable."""
        if not self._tail.is_current:
            return
        await self._remove()
        left = _MOST_AT_A_LOOK
        for at, (name, watched) in enumerate(self._in_turn()):
            if at % _AT_ONCE == 0:
                await asyncio.sleep(0)
            published, state = self._tail.published(name), self._table.stands(name)
            if left <= 0:
                self._goes_on_at = name
                break
            # Whether the store kept it back by mistake shows at the second look: it may compare
            # with what nobody can read any more, such as under a key that is gone.
            is_forced = name in self._differed
            self._differed.discard(name)
            if state is not None:
                if self._is_newer(state, published):
                    self._differed.add(name)
                    left -= 1
                    await self._publish(name, watched, state, How.FOUND, is_forced=is_forced)
            elif published is not None and self._may_have_lapsed(name, published):
                left -= 1
                if await self._lapse(watched, published) is Outcome.REFUSED:
                    self._refused_at[name] = self._monotonic()
        self._differed &= self._table.under.by_name.keys()

    def _in_turn(self) -> Sequence[tuple[str, Watched]]:
        """Return all that is watched, from where the last look had to stop."""
        under, first = self._table.under, bisect_left(self._table.under.ordered, self._goes_on_at)
        self._goes_on_at = ""
        names = (*under.ordered[first:], *under.ordered[:first])
        return tuple((name, under.by_name[name]) for name in names)

    async def _publish_found(self, name: str, *, is_confirmed: bool) -> None:
        watched, state = self._table.get(name), self._table.state(name)
        if watched is None or state is None:
            return
        published = self._tail.published(name)
        if published is not None and published.partner_id != watched.partner_id:
            await self._send(_gone(published, self._now()), How.REMOVED)
        if self._table.stands(name) is not None or is_confirmed:
            await self._publish(name, watched, state, How.FOUND)
        elif published is not None:
            await self._lapse(watched, published)

    async def _publish(
        self,
        name: str,
        watched: Watched,
        state: WatchedState,
        how: How,
        *,
        is_forced: bool = False,
    ) -> None:
        published = self._tail.published(name)
        is_unknown = state.decision is Decision.INDETERMINATE
        change = VerdictChange(
            endpoint=watched.endpoint,
            partner_id=watched.partner_id,
            decision=state.decision,
            previous=None if published is None else published.decision,
            codes=state.codes,
            observed_at=state.observed_at,
            expires_at=None if is_unknown else state.expires_at,
            changed_at=self._now(),
            revision=self._table.under.generation.revision,
        )
        await self._send(change, how, is_forced=is_forced)

    async def _lapse(self, watched: Watched, published: VerdictChange) -> Outcome:
        change = VerdictChange(
            endpoint=watched.endpoint,
            partner_id=watched.partner_id,
            decision=Decision.INDETERMINATE,
            previous=published.decision,
            codes=(NO_RESULT,),
            observed_at=published.observed_at,
            changed_at=self._now(),
            revision=self._table.under.generation.revision,
        )
        return await self._send(change, How.LAPSED)

    async def _remove(self) -> None:
        """Remove what is not watched any more."""
        watched, left, waiting = self._table.under.by_name, _MOST_AT_A_LOOK, set[str]()
        for name, published in self._tail.all_published():
            if name in watched:
                continue
            how = How.REMOVED if name in self._mine and watched else How.FORGOTTEN
            if how is How.FORGOTTEN and self._was_refused(name):
                continue
            if left <= 0:
                waiting.add(name)
                continue
            left -= 1
            if await self._send(_gone(published, self._now()), how) is Outcome.REFUSED:
                self._refused_at[name] = self._monotonic()
        if watched:
            self._mine = set(watched) | (self._mine & waiting)
        self._refused_at = {
            name: at for name, at in self._refused_at.items() if self._was_refused(name)
        }

    def _is_newer(self, state: WatchedState, published: VerdictChange | None) -> bool:
        if published is None:
            return True
        if published.decision is state.decision:
            return False
        if state.observed_at is None or published.observed_at is None:
            return published.observed_at is None
        return state.observed_at > published.observed_at

    def _may_have_lapsed(self, name: str, published: VerdictChange) -> bool:
        if published.decision is Decision.INDETERMINATE or self._was_refused(name):
            return False
        # It may have been renewed since; then the store refuses.
        return published.expires_at is None or published.expires_at <= self._now()

    def _was_refused(self, name: str) -> bool:
        at = self._refused_at.get(name)
        return at is not None and self._monotonic() - at < _REFUSED_S

    async def _send(self, change: VerdictChange, how: How, *, is_forced: bool = False) -> Outcome:
        outcome = await self._changes.publish(change, how, is_forced=is_forced)
        self._observer.verdict_published(outcome.value)
        return outcome


def _gone(published: VerdictChange, now: datetime) -> VerdictChange:
    """Return the removal of an endpoint, for those who could see it."""
    return VerdictChange(
        endpoint=published.endpoint,
        partner_id=published.partner_id,
        decision=None,
        previous=published.decision,
        changed_at=now,
    )
