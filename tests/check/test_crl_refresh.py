"""The refresher: one fetch of each list at a time, spaced by host, less and less often in vain."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from otpc_policy.check import CrlBook, CrlLimits, CrlRefresher
from otpc_policy.core.errors import Overloaded
from otpc_policy.core.fetching import Fetched, FetchOutcome, HttpUrl
from otpc_policy.engines.errors import EngineFailed, EngineLost
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.pki.crl import CrlQuestion, CrlStatement
from tests.check.crls import AUTHORITY, LEAF, URL, body, issue, numbered
from tests.support.certificates import Issued
from tests.support.crls import question
from tests.support.facts import NOW

LIMITS = CrlLimits(refresh=timedelta(hours=1), max_bytes=1 << 20, deadline_s=10.0, concurrent=2)


@dataclass
class Fetching:
    """Engines, clock and observer in one; a test changes what they do.

    bodies: by URL. gate: when set, fetches wait for it. error: what a fetch raises.
    """

    at: datetime = NOW
    bodies: dict[str, bytes | FetchOutcome] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    error: Exception | None = None
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    counted: Counter[str] = field(default_factory=Counter)
    book: CrlBook = field(init=False)

    def __post_init__(self) -> None:
        self.book = CrlBook(monotonic=self.monotonic, max_leaves=100, max_bytes=1 << 20)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def crl_fetched(self, result: str) -> None:
        self.counted[result] += 1

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched:
        assert (max_bytes, deadline_s) == (1 << 20, 10.0)
        self.asked.append(url.text)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.at_once -= 1
        found = self.bodies[url.text]
        if isinstance(found, FetchOutcome):
            return Fetched(found)
        return Fetched(FetchOutcome.FETCHED, found)

    def about(self, issued: Issued = LEAF, owners: tuple[str, ...] = ()) -> CrlStatement | None:
        asked = question(issued, AUTHORITY)
        return self.book.about(CrlQuestion(asked.subject, asked.issuer, owners))

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10.0):
            while not holds():  # noqa: ASYNC110  # what is waited for is a thread, too
                await asyncio.sleep(0.005)

    async def passes(self, length: timedelta) -> None:
        """Let the time pass, and the refresher notice."""
        self.at += length
        self.book.wished()
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def running(fetching: Fetching) -> AsyncIterator[None]:
    refresher = CrlRefresher(
        fetching.book, fetcher=fetching, clock=fetching, limits=LIMITS, observer=fetching
    )
    task = asyncio.create_task(refresher.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_is_asked_for_is_fetched_once_and_then_known() -> None:
    fetching = Fetching(bodies={URL: body(LEAF)})
    async with running(fetching):
        assert fetching.about() is None
        await fetching.until(lambda: fetching.counted["fetched"])
        said = fetching.about()
        assert said is not None
        assert said.revoked_at is not None
        await fetching.passes(timedelta(minutes=59))
        assert fetching.asked == [URL]
        await fetching.passes(timedelta(minutes=2))
        await fetching.until(lambda: fetching.counted["fetched"] == 2)
    assert fetching.asked == [URL, URL]


async def test_what_was_asked_for_before_it_runs_is_fetched_too() -> None:
    fetching = Fetching(bodies={URL: body()})
    fetching.about()
    async with running(fetching):
        await fetching.until(lambda: fetching.counted["fetched"])


async def test_a_list_is_fetched_again_before_it_ends() -> None:
    ends_at = NOW + timedelta(minutes=10)
    fetching = Fetching(bodies={URL: body(next_update=ends_at)})
    async with running(fetching):
        fetching.about()
        await fetching.until(lambda: fetching.counted["fetched"])
        await fetching.passes(timedelta(minutes=10))
        await fetching.until(lambda: fetching.counted["fetched"] == 2)


@pytest.mark.parametrize(
    ("found", "result"),
    [
        *(
            (outcome, outcome.value.lower())
            for outcome in FetchOutcome
            if outcome is not FetchOutcome.FETCHED
        ),
        (b"<html>", "unusable"),
        (body(next_update=NOW - timedelta(minutes=1)), "fetched"),
    ],
)
async def test_in_vain_it_is_tried_less_and_less_often(
    found: bytes | FetchOutcome, result: str
) -> None:
    fetching = Fetching(bodies={URL: found})
    async with running(fetching):
        fetching.about()
        await fetching.until(lambda: fetching.counted[result])
        waited = []
        for tries in range(2, 9):
            minutes = 0
            while len(fetching.asked) < tries:
                minutes += 1
                await fetching.passes(timedelta(minutes=1))
            await fetching.until(lambda: fetching.counted[result] == len(fetching.asked))
            waited.append(minutes)
    assert waited == [1, 2, 4, 8, 16, 32, 60]


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (EngineFailed("the engine does not know the method"), "engine"),
        (EngineLost("gone"), "engine"),
        (EngineLied("chunk"), "engine"),
        (Overloaded(timedelta(seconds=1)), "engine"),
        (RuntimeError("a bug"), "failed"),
    ],
)
async def test_without_an_engine_it_stays_unknown_and_nothing_ends(
    error: Exception, result: str
) -> None:
    fetching = Fetching(error=error)
    async with running(fetching):
        fetching.about()
        await fetching.until(lambda: fetching.counted[result])
        said = fetching.about()
        assert said is None or said.problem
        fetching.error = None
        fetching.bodies[URL] = body()
        await fetching.passes(timedelta(hours=1))
        await fetching.until(lambda: fetching.counted["fetched"])
        said = fetching.about()
    assert said is not None
    assert not said.problem


async def test_fetches_are_bounded_and_one_host_gets_one_at_a_time() -> None:
    urls = [f"http://{host}.example/{n}.crl" for host in ("a", "b", "c") for n in range(3)]
    fetching = Fetching(gate=asyncio.Event(), bodies={url: body() for url in urls})
    async with running(fetching):
        for url in urls:
            fetching.about(issue(url))
        await fetching.until(lambda: len(fetching.asked) == 2)
        await fetching.passes(timedelta(seconds=30))
        assert [HttpUrl.parse(url).host for url in fetching.asked] == ["a.example", "b.example"]
        assert fetching.gate is not None
        fetching.gate.set()
        while fetching.counted["fetched"] < len(urls):
            await fetching.until(lambda: fetching.counted["fetched"] == len(fetching.asked))
            await fetching.passes(timedelta(seconds=2))
    assert (sorted(fetching.asked), fetching.most_at_once) == (sorted(urls), 2)


async def test_silent_servers_of_one_partner_hold_up_nobody_else() -> None:
    evil = [f"http://evil{n}.example/a.crl" for n in range(30)]
    fetching = Fetching(gate=asyncio.Event(), bodies=dict.fromkeys(evil, FetchOutcome.TIMEOUT))
    fetching.bodies[URL] = body()
    async with running(fetching):
        for url in evil:
            fetching.about(issue(url), owners=("ANCHOR evil", "evil.example"))
        await fetching.until(lambda: fetching.asked)
        fetching.about(owners=("ANCHOR good", "good.example"))
        await fetching.until(lambda: URL in fetching.asked)
        assert len(fetching.asked) == 2
        assert fetching.gate is not None
        fetching.gate.set()


async def test_a_list_about_thousands_of_leaves_is_told_in_turns() -> None:
    fetching = Fetching(bodies={URL: body(LEAF)})
    fetching.book = CrlBook(monotonic=fetching.monotonic, max_leaves=5_000, max_bytes=1 << 20)
    for number in range(3_500):
        fetching.book.about(numbered(number))
    fetching.about()
    async with running(fetching):
        await fetching.until(lambda: fetching.counted["fetched"])
    assert not fetching.book.is_telling
    assert all(asked.statement is not None for asked in fetching.book._asked.values())


async def test_it_stops_at_once_whatever_is_under_way() -> None:
    fetching = Fetching(gate=asyncio.Event())
    async with running(fetching):
        fetching.about()
        await fetching.until(lambda: fetching.asked)
    assert fetching.at_once == 0


async def test_reading_a_long_list_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def pause(_seconds: float) -> None:
        reading.set()
        assert go_on.wait(10.0)

    monkeypatch.setattr("otpc_policy.check.crl_refresh.time.sleep", pause)
    fetching = Fetching(bodies={URL: body(serial_numbers=range(1, 1_000))})
    threads = threading.active_count()
    async with running(fetching):
        fetching.about()
        await fetching.until(reading.is_set)
    go_on.set()
    await fetching.until(lambda: threading.active_count() <= threads + 1)
    assert fetching.about() is None
