"""Delivers changes to the operator's webhook: at least once, and in the order of each endpoint.

Theory of operation. One process of the fleet delivers at a time, under a lease. It reads the
changes from the place that was kept last, posts one after the other, and keeps the place after each
that was taken. So what a process that died had posted may come again, with the same id.

What is not taken is posted again, after pauses that grow to a minute, and holds up what follows: so
the order stays. Nothing is given up in silence. A change that is too old by then, or that the
server refuses as such again and again, is skipped with a line in the log and counted. Where the
changes since the place are lost, or the place is, the last one of every endpoint is delivered in
their stead, however long ago it was.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from random import Random
from typing import Final, Protocol

from otpc_policy.check import StoreUnavailable, VerdictChange
from otpc_policy.core.errors import CursorTooOld, InvalidRequest
from otpc_policy.fleet.changes import Changes, Position, Positions
from otpc_policy.fleet.cloud_events import event_body, event_id, signed_headers
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.delivery import LEASE_S, Delivery
from otpc_policy.fleet.webhook_post import NotDelivered, Posted
from otpc_policy.policy.finding import Decision

_logger = logging.getLogger(__name__)

_SCOPE: Final = "webhook"
_IDLE_S: Final = 1.0
_STANDBY_S: Final = 5.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 60.0
_LONGEST_RETRY_AFTER_S: Final = 300.0
_RENEW_S: Final = LEASE_S / 3
# Attempts for a change that the server refuses for what it is.
_MOST_REFUSALS: Final = 5
# Of 4xx, these say that the request, the server or its configuration may be better another time.
_WORTH_RETRYING: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.GONE,
        HTTPStatus.TOO_EARLY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)


class Post(Protocol):
    """Posts a body. Blocks; raises NotDelivered. abandon: ends that from another thread."""

    def post(self, body: bytes, headers: Mapping[str, str]) -> Posted: ...
    def abandon(self) -> None: ...


class WebhookObserver(Protocol):
    """Counts deliveries, for metrics. result: of ops.metrics.webhook.DELIVERY_RESULTS."""

    def webhook_delivered(self, result: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which changes are delivered: empty for all. A removal is of every decision."""

    decisions: frozenset[Decision] = frozenset()
    partners: frozenset[str] = frozenset()

    def has(self, change: VerdictChange) -> bool:
        """Whether a change is delivered."""
        is_decision = (
            not self.decisions or change.decision is None or change.decision in self.decisions
        )
        return is_decision and (not self.partners or change.partner_id in self.partners)


class _LeaseLost(Exception):
    """Another process delivers."""


class Webhook:
    """run() it for as long as the service runs. keys: that sign. pause: sleeps."""

    def __init__(
        self,
        changes: Changes,
        delivery: Delivery,
        post: Post,
        *,
        cursors: Cursors,
        keys: tuple[bytes, ...],
        wanted: Wanted,
        max_age: timedelta,
        now: Callable[[], datetime],
        draw: Random,
        observer: WebhookObserver,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._changes, self._delivery, self._post = changes, delivery, post
        self._cursors, self._keys, self._wanted = cursors, keys, wanted
        self._max_age, self._now, self._draw, self._observer = max_age, now, draw, observer
        self._pause = pause
        self._positions: Positions | None = None
        # Since when the change has waited that is being delivered.
        self._waiting_since: datetime | None = None
        self._failures = 0
        # It was seen that a place was kept, or that another process delivers, which keeps one.
        self._had_place = False

    @property
    def lag_s(self) -> float:
        """For how long the change that is being delivered has waited; 0 if none is."""
        if self._waiting_since is None:
            return 0.0
        return max(0.0, (self._now() - self._waiting_since).total_seconds())

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                pause_s = _IDLE_S
                try:
                    pause_s = _IDLE_S if await self.step() else _STANDBY_S
                except (StoreUnavailable, _LeaseLost):
                    self._stand_back()
                except Exception:
                    _logger.exception("the webhook failed")
                    self._stand_back()
                    pause_s = _STANDBY_S
                await self._pause(pause_s)
        finally:
            self._post.abandon()
            await self._release()

    async def step(self) -> bool:
        """Deliver what there is; tell whether it is this process that delivers.

        Raises StoreUnavailable.
        """
        place = await self._delivery.claim()
        if place is None:
            self._had_place = True
            self._stand_back()
            return False
        if self._positions is None:
            self._positions = await self._begin(place)
        while True:
            try:
                read = await self._changes.read(self._positions)
            except CursorTooOld:
                await self._begin_anew()
                return True
            for each in read.changes:
                if self._wanted.has(each.change):
                    await self._deliver(each.change, since=each.change.changed_at)
                    await self._keep(_moved(self._positions, each.shard, each.number, each.mark))
            if read.positions != self._positions:
                await self._keep(read.positions)
            if read.is_all:
                return True

    async def _begin(self, place: str) -> Positions:
        """Return where to go on. Where nothing was ever kept, that is now."""
        if place:
            try:
                return self._cursors.read(place, _SCOPE)
            except InvalidRequest:
                _logger.warning("the webhook's place in the store is none")
            except CursorTooOld:
                _logger.warning("the webhook's place is in another history of changes")
            return await self._begin_anew()
        if self._had_place:
            _logger.warning("the webhook's place in the store is gone")
            return await self._begin_anew()
        positions, _ = await self._changes.snapshot()
        await self._keep(positions)
        return positions

    async def _begin_anew(self) -> Positions:
        """Deliver the last change of each endpoint, since those before may be lost."""
        positions, known = await self._changes.snapshot()
        self._observer.webhook_delivered("lost")
        _logger.warning(
            "changes may be lost to the webhook; the last ones of %d endpoints are delivered again",
            len(known),
        )
        await self._deliver_all(known.values())
        await self._keep(positions)
        return positions

    async def _deliver_all(self, changes: Iterable[VerdictChange]) -> None:
        began = self._now()
        for change in sorted(changes, key=lambda each: each.changed_at):
            if self._wanted.has(change):
                await self._deliver(change, since=began)

    async def _keep(self, positions: Positions) -> None:
        if not await self._delivery.keep(self._cursors.write(positions, _SCOPE)):
            raise _LeaseLost
        self._positions, self._had_place = positions, True

    async def _deliver(self, change: VerdictChange, *, since: datetime) -> None:
        """Post a change until it is taken, or skipped. Raises _LeaseLost, StoreUnavailable.

        since: when it began to wait.
        """
        self._waiting_since, refusals = since, 0
        body, delivery_id = event_body(change), event_id(change)
        try:
            while True:
                if await self._delivery.claim() is None:
                    raise _LeaseLost
                if self._now() - since > self._max_age:
                    self._skip(change, "expired", "it could not be delivered in time")
                    return
                why, retry_after_s, is_refused = await self._attempt(delivery_id, body)
                if not why:
                    self._failures = 0
                    self._observer.webhook_delivered("delivered")
                    return
                self._observer.webhook_delivered("failed")
                refusals += is_refused
                if refusals >= _MOST_REFUSALS:
                    self._skip(change, "refused", why)
                    return
                if not self._failures:
                    _logger.warning("the webhook does not take changes: %s", why)
                self._failures += 1
                await self._wait(retry_after_s)
        finally:
            self._waiting_since = None

    async def _attempt(self, delivery_id: str, body: bytes) -> tuple[str, float | None, bool]:
        """Return why it was not taken, "" if it was; when to ask again; whether it was refused."""
        headers = signed_headers(self._keys, delivery_id=delivery_id, now=self._now(), body=body)
        try:
            posted = await asyncio.to_thread(self._post.post, body, headers)
        except NotDelivered as error:
            return str(error), None, False
        status = posted.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return "", None, False
        is_refused = (
            HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
            and status not in _WORTH_RETRYING
        )
        return f"it answers {status}", posted.retry_after_s, is_refused

    async def _wait(self, retry_after_s: float | None) -> None:
        """Wait before the next attempt, and go on to be the one that delivers meanwhile."""
        grown_s: float = _FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10)
        left_s = min(grown_s, _LONGEST_PAUSE_S) * self._draw.uniform(0.5, 1.0)
        if retry_after_s is not None:
            left_s = max(left_s, min(retry_after_s, _LONGEST_RETRY_AFTER_S))
        while left_s > 0:
            await self._pause(min(left_s, _RENEW_S))
            left_s -= _RENEW_S
            if await self._delivery.claim() is None:
                raise _LeaseLost

    def _skip(self, change: VerdictChange, result: str, why: str) -> None:
        self._observer.webhook_delivered(result)
        _logger.error(
            "a change is not delivered to the webhook: %s %s, published %s: %s",
            change.name,
            "removed" if change.decision is None else change.decision.name,
            change.changed_at.isoformat(),
            why,
        )

    def _stand_back(self) -> None:
        # Whoever delivers meanwhile keeps another place.
        self._positions = None

    async def _release(self) -> None:
        try:
            await self._delivery.release()
        except StoreUnavailable:
            return


def _moved(positions: Positions, shard: int, number: int, mark: str) -> Positions:
    return (*positions[:shard], Position(number, mark), *positions[shard + 1 :])
