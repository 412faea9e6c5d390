"""Last verdicts and their changes. Every implementation keeps one contract."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from otpc_policy.check import VerdictChange
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import CursorTooOld
from otpc_policy.fleet.changes import (
    FORGOTTEN_AFTER,
    Changes,
    How,
    InMemoryChanges,
    Outcome,
    Positions,
)
from otpc_policy.fleet.shared_changes import SharedChanges
from otpc_policy.policy.finding import Decision
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY_BYTES, Replica, shared_changes
from tests.support.valkey import Valkey

ALLOW, DENY, INDETERMINATE = Decision.ALLOW, Decision.DENY, Decision.INDETERMINATE
SAME, PUBLISHED, REFUSED = Outcome.SAME, Outcome.PUBLISHED, Outcome.REFUSED


def _of_endpoint(value: str) -> tuple[str, ...]:
    return ("HSET", "verdicts", "a.test:443", value)


HOSTILE = {
    "a text for the verdicts": [("SET", "verdicts", "x")],
    "a text for the changes": [("SET", "changes", "x")],
    "a count that is none": [("HSET", "verdicts", "#n", "abc")],
    "an empty count": [("HSET", "verdicts", "#n", "")],
    "a broken count": [("HSET", "verdicts", "#n", "1.4")],
    "a count without end": [("HSET", "verdicts", "#n", "9" * 400)],
    "a decision that is none": [_of_endpoint(f"Z 1 {'9' * 17} abc 1 1 xx")],
    "a number without end": [_of_endpoint(f"A 1 1 abc 1 {'9' * 5_000} xx")],
    "instants without end": [_of_endpoint(f"A {'9' * 400} {'9' * 400} abc {'9' * 400} 1 xx")],
    "an entry between two": [("XADD", "changes", "1-5", "r", "xx")],
    "an entry far ahead": [("XADD", "changes", f"1{'0' * 16}-0", "r", "xx")],
    "both far ahead": [
        ("XADD", "changes", f"1{'0' * 16}-0", "r", "xx"),
        ("HSET", "verdicts", "#n", f"1{'0' * 16}"),
    ],
    "a name that is none": [("HSET", "verdicts", "\xff" * 3_000, "A 1 1 abc 1 1 xx")],
}


async def all_after(changes: Changes, positions: Positions) -> list[VerdictChange]:
    """Read to the end."""
    found: list[VerdictChange] = []
    while True:
        read = await changes.read(positions)
        found += [each.change for each in read.changes]
        positions = read.positions
        if read.is_all:
            return found


def replayed(changes: Sequence[VerdictChange]) -> Mapping[str, Decision]:
    """Return the verdicts that somebody knows who has read changes, and follows their links."""
    verdicts: dict[str, Decision] = {}
    for change in changes:
        assert change.previous is verdicts.get(change.name)
        if change.decision is None:
            del verdicts[change.name]
        else:
            verdicts[change.name] = change.decision
    return verdicts


class ChangesContract:
    """Derive, and set changes, and move_s (of their clock), which is the wall clock otherwise."""

    changes: Changes
    move_s: float = 0.0
    start: Positions

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.move_s)

    def verdict(
        self,
        decision: Decision | None,
        *,
        age_s: float = 0.0,
        lasts_s: float = 3_600.0,
        port: int = 443,
        revision: str = "abc",
        observed_at: datetime | None = None,
    ) -> VerdictChange:
        now = self.now()
        return VerdictChange(
            endpoint=parse_endpoint("a.test", port),
            partner_id="bank",
            decision=decision,
            codes=("CODE",),
            observed_at=observed_at or now - timedelta(seconds=age_s),
            expires_at=now + timedelta(seconds=lasts_s),
            changed_at=now,
            revision=revision,
        )

    async def found(self, decision: Decision, **fields: float) -> Outcome:
        return await self.changes.publish(self.verdict(decision, **fields), How.FOUND)  # type: ignore[arg-type]

    async def said(self, how: How) -> Outcome:
        decision = INDETERMINATE if how is How.LAPSED else None
        return await self.changes.publish(self.verdict(decision), how)

    async def decisions(self) -> list[tuple[Decision | None, Decision | None]]:
        return [
            (change.previous, change.decision)
            for change in await all_after(self.changes, self.start)
        ]

    async def test_the_first_verdict_is_a_change_from_none(self) -> None:
        assert await self.found(ALLOW, age_s=10) is PUBLISHED
        (change,) = await all_after(self.changes, self.start)
        assert (change.previous, change.decision) == (None, ALLOW)
        assert (change.name, change.partner_id) == ("a.test:443", "bank")
        assert (change.codes, change.revision) == (("CODE",), "abc")
        assert change.expires_at is not None
        assert change.observed_at is not None

    async def test_only_another_decision_is_a_change(self) -> None:
        for decision, age_s in ((ALLOW, 30), (ALLOW, 20), (DENY, 10), (DENY, 5)):
            await self.found(decision, age_s=age_s)
        assert await self.decisions() == [(None, ALLOW), (ALLOW, DENY)]

    async def test_an_older_measurement_changes_nothing(self) -> None:
        assert await self.found(DENY, age_s=10) is PUBLISHED
        assert await self.found(ALLOW, age_s=11) is REFUSED
        assert await self.found(ALLOW, age_s=9) is PUBLISHED
        # What has only been renewed counts as new, too.
        assert await self.found(ALLOW, age_s=5) is SAME
        assert await self.found(DENY, age_s=7) is REFUSED

    async def test_on_the_same_facts_the_worse_verdict_stays_unless_the_catalog_differs(
        self,
    ) -> None:
        at = self.now()

        async def judged(decision: Decision, revision: str = "abc") -> Outcome:
            change = self.verdict(decision, observed_at=at, revision=revision)
            return await self.changes.publish(change, How.FOUND)

        assert await judged(ALLOW) is PUBLISHED
        assert await judged(DENY) is PUBLISHED
        assert await judged(ALLOW) is REFUSED
        assert await judged(ALLOW, "def") is PUBLISHED

    async def test_on_the_same_facts_anything_may_follow_what_has_expired(self) -> None:
        at = self.now()
        await self.changes.publish(self.verdict(DENY, observed_at=at, lasts_s=60), How.FOUND)
        self.move_s += 61
        change = self.verdict(ALLOW, observed_at=at)
        assert await self.changes.publish(change, How.FOUND) is PUBLISHED

    async def test_what_is_dated_ahead_or_has_expired_is_refused(self) -> None:
        assert await self.found(ALLOW, age_s=-30) is REFUSED
        assert await self.found(ALLOW, age_s=10, lasts_s=-1) is REFUSED
        assert await self.decisions() == []

    async def test_a_verdict_lapses_once_and_not_before_its_time(self) -> None:
        assert await self.said(How.LAPSED) is REFUSED
        await self.found(ALLOW, age_s=1, lasts_s=60)
        assert await self.said(How.LAPSED) is REFUSED
        self.move_s += 30
        await self.found(ALLOW, age_s=0, lasts_s=60)
        self.move_s += 45
        assert await self.said(How.LAPSED) is REFUSED  # it has been renewed
        self.move_s += 16
        assert await self.said(How.LAPSED) is PUBLISHED
        assert await self.said(How.LAPSED) is SAME
        assert await self.found(ALLOW) is PUBLISHED
        assert await self.decisions() == [
            (None, ALLOW),
            (ALLOW, INDETERMINATE),
            (INDETERMINATE, ALLOW),
        ]

    async def test_what_is_removed_is_gone_until_it_has_a_verdict_again(self) -> None:
        assert await self.said(How.REMOVED) is SAME
        await self.found(DENY, age_s=3)
        assert await self.said(How.REMOVED) is PUBLISHED
        assert await self.said(How.REMOVED) is SAME
        assert (await self.changes.snapshot())[1] == {}
        await self.found(DENY, age_s=3)
        assert await self.decisions() == [(None, DENY), (DENY, None), (None, DENY)]

    async def test_what_nobody_speaks_of_is_forgotten(self) -> None:
        await self.found(ALLOW, lasts_s=60)
        assert await self.said(How.FORGOTTEN) is REFUSED
        self.move_s += 61
        assert await self.said(How.LAPSED) is PUBLISHED
        self.move_s += FORGOTTEN_AFTER.total_seconds() - 1
        assert await self.said(How.FORGOTTEN) is REFUSED
        assert await self.said(How.LAPSED) is SAME  # somebody watches it still
        self.move_s += FORGOTTEN_AFTER.total_seconds() - 1
        assert await self.said(How.FORGOTTEN) is REFUSED
        self.move_s += 2
        assert await self.said(How.FORGOTTEN) is PUBLISHED

    async def test_a_forced_verdict_is_published_again(self) -> None:
        await self.found(ALLOW, age_s=3)
        change = self.verdict(ALLOW)
        assert await self.changes.publish(change, How.FOUND, is_forced=True) is PUBLISHED
        # The history may lack what was published last: nothing newer has been measured since.
        assert await self.changes.publish(change, How.FOUND, is_forced=True) is PUBLISHED
        older = self.verdict(ALLOW, age_s=9)
        assert await self.changes.publish(older, How.FOUND, is_forced=True) is REFUSED

    async def test_a_snapshot_and_what_follows_leave_no_gap(self) -> None:
        for port in range(1, 60):
            await self.found(ALLOW, age_s=9, port=port)
        positions, known = await self.changes.snapshot()
        assert {name: change.decision for name, change in known.items()} == {
            f"a.test:{port}": ALLOW for port in range(1, 60)
        }
        assert await all_after(self.changes, positions) == []
        for port in range(30, 90):
            await self.found(DENY, port=port)
        later = await all_after(self.changes, positions)
        assert sorted(change.endpoint.port for change in later) == list(range(30, 90))

    async def test_a_replay_gives_the_last_verdicts_whoever_published_in_whatever_order(
        self,
    ) -> None:
        draw, now = Random(7), self.now()
        newest: dict[str, tuple[datetime, Decision]] = {}
        verdicts: list[VerdictChange] = []
        for number in range(1_500):
            at = now - timedelta(seconds=2_000 - number)
            decision = draw.choice((ALLOW, DENY, INDETERMINATE))
            change = self.verdict(decision, port=draw.randrange(1, 40), observed_at=at)
            verdicts.append(change)
            newest[change.name] = at, decision
        draw.shuffle(verdicts)

        async def publish(some: Sequence[VerdictChange]) -> None:
            for each in some:
                await self.changes.publish(each, How.FOUND)

        await asyncio.gather(*(publish(verdicts[part::8]) for part in range(8)))
        replay = replayed(await all_after(self.changes, self.start))
        assert replay == {name: decision for name, (_, decision) in newest.items()}
        _, kept = await self.changes.snapshot()
        assert {name: change.decision for name, change in kept.items()} == replay


class TestInMemory(ChangesContract):
    @pytest.fixture(autouse=True)
    async def _changes(self) -> None:
        self.changes = InMemoryChanges(self.now)
        self.start, _ = await self.changes.snapshot()

    async def test_what_was_trimmed_is_too_old(self) -> None:
        changes = InMemoryChanges(self.now, most_kept=4)
        start, _ = await changes.snapshot()
        for port in range(1, 6):
            await changes.publish(self.verdict(ALLOW, port=port), How.FOUND)
        with pytest.raises(CursorTooOld):
            await changes.read(start)

    async def test_another_process_has_another_history(self) -> None:
        with pytest.raises(CursorTooOld):
            await InMemoryChanges(self.now).read(self.start)


class TestShared(ChangesContract):
    @pytest.fixture(autouse=True)
    async def _changes(self, replica: MakeReplica) -> None:
        self.replica = replica()
        self.changes = self.of(self.replica)
        self.start, _ = await self.changes.snapshot()

    def of(self, replica: Replica, key: bytes = KEY_BYTES) -> SharedChanges:
        return shared_changes(replica, key=key, move_s=lambda: self.move_s)

    async def test_what_another_replica_publishes_is_read(self, replica: MakeReplica) -> None:
        other = self.of(replica())
        await other.publish(self.verdict(DENY, age_s=9), How.FOUND)
        assert await self.found(ALLOW) is PUBLISHED
        assert await self.decisions() == [(None, DENY), (DENY, ALLOW)]

    async def test_a_store_that_was_emptied_has_another_history(self, server: Valkey) -> None:
        for port in range(1, 100):
            await self.found(ALLOW, port=port)
        positions, _ = await self.changes.snapshot()
        for verdicts, changes in self.replica.keyspace.changes:
            server.ask("DEL", verdicts, changes)
        with pytest.raises(CursorTooOld):
            await self.changes.read(positions)
        # As many changes as before, at the same positions: they are marked otherwise.
        self.move_s += 1
        for port in range(1, 100):
            await self.found(ALLOW, port=port)
        with pytest.raises(CursorTooOld):
            await self.changes.read(positions)
        assert (await self.changes.snapshot())[1].keys() == {
            f"a.test:{port}" for port in range(1, 100)
        }

    @pytest.mark.parametrize("lost", [0, 1])
    async def test_where_one_of_both_was_lost_both_begin_anew(
        self, server: Valkey, lost: int
    ) -> None:
        await self.found(DENY, age_s=9)
        positions, _ = await self.changes.snapshot()
        server.ask("DEL", *[keys[lost] for keys in self.replica.keyspace.changes])
        assert (await self.changes.snapshot())[1] == {}
        assert await self.found(DENY, age_s=9) is PUBLISHED
        with pytest.raises(CursorTooOld):
            await self.changes.read(positions)

    async def test_what_the_fleet_has_not_signed_is_passed_over(self, replica: MakeReplica) -> None:
        stranger = self.of(replica(), bytes(reversed(KEY_BYTES)))
        await stranger.publish(self.verdict(ALLOW, age_s=9), How.FOUND)
        assert await self.decisions() == []
        assert (await self.changes.snapshot())[1] == {}
        assert "signature" in self.replica.observed.refused
        # Nor is it what others compare with for ever.
        forced = self.verdict(ALLOW)
        assert await self.changes.publish(forced, How.FOUND, is_forced=True) is PUBLISHED
        assert [decision for _, decision in await self.decisions()] == [ALLOW]

    async def test_a_change_that_was_copied_to_a_later_place_is_passed_over(
        self, server: Valkey
    ) -> None:
        await self.found(ALLOW, age_s=9)
        await self.found(DENY, age_s=5)
        _, stream = self.replica.keyspace.changes[self.replica.keyspace.shard_of("a.test:443")]
        answer = server.ask("XRANGE", stream, "1-0", "1-0").decode()
        record = max(answer.split("\r\n"), key=len)
        server.ask("XADD", stream, "3-0", "r", record)
        assert await self.decisions() == [(None, ALLOW), (ALLOW, DENY)]
        assert self.replica.observed.refused == ["signature"]

    async def test_what_is_written_there_at_will_makes_no_verdict(self, server: Valkey) -> None:
        verdicts, _ = self.replica.keyspace.changes[self.replica.keyspace.shard_of("a.test:443")]
        for value in ("", "A", "A 1 2 3", "D 9 9 x 9 9 " + "r" * 9_000, "\x00" * 64):
            server.ask("HSET", verdicts, "a.test:443", value)
            await self.changes.snapshot()
        future = "99999999999999999"
        server.ask("HSET", verdicts, "a.test:443", f"A {future} {future} abc {future} 1 xx")
        # From the future it is nothing to compare with.
        assert await self.found(DENY) is PUBLISHED
        assert (await self.decisions())[-1][1] is DENY

    @pytest.mark.parametrize("commands", HOSTILE.values(), ids=HOSTILE)
    async def test_whatever_is_written_there_it_goes_on(
        self, server: Valkey, commands: Sequence[tuple[str, ...]]
    ) -> None:
        await self.found(ALLOW, age_s=9)
        positions, _ = await self.changes.snapshot()
        names = self.replica.keyspace.changes[self.replica.keyspace.shard_of("a.test:443")]
        for command, which, *words in commands:
            server.ask(command, names[which == "changes"], *words)
        # At worst those who follow begin anew.
        with suppress(CursorTooOld):
            await self.changes.read(positions)
        await self.changes.snapshot()
        assert await self.found(DENY) is PUBLISHED
        positions, known = await self.changes.snapshot()
        assert known["a.test:443"].decision is DENY
        self.move_s += 1
        assert await self.found(ALLOW) is PUBLISHED
        assert [each.decision for each in await all_after(self.changes, positions)] == [ALLOW]
        assert self.replica.observed.available == [True]
