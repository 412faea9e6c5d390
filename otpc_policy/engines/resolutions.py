"""What hosts resolved to, kept for as long as the engine allows; identical questions share one.

While no engine can be asked, or none answers within a second, the addresses of the last answer
stand in for up to five minutes, marked stale: they may serve cached facts, and never a measurement.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Protocol

from otpc_policy.core.addresses import Resolution
from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.core.facts import ResolutionFailure, ResolutionStatus
from otpc_policy.engines.errors import EngineFailed, EngineLost
from otpc_policy.engines.ports import LookUpObserver
from otpc_policy.measurement.engine_lied import EngineLied

_MAX_HOSTS: Final = 10_000
# Long enough to take the edge off a storm of callers.
_FAILURE_TTL: Final = timedelta(seconds=1)
# As an engine does while name servers fail; with the last answer's own minute, five in all.
_STALE_S: Final = 240.0
# How long a question may be open before an earlier answer is given to whoever waits for it.
_PATIENCE_S: Final = 1.0


class Ask(Protocol):
    """Asks an engine. Raises EngineLost, EngineFailed, EngineLied, Overloaded."""

    async def __call__(self, host: str, *, fresh: bool) -> Resolution: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """last: the newest answer with addresses that was not stale, and until when it stands in."""

    resolution: Resolution
    until_s: float
    last: tuple[Resolution, float] | None


class Resolutions:
    """Answers by host. monotonic: seconds.

    known_host: what a host resolves to where no engine must be asked, else None. observer: counts
    what engines were asked for.
    """

    def __init__(
        self,
        ask: Ask,
        *,
        known_host: Callable[[str], Resolution | None],
        monotonic: Callable[[], float],
        observer: LookUpObserver | None,
    ) -> None:
        self._ask, self._known_host = ask, known_host
        self._monotonic, self._observer = monotonic, observer
        self._known: dict[str, _Known] = {}
        self._asking: dict[tuple[str, bool], asyncio.Task[Resolution]] = {}
        self._begun_s: dict[tuple[str, bool], float] = {}

    @property
    def outstanding(self) -> int:
        """Names that are being looked up."""
        return len(self._asking)

    def known(self, host: str) -> Resolution | None:
        """Return the answer that is at hand and still good. host: canonical."""
        known = self._known.get(host)
        if known is None or self._monotonic() >= known.until_s:
            return None
        return known.resolution

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        """Return what the host resolves to. A caller that leaves ends nothing.

        host: canonical. fresh: a stale answer at hand will not do. Raises Overloaded, and
        ServiceUnavailable where this is closed meanwhile.
        """
        known = self.known(host)
        if known is not None and not (fresh and known.is_stale):
            return known
        here = self._known_host(host)
        if here is not None:
            self._keep(host, here)
            return here
        key = (host, fresh)
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._resolve(host, fresh=fresh))
            asking.add_done_callback(lambda task: self._asked(key, task))
            self._begun_s[key] = asyncio.get_running_loop().time()
        await asyncio.wait((asking,), timeout=self._patience_s(key))
        if not asking.done():
            # What is being asked goes on, for whoever comes next.
            self._fell_back()
            return self._without_engine(host)
        if asking.cancelled():
            raise ServiceUnavailable("the service is draining")
        return asking.result()

    def _patience_s(self, key: tuple[str, bool]) -> float | None:
        """Return how long to wait for what is being asked; None where there is nothing else."""
        host, fresh = key
        if fresh or self._last(host) is None:
            return None
        return max(0.0, self._begun_s[key] + _PATIENCE_S - asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End what is being asked."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)

    async def _resolve(self, host: str, *, fresh: bool) -> Resolution:
        try:
            found = await self._ask(host, fresh=fresh)
        except Overloaded:
            if self._observer is not None:
                self._observer.dns_looked_up("overloaded")
            raise
        except (EngineLost, EngineFailed, EngineLied):
            found = self._without_engine(host)
        if self._observer is not None:
            is_answer = found.failure is ResolutionFailure.NONE
            self._observer.dns_looked_up("answered" if is_answer else found.failure.name.lower())
            if found.is_stale:
                self._fell_back()
        self._keep(host, found)
        return found

    def _fell_back(self) -> None:
        if self._observer is not None:
            self._observer.dns_fell_back()

    def _without_engine(self, host: str) -> Resolution:
        """Return the last answer, or that there is none."""
        last = self._last(host)
        if last is None:
            return Resolution(
                status=ResolutionStatus.FAILED, failure=ResolutionFailure.OTHER, ttl=_FAILURE_TTL
            )
        return replace(last[0], is_stale=True, failure=ResolutionFailure.OTHER, ttl=_FAILURE_TTL)

    def _last(self, host: str) -> tuple[Resolution, float] | None:
        known = self._known.get(host)
        last = None if known is None else known.last
        return last if last is not None and self._monotonic() < last[1] else None

    def _keep(self, host: str, found: Resolution) -> None:
        until_s = self._monotonic() + found.ttl.total_seconds()
        if found.failure is not ResolutionFailure.NONE and not _denies(found):
            last = self._last(host)
        else:
            last = (found, until_s + _STALE_S) if found.addresses else None
        self._known.pop(host, None)
        self._known[host] = _Known(found, until_s, last)
        if len(self._known) > _MAX_HOSTS:
            del self._known[next(iter(self._known))]

    def _asked(self, key: tuple[str, bool], task: asyncio.Task[Resolution]) -> None:
        del self._asking[key], self._begun_s[key]
        if not task.cancelled():
            task.exception()  # retrieved here, because every caller may have gone


def _denies(found: Resolution) -> bool:
    """Tell whether DNS itself says that there is no address."""
    return found.failure in (ResolutionFailure.NXDOMAIN, ResolutionFailure.NODATA)
