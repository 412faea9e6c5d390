"""The store that replicas share: whether it answers, and the clock that leases follow."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import CollectorRegistry

from otpc_policy.app.clock import SystemClock
from otpc_policy.app.doctor.result import Result, failed, ok, skipped, warning
from otpc_policy.app.fleet import fleet_from
from otpc_policy.app.settings import FleetSettings, Settings, StoreMode
from otpc_policy.check import StoreUnavailable
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.store.memory import MemoryFactsStore

_REACH_IT: Final = "without it every replica measures for itself; see docs/fleet.md"
_IS_A_CLUSTER: Final = 'it is a server of a cluster: set fleet.mode = "cluster"'
# The library's names; it is not imported here.
_SAID_BY_CLUSTERS: Final = ("MovedError", "ClusterDownError")
_SET_IT: Final = "synchronise both clocks; beyond five seconds this replica shares nothing"
_TOLD_APART: Final = timedelta(seconds=0.25)


async def store_of(settings: Settings, *, now: Callable[[], datetime]) -> Result:
    """Ask the store for its time, and for changes, as a replica does within a quarter of a second.

    Of a cluster, every server that has a part of what replicas share must answer.
    """
    if not settings.fleet.servers:
        return skipped("store", "fleet.url is not set: this service shares nothing")
    store = _named(settings.fleet)
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
        clocks = await fleet.clocks_ahead(now)
    except StoreUnavailable as error:
        is_single = settings.fleet.mode is StoreMode.SINGLE
        is_cluster = is_single and type(error.__cause__).__name__ in _SAID_BY_CLUSTERS
        return failed("store", f"{store}: {error}", _IS_A_CLUSTER if is_cluster else _REACH_IT)
    ahead = max(clocks, key=abs)
    servers = f" ({len(clocks)} servers)" if settings.fleet.mode is StoreMode.CLUSTER else ""
    text = f"{store} answers{servers}; its clock agrees with this one"
    if abs(ahead) >= _TOLD_APART:
        way = "ahead of" if ahead > timedelta() else "behind"
        seconds = abs(ahead).total_seconds()
        text = f"{store} answers{servers}; its clock is {seconds:.1f} s {way} this one"
    # It imports redis, which only a fleet has.
    from otpc_policy.fleet.notices import MOST_OFFSET, WARN_OFFSET  # noqa: PLC0415

    if abs(ahead) > MOST_OFFSET:
        return failed("store", text, _SET_IT)
    if abs(ahead) > WARN_OFFSET:
        return warning("store", text, _SET_IT)
    return ok("store", text)


def _named(chosen: FleetSettings) -> str:
    servers = ", ".join(chosen.servers)
    match chosen.mode:
        case StoreMode.SINGLE:
            return servers
        case StoreMode.CLUSTER:
            return f"the cluster of {servers}"
        case StoreMode.SENTINEL:
            return f"{chosen.primary_name} of the sentinels {servers}"
