"""The client follows the service's own stream: the servicer itself, over mutual TLS, with roles."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from otpc_policy.policy.finding import Decision
from otpc_policy_client import AsyncPolicyClient
from otpc_policy_client.answer_cache import key_of
from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.observing import WatchStateChanged
from otpc_policy_client.testing import allow
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import verdict_of
from tests.client.both import Events
from tests.rpc.feeds import Feed
from tests.rpc.test_list_watched import table
from tests.rpc.test_roles import AUTHORITY, HOST, URI, Running, running
from tests.rpc.test_watch_verdicts import GRANTS, ROLES, WALLET
from tests.support.callers import caller_certificate


class Following(AsyncPolicyClient):
    """A client that follows, with answers that a test puts into its cache."""

    def start(self) -> None:
        self._follower.start()

    def keep(self, host: str) -> None:
        """Keep an ALLOW: the servicer of these tests judges on a clock that stands still."""
        request = pb.CheckEndpointRequest(host=host)
        now = elapsed_s()
        verdict = verdict_of(allow()(request), asked_at_s=now)
        key = key_of(request)
        assert key is not None
        assert self._lookups.cache.put(key, request, verdict, asked_at_s=now)

    def keeps(self, host: str) -> bool:
        key = key_of(pb.CheckEndpointRequest(host=host))
        return key is not None and self._lookups.cache.get(key, elapsed_s()) is not None


def client_of(service: Running, role: str, events: Events) -> Following:
    caller = caller_certificate(AUTHORITY, [URI(f"spiffe://td/{role}")])
    return Following(
        f"127.0.0.1:{service.port}",
        channel_credentials=grpc.ssl_channel_credentials(
            AUTHORITY.pem, caller.key_pem, caller.chain_pem
        ),
        options=[("grpc.ssl_target_name_override", "partner.test")],
        observer=events,
    )


def states(events: Events) -> list[str]:
    return [each.state for each in events.of(WatchStateChanged)]


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what it waits for is the other side of a call
            await asyncio.sleep(0.01)


@asynccontextmanager
async def fed() -> AsyncIterator[Feed]:
    feed = Feed()
    await feed.tail.follow_once()
    tail = asyncio.create_task(feed.tail.run())
    yield feed
    tail.cancel()


async def test_what_the_service_reports_is_dropped_and_nothing_else() -> None:
    events = Events()
    async with (
        fed() as feed,
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        client_of(service, "everything", events) as client,
    ):
        await feed.publish(WALLET, Decision.ALLOW, partner_id="wallet")
        client.start()
        await eventually(lambda: "following" in states(events))
        for host in (HOST, WALLET):
            client.keep(host)
        await feed.publish(HOST, Decision.DENY, partner_id="bank")
        await eventually(lambda: not client.keeps(HOST))
        assert client.keeps(WALLET)
        await feed.publish(WALLET, None, partner_id="wallet")
        await eventually(lambda: not client.keeps(WALLET))


async def test_a_caller_who_may_not_follow_keeps_what_it_has() -> None:
    events = Events()
    async with (
        fed() as feed,
        running(ROLES + GRANTS, table, feed=feed.tail) as service,
        client_of(service, "lists", events) as client,
    ):
        client.keep(HOST)
        client.start()
        await eventually(lambda: "ended" in states(events))
        assert client.keeps(HOST)
    assert events.of(WatchStateChanged)[-1].reason == "PERMISSION_DENIED"
