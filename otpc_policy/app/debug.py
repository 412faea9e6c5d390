"""The sections of the service's debug page. Each looks at a bounded number of things.

Nothing is shown that tells who a caller is, and no secret; endpoints, addresses and the
configuration are, so the page is off by default.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import Any, Final

from otpc_policy import __version__
from otpc_policy.app.application import Application
from otpc_policy.app.lifecycle import Lifecycle
from otpc_policy.app.settings.redaction import redacted, shortened
from otpc_policy.check import FactsKey, StoredFacts
from otpc_policy.core.demand import ScanClass
from otpc_policy.core.endpoint import Endpoint, canonical_host
from otpc_policy.core.errors import OtpcPolicyError
from otpc_policy.engines.standing import EngineStanding, QueueStanding
from otpc_policy.ops.debug_page import Section
from otpc_policy.turns import turn

_MOST_SHOWN: Final = 100
# To list the keys takes some milliseconds; entries beyond are those used longest ago.
_MOST_LOOKED_AT: Final = 20_000
_BATCH: Final = 1_000
# Each may have to be judged.
_MOST_OF_A_HOST: Final = 16
_Query = Mapping[str, str]


def debug_sections(application: Application, lifecycle: Lifecycle) -> Mapping[str, Section]:
    """Return the sections by name."""

    async def process(_query: _Query) -> object:
        catalog = application.reloader.current
        return {
            "version": __version__,
            "phase": lifecycle.phase.value,
            "configuration_revision": catalog.revision,
            "configuration_was_refused": application.reloader.was_refused,
            "partners": len(catalog.partners),
            "policies": sorted(catalog.policies.policies)[:_MOST_SHOWN],
        }

    async def configuration(_query: _Query) -> object:
        return shortened(redacted(application.settings.model_dump(mode="json")))

    return {
        "process": process,
        "configuration": configuration,
        "flights": partial(_flights, application),
        "queues": partial(_queues, application),
        "engines": partial(_engines, application),
        "cache": partial(_cache, application),
    }


async def _flights(application: Application, _query: _Query) -> object:
    """Measurements that calls wait for, or that replace what they were answered with."""
    now_s = asyncio.get_running_loop().time()
    flights = chain.from_iterable(each.flights() for each in application.measurements.values())
    shown = [
        {
            **_named(key),
            "age_s": round(now_s - flight.began_s, 3),
            "waiters": flight.demand.waiters,
            "waits_for_its_predecessor": waits,
            "outdated": flight.outdated,
        }
        for key, flight, waits in islice(flights, _MOST_SHOWN)
    ]
    total = sum(each.in_progress for each in application.measurements.values())
    return {"total": total, "oldest": shown}


async def _queues(application: Application, _query: _Query) -> object:
    """Who waits before which engine, and how many measurements each address has."""
    pools = application.pools
    if not pools:
        return {}
    addresses = Counter[str]()
    for pool in pools.values():
        addresses.update(pool.measured_addresses())
    queues = ((name, each) for name, pool in pools.items() for each in pool.queues())
    return {
        "waiting": sum(pool.queued for pool in pools.values()),
        "by_engine": [_queue(name, each) for name, each in islice(queues, _MOST_SHOWN)],
        "measured_addresses": len(addresses),
        "measurements_by_address": dict(addresses.most_common(_MOST_SHOWN)),
    }


def _queue(perspective: str, queue: QueueStanding) -> dict[str, Any]:
    return {
        "perspective": perspective,
        "engine": queue.engine,
        "places": queue.capacity,
        "measuring": _by_class(queue.measuring),
        "waiting": _by_class(queue.waiting),
        "callers": queue.callers,
    }


def _by_class(counted: Mapping[ScanClass, int]) -> dict[str, int]:
    return {scan_class.name.lower(): number for scan_class, number in counted.items()}


async def _engines(application: Application, _query: _Query) -> object:
    pools = application.pools
    standings = [(name, each) for name, pool in pools.items() for each in pool.standings()]
    resolving = sum(each.resolving for each in application.engines.values())
    return {
        "total": len(standings),
        "names_being_resolved": resolving,
        "engines": [_engine(name, each) for name, each in standings[:_MOST_SHOWN]],
    }


def _engine(perspective: str, engine: EngineStanding) -> dict[str, Any]:
    return {
        "perspective": perspective,
        "name": engine.name,
        "up": engine.is_up,
        "pid": engine.pid,
        "restarts": engine.restarts,
        "draining": engine.state.is_draining,
        "probe_revision": engine.state.probe_revision,
        "workers_alive": engine.state.workers_alive,
        "queued": engine.state.queued,
        "concurrent_scans": engine.state.concurrent_scans,
        # So many failures without a success, and it is replaced, or left alone for a while.
        "breaker": {"failed_targets": engine.failed_targets, "opens_at": engine.most_failures},
    }


async def _cache(application: Application, query: _Query) -> object:
    """By host, or with `?host=` the entries of one host and when they end."""
    store, settings = application.store, application.settings
    whole = {
        "entries": len(store),
        "most_entries": settings.cache_entries,
        "bytes": store.bytes_kept,
        "most_bytes": settings.cache_bytes,
    }
    keys = store.newest_keys(_MOST_LOOKED_AT)
    host = query.get("host")
    if host is None:
        return whole | {"looked_at": len(keys), "hosts": await _hosts(application, keys)}
    try:
        name = canonical_host(host)
    except ValueError as error:
        return whole | {"error": str(error)}
    of_host: list[FactsKey] = []
    async for batch in _batches(keys):
        of_host += [key for key in batch if key.host == name]
    shown = [
        await _entry(application, key, stored)
        for key in of_host[:_MOST_OF_A_HOST]
        if (stored := store.peek(key)) is not None
    ]
    return whole | {
        "looked_at": len(keys),
        "host": name,
        "entries_of_host": len(of_host),
        "newest": shown,
    }


async def _batches(keys: Sequence[FactsKey]) -> AsyncIterator[Sequence[FactsKey]]:
    """Yield the keys in pieces of about a millisecond, with room for calls between two."""
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]
        await asyncio.sleep(0)


async def _hosts(application: Application, keys: Sequence[FactsKey]) -> list[dict[str, Any]]:
    """Return the hosts that were used last."""
    now = application.clock.now()
    entries: dict[str, int] = {}
    ages_s: dict[str, float] = {}
    async for batch in _batches(keys):
        for key in batch:
            if key.host not in entries and len(entries) == _MOST_SHOWN:
                continue
            entries[key.host] = entries.get(key.host, 0) + 1
            stored = application.store.peek(key)
            if stored is not None:
                age_s = _age_s(now - stored.facts.observed_at)
                ages_s[key.host] = min(age_s, ages_s.get(key.host, age_s))
    return [
        {"host": host, "entries": number, "newest_age_s": round(ages_s.get(host, 0.0), 1)}
        for host, number in entries.items()
    ]


async def _entry(application: Application, key: FactsKey, stored: StoredFacts) -> dict[str, Any]:
    """Return one entry. Its end depends on what the default policy makes of it."""
    now, catalog = application.clock.now(), application.reloader.current
    shown = _named(key) | {
        "probe_revision": key.probe_revision,
        "observed_at": stored.facts.observed_at.isoformat(),
        "age_s": round(_age_s(now - stored.facts.observed_at), 1),
        "facts_id": stored.facts_id,
    }
    async with turn():
        try:
            endpoint = Endpoint(host=key.host, port=key.port, server_name=key.server_name)
            ends_at = application.checks.ends_at(
                endpoint, key.depth, stored, catalog, perspective=key.perspective
            )
        except OtpcPolicyError as error:
            return shown | {"expiry": str(error)}
    return shown | {
        "expires_at": ends_at.isoformat(),
        "expires_in_s": round((ends_at - now).total_seconds(), 1),
    }


def _named(key: FactsKey) -> dict[str, Any]:
    return {
        "host": key.host,
        "port": key.port,
        "server_name": key.server_name,
        "address": key.address,
        "depth": key.depth.name,
        "perspective": key.perspective,
    }


def _age_s(age: timedelta) -> float:
    return age.total_seconds()
