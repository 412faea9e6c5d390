"""The service itself, in a thread of the test process, and a caller of it."""

import asyncio
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from otpc_policy.app.application import Engines, build_application
from otpc_policy.app.serving import Service as ServiceRun
from otpc_policy.app.serving import serve
from otpc_policy.app.settings import Settings
from otpc_policy.app.stopping import Stopping
from otpc_policy.check import Clock
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.end_to_end.world import Partner
from tests.support.loopback import Listener

# Longer than any scan may last, so reaching it is a failure of the service.
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """A running service. address, ops_address: "host:port"."""

    address: str
    ops_address: str
    channel: grpc.Channel
    stub: Any

    def check(
        self, partner: Partner | str, at: Listener, *, timeout_s: float = PATIENCE_S, **fields: Any
    ) -> pb.CheckEndpointResponse:
        """Ask about a partner, by name, with the whole observation."""
        response = self.stub.CheckEndpoint(request_for(partner, at, **fields), timeout=timeout_s)
        assert isinstance(response, pb.CheckEndpointResponse)
        return response

    def metric(self, line: str) -> float:
        """Return the value of a sample, named with its labels as in the exposition."""
        with urllib.request.urlopen(f"http://{self.ops_address}/metrics", timeout=5) as response:
            text = response.read().decode()
        values = [
            float(sample.rpartition(" ")[2])
            for sample in text.splitlines()
            if sample.rpartition(" ")[0] == line
        ]
        assert len(values) == 1, f"{line} is there {len(values)} times in:\n{text}"
        return values[0]


def request_for(partner: Partner | str, at: Listener, **fields: Any) -> pb.CheckEndpointRequest:
    """Return the question about a partner that listens there."""
    host = partner if isinstance(partner, str) else partner.name
    return pb.CheckEndpointRequest(host=host, port=at.port, **{"view": pb.VIEW_FULL, **fields})


@contextmanager
def running_service(
    settings: Settings, clock: Clock | None = None, engines: Engines | None = None
) -> Iterator[Service]:
    """Run the service while the context lasts. clock, engines: in place of the real ones."""
    runner = _Runner(settings, clock, engines)
    runner.thread.start()
    try:
        if not runner.ready.wait(60) or runner.failure is not None:
            raise AssertionError("the service did not start") from runner.failure
        with grpc.insecure_channel(runner.addresses[0]) as channel:
            checks = policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
            yield Service(*runner.addresses, channel, checks)
    finally:
        runner.end()
    if runner.failure is not None:
        raise AssertionError("the service failed") from runner.failure


class _Runner:
    def __init__(self, settings: Settings, clock: Clock | None, engines: Engines | None) -> None:
        self._settings = settings
        self._clock, self._engines = clock, engines
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.addresses = ("", "")
        self.ready = threading.Event()
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="otpc-policy under test", daemon=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  # the outermost frame of the thread; the test gets it
            self.failure = error
        finally:
            self.ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._clock is None:
            await serve(self._settings, ready=self._is_ready, stop=self._stop)
        else:
            application = build_application(
                self._settings, clock=self._clock, engines=self._engines
            )
            await ServiceRun(application).run(self._is_ready, Stopping(self._stop))

    def _is_ready(self, address: str, ops_address: str) -> None:
        self.addresses = (address, ops_address)
        self.ready.set()

    def end(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self.thread.join(30)
        assert not self.thread.is_alive(), "the service does not stop"
