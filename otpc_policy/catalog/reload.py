"""The catalog in use, and how another takes its place.

Everything is read and validated, then swapped at once. If that fails, the last valid catalog stays.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import structlog

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.partners.deadlines import DeadlineCalendar, DeadlineKind, deadlines
from otpc_policy.core.errors import ConfigurationError

# One line each in the log; an operator with more of them fixes these first.
_LOGGED_PROBLEMS = 20


class ReloadObserver(Protocol):
    """Observes loads, for metrics."""

    def config_loaded(self, successful: bool, at: datetime) -> None: ...
    def config_reload(self, result: str) -> None: ...


class EventLog(Protocol):
    """Where it is recorded what happens to the configuration."""

    def debug(self, event: str, **fields: Any) -> Any: ...
    def info(self, event: str, **fields: Any) -> Any: ...
    def warning(self, event: str, **fields: Any) -> Any: ...
    def error(self, event: str, **fields: Any) -> Any: ...
    def exception(self, event: str, **fields: Any) -> Any: ...


class Reloader:
    """Holds the catalog in use. Runs on one event loop; only files are read on a thread.

    events: by default the log. Raises ConfigurationError if the first catalog cannot be loaded.
    """

    def __init__(
        self,
        loader: CatalogLoader,
        *,
        observer: ReloadObserver,
        now: Callable[[], datetime],
        events: EventLog | None = None,
    ) -> None:
        self._loader = loader
        self._observer = observer
        self._now = now
        self._log: EventLog = events or structlog.get_logger("otpc_policy.configuration")
        self._one_at_a_time = asyncio.Lock()
        self._requested = asyncio.Event()
        self._current = loader.load()
        self._remark()
        # Of the files at the last reload, successful or not: only another change is worth another.
        self._seen = loader.stamp
        self._calendar = calendar_of(self._current)
        self._was_refused = False
        observer.config_loaded(True, now())

    @property
    def was_refused(self) -> bool:
        """The documents on disk could not be used when they were last read."""
        return self._was_refused

    @property
    def current(self) -> Catalog:
        """The catalog in use. A call takes it once: the next access may return another."""
        return self._current

    def ask(self) -> None:
        """Make watch reload soon, whether or not a file has changed."""
        self._requested.set()

    async def validate(self) -> Catalog:
        """Return the catalog that a reload would bring, and change nothing.

        Raises ConfigurationError with every problem.
        """
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._loader.load)

    async def reload(self, cause: str) -> Catalog:
        """Read and validate everything, swap it in, and return it.

        cause: for the log, such as "signal". If no document says anything else, the catalog in use
        stays. Raises ConfigurationError with every problem; then it stays too.
        """
        async with self._one_at_a_time:
            try:
                loaded = await asyncio.to_thread(self._loader.load)
            except ConfigurationError as error:
                self._log_refusal(cause, error.problems)
                self._count(successful=False)
                raise
            except Exception:
                self._count(successful=False)
                raise
            finally:
                self._seen = self._loader.stamp
            changed = loaded.revision != self._current.revision
            if changed:
                calendar = await asyncio.to_thread(calendar_of, loaded)
                self._current, self._calendar = loaded, calendar
                self._remark()
            self._count(successful=True)
            log = self._log.info if changed or cause != "change" else self._log.debug
            log(
                "configuration_reloaded",
                cause=cause,
                changed=changed,
                revision=self._current.revision,
                partners=len(self._current.partners),
            )
            return self._current

    async def watch(self, poll_s: float) -> None:
        """Reload when a file has changed, and when asked. Ends when cancelled.

        poll_s: seconds between two looks at the files; 0 for never.
        """
        while True:
            cause = ""
            try:
                if cause := await self._cause(poll_s):
                    await self.reload(cause)
            except ConfigurationError:
                # Logged and counted where it happened.
                continue
            except Exception:  # noqa: BLE001  # the outermost frame of this task
                self._log.exception("configuration_reload_failed", cause=cause)

    def partner_count(self) -> int:
        """Return how many partners there are now."""
        return len(self._current.partners)

    def seconds_until_next_end(self, kind: DeadlineKind) -> float:
        """Return how long until the next waiver, pin or anchor ends; infinity if none will."""
        now = self._now()
        ends_at = self._calendar.next_end(kind, now)
        return float("inf") if ends_at is None else (ends_at - now).total_seconds()

    def ended(self, kind: DeadlineKind) -> int:
        """Return how many waivers, pins or anchors have ended and are still configured."""
        return self._calendar.ended(kind, self._now())

    def _remark(self) -> None:
        """Say what a security team would not expect of the catalog in use."""
        minimum = self._current.policies.minimum
        if minimum is not None and not minimum.enforcing:
            self._log.warning("minimum_policy_denies_nothing", policy=minimum.name)

    async def _cause(self, poll_s: float) -> str:
        """Wait; return why to reload now, or ""."""
        try:
            async with asyncio.timeout(poll_s or None):
                await self._requested.wait()
            self._requested.clear()
            return "signal"
        except TimeoutError:
            stamp = await asyncio.to_thread(self._loader.stamp_now)
            return "" if stamp == self._seen else "change"

    def _count(self, *, successful: bool) -> None:
        self._was_refused = not successful
        self._observer.config_reload("success" if successful else "failure")
        self._observer.config_loaded(successful, self._now())

    def _log_refusal(self, cause: str, problems: tuple[str, ...]) -> None:
        logged = list(problems[:_LOGGED_PROBLEMS])
        if len(problems) > _LOGGED_PROBLEMS:
            logged.append(f"and {len(problems) - _LOGGED_PROBLEMS} more")
        self._log.error(
            "configuration_refused",
            cause=cause,
            problems=logged,
            revision=self._current.revision,
        )


def calendar_of(catalog: Catalog) -> DeadlineCalendar:
    """Return every end in a catalog: of the partners' entries and of the settings' trust."""
    ends = [
        (deadline.kind, deadline.ends_at)
        for partner in catalog.partners.partners
        for deadline in deadlines(partner)
    ]
    ends += [
        (DeadlineKind.ANCHOR if entry.anchors else DeadlineKind.PIN, entry.ends_at)
        for entry in catalog.trust.entries
        if entry.ends_at is not None
    ]
    return DeadlineCalendar(ends)
