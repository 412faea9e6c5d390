"""All checks in their order: what is on this machine first, then whom the configuration names."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from otpc_policy.app.admission import admission_warnings
from otpc_policy.app.clock import SystemClock
from otpc_policy.app.doctor.ages import ages
from otpc_policy.app.doctor.clock import HttpsPeer, clock_against
from otpc_policy.app.doctor.engines import NOBODYS_NAME, engines_of
from otpc_policy.app.doctor.own_files import documents_of, files_of
from otpc_policy.app.doctor.peers import peers_of
from otpc_policy.app.doctor.result import Result, ok, skipped, warning
from otpc_policy.app.doctor.sandbox import sandbox_of
from otpc_policy.app.doctor.store import store_of
from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.without_effect import without_effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the doctor is asked beyond the settings.

    name: for name servers. peer: whose clock is compared; None for nobody's. within_s: for each
    check that waits for somebody.
    """

    name: str = NOBODYS_NAME
    peer: HttpsPeer | None = None
    within_s: float = 5.0


def examine(settings: Settings, question: Question) -> Iterator[Result]:
    """Yield results as they come. Each check is made, whatever became of those before it."""
    clock = SystemClock()
    yield from _settings(settings)
    yield from files_of(settings, clock.now())
    results, application = documents_of(settings)
    yield from results
    yield from ages(clock.now().date())
    yield sandbox_of(settings)
    if application is None or not application.pools:
        yield skipped("engines", "the catalog cannot be used")
        yield skipped("dns", "no engine could be asked")
    else:
        yield from asyncio.run(
            engines_of(application, name=question.name, within_s=question.within_s)
        )
    yield from asyncio.run(peers_of(settings, within_s=question.within_s))
    yield asyncio.run(store_of(settings, now=clock.now))
    if question.peer is None:
        yield skipped("clock", "not compared: --https-peer names a server to compare it with")
        return
    compared = clock_against(question.peer, settings, within_s=question.within_s, now=clock.now)
    yield asyncio.run(compared)


def _settings(settings: Settings) -> Iterator[Result]:
    yield ok("settings", "valid")
    for setting, reason in without_effect(settings):
        yield warning("settings", f"{setting} has no effect: {reason}", "remove it")
    for reason in admission_warnings(settings):
        yield warning("settings", reason, "see docs/callers.md")
