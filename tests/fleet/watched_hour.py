"""A large watch list for hours of simulated time: `python -m tests.fleet.watched_hour`.

The replicas are the real ones from the watch list down to the client of the store, which is a real
valkey-server; only engines, names and clocks are simulated. The store's scripts read the simulated
clock in place of the server's.
"""

import argparse
import asyncio
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from heapq import heappop, heappush
from typing import Any, Final

import psutil  # type: ignore[import-untyped]

from otpc_policy.check import Leasing
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.facts import AddressFacts, DeploymentFact, Depth, KeyType, TlsVersion
from otpc_policy.fleet.connection import StoreConnection
from otpc_policy.fleet.schedule import InMemorySchedule
from otpc_policy.fleet.scripts import Script
from otpc_policy.fleet.shared_schedule import ScheduleWithFallback, SharedSchedule
from otpc_policy.fleet.store import Polled
from otpc_policy.turns import _TURNS
from tests.benchmarks.processes import print_load
from tests.check.world import compliant
from tests.fleet.watching import RESOLVED, Engines, Watcher, settled
from tests.fleet.world import Replica
from tests.support.facts import NOW, deployment, root
from tests.support.valkey import Valkey, valkey

_DESCRIPTION = """\
Replicas that share a real store keep a watch list fresh on a simulated clock. Every replica has its
own memory and connections; engines are simulated, take --takes seconds of that clock and find
every endpoint compliant. Prints by the simulated quarter of an hour what was measured, what has
expired, how far behind the schedule was, and what the store and the replicas cost in CPU.

Ends with 1 if any endpoint was past its expiry, was measured by two replicas at once, or was
measured more often than the schedule says.
"""
_CLOCK: Final = "simulated-clock"
_READ_CLOCK: Final = f"""
local function simulated()
  local micros = tonumber(redis.call('GET', '{_CLOCK}'))
  return {{math.floor(micros / 1000000), micros % 1000000}}
end
"""
_STEP_S: Final = 0.5
_REPORT_S: Final = 900.0
_SWEPT_EVERY_S: Final = 1_800.0
_PATIENCE_S: Final = 300.0


class SimulatedClock(StoreConnection):
    """A connection whose scripts read the simulated clock. in_flight: questions without an answer.

    now: of the simulation.
    """

    in_flight = 0
    now: datetime = NOW

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        SimulatedClock.in_flight += 1
        try:
            return await super().run(_simulated(script), keys, *arguments)
        finally:
            SimulatedClock.in_flight -= 1

    async def poll(self, script: Script, calls: Sequence[tuple[str, ...]]) -> Polled:
        polled = await super().poll(script, calls)
        micros = _micros(SimulatedClock.now)
        return Polled([(micros // 1_000_000, micros % 1_000_000)], polled.answers)


@cache
def _simulated(script: Script) -> Script:
    text = script.text.replace("redis.call('TIME')", "simulated()")
    return Script(script.name, _READ_CLOCK + text, script.is_answer)


def _micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000 + at.microsecond


@cache
def _compliant() -> AddressFacts:
    """Facts of a server whose certificates name all endpoints."""

    def found(over: TlsVersion, key_type: KeyType) -> DeploymentFact:
        key = "rsa2048" if key_type is KeyType.RSA else "ec256"
        return deployment(over, key_type, chain=_chain(key))

    versions, keys = (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3), (KeyType.RSA, KeyType.ECDSA)
    return compliant(
        "127.0.0.1", NOW, deployments=tuple(found(over, key) for over in versions for key in keys)
    )


@cache
def _chain(key: str) -> tuple[bytes, ...]:
    leaf = root().issue(
        dns=("*.fleet.test",),
        key=key,
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=90),
    )
    return leaf.chain_der


class ManyHosts(Engines):
    """Engines for hosts of any number. under_way: by how many replicas each is measured."""

    def __init__(self, takes_s: float) -> None:
        super().__init__(takes_s=takes_s)
        self.measured: Counter[str] = Counter()
        self.under_way: Counter[str] = Counter()
        self.at_once = 0

    def known(self, host: str) -> Resolution | None:
        return RESOLVED

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        return RESOLVED

    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts:
        self.measured[endpoint.host] += 1
        self.under_way[endpoint.host] += 1
        self.at_once = max(self.at_once, self.under_way[endpoint.host])
        self.most_together = max(self.most_together, self.under_way.total())
        try:
            await self.sleep(self.takes_s)
        finally:
            self.under_way[endpoint.host] -= 1
            if not self.under_way[endpoint.host]:
                del self.under_way[endpoint.host]
        return replace(_compliant(), address=address.text, observed_at=self.now(), depth=depth)

    async def sleep(self, seconds: float) -> None:
        """Return when the simulated clock says so."""
        sleeper = asyncio.get_running_loop().create_future()
        heappush(self._sleepers, (self.at_s + seconds, next(self._numbers), sleeper))
        await sleeper

    async def pass_time(self, seconds: float) -> None:
        """Move the clock, the store's too, once nobody waits for the store any more."""
        until_s = self.at_s + seconds
        while self._sleepers and self._sleepers[0][0] <= until_s:
            # What ends within a hundredth of a second ends together.
            self.at_s = self._sleepers[0][0]
            while self._sleepers and self._sleepers[0][0] <= min(until_s, self.at_s + 0.01):
                _, _, sleeper = heappop(self._sleepers)
                if not sleeper.done():
                    sleeper.set_result(None)
            await self.quiet()
        self.at_s = until_s
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until every task waits for the clock."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                await settled()
                turns = _TURNS.get(asyncio.get_running_loop())
                if not SimulatedClock.in_flight and not (turns and turns.lock.locked()):
                    return
                await asyncio.sleep(0.0005)


class Fleet:
    """Replicas with one watch list. expires_at: of the last verdict about each endpoint."""

    def __init__(self, server: Valkey, options: argparse.Namespace) -> None:
        self._server = server
        self.engines = ManyHosts(options.takes)
        self.expires_at: dict[str, datetime] = {}
        names = [
            parse_endpoint(f"p{number}.fleet.test", 443) for number in range(options.endpoints)
        ]
        self._move()
        self.replicas = [
            Replica(
                server.url,
                "hour",
                connection_type=SimulatedClock,
                now=self.engines.now,
                max_entries=options.endpoints,
                max_bytes=1 << 32,
                name=str(number),
                deadline_s=_PATIENCE_S,
            )
            for number in range(options.replicas)
        ]
        self.watchers = [
            self._watcher(replica, names, options, seed)
            for seed, replica in enumerate(self.replicas)
        ]

    async def step(self, seconds: float) -> None:
        """Let every replica read what is new and begin what is due, and move the clock."""
        for replica, watcher in zip(self.replicas, self.watchers, strict=True):
            await replica.notices.follow()
            await watcher.list.tick()
        self._move()
        await self.engines.pass_time(seconds)

    async def close(self) -> None:
        """End as programs that are stopped do."""
        for watcher in self.watchers:
            await watcher.close()
        for replica in self.replicas:
            await replica.connection.close()

    def _move(self) -> None:
        SimulatedClock.now = self.engines.now()
        self._server.ask("SET", _CLOCK, str(_micros(SimulatedClock.now)))

    def _watcher(
        self, replica: Replica, names: Sequence[Endpoint], options: argparse.Namespace, seed: int
    ) -> Watcher:
        schedule = SharedSchedule(replica.connection, keyspace=replica.keyspace)
        watcher = Watcher(
            self.engines,
            names,
            store=replica.store,
            schedule=ScheduleWithFallback(schedule, InMemorySchedule(self.engines.monotonic)),
            leasing=Leasing(
                replica.leases,
                observer=replica.observed,
                clock=self.engines,
                longest_wait_s=60.0,
                sleep=self.engines.sleep,
            ),
            expires_at=self.expires_at,
            seed=seed,
            rate_per_s=options.rate,
            concurrent=options.concurrent,
        )
        replica.outdate = watcher.measurements.outdate_endpoints
        return watcher


class _Report:
    """Prints what a part of the run has cost. has_failed: something was wrong in one of them."""

    def __init__(self, fleet: Fleet, server: Valkey) -> None:
        self._fleet, self._store = fleet, psutil.Process(server.pid)
        self.has_failed = False
        self._behind_s = 0.0
        self._expired = 0
        self._mark = self._figures()

    def look(self) -> None:
        """Take note of what is wrong now."""
        self._behind_s = max(
            self._behind_s, *(watcher.table.behind_s for watcher in self._fleet.watchers)
        )
        self._expired = max(self._expired, len(self._fleet.watchers[0].expired()))

    def print(self) -> None:
        """Print what was since the last time."""
        engines, now = self._fleet.engines, self._figures()
        wall_s, ours_s, store_s, measured = (
            after - before for after, before in zip(now, self._mark, strict=True)
        )
        print(
            f"{engines.at_s / 60:5.0f} min: {measured:6.0f} measured, {self._expired} expired, "
            f"at most {self._behind_s:.1f} s behind, {engines.most_together} at a time; "
            f"CPU: store {store_s:.1f} s, replicas {ours_s:.1f} s together; it took {wall_s:.0f} s",
            flush=True,
        )
        self.has_failed = self.has_failed or self._expired > 0 or engines.at_once > 1
        self._behind_s, self._expired, self._mark = 0.0, 0, now

    def _figures(self) -> tuple[float, ...]:
        times = self._store.cpu_times()
        return (
            time.perf_counter(),
            time.process_time(),
            times.user + times.system,
            self._fleet.engines.measured.total(),
        )


async def _run(server: Valkey, options: argparse.Namespace) -> bool:
    """Return whether everything was as it should be."""
    fleet = Fleet(server, options)
    try:
        report = _Report(fleet, server)
        reported_s = 0.0
        sweeps = asyncio.create_task(_sweep(fleet), name="sweeps")
        while fleet.engines.at_s < 60 * options.minutes:
            await fleet.step(_STEP_S)
            if sweeps.done():
                await sweeps
            if fleet.engines.at_s - reported_s >= _REPORT_S:
                reported_s = fleet.engines.at_s
                report.print()
            elif fleet.engines.at_s % 10 < _STEP_S:
                report.look()
        sweeps.cancel()
        with suppress(asyncio.CancelledError):
            await sweeps
        return _sum_up(fleet, server, options) and not report.has_failed
    finally:
        await fleet.close()


async def _sweep(fleet: Fleet) -> None:
    """Let every replica look at every endpoint, at the pace that it has for so many."""
    pause_s = _SWEPT_EVERY_S / max(1, len(fleet.watchers[0].table) // 8)
    while True:
        for parts in zip(*(watcher.list._parts() for watcher in fleet.watchers), strict=True):
            await fleet.engines.sleep(pause_s)
            for watcher, part in zip(fleet.watchers, parts, strict=True):
                await watcher.list._sweep(part)


def _sum_up(fleet: Fleet, server: Valkey, options: argparse.Namespace) -> bool:
    engines = fleet.engines
    never = options.endpoints - len(engines.measured)
    # An hour's verdict is measured again after three quarters of it at the earliest.
    most = 1 + int(options.minutes / 45)
    too_often = sum(count > most for count in engines.measured.values())
    memory = int(server.ask("MEMORY", "USAGE", fleet.replicas[0].keyspace.watch[0])[1:].split()[0])
    print(
        f"{engines.measured.total()} measurements of {len(engines.measured)} endpoints by "
        f"{len(fleet.watchers)} replicas; {never} never, {too_often} more than {most} times, "
        f"{engines.at_once} replicas at most with one at once\n"
        f"store: the schedule takes {memory / 2**20:.0f} MiB, all of it "
        f"{psutil.Process(server.pid).memory_info().rss / 2**20:.0f} MiB; this process, with all "
        f"replicas, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB"
    )
    return not never and not too_often


def main() -> None:
    """Run, print, and exit with 1 if something was wrong."""
    options = _options()
    print(
        f"{options.endpoints} endpoints, {options.replicas} replicas, each begins "
        f"{options.rate:.0f} a second",
        file=sys.stderr,
    )
    print_load()
    with valkey("--maxmemory", "2gb") as server:
        sys.exit(0 if asyncio.run(_run(server, options)) else 1)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fleet.watched_hour",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--endpoints", type=int, default=100_000, help="watched (%(default)s)")
    parser.add_argument("--replicas", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=75.0,
        help="of simulated time; everything is measured first in the first hour (%(default)s)",
    )
    parser.add_argument("--takes", type=float, default=0.5, help="seconds (%(default)s)")
    parser.add_argument(
        "--rate", type=float, default=40.0, help="watch.rate_per_s of each replica (%(default)s)"
    )
    parser.add_argument(
        "--concurrent", type=int, default=16, help="watch.concurrent of each (%(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
