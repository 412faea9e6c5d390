"""Three real services with engines of their own keep one cap on the connections to an address."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.ops.metrics.fleet import SLOT_RESULTS
from otpc_policy.v1 import policy_pb2 as pb
from tests.fleet.services import Partner, services
from tests.support.loopback import Listener, own_listener
from tests.support.servers import nginx
from tests.support.service_process import ServiceProcess
from tests.support.valkey import valkey
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

CAP = 20
NAMES = tuple(f"p{number}.partner.test" for number in range(60))


@dataclass
class Counted:
    """Connections that were open at a server at the same time. most: since it was set to zero."""

    listener: Listener
    open: int = 0
    most: int = 0


@contextmanager
def counted(at: Listener, server: Listener) -> Iterator[Counted]:
    """Accept connections, count those that the other side has not closed, and hand them on."""
    counting = Counted(at)
    ended = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        counting.open += 1
        counting.most = max(counting.most, counting.open)
        there, back = await asyncio.open_connection(server.address, server.port)
        answers = asyncio.create_task(copy(there, writer))
        await copy(reader, back)
        with suppress(OSError):
            # The server may have gone before; it counts until the scanner has closed its side.
            while await reader.read(65_536):
                pass
        counting.open -= 1
        answers.cancel()
        for each in (back, writer):
            each.close()

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while part := await source.read(65_536):
                sink.write(part)
                await sink.drain()
            if sink.can_write_eof():
                sink.write_eof()
        except (OSError, RuntimeError):
            return

    async def serve() -> None:
        async with await asyncio.start_server(relay, at.address, at.port, backlog=1_024):
            ready.set()
            await ended.wait()

    ready = threading.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    try:
        yield counting
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(30)
        loop.close()


@pytest.mark.timeout(300)
def test_replicas_together_never_have_more_connections_open_than_one_may(tmp_path: Path) -> None:
    partner, behind = Partner(NAMES, own_listener()), own_listener()
    settings: dict[str, Any] = {
        "OTPC_POLICY_SCAN__CONNECTIONS_PER_ADDRESS": str(CAP),
        # Sixty names share the connections, and two cores.
        "OTPC_POLICY_DEFAULT_WAIT_S": "170",
    }
    with (
        valkey() as store,
        nginx(behind, partner.offer()),
        counted(partner.listener, behind) as counting,
        services(tmp_path, partner, **settings, OTPC_POLICY_FLEET__URL=store.url) as fleet,
    ):
        first, *others = fleet.services
        for service in fleet.services:
            # All know one another.
            wait_until(
                lambda one=service: (  # type: ignore[misc]
                    one.metric('otpc_policy_store_requests_total{operation="members",result="ok"}')
                    >= 2
                ),
                within_s=30,
            )
        calls = {
            service: [fleet.ask(service, name, timeout=170) for name in NAMES]
            for service in fleet.services
        }
        wait_until(lambda: any(call.done() for call in calls[first]), within_s=100)
        # One dies with slots in its hands. The others go on, and have them a few seconds later.
        first.kill()
        first.process.wait(10)
        before = counting.most
        answers = [call.result() for service in others for call in calls[service]]
        assert all(answer.decision == pb.DECISION_ALLOW for answer in answers)
        print(f"{before} connections at most, later {counting.most}; {len(answers)} answers")
        assert CAP / 2 <= counting.most <= CAP
        for service in others:
            counts = {result: asked(service, result) for result in SLOT_RESULTS}
            print(counts)
            assert counts["granted"] + counts["waited"] >= 1
            assert counts["given_up"] == 0


def asked(service: ServiceProcess, result: str) -> float:
    """How often a service has asked for connections to an address with a result."""
    return service.metric(f'otpc_policy_connection_slots_total{{result="{result}"}}')
