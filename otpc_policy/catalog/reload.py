"""The present generation, and how another takes its place: everything is read and validated, then swapped at once. On failure the last good one stays."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

import structlog

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.load import GenerationLoader
from otpc_policy.catalog.partners.deadlines import DeadlineCalendar, DeadlineKind, deadlines
from otpc_policy.errors import ConfigurationError

# One problem a line; an operator who broke more than this mends these first.
_LOGGED_PROBLEMS = 20


class ReloadObserver(Protocol):
    """Is told of loads, for metrics."""

    def config_loaded(self, successful: bool, at: datetime) -> None: ...
    def config_reload(self, result: str) -> None: ...


class Reloader:
    """Holds the present generation. Everything here runs on one event loop; only reading files runs on a thread.

    Raises ConfigurationError if the first generation cannot be loaded.
    """

    def __init__(
        self, loader: GenerationLoader, *, observer: ReloadObserver, now: Callable[[], datetime]
    ) -> None:
        self._loader = loader
        self._observer = observer
        self._now = now
        self._log = structlog.get_logger("otpc_policy.configuration")
        self._one_at_a_time = asyncio.Lock()
        self._asked = asyncio.Event()
        self._current = loader.load()
        # Of the files at the last reload, whatever came of it: only another change is worth another look.
        self._seen = loader.stamp
        self._calendar = calendar_of(self._current)
        observer.config_loaded(True, now())

    @property
    def current(self) -> Catalog:
        """The present generation. Take it once in a call: the next look may find another."""
        return self._current

    def ask(self) -> None:
        """Have watch reload soon, whether or not anything seems to have changed."""
        self._asked.set()

    async def validate(self) -> Catalog:
        """Return the generation that a reload would bring, and change nothing. Raises ConfigurationError with every problem."""
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._loader.load)

    async def reload(self, cause: str) -> Catalog:
        """Read and validate everything, swap it in, and return it. Raises ConfigurationError with every problem; the last good one then stays.

        cause: for the log, such as "signal". Files that say what they said before leave the present generation as it is.
        """
        async with self._one_at_a_time:
            try:
                loaded = await asyncio.to_thread(self._loader.load)
            except ConfigurationError as error:
                self._failed(cause, error.problems)
                raise
            except Exception:
                self._observer.config_reload("failure")
                self._observer.config_loaded(False, self._now())
                raise
            finally:
                self._seen = self._loader.stamp
            changed = loaded.revision != self._current.revision
            if changed:
                calendar = await asyncio.to_thread(calendar_of, loaded)
                self._current, self._calendar = loaded, calendar
            self._observer.config_reload("success")
            self._observer.config_loaded(True, self._now())
            tell = self._log.info if changed or cause != "change" else self._log.debug
            tell(
                "configuration_reloaded",
                cause=cause,
                changed=changed,
                revision=self._current.revision,
                partners=len(self._current.partners),
            )
            return self._current

    async def watch(self, poll_s: float) -> None:
        """Reload whenever a file has changed, looked at every poll_s seconds (0 for never), and whenever somebody asks. Ends when cancelled."""
        while True:
            cause = ""
            try:
                if cause := await self._cause(poll_s):
                    await self.reload(cause)
            except ConfigurationError:
                # Said and counted where it happened.
                continue
            except Exception:  # noqa: BLE001  # the outermost frame of this task: a bug must not end the watch
                self._log.exception("configuration_reload_failed", cause=cause)

    def partner_count(self) -> int:
        """Return how many partners there are now."""
        return len(self._current.partners)

    def seconds_until_next_end(self, kind: DeadlineKind) -> float:
        """Return how long until the next waiver, pin or anchor ends; infinite if none does."""
        now = self._now()
        ends_at = self._calendar.next_end(kind, now)
        return float("inf") if ends_at is None else (ends_at - now).total_seconds()

    def ended(self, kind: DeadlineKind) -> int:
        """Return how many waivers, pins or anchors have ended and are still written down."""
        return self._calendar.ended(kind, self._now())

    async def _cause(self, poll_s: float) -> str:
        """Return why to reload now, or nothing."""
        try:
            async with asyncio.timeout(poll_s or None):
                await self._asked.wait()
            self._asked.clear()
            return "signal"
        except TimeoutError:
            return "" if await asyncio.to_thread(self._loader.stamp_now) == self._seen else "change"

    def _failed(self, cause: str, problems: tuple[str, ...]) -> None:
        self._observer.config_reload("failure")
        self._observer.config_loaded(False, self._now())
        more = len(problems) - _LOGGED_PROBLEMS
        told = [*problems[:_LOGGED_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        self._log.error(
            "configuration_refused", cause=cause, problems=told, revision=self._current.revision
        )


def calendar_of(generation: Catalog) -> DeadlineCalendar:
    """Return every end in a generation: of partners, and of the trust of the settings."""
    ends = [
        (one.kind, one.ends_at)
        for partner in generation.partners.partners
        for one in deadlines(partner)
    ]
    ends += [
        (DeadlineKind.ANCHOR if one.anchors else DeadlineKind.PIN, one.ends_at)
        for one in generation.trust.entries
        if one.ends_at is not None
    ]
    return DeadlineCalendar(ends)
