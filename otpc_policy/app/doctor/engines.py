"""The engines and, through them, the name servers: started or found as the service does it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from otpc_policy.app.application import Application
from otpc_policy.app.doctor.result import Result, failed, ok, skipped, warning
from otpc_policy.app.settings import Settings
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.errors import ConfigurationError, OtpcPolicyError
from otpc_policy.core.facts import ResolutionFailure
from otpc_policy.engines.errors import EngineNotStarted
from otpc_policy.engines.pool import EnginePool
from otpc_policy.engines.standing import EngineStanding
from otpc_policy.measurement.revision import PROBE_REVISION

NOBODYS_NAME: Final = "otpc-policy-doctor.invalid"
"""Resolvers answer at once that it does not exist. Source: RFC 6761, section 6.4."""

_START_S: Final = 60.0
_LOOK_S: Final = 0.05
_ANSWERS: Final = (ResolutionFailure.NONE, ResolutionFailure.NXDOMAIN, ResolutionFailure.NODATA)


async def engines_of(application: Application, *, name: str, within_s: float) -> list[Result]:
    """Return results about engines and name servers, of each perspective there is.

    name: to be looked up. within_s: for engines elsewhere to be found.
    """
    pools = application.pools
    try:
        async with asyncio.timeout(_START_S), application:
            results: list[Result] = []
            for place, pool in pools.items():
                is_remote = _is_remote(application.settings, place)
                of_place = [
                    *await _engines(pool, within_s, is_remote=is_remote),
                    await _name_servers(application.settings, pool, name, is_remote=is_remote),
                ]
                results += [_at(place, each) if len(pools) > 1 else each for each in of_place]
            return results
    except TimeoutError:
        problems: Sequence[str] = (f"engines: not up within {_START_S:g} s",)
    except ConfigurationError as error:
        problems = error.problems
    except EngineNotStarted as error:
        problems = (str(error),)
    remedy = "see the engine's own lines above; otpc-policy serve would not start either"
    return [
        *(failed("engines", problem, remedy) for problem in problems),
        skipped("dns", "no engine could be asked"),
    ]


def _is_remote(settings: Settings, place: str) -> bool:
    return bool(settings.engine_addresses) or place != settings.own_perspective


def _at(place: str, result: Result) -> Result:
    return replace(result, message=f"from {place}: {result.message}")


async def _engines(pool: EnginePool, within_s: float, *, is_remote: bool) -> list[Result]:
    standings = await _settled(pool, within_s)
    up = [each for each in standings if each.is_up]
    down = [each.name for each in standings if not each.is_up]
    shown = f"{len(up)} of {len(standings)} up, {pool.workers_alive} workers"
    remedy = (
        "see that they run, that their names resolve, and that certificates and clocks are right"
        if is_remote
        else "see the engine's own lines in the log"
    )
    if not up or not pool.workers_alive:
        return [failed("engines", shown, remedy)]
    results = [ok("engines", shown)]
    if down:
        text = f"{shown}; down: {', '.join(down[:8])}"
        results = [warning("engines", text, remedy)]
    others = sorted({each.state.probe_revision for each in up} - {PROBE_REVISION})
    if others:
        text = f"engines of another release measure by revision {', '.join(others)[:80]}"
        text += f", this one by {PROBE_REVISION}"
        results.append(warning("engines", text, "update them; facts are kept by revision"))
    return results


async def _settled(pool: EnginePool, within_s: float) -> Sequence[EngineStanding]:
    """Return how engines stand as soon as all are up, or after within_s."""
    until_s = asyncio.get_running_loop().time() + within_s
    while True:
        standings = pool.standings()
        all_up = standings and all(each.is_up for each in standings)
        if all_up or asyncio.get_running_loop().time() >= until_s:
            return standings
        await asyncio.sleep(_LOOK_S)


async def _name_servers(
    settings: Settings, pool: EnginePool, name: str, *, is_remote: bool
) -> Result:
    named = settings.dns_servers
    servers = ", ".join(named) if named else "those of /etc/resolv.conf"
    if is_remote:
        servers = "those of the engines"
    if not any(each.is_up for each in pool.standings()):
        return skipped("dns", "no engine could be asked")
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        found = await pool.resolve(name, fresh=True)
    except OtpcPolicyError as error:
        return failed("dns", f"engines could not resolve {name}: {error}", "see the engines")
    return judged(found, name, servers, loop.time() - began_s)


def judged(found: Resolution, name: str, servers: str, took_s: float) -> Result:
    """Return what a resolution says of name servers. took_s: until it came."""
    failure = found.failure
    took = f"in {took_s * 1_000:.0f} ms"
    if failure in _ANSWERS:
        answer = ", ".join(each.text for each in found.addresses[:4]) or found.status.value
        if failure is not ResolutionFailure.NONE:
            answer = failure.value
        return ok("dns", f"{servers}: {name} is {answer}, {took}")
    text = f"{servers}: {failure.value} for {name}, {took}"
    if failure in (ResolutionFailure.SERVFAIL, ResolutionFailure.REFUSED):
        remedy = "they answer, but not this: try --name with a name that exists"
        return warning("dns", text, remedy)
    return failed("dns", text, "correct dns_servers or /etc/resolv.conf, or the way to them")
