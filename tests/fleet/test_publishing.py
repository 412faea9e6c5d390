"""What the watch list finds is published: once, by whoever finds it first, and as it stands."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from otpc_policy.check import VerdictChange
from otpc_policy.core.facts import AddressFacts
from otpc_policy.fleet import publishing
from otpc_policy.fleet.change_tail import ChangeTail
from otpc_policy.fleet.changes import Changes, How, InMemoryChanges, Outcome, Positions
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.publishing import VerdictPublisher
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.policy.finding import Decision
from tests.catalog.writing import entry, index
from tests.check.world import generation, unknown
from tests.fleet.watching import Engines, Watcher, denied, name, ports, watch_for
from tests.support.facts import HOST

ALLOW, DENY, INDETERMINATE = Decision.ALLOW, Decision.DENY, Decision.INDETERMINATE


class Publishing:
    """A replica that watches and publishes. changes: shared by all that are given the same."""

    def __init__(self, watcher: Watcher, changes: Changes) -> None:
        self.watcher, self.changes = watcher, changes
        clock = watcher.engines
        self.outcomes: list[str] = []
        cursors = Cursors(FleetKey([bytes(32)]), history="h", shards=changes.shards)
        self.tail = ChangeTail(changes, cursors=cursors, monotonic=clock.monotonic, observer=self)
        self.publisher = VerdictPublisher(
            watcher.table,
            changes,
            self.tail,
            now=clock.now,
            monotonic=clock.monotonic,
            observer=self,
        )

    def changes_followed(self, is_current: bool) -> None:
        pass

    def verdict_published(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    async def step(self) -> None:
        await self.tail.follow_once()
        await self.publisher.tick()

    def published(self, port: int) -> Decision | None:
        change = self.tail.published(name(port))
        return None if change is None else change.decision


class History:
    """Changes of one store, read from the start."""

    def __init__(self, changes: Changes, start: Positions) -> None:
        self.changes, self._start = changes, start

    async def all(self) -> Sequence[VerdictChange]:
        read = await self.changes.read(self._start)
        assert read.is_all
        return [each.change for each in read.changes]

    async def of(self, port: int) -> Sequence[Decision | None]:
        return [each.decision for each in await self.all() if each.endpoint.port == port]


async def world(
    number: int = 3, replicas: int = 1, **options: object
) -> tuple[Engines, Sequence[Publishing], History]:
    engines = Engines()
    changes = InMemoryChanges(engines.now)
    start, _ = await changes.snapshot()
    made = [
        Publishing(Watcher(engines, ports(number), seed=seed, **options), changes)  # type: ignore[arg-type]
        for seed in range(replicas)
    ]
    return engines, made, History(changes, start)


async def watch(seconds: float, *replicas: Publishing) -> None:
    async def step() -> None:
        for replica in replicas:
            await replica.step()

    watchers = [each.watcher for each in replicas]
    await watch_for(seconds, *watchers, step_s=3.0, also=step)


async def test_each_first_verdict_and_each_other_one_is_published_once() -> None:
    engines, (one,), history = await world()
    await watch(7_200, one)
    assert [len(await history.of(port)) for port in (1000, 1001, 1002)] == [1, 1, 1]
    engines.found[1001] = denied
    await watch(3_600, one)
    assert await history.of(1001) == [ALLOW, DENY]
    change = (await history.all())[-1]
    assert change.previous is ALLOW
    assert change.codes
    assert change.revision == one.watcher.generation.revision
    assert await history.of(1000) == [ALLOW]


async def test_two_replicas_publish_what_each_has_measured_and_nothing_twice() -> None:
    engines, both, history = await world(6, replicas=2)
    await watch(3_600, *both)
    engines.found[1003] = denied
    await watch(7_200, *both)
    assert await history.of(1003) == [ALLOW, DENY]
    assert len(await history.all()) == 7


async def test_one_failure_is_not_published_and_two_in_a_row_are() -> None:
    engines, (one,), history = await world(1)
    await watch(60, one)

    def fails_once(address: str, at: datetime) -> AddressFacts:
        del engines.found[1000]
        return unknown(address, at)

    engines.found[1000] = fails_once
    await watch(3_600, one)
    assert 1000 not in engines.found
    assert await history.of(1000) == [ALLOW]
    engines.found[1000] = unknown
    await watch(3_600, one)
    assert await history.of(1000) == [ALLOW, INDETERMINATE]
    assert one.published(1000) is INDETERMINATE


async def test_what_expires_without_a_new_result_is_published_as_that() -> None:
    engines, (one,), history = await world(1)
    await watch(60, one)
    engines.takes_s = 100_000.0  # nothing comes of any further measurement
    await watch(3_000, one)
    assert await history.of(1000) == [ALLOW]
    await watch(1_500, one)
    assert await history.of(1000) == [ALLOW, INDETERMINATE]
    change = (await history.all())[-1]
    assert change.codes == ("NO_CACHED_RESULT",)
    # Not before its time, and soon after it.
    first = (await history.all())[0]
    assert first.expires_at is not None
    late = change.changed_at - first.expires_at
    assert timedelta() <= late <= timedelta(seconds=40)


async def test_what_leaves_the_list_is_removed_and_an_empty_list_removes_nothing() -> None:
    partners = [entry("bank", f"{HOST}:1000"), entry("wallet", f"{HOST}:1001")]
    _, (one,), history = await world(
        0, with_partners=True, under=generation(partners=index(*partners))
    )
    await watch(60, one)
    assert one.published(1000) is ALLOW
    one.watcher.generation = generation(partners=index(*partners[:1]))
    await watch(60, one)
    assert await history.of(1001) == [ALLOW, None]
    assert one.published(1001) is None
    # The folder of partners may just not be there.
    one.watcher.generation = generation()
    await watch(60, one)
    assert await history.of(1000) == [ALLOW]
    # Once nobody has spoken of it for long, it is forgotten.
    await watch(7_200, one)
    assert (await history.of(1000))[-1] is None


async def test_an_endpoint_that_passes_to_another_partner_is_removed_for_the_former() -> None:
    _, (one,), history = await world(
        0, with_partners=True, under=generation(partners=index(entry("bank", f"{HOST}:1000")))
    )
    await watch(60, one)
    one.watcher.generation = generation(partners=index(entry("wallet", f"{HOST}:1000")))
    await watch(4_000, one)
    assert [(each.partner_id, each.decision) for each in await history.all()] == [
        ("bank", ALLOW),
        ("bank", None),
        ("wallet", ALLOW),
    ]


async def test_what_the_store_has_lost_is_published_again() -> None:
    engines, (one,), _ = await world(3)
    await watch(60, one)
    lost = InMemoryChanges(engines.now)
    again = Publishing(one.watcher, lost)
    await watch(15, again)
    assert [again.published(port) for port in (1000, 1001, 1002)] == [ALLOW] * 3


async def test_more_than_one_look_can_remove_is_removed_none_the_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(publishing, "_MOST_AT_A_LOOK", 4)
    partners = [entry("bank", *(f"{HOST}:{port}" for port in range(1000, 1010)))]
    partners.append(entry("wallet", f"{HOST}:2000"))
    _, (one,), _ = await world(0, with_partners=True, under=generation(partners=index(*partners)))
    await watch(120, one)
    assert [one.published(port) for port in range(1000, 1010)] == [ALLOW] * 10
    one.watcher.generation = generation(partners=index(partners[1]))
    await watch(30, one)
    assert [one.published(port) for port in range(1000, 1010)] == [None] * 10


async def test_what_is_refused_again_and_again_keeps_nothing_else_from_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engines, (one,), _ = await world(12)
    await watch(120, one)
    monkeypatch.setattr(publishing, "_MOST_AT_A_LOOK", 4)
    looked_at: list[str] = []

    async def refused(change: VerdictChange, how: How, *, is_forced: bool = False) -> Outcome:
        looked_at.append(change.name)
        return Outcome.REFUSED

    # The store knows of none, and takes none.
    again = Publishing(one.watcher, InMemoryChanges(engines.now))
    monkeypatch.setattr(again.changes, "publish", refused)
    await watch(30, again)
    assert set(looked_at) == {name(port) for port in range(1000, 1012)}


async def test_a_verdict_that_nobody_can_read_any_more_is_published_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, (one,), history = await world(2)
    await watch(60, one)
    positions, known = await one.changes.snapshot()

    async def signed_with_a_key_that_is_gone() -> tuple[Positions, Mapping[str, VerdictChange]]:
        return positions, {name(1001): known[name(1001)]}

    monkeypatch.setattr(one.changes, "snapshot", signed_with_a_key_that_is_gone)
    again = Publishing(one.watcher, one.changes)
    await watch(30, again)
    assert [again.published(port) for port in (1000, 1001)] == [ALLOW, ALLOW]
    assert [len(await history.of(port)) for port in (1000, 1001)] == [2, 1]
