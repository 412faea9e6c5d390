"""Builds from the settings what this replica shares with others."""

import asyncio
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry

from otpc_policy.app.settings import FleetSettings, Settings, StoreMode, is_loopback
from otpc_policy.check import Clock, FactsStore, Leasing, StoreUnavailable
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.fleet.changes import Changes
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.delivery import Delivery
from otpc_policy.fleet.schedule import InMemorySchedule, Schedule
from otpc_policy.ops.metrics.fleet import FleetMetrics
from otpc_policy.ops.secret_files import in_words, read_secret
from otpc_policy.store.memory import MemoryFactsStore
from otpc_policy.store.tiered import TieredFactsStore
from otpc_policy.store.traced import TracedLeases

if TYPE_CHECKING:
    from otpc_policy.fleet.address_shares import AddressShares
    from otpc_policy.fleet.notices import Notices
    from otpc_policy.fleet.shared_slots import Members
    from otpc_policy.fleet.store import Store, StoreObserver

_MOST_PASSWORD_BYTES: Final = 1_024
# STANDARD and DEEP facts under each kept measurement, and that there are none.
_KEYS_PER_MEASUREMENT: Final = 4
# Lifetimes vary by a tenth.
_JITTER: Final = 1.1
_MARGIN_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the use case, the watch list and the engines need of it.

    shares: of the connections to an address; None where engines are shared, which keep to the
    limit by themselves. run() it for as long as the service runs, and close() it when nothing is
    measured any more.
    """

    store: FactsStore
    leasing: Leasing
    schedule: Schedule
    changes: Changes
    cursors: Cursors
    delivery: Delivery
    notices: "Notices"
    shares: "AddressShares | None"
    _members: "Members"
    _connection: "Store"
    _streams: Sequence[str]

    @property
    def store_failure(self) -> str:
        """Why the store is not used, for people; "" if it is."""
        return self._connection.failure

    async def clocks_ahead(self, now: Callable[[], datetime]) -> Sequence[timedelta]:
        """Ask every server of the store once; return by how much their clocks are ahead.

        Raises StoreUnavailable, also where a part of the store does not answer.
        """
        from otpc_policy.fleet.notices import clock_ahead, server_time  # noqa: PLC0415
        from otpc_policy.fleet.scripts import NEWS  # noqa: PLC0415

        began = now()
        try:
            polled = await self._connection.poll(NEWS, [(name, "", "1") for name in self._streams])
        finally:
            await self._connection.close()
        if None in polled.answers:
            raise StoreUnavailable("a part of the store does not answer")
        ended = now()
        return [clock_ahead(server_time(time), began, ended) for time in polled.times]

    async def run(self) -> None:
        """Follow the others until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.notices.run(), name="follow notices")
            if self.shares is not None:
                tasks.create_task(self._members.run(), name="be a member")

    async def close(self) -> None:
        """Give back what is held, and close all connections."""
        if self.shares is not None:
            await self.shares.close()
            await self._members.leave()
        await self._connection.close()


def fleet_from(
    settings: Settings,
    clock: Clock,
    *,
    memory: MemoryFactsStore,
    registry: CollectorRegistry,
    is_traced: bool = False,
    discarded: Callable[[Collection[tuple[str, int]] | None], None],
) -> Fleet:
    """Return what is shared, not yet connected.

    discarded: called with hosts and ports that others have invalidated; None where it may be any.

    Raises ConfigurationError.
    """
    if find_spec("redis") is None:
        raise ConfigurationError(
            ["fleet.url: redis is not installed; pip install 'otpc-policy[fleet]'"]
        )
    from otpc_policy.fleet.address_shares import AddressShares, lifetime_s  # noqa: PLC0415
    from otpc_policy.fleet.change_records import ChangeRecords  # noqa: PLC0415
    from otpc_policy.fleet.facts import SharedFactsStore  # noqa: PLC0415
    from otpc_policy.fleet.keys import Keyspace  # noqa: PLC0415
    from otpc_policy.fleet.leases import SharedLeases  # noqa: PLC0415
    from otpc_policy.fleet.notices import Notices  # noqa: PLC0415
    from otpc_policy.fleet.records import Records  # noqa: PLC0415
    from otpc_policy.fleet.shared_changes import SharedChanges  # noqa: PLC0415
    from otpc_policy.fleet.shared_delivery import SharedDelivery  # noqa: PLC0415
    from otpc_policy.fleet.shared_schedule import (  # noqa: PLC0415
        ScheduleWithFallback,
        SharedSchedule,
    )
    from otpc_policy.fleet.shared_slots import Members, SharedSlots  # noqa: PLC0415
    from otpc_policy.fleet.signing import FleetKey  # noqa: PLC0415
    from otpc_policy.fleet.tokens import LeaseTokens  # noqa: PLC0415

    chosen = settings.fleet
    if chosen.key_file is None:
        raise ConfigurationError(["fleet.key_file: is required with fleet.url"])
    key = FleetKey.read(chosen.key_file)
    password = _password(chosen.password_file, "fleet.password_file")
    if chosen.ca_file is not None and not chosen.ca_file.is_file():
        raise ConfigurationError([f"fleet.ca_file: {chosen.ca_file}: no such file"])
    metrics = FleetMetrics(registry)
    connection = _store(chosen, password, metrics)
    connection.use_not("its clock has not been compared yet")
    keyspace = Keyspace(
        chosen.prefix,
        measured_as=partial(_measured_as, settings),
        watched_from=settings.watch.perspective or settings.asked_perspective,
    )
    records = Records(key, metrics)
    replica = secrets.token_hex(8)
    shared = SharedFactsStore(
        connection,
        keyspace=keyspace,
        records=records,
        lifetime=_lifetime(settings),
        replica=replica,
    )
    store = TieredFactsStore(
        memory,
        shared,
        digest=lambda key: keyspace.names(key).digest,
        monotonic=clock.monotonic,
        max_entries=_KEYS_PER_MEASUREMENT * settings.cache_entries,
    )
    longest_s = settings.scan.scan_deadline_s + settings.scan.deep_deadline_s
    tokens = LeaseTokens(key, now=clock.now, longest=timedelta(seconds=longest_s))
    leases = SharedLeases(connection, keyspace=keyspace, records=records, tokens=tokens)
    leasing = Leasing(
        TracedLeases(leases) if is_traced else leases,
        observer=metrics,
        clock=clock,
        longest_wait_s=longest_s,
    )
    notices = Notices(
        connection,
        keyspace=keyspace,
        memory=store,
        discarded=discarded,
        now=clock.now,
        observer=metrics,
        replica=replica,
    )
    schedule = ScheduleWithFallback(
        SharedSchedule(connection, keyspace=keyspace), InMemorySchedule(clock.monotonic)
    )
    changes = SharedChanges(connection, keyspace=keyspace, records=ChangeRecords(key, metrics))
    cursors = Cursors(key, history=keyspace.history, shards=changes.shards)
    members = Members(connection, keyspace=keyspace, replica=replica)
    shares = None
    if not settings.engine_addresses:
        deadline_s = settings.scan.connection_deadline_s
        lifetime = lifetime_s(deadline_s)
        shares = AddressShares(
            SharedSlots(connection, keyspace=keyspace, replica=replica, lifetime_s=lifetime),
            cap=settings.scan.connections_per_address,
            connection_deadline_s=deadline_s,
            members=lambda: members.count,
            observer=metrics,
            monotonic=clock.monotonic,
        )
    return Fleet(
        store=store,
        leasing=leasing,
        schedule=schedule,
        changes=changes,
        cursors=cursors,
        delivery=SharedDelivery(connection, keyspace=keyspace),
        notices=notices,
        shares=shares,
        _members=members,
        _connection=connection,
        _streams=keyspace.notices,
    )


def _store(chosen: FleetSettings, password: str, observer: "StoreObserver") -> "Store":
    """Return the store of the settings. Raises ConfigurationError."""
    from otpc_policy.fleet.clients import SENTINELS_PORT, StoreClients, address_of  # noqa: PLC0415
    from otpc_policy.fleet.cluster import ClusterConnection  # noqa: PLC0415
    from otpc_policy.fleet.connection import StoreConnection  # noqa: PLC0415

    is_permitted = partial(_is_permitted, chosen)
    try:
        clients = StoreClients(
            chosen.servers[0],
            user=chosen.user,
            password=password,
            ca_file=None if chosen.ca_file is None else str(chosen.ca_file),
            is_permitted=is_permitted,
        )
    except OSError as error:
        raise ConfigurationError(
            [f"fleet.ca_file: {chosen.ca_file}: {error.strerror or error}"]
        ) from None
    match chosen.mode:
        case StoreMode.SINGLE:
            return StoreConnection(clients.of_server(), observer=observer)
        case StoreMode.CLUSTER:
            return ClusterConnection(
                [address_of(url) for url in chosen.servers],
                clients.of_server,
                observer=observer,
                is_permitted=is_permitted,
            )
        case StoreMode.SENTINEL:
            primary = clients.of_primary(
                chosen.primary_name,
                [address_of(url, default_port=SENTINELS_PORT) for url in chosen.servers],
                user=chosen.sentinel_user,
                password=_password(chosen.sentinel_password_file, "fleet.sentinel_password_file"),
            )
            return StoreConnection(primary, observer=observer)


def _is_permitted(chosen: FleetSettings, host: str) -> bool:
    """Whether a host may be reached that the store names, and not the settings."""
    named = f"[{host}]:1" if ":" in host else f"{host}:1"
    return chosen.may_name_other_machines or is_loopback(named)


def _measured_as(settings: Settings, perspective: str) -> str:
    """Return what distinguishes measurements from a perspective by these settings."""
    if settings.engine_addresses or perspective != settings.own_perspective:
        return "by engines with settings of their own"
    certificates = {name: each.hosts for name, each in settings.client_certificates.items()}
    commands = sorted(command.value for command in settings.scan.deep_commands)
    return repr((settings.client_profiles, certificates, commands, settings.egress_proxy))


def _password(path: Path | None, setting: str) -> str:
    if path is None:
        return ""
    try:
        text = read_secret(path, what="password", most_bytes=_MOST_PASSWORD_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"{setting}: {in_words(error)}"]) from None
    if not (password := text.rstrip("\r\n")):
        raise ConfigurationError([f"{setting}: {path}: is empty"])
    return password


def _lifetime(settings: Settings) -> timedelta:
    """Return how long shared facts are kept: longer than anybody may answer from them."""
    lives = settings.lifetimes
    longest_s = max(lives.allow_s, lives.deny_s, lives.unknown_s) * _JITTER
    return timedelta(seconds=longest_s + settings.max_stale_s + _MARGIN_S)
