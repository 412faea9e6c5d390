"""Deliveries to a real server that fails, is slow, hangs and closes: each change, and in order."""

import asyncio
import base64
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from otpc_policy.check import VerdictChange
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.fleet.changes import Changes, How, InMemoryChanges, Outcome
from otpc_policy.fleet.cursors import Cursors
from otpc_policy.fleet.delivery import LEASE_S, Delivery, OwnDelivery
from otpc_policy.fleet.shared_delivery import SharedDelivery
from otpc_policy.fleet.signing import FleetKey
from otpc_policy.fleet.webhook import Wanted, Webhook
from otpc_policy.fleet.webhook_post import NotDelivered, WebhookPost
from otpc_policy.policy.finding import Decision
from tests.fleet.conftest import MakeReplica
from tests.fleet.hooks import (
    Behaviour,
    Hooks,
    answering,
    closing,
    dripping,
    endless,
    hanging,
    hooks,
    noise,
    resetting,
)
from tests.fleet.world import shared_changes
from tests.support.certificates import CertificateAuthority
from tests.support.valkey import Valkey

ALLOW, DENY, INDETERMINATE = Decision.ALLOW, Decision.DENY, Decision.INDETERMINATE
KEYS = (bytes(range(32)), bytes(range(32, 64)))


class Sender:
    """A webhook of a process, its clock, and what it counts. paused: how long it waited."""

    def __init__(
        self,
        url: str,
        *,
        changes: Changes | None = None,
        delivery: Delivery | None = None,
        timeout_s: float = 0.4,
        ca_file: Path | None = None,
        **wanted: Any,
    ) -> None:
        self.moved = timedelta()
        self.changes = changes or InMemoryChanges(self.now)
        self.counted: list[str] = []
        self.paused: list[float] = []
        self.post = WebhookPost(url, timeout_s=timeout_s, ca_file=ca_file)
        self.webhook = Webhook(
            self.changes,
            delivery or OwnDelivery(),
            self.post,
            cursors=Cursors(FleetKey([bytes(32)]), history="h", shards=self.changes.shards),
            keys=KEYS,
            wanted=Wanted(**wanted),
            max_age=timedelta(hours=1),
            now=self.now,
            draw=Random(1),
            observer=self,
            pause=self.pause,
        )

    def now(self) -> datetime:
        return datetime.now(UTC) + self.moved

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.moved += timedelta(seconds=seconds)
        await asyncio.sleep(0.001)

    def webhook_delivered(self, result: str) -> None:
        self.counted.append(result)

    async def publish(self, port: int, decision: Decision | None, partner_id: str = "bank") -> None:
        now = self.now()
        change = VerdictChange(
            endpoint=parse_endpoint("a.test", port),
            partner_id=partner_id,
            decision=decision,
            codes=("CERTIFICATE_EXPIRED",),
            observed_at=now,
            expires_at=now + timedelta(hours=1),
            changed_at=now,
            revision="abc",
        )
        how = How.REMOVED if decision is None else How.FOUND
        assert await self.changes.publish(change, how) is Outcome.PUBLISHED


@asynccontextmanager
async def sending(received: Hooks, **options: Any) -> AsyncIterator[Sender]:
    """A process that delivers from now on."""
    sender = Sender(received.url, **options)
    assert await sender.webhook.step()
    yield sender


async def test_a_change_is_a_signed_cloud_event() -> None:
    with hooks() as received:
        async with sending(received) as sender:
            await sender.publish(443, DENY)
            await sender.webhook.step()
    (request,) = received.taken
    assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert request.headers["host"].startswith("localhost:")
    event, data = request.event, request.event["data"]
    assert (event["specversion"], event["type"]) == ("1.0", "otpc-policy.verdict.changed")
    assert (event["subject"], event["datacontenttype"]) == ("a.test:443", "application/json")
    assert event["source"]
    assert event["id"] == request.headers["webhook-id"]
    assert datetime.fromisoformat(event["time"]).tzinfo is not None
    assert (data["host"], data["port"], data["partner_id"]) == ("a.test", 443, "bank")
    assert (data["decision"], data["previous_decision"]) == ("DENY", None)
    assert data["finding_codes"] == ["CERTIFICATE_EXPIRED"]
    assert data["configuration_revision"] == "abc"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 10
    assert sender.counted == ["delivered"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl (Debian: openssl)")
async def test_openssl_computes_the_same_signatures(tmp_path: Path) -> None:
    with hooks() as received:
        async with sending(received) as sender:
            await sender.publish(443, ALLOW)
            await sender.webhook.step()
    (request,) = received.taken
    named, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    (tmp_path / "signed").write_bytes(f"{named}.{at}.".encode() + request.body)
    found = [f"v1,{_openssl_mac(key, tmp_path / 'signed')}" for key in KEYS]
    assert request.headers["webhook-signature"] == " ".join(found)


def _openssl_mac(key: bytes, file: Path) -> str:
    options = ("-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary")
    command = ["openssl", "dgst", *options, str(file)]
    mac = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
    return base64.b64encode(mac).decode()


@pytest.mark.parametrize(
    "behaviour",
    [
        answering(500),
        answering(503, Retry_After="7"),
        answering(302, Location="http://127.0.0.1:9/elsewhere"),
        answering(401),
        closing,
        resetting,
        hanging,
        dripping,
        noise,
    ],
    ids=["500", "503", "302", "401", "closes", "resets", "hangs", "drips", "noise"],
)
async def test_what_is_not_taken_comes_again_and_what_follows_after_it(
    behaviour: Behaviour, caplog: pytest.LogCaptureFixture
) -> None:
    with hooks() as received:
        async with sending(received) as sender:
            for decision in (ALLOW, DENY, ALLOW):
                await sender.publish(443, decision)
                sender.moved += timedelta(seconds=1)
            received.behaviours += [behaviour, behaviour]
            began = time.monotonic()
            await sender.webhook.step()
            assert time.monotonic() - began < 4
    assert received.subjects() == ["443 ALLOW", "443 DENY", "443 ALLOW"]
    assert sender.counted == ["failed", "failed", "delivered", "delivered", "delivered"]
    # The same delivery each time, and signed anew.
    assert len({each.headers["webhook-id"] for each in received.requests[:3]}) == 1
    if behaviour is not closing:
        assert len(caplog.records) == 1, "a line when it begins to fail, and no more"
    assert all(pause > 0 for pause in sender.paused)


async def test_pauses_grow_to_a_bound_and_the_server_may_ask_for_longer_ones() -> None:
    with hooks() as received:
        async with sending(received) as sender:
            await sender.publish(443, ALLOW)
            received.behaviours += [answering(500)] * 9
            received.behaviours += [answering(429, Retry_After="100000")]
            await sender.webhook.step()
    waits = _joined(sender.paused)
    assert all(0.5 * 2**at <= wait <= 2**at for at, wait in enumerate(waits[:6]))
    assert max(waits[:9]) <= 60.0
    assert 300.0 <= waits[9] <= 315.0
    assert sender.counted[-1] == "delivered"


def _joined(paused: Sequence[float]) -> list[float]:
    """Return whole waits: the lease is renewed every fifteen seconds of one."""
    waits, whole = list[float](), 0.0
    for each in paused:
        whole += each
        if each < LEASE_S / 3:
            waits.append(whole)
            whole = 0.0
    return [*waits, whole] if whole else waits


async def test_what_the_server_refuses_as_such_is_skipped_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with hooks() as received:
        async with sending(received) as sender:
            await sender.publish(1, DENY)
            await sender.publish(2, DENY)
            received.behaviours += [answering(400)] * 5
            await sender.webhook.step()
    assert received.subjects() == ["2 DENY"]
    assert sender.counted == [*["failed"] * 5, "refused", "delivered"]
    (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "a.test:1 DENY" in error.getMessage()
    assert "it answers 400" in error.getMessage()


async def test_what_is_too_old_is_skipped_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    with hooks() as received:
        async with sending(received) as sender:
            await sender.publish(1, DENY)
            received.behaviours += [answering(500)] * 200
            lags: list[float] = []
            received.behaviours[5] = _then(
                answering(500), lambda: lags.append(sender.webhook.lag_s)
            )
            await sender.webhook.step()
            received.behaviours.clear()
            await sender.publish(2, DENY)
            await sender.webhook.step()
    assert received.subjects() == ["2 DENY"]
    assert sender.counted[-2:] == ["expired", "delivered"]
    assert 15 < lags[0] < 3_600
    assert sender.webhook.lag_s == 0
    assert "could not be delivered in time" in caplog.text


def _then(behaviour: Behaviour, action: Callable[[], None]) -> Behaviour:
    def both(handler: Any) -> None:
        action()
        behaviour(handler)

    return both


async def test_only_what_is_wanted_is_delivered() -> None:
    with hooks() as received:
        wanted = {"decisions": frozenset({DENY}), "partners": frozenset({"bank"})}
        async with sending(received, **wanted) as sender:
            await sender.publish(1, ALLOW)
            await sender.publish(2, DENY)
            await sender.publish(3, DENY, partner_id="wallet")
            await sender.publish(2, INDETERMINATE)
            await sender.publish(1, None)
            await sender.webhook.step()
    assert received.subjects() == ["2 DENY", "1 None"]
    assert received.taken[1].event["type"] == "otpc-policy.endpoint.removed"


async def test_where_changes_are_lost_the_last_ones_are_delivered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with hooks() as received:
        small = InMemoryChanges(lambda: datetime.now(UTC), most_kept=2)
        async with sending(received, changes=small) as sender:
            for port in range(1, 6):
                await sender.publish(port, ALLOW)
            await sender.publish(3, DENY)
            await sender.webhook.step()
            assert sorted(received.subjects()) == [
                *("1 ALLOW", "2 ALLOW", "3 DENY", "4 ALLOW", "5 ALLOW"),
            ]
            await sender.publish(1, DENY)
            await sender.webhook.step()
    assert received.subjects()[-1] == "1 DENY"
    assert sender.counted[0] == "lost"
    assert "may be lost" in caplog.text


async def test_what_is_delivered_again_is_not_too_old_for_it() -> None:
    with hooks() as received:
        small = InMemoryChanges(lambda: datetime.now(UTC), most_kept=2)
        async with sending(received, changes=small) as sender:
            await sender.publish(1, DENY)
            # Longer than a delivery may wait.
            sender.moved += timedelta(hours=3)
            lags: list[float] = []
            received.behaviours.append(
                _then(answering(500), lambda: lags.append(sender.webhook.lag_s))
            )
            small._now = sender.now
            for port in (2, 3, 4):
                await sender.publish(port, ALLOW)
            await sender.webhook.step()
    assert received.subjects()[0] == "1 DENY"
    assert len(received.taken) == 4
    assert sender.counted == ["lost", "failed", *["delivered"] * 4]
    assert lags[0] < 60


@pytest.mark.parametrize("is_standby", [False, True], ids=["whoever delivers", "a standby"])
async def test_a_place_that_is_gone_is_no_first_start(
    replica: MakeReplica, server: Valkey, is_standby: bool
) -> None:
    one = replica()

    def sender(url: str) -> Sender:
        delivery = SharedDelivery(one.connection, keyspace=one.keyspace)
        return Sender(url, changes=shared_changes(one), delivery=delivery)

    with hooks() as received:
        first, second = sender(received.url), sender(received.url)
        assert await first.webhook.step()
        assert not await second.webhook.step()
        # The store begins again without its data, and all that is watched is published anew.
        server.ask("DEL", one.keyspace.delivery)
        await first.publish(1, DENY)
        first.webhook._stand_back()
        taking_over = second if is_standby else first
        assert await taking_over.webhook.step()
    assert received.subjects() == ["1 DENY"]
    assert taking_over.counted == ["lost", "delivered"]


async def test_one_replica_delivers_and_another_goes_on_where_it_died(
    replica: MakeReplica,
) -> None:
    moved_s = 0.0

    def delivering(url: str) -> Sender:
        one = replica()
        return Sender(
            url,
            changes=shared_changes(one, move_s=lambda: moved_s),
            delivery=SharedDelivery(one.connection, keyspace=one.keyspace, move_s=lambda: moved_s),
        )

    with hooks() as received:
        first, second = delivering(received.url), delivering(received.url)
        assert await first.webhook.step()
        assert not await second.webhook.step()
        for port in range(1, 6):
            await first.publish(port, ALLOW)
        await first.webhook.step()
        assert len(received.taken) == 5
        for port in range(1, 6):
            await second.publish(port, DENY)
        # The first one has died without a word.
        assert not await second.webhook.step()
        moved_s = LEASE_S + 1
        assert await second.webhook.step()
        assert sorted(received.subjects()[5:]) == [f"{port} DENY" for port in range(1, 6)]
        # It was only paused: what it would deliver is another's now.
        assert not await first.webhook.step()
        # One that ends in good order leaves at once.
        await second.webhook._release()
        await first.publish(9, ALLOW)
        assert await first.webhook.step()
        assert received.subjects()[-1] == "9 ALLOW"
    assert len(received.taken) == 11


async def test_a_lease_that_was_lost_in_mid_delivery_ends_it(replica: MakeReplica) -> None:
    one = replica()
    delivery = SharedDelivery(one.connection, keyspace=one.keyspace)
    with hooks() as received:
        async with sending(received, changes=shared_changes(one), delivery=delivery) as sender:
            await sender.publish(1, ALLOW)
            other = SharedDelivery(one.connection, keyspace=one.keyspace)

            async def take_over() -> None:
                await delivery.release()
                assert await other.claim() is not None

            def taken_over() -> None:
                asyncio.run_coroutine_threadsafe(take_over(), loop).result(10)

            loop = asyncio.get_running_loop()
            received.behaviours.append(_then(answering(500), taken_over))
            running = asyncio.create_task(sender.webhook.run())
            async with asyncio.timeout(10):
                while len(received.requests) < 1 or not sender.paused:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert len(received.requests) == 1
    assert received.taken == []


async def test_the_server_is_held_to_its_certificate(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    certificate, key = authority.issue(dns=("localhost",)).write(tmp_path, "hook")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with hooks(context) as received:
        trusting = WebhookPost(received.url, timeout_s=5, ca_file=tmp_path / "ca.pem")
        assert (await asyncio.to_thread(trusting.post, b"{}", {})).status == 204
        with pytest.raises(NotDelivered, match="certificate cannot be verified"):
            WebhookPost(received.url, timeout_s=5).post(b"{}", {})
        elsewhere = received.url.replace("localhost", "127.0.0.1")
        with pytest.raises(NotDelivered, match="certificate cannot be verified"):
            WebhookPost(elsewhere, timeout_s=5, ca_file=tmp_path / "ca.pem").post(b"{}", {})
    assert len(received.taken) == 1


def test_a_handshake_that_never_ends_does() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        began = time.monotonic()
        with pytest.raises(NotDelivered, match="no answer within"):
            WebhookPost(url, timeout_s=0.3).post(b"{}", {})
        assert time.monotonic() - began < 2


def _port_of(received: Hooks) -> int:
    return int(received.url.split(":")[2].partition("/")[0])


@contextmanager
def resolving_to(monkeypatch: pytest.MonkeyPatch, received: Hooks) -> Iterator[None]:
    """Have the receiver's name lead to three addresses that do not answer before its own."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):
            # What is beyond the backlog gets no answer.
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        places = [*[full.getsockname()] * 3, ("127.0.0.1", _port_of(received))]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", place) for place in places]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
        yield
        monkeypatch.undo()


@pytest.mark.parametrize("is_abandoned", [False, True], ids=["its time is over", "abandoned"])
def test_addresses_that_do_not_answer_take_no_more_time_than_one(
    monkeypatch: pytest.MonkeyPatch, is_abandoned: bool
) -> None:
    with hooks() as received, resolving_to(monkeypatch, received):
        received.behaviours.append(dripping)
        post = WebhookPost(received.url, timeout_s=30.0 if is_abandoned else 0.5)
        ending = threading.Timer(0.5, post.abandon) if is_abandoned else None
        if ending is not None:
            ending.start()
        began = time.monotonic()
        with pytest.raises(NotDelivered):
            post.post(b"{}", {})
        assert time.monotonic() - began < 1.4


def test_an_address_that_refuses_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with hooks() as received:
        port = _port_of(received)
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", each)) for each in (9, port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_options: found)
        assert WebhookPost(received.url, timeout_s=5).post(b"{}", {}).status == 204


def test_an_answer_without_end_is_not_read_to_it() -> None:
    with hooks() as received:
        received.behaviours.append(endless)
        began = time.monotonic()
        assert WebhookPost(received.url, timeout_s=5).post(b"{}", {}).status == 200
        assert time.monotonic() - began < 2


def test_nobody_listens() -> None:
    with pytest.raises(NotDelivered, match="refused"):
        WebhookPost("http://127.0.0.1:9/", timeout_s=1).post(b"{}", {})
