"""Builds the engines of the service from its settings: child processes, or remote engines."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from otpc_policy.app.engine_extra import require_engine
from otpc_policy.app.settings import LogFormat, Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.check import Clock
from otpc_policy.core.address_selection import DIALLED_FAMILIES, AddressSelection
from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.known_hosts import KnownHosts
from otpc_policy.engines.child import ChildFleet
from otpc_policy.engines.cpu_quota import usable_cores
from otpc_policy.engines.credentials import EngineCredentials
from otpc_policy.engines.pool import EnginePool
from otpc_policy.engines.ports import ConnectionShares, Fleet, LookUpObserver
from otpc_policy.engines.remote import RemoteFleet
from otpc_policy.ops.own_listeners import OwnListeners
from otpc_policy.ops.routes import Routes
from otpc_policy.policy.judged_groups import judges_groups
from otpc_policy.policy.model import PolicySet
from otpc_policy.policy.required_suites import required_suites

# Beyond four cores another replica uses them better: it adds a front as well.
_MOST_ENGINES: Final = 4


class EngineObserver(LookUpObserver, Protocol):
    """Counts name look-ups, and facts on which two measurements by one engine disagree.

    engine_ended: one of the service's own has to be replaced.
    """

    def contradicted(self, subject: str) -> None: ...
    def engine_ended(self) -> None: ...


def engines_from(
    settings: Settings,
    clock: Clock,
    *,
    policies: Callable[[], PolicySet],
    partners: Callable[[], int],
    observer: EngineObserver,
    own_listeners: OwnListeners,
    shares: ConnectionShares | None = None,
) -> Mapping[str, EnginePool]:
    """Return the engines by perspective, that of the default first, not yet started.

    Each perspective has a queue and resolved names of its own.

    policies: those of the current generation. partners: how many there are. own_listeners: complete
    when the engines are started. shares: of the connections of the service's own engines.
    """
    vetting = AddressVetting(settings.allow_networks, nat64_prefixes=settings.nat64_prefixes)
    pool = partial(
        _pool, settings, clock, demands=_Demands(policies), partners=partners, observer=observer
    )
    own = _fleet(settings, clock, vetting, own_listeners, observer.engine_ended)
    pools = {settings.own_perspective: pool(own, _known_hosts(settings, vetting), shares=shares)}
    for name, chosen in settings.perspectives.items():
        fleet = _remote(settings, clock, vetting, chosen.engine_addresses, name)
        pools[name] = pool(fleet, _known_elsewhere(settings, vetting))
    first = settings.asked_perspective
    return {first: pools.pop(first), **pools}


def _pool(
    settings: Settings,
    clock: Clock,
    fleet: Fleet,
    known_hosts: KnownHosts,
    *,
    demands: "_Demands",
    partners: Callable[[], int],
    observer: EngineObserver,
    shares: ConnectionShares | None = None,
) -> EnginePool:
    scan = settings.scan
    return EnginePool(
        fleet,
        known_host=known_hosts.resolution,
        queue_limit=scan.queue_limit,
        most_of_a_caller=settings.shares.scans_per_caller,
        reserved=lambda places: int(places * settings.shares.partners_part) if partners() else 0,
        scan_deadline_s=scan.scan_deadline_s,
        deep_deadline_s=scan.deep_deadline_s,
        dns_timeout_s=settings.dns_timeout_s,
        required_suites=demands.suites,
        asks_groups=demands.groups,
        contradicted=observer.contradicted,
        look_ups=observer,
        shares=shares,
        monotonic=clock.monotonic,
    )


def number_of_engines(settings: Settings, cores: Callable[[], float] = usable_cores) -> int:
    """Return how many child engines the service starts."""
    if isinstance(settings.engines, int):
        return settings.engines
    return min(max(int(cores()), 1), _MOST_ENGINES)


def engine_share(part: dict[str, Any], engines: int) -> dict[str, Any]:
    """Return the settings of each of several engines, which together keep the service's limits.

    part: as returned by settings.engine_part. Limits per address or per connection are not divided,
    because an address is measured by a single engine.
    """
    scan = dict(part["scan"])
    for name in ("workers", "concurrent_scans", "concurrent_deep_scans"):
        scan[name] = -(-scan[name] // engines)
    return {**part, "scan": scan}


def _known_hosts(settings: Settings, vetting: AddressVetting) -> KnownHosts:
    selection = AddressSelection(
        vetting,
        families=DIALLED_FAMILIES[settings.address_families.value],
        # The routes of remote engines and of proxies are not known here: it is tried.
        has_route=_assume_route
        if settings.engine_addresses or settings.egress_proxy
        else Routes().has_route,
    )
    return KnownHosts(settings.static_hosts, selection, ttl_s=settings.dns_ttl_s)


def _known_elsewhere(settings: Settings, vetting: AddressVetting) -> KnownHosts:
    """Return IP literals alone: names mean there what the engines there know of them."""
    families = DIALLED_FAMILIES[settings.address_families.value]
    selection = AddressSelection(vetting, families=families, has_route=_assume_route)
    return KnownHosts({}, selection, ttl_s=settings.dns_ttl_s)


def _assume_route(_address: str) -> bool:
    return True


def _fleet(
    settings: Settings,
    clock: Clock,
    vetting: AddressVetting,
    own_listeners: OwnListeners,
    ended: Callable[[], None],
) -> Fleet:
    if settings.engine_addresses:
        return _remote(settings, clock, vetting, settings.engine_addresses, settings.perspective)
    engines = number_of_engines(settings)
    # The service itself resolves static hosts of endpoints; an engine those of CRLs.
    # Its lines come through the service's log, which has the format of the settings.
    part = engine_part(settings) | {"log_format": LogFormat.JSON.value}
    configuration = engine_share(part, engines)
    return _OwnEngines(
        engines,
        own_listeners,
        orders=configuration,
        vetting=vetting,
        now=clock.now,
        ended=ended,
    )


def _remote(
    settings: Settings,
    clock: Clock,
    vetting: AddressVetting,
    addresses: Sequence[str],
    perspective: str,
) -> RemoteFleet:
    """Return engines elsewhere. perspective: that they must not contradict; "" for any."""
    return RemoteFleet(
        addresses,
        credentials=_credentials(
            settings.engine_certificate_file,
            settings.engine_key_file,
            settings.engine_ca_file,
        ),
        vetting=vetting,
        now=clock.now,
        perspective=perspective,
    )


def _credentials(
    certificate_file: Path | None, key_file: Path | None, ca_file: Path | None
) -> EngineCredentials | None:
    """Return the files, or None unless all three are set: the settings allow that."""
    if certificate_file is None or key_file is None or ca_file is None:
        return None
    return EngineCredentials(certificate_file=certificate_file, key_file=key_file, ca_file=ca_file)


class _OwnEngines(ChildFleet):
    """Child engines. Starting them raises ConfigurationError if the engine is not installed."""

    def __init__(
        self,
        count: int,
        own_listeners: OwnListeners,
        *,
        orders: dict[str, Any],
        vetting: AddressVetting,
        now: Callable[[], datetime],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(count, orders=orders, vetting=vetting, now=now, ended=ended)
        self._own_listeners = own_listeners

    async def start(self, changed: Callable[[], None]) -> None:
        """See ChildFleet."""
        require_engine("name engines elsewhere in engine_addresses")
        # Only now are all ports bound, and known.
        self._orders["own_listeners"] = self._own_listeners.pairs()
        await super().start(changed)


class _Demands:
    """What the loaded policies demand of a measurement, computed once per generation."""

    def __init__(self, policies: Callable[[], PolicySet]) -> None:
        self._policies = policies
        self._computed_for: PolicySet | None = None
        self._suites: tuple[tuple[int, ...], ...] = ()
        self._groups = False

    def suites(self) -> tuple[tuple[int, ...], ...]:
        """Return the sets of which a handshake must be seen with one suite."""
        self._update()
        return self._suites

    def groups(self) -> bool:
        """Tell whether a policy judges groups of TLS 1.3."""
        self._update()
        return self._groups

    def _update(self) -> None:
        policies = self._policies()
        if policies is not self._computed_for:
            self._suites = required_suites(policies.policies.values())
            self._groups = judges_groups(policies.policies.values())
            self._computed_for = policies
