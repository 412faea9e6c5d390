"""WatchVerdicts: changes to those whose roles permit them, in bounds, and without a gap."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.roles import RolesFile
from otpc_policy.check import Changed, StoreUnavailable
from otpc_policy.core.errors import Budget
from otpc_policy.fleet import change_tail
from otpc_policy.fleet.changes import ChangesRead, Positions
from otpc_policy.policy.finding import Decision
from otpc_policy.rpc.verdict_streams import StreamLimits
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.catalog.writing import entry, index
from tests.check.world import BRIEF, generation
from tests.rpc.feeds import Feed
from tests.rpc.serving import failure
from tests.rpc.test_list_watched import table
from tests.rpc.test_roles import AUTHORITY, HOST, URI, Running, running
from tests.support.callers import caller_certificate

ALLOW, DENY = Decision.ALLOW, Decision.DENY
WALLET = "api.wallet.example"
# A message of them is too large for what a client takes without being asked.
LONG_CODES = ("C" * 60,) * 16
ROLES = """
[[role]]
name = "everything"
rpcs = ["ListWatched", "WatchVerdicts"]
hosts = ["*"]

[[role]]
name = "bank"
rpcs = ["ListWatched", "WatchVerdicts"]
partners = ["bank"]

[[role]]
name = "lists"
rpcs = ["ListWatched"]
hosts = ["*"]
"""
GRANTS = "".join(
    f'[[caller]]\nidentities = ["spiffe://td/{name}"]\nroles = ["{name}"]\n'
    for name in ("everything", "bank", "lists")
)


@dataclass
class Stream:
    """A call of a caller. cursor: the last one."""

    stub: Any
    call: Any
    cursor: str = ""

    async def next(self) -> pb.WatchVerdictsResponse:
        async with asyncio.timeout(10):
            message: pb.WatchVerdictsResponse = await self.call.read()
        self.cursor = message.cursor
        return message

    async def changes(self, count: int = 1) -> list[tuple[str, "pb.Decision.ValueType", bool]]:
        """Return the next changes, so many at least, whatever checkpoints come before."""
        found: list[tuple[str, pb.Decision.ValueType, bool]] = []
        while len(found) < count:
            message = await self.next()
            found += ((each.host, each.decision, each.removed) for each in message.changes.changes)
        return found

    async def listed(self) -> pb.ListWatchedResponse:
        response: pb.ListWatchedResponse = await self.stub.ListWatched(pb.ListWatchedRequest())
        return response


@asynccontextmanager
async def following(
    service: Running, role: str = "everything", **fields: str
) -> AsyncIterator[Stream]:
    caller = caller_certificate(AUTHORITY, [URI(f"spiffe://td/{role}")])
    async with service.channel(caller) as channel:
        stub: Any = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        call = stub.WatchVerdicts(pb.WatchVerdictsRequest(**fields))
        yield Stream(stub, call, fields.get("cursor", ""))
        call.cancel()


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what it waits for is the server's side of a call
            await asyncio.sleep(0.01)


async def fed() -> Feed:
    feed = Feed()
    await feed.tail.follow_once()
    return feed


@pytest.fixture
async def feed() -> AsyncIterator[Feed]:
    made = await fed()
    tail = asyncio.create_task(made.tail.run())
    yield made
    tail.cancel()


async def test_a_list_and_what_follows_its_cursor_leave_no_gap(feed: Feed) -> None:
    await feed.publish(HOST, ALLOW, partner_id="bank")
    async with running(ROLES + GRANTS, table, feed=feed.tail) as service:
        async with following(service) as first:
            listed = await first.listed()
            decisions = {each.host: each.decision for each in listed.endpoints}
            # What is shown is what was published, whatever this process has found.
            assert decisions[HOST] == pb.DECISION_ALLOW
            assert decisions[WALLET] == pb.DECISION_INDETERMINATE
        await feed.publish(HOST, DENY, partner_id="bank")
        await feed.publish(WALLET, ALLOW, partner_id="wallet")
        async with following(service, cursor=listed.cursor) as stream:
            assert await stream.changes(2) == [
                (HOST, pb.DECISION_DENY, False),
                (WALLET, pb.DECISION_ALLOW, False),
            ]
            cursor = stream.cursor
            await feed.publish(WALLET, None, partner_id="wallet")
            assert await stream.changes() == [(WALLET, pb.DECISION_UNSPECIFIED, True)]
        async with following(service, cursor=cursor) as stream:
            assert await stream.changes() == [(WALLET, pb.DECISION_UNSPECIFIED, True)]


async def test_a_change_says_what_it_is(feed: Feed) -> None:
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        following(service) as stream,
    ):
        assert (await stream.next()).WhichOneof("event") == "checkpoint"
        await feed.publish(HOST, DENY, partner_id="bank")
        (change,) = (await stream.next()).changes.changes
    assert (change.port, change.partner_id) == (443, "bank")
    assert change.previous_decision == pb.DECISION_UNSPECIFIED
    assert list(change.finding_codes) == ["CODE"]
    assert change.observation_time.seconds < change.expire_time.seconds
    assert change.HasField("change_time")
    assert change.configuration_revision == "abc"


async def test_a_caller_sees_what_its_role_names(feed: Feed) -> None:
    async with running(ROLES + GRANTS, table, feed=feed.tail) as service:
        async with following(service, "bank") as stream, following(service) as other:
            await asyncio.gather(stream.next(), other.next())
            await feed.publish(WALLET, ALLOW, partner_id="wallet")
            await feed.publish(HOST, ALLOW, partner_id="bank")
            # Its entry may be gone by then.
            await feed.publish("gone.example", ALLOW, partner_id="bank")
            await feed.publish("gone.example", None, partner_id="bank")
            assert await stream.changes(3) == [
                (HOST, pb.DECISION_ALLOW, False),
                ("gone.example", pb.DECISION_ALLOW, False),
                ("gone.example", pb.DECISION_UNSPECIFIED, True),
            ]
            assert (await other.changes(4))[0] == (WALLET, pb.DECISION_ALLOW, False)
        async with following(service, partner_id="wallet", cursor=other.cursor) as stream:
            await feed.publish(HOST, DENY, partner_id="bank")
            await feed.publish(WALLET, DENY, partner_id="wallet")
            assert await stream.changes() == [(WALLET, pb.DECISION_DENY, False)]


async def test_who_may_list_may_not_therefore_follow(feed: Feed) -> None:
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        following(service, "lists") as stream,
    ):
        refused = await failure(stream.next())
        assert refused.info.metadata["missing"] == "rpc WatchVerdicts"


async def test_silence_is_told_from_nothing_having_changed(feed: Feed) -> None:
    limits = StreamLimits(checkpoint_s=0.05)
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail, limits=limits) as service,
        following(service) as stream,
    ):
        kinds = [(await stream.next()).WhichOneof("event") for _ in range(4)]
        assert kinds == ["checkpoint"] * 4


async def test_while_nobody_knows_there_is_no_checkpoint_and_then_an_end(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(_after: Positions) -> ChangesRead:
        raise StoreUnavailable("gone")

    asked: list[float] = []
    follows = change_tail.Follower.next

    async def counted(follower: change_tail.Follower, within_s: float) -> Changed:
        asked.append(within_s)
        return await follows(follower, within_s)

    monkeypatch.setattr(change_tail.Follower, "next", counted)
    monkeypatch.setattr(change_tail, "_CURRENT_S", 0.5)
    monkeypatch.setattr(change_tail, "_SILENT_S", 1.0)
    limits = StreamLimits(checkpoint_s=0.1)
    async with running(ROLES + GRANTS, table, feed=feed.tail, limits=limits) as service:
        async with following(service) as stream:
            await stream.next()
            monkeypatch.setattr(feed.changes, "read", lost)
            # Those that were made before it was noticed.
            ended = await failure(_to_the_end(stream, most=8))
            assert ended.code is grpc.StatusCode.UNAVAILABLE
            listed = await stream.listed()
            # What is listed then is this process's own, and nothing can be followed from there.
            assert listed.cursor == ""
        assert service.streamed.ended == ["unavailable"]
        # It waits meanwhile: a checkpoint that is due and cannot be said keeps nothing busy.
        assert len(asked) < 20
        async with following(service) as stream:
            refused = await failure(stream.next())
            assert refused.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("cursor", ["x", "ü", "AAAA" * 1_000, "a=b"])
async def test_what_is_no_cursor_is_refused_by_field(feed: Feed, cursor: str) -> None:
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        following(service, cursor=cursor) as stream,
    ):
        refused = await failure(stream.next())
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.details[0].field_violations[0].field == "cursor"


async def test_bytes_that_are_no_message_are_an_invalid_argument(feed: Feed) -> None:
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        service.channel(caller_certificate(AUTHORITY, [URI("spiffe://td/everything")])) as channel,
    ):
        call = channel.unary_stream("/otpc_policy.v1.PolicyCheckService/WatchVerdicts")
        refused = await failure(call(b"\xff\xff\xff").read())
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_cursor_that_leads_nowhere_is_too_old(feed: Feed) -> None:
    other, small = await fed(), Feed(most_kept=2)
    await small.tail.follow_once()
    trimmed = small.tail.cursor("x")
    for port in range(1, 5):
        await small.publish(HOST, ALLOW, port=port)
    stranger = Feed(key=bytes(range(32)))
    await stranger.tail.follow_once()
    async with running(ROLES + GRANTS, table, feed=feed.tail) as service:
        async with following(service, "bank") as stream:
            await stream.next()
            of_bank = stream.cursor
        for cursor in (other.tail.cursor("x"), trimmed, stranger.tail.cursor("x"), of_bank):
            async with following(service, cursor=cursor) as stream:
                refused = await failure(stream.next())
                assert refused.code is grpc.StatusCode.OUT_OF_RANGE
                assert refused.info.reason == "CURSOR_TOO_OLD"


async def test_whose_roles_change_lists_again(feed: Feed) -> None:
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        following(service, "bank") as stream,
    ):
        await stream.next()
        roles = ROLES.replace('partners = ["bank"]', 'partners = ["wallet"]')
        service.administered.current = catalog_with(roles + GRANTS)
        await feed.publish(WALLET, ALLOW, partner_id="wallet")
        refused = await failure(stream.next())
        assert refused.info.reason == "CURSOR_TOO_OLD"


async def test_what_another_reload_leaves_as_it_was_goes_on(feed: Feed) -> None:
    async with (
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        following(service, "bank") as stream,
    ):
        await stream.next()
        service.administered.current = catalog_with("\n\n" + ROLES + GRANTS)
        await feed.publish(HOST, ALLOW, partner_id="bank")
        assert await stream.changes() == [(HOST, pb.DECISION_ALLOW, False)]


async def test_a_stream_ends_before_its_connection_does_and_goes_on_after_it(feed: Feed) -> None:
    limits = StreamLimits(age_s=1.0, grace_s=0.2)
    async with running(ROLES + GRANTS, table, feed=feed.tail, limits=limits) as service:
        async with following(service) as stream:
            began = asyncio.get_running_loop().time()
            last = ""
            while (message := await stream.call.read()) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                last = message.cursor
            assert await stream.call.code() is grpc.StatusCode.OK
            assert 0.4 < asyncio.get_running_loop().time() - began < 1.0
            await feed.publish(HOST, ALLOW, partner_id="bank")
            again = stream.stub.WatchVerdicts(pb.WatchVerdictsRequest(cursor=last))
            assert (await again.read()).changes.changes[0].host == HOST
        assert service.streamed.ended[0] == "age"


async def test_a_drain_ends_streams_at_once_and_refuses_others(feed: Feed) -> None:
    async with running(ROLES + GRANTS, table, feed=feed.tail) as service:
        async with following(service) as stream:
            await stream.next()
            service.streams.drain()
            for refused in (
                await failure(stream.next()),
                await failure(stream.stub.WatchVerdicts(pb.WatchVerdictsRequest()).read()),
            ):
                assert refused.code is grpc.StatusCode.UNAVAILABLE
                assert refused.details[0].retry_delay.nanos > 0
        assert service.streamed.ended == ["drain"]


async def test_streams_are_bounded_by_caller_and_together(feed: Feed) -> None:
    limits = StreamLimits(total=12, of_a_caller=3)
    async with running(ROLES + GRANTS, table, feed=feed.tail, limits=limits) as service:
        async with following(service) as stream:
            streams = [
                stream.stub.WatchVerdicts(pb.WatchVerdictsRequest(), timeout=20) for _ in range(2)
            ]
            for each in (stream.call, *streams):
                await each.read()
            refused = await failure(stream.stub.WatchVerdicts(pb.WatchVerdictsRequest()).read())
            assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert refused.info.reason == "CALLER_BUDGET_USED"
            assert refused.info.metadata["resource"] == "streams"
            assert service.streamed.refused == [(Budget.STREAMS, True)]
            async with following(service, "bank") as other:
                await other.next()
            streams[0].cancel()
            await eventually(lambda: service.streams.open == 2)
            await stream.stub.WatchVerdicts(pb.WatchVerdictsRequest()).read()
        await eventually(lambda: service.streams.open == 0)


async def test_a_caller_that_does_not_read_is_ended_and_holds_nobody_up(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_tail, "MOST_WAITING", 200)
    limits = StreamLimits(write_s=0.5)
    async with running(ROLES + GRANTS, table, feed=feed.tail, limits=limits) as service:
        async with following(service) as slow, following(service, "bank") as reader:
            await asyncio.gather(slow.next(), reader.next())
            for port in range(1, 20_000):
                if service.streamed.ended:
                    break
                await feed.publish("somewhere.example", DENY, port=port, codes=LONG_CODES)
                if port % 50 == 0:
                    await asyncio.sleep(0.001)  # as long as those take who read
            await eventually(lambda: service.streamed.ended == ["slow"])
            await feed.publish(HOST, ALLOW, partner_id="bank")
            assert await reader.changes() == [(HOST, pb.DECISION_ALLOW, False)]
            code, cursor = grpc.StatusCode.OK, slow.cursor
            try:
                while True:
                    cursor = (await slow.next()).cursor
            except grpc.aio.AioRpcError as error:
                code = error.code()
            assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        async with following(service, cursor=cursor) as again:
            assert len(await again.changes()) > 0


async def _to_the_end(stream: Stream, *, most: int) -> None:
    for _ in range(most + 1):
        await stream.next()


def catalog_with(roles: str) -> Catalog:
    return generation(
        BRIEF,
        partners=index(entry("bank", HOST), entry("wallet", WALLET)),
        access=RolesFile(roles, "roles.toml").access,
    )
