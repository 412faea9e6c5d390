"""The store that replicas share: whether it answers, and the clock that leases follow."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from otpc_policy.app.clock import SystemClock
from otpc_policy.app.doctor.result import Result, failed, ok, skipped, warning
from otpc_policy.app.fleet import fleet_from
from otpc_policy.app.settings import Settings
from otpc_policy.check import StoreUnavailable
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.store.memory import MemoryFactsStore

_REACH_IT: Final = "without it every replica measures for itself; see docs/fleet.md"
_SET_IT: Final = "synchronise both clocks; beyond five seconds this replica shares nothing"
_TOLD_APART: Final = timedelta(seconds=0.25)


async def store_of(settings: Settings, *, now: Callable[[], datetime]) -> Result:
    """Ask the store for its time, as a replica does; it has a quarter of a second."""
    url = settings.fleet.url
    if not url:
        return skipped("store", "fleet.url is not set: this service shares nothing")
    try:
        fleet = fleet_from(
            settings,
            SystemClock(),
            memory=MemoryFactsStore(max_entries=1, max_bytes=1),
            registry=CollectorRegistry(),
            discarded=lambda _endpoints: None,
        )
    except ConfigurationError as error:
        return failed("store", "; ".join(error.problems), "mend the setting or the file")
    try:
        ahead = await fleet.clock_ahead(now)
    except StoreUnavailable as error:
        return failed("store", f"{url}: {error}", _REACH_IT)
    text = f"{url} answers; its clock agrees with this one"
    if abs(ahead) >= _TOLD_APART:
        way = "ahead of" if ahead > timedelta() else "behind"
        text = f"{url} answers; its clock is {abs(ahead).total_seconds():.1f} s {way} this one"
    # It imports redis, which only a fleet has.
    from otpc_policy.fleet.notices import MOST_OFFSET, WARN_OFFSET  # noqa: PLC0415

    if abs(ahead) > MOST_OFFSET:
        return failed("store", text, _SET_IT)
    if abs(ahead) > WARN_OFFSET:
        return warning("store", text, _SET_IT)
    return ok("store", text)
