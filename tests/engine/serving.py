"""The service over a scanner and a resolver of a test's own, and a front of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import grpc

from otpc_policy.core.addresses import AddressVetting, Resolution, VettedAddress
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionStatus
from otpc_policy.engine.listening import bind, server_options
from otpc_policy.engine.service.servicer import MeasurementServicer
from otpc_policy.engine.stages import Stage, StageListener, unheard
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.v1 import measurement_pb2_grpc as rpc
from otpc_policy.ops.own_listeners import OwnListeners
from tests.support.facts import make_address

VETTING = AddressVetting([ip_network("127.0.0.0/8")])


def vetted(text: str) -> VettedAddress:
    one = VETTING.vet(text)
    assert isinstance(one, VettedAddress)
    return one


LOOPBACK = Resolution(
    status=ResolutionStatus.RESOLVED,
    addresses=(vetted("127.0.0.1"),),
    ttl=timedelta(seconds=30),
)


def target(**overrides: object) -> pb.Target:
    fields: dict[str, object] = {
        "host": "partner.test",
        "port": 443,
        "server_name": "partner.test",
        "address": "127.0.0.1",
        "depth": pb.DEPTH_STANDARD,
    }
    return pb.Target(**{**fields, **overrides})  # type: ignore[arg-type]


def start(**overrides: object) -> pb.MeasureRequest:
    return pb.MeasureRequest(start=pb.StartMeasurement(target=target(**overrides)))


ASK = pb.MeasureRequest(ask_partial=pb.AskPartial())


@dataclass
class World:
    """Scanner and resolver in one; a test changes what they do.

    gate: measurements wait for it. stages: a measurement enters. error: it raises.
    deadlines: that it was given. connections: that it may have at first; shares: later on.
    was_cancelled: one was. was_fresh: name servers had to be waited for.
    """

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    stages: tuple[Stage, ...] = ()
    error: Exception | None = None
    so_far: AddressFacts | None = None
    on_scan: Callable[[], None] = lambda: None
    deadlines: tuple[float | None, float | None] = (None, None)
    was_cancelled: bool = False
    queued: int = 3
    workers_alive: int = 2
    resolved: Resolution = LOOPBACK
    was_fresh: bool = False
    required_suites: tuple[frozenset[int], ...] = ()
    asks_groups: bool = False
    connections: int | None = None
    shares: list[tuple[str, int]] = field(default_factory=list)
    has_shared: asyncio.Event = field(default_factory=asyncio.Event)
    own_listeners: OwnListeners = field(default_factory=OwnListeners)
    perspective: str = ""

    async def measure(
        self,
        endpoint: Endpoint,
        address: VettedAddress,
        depth: Depth,
        *,
        scan_deadline_s: float | None = None,
        deep_deadline_s: float | None = None,
        required_suites: Collection[frozenset[int]] = (),
        asks_groups: bool = False,
        connections: Callable[[], int | None] = lambda: None,
        entered: StageListener = unheard,
    ) -> AddressFacts:
        self.connections = connections()
        assert endpoint.host == "partner.test"
        self.deadlines = scan_deadline_s, deep_deadline_s
        self.required_suites = tuple(required_suites)
        self.asks_groups = asks_groups
        for stage in self.stages:
            entered(stage)
        self.begun.set()
        self.on_scan()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.error is not None:
            raise self.error
        return replace(make_address(), address=address.text, depth=depth)

    def share_connections(self, address: VettedAddress, connections: int) -> None:
        self.shares.append((address.text, connections))
        self.has_shared.set()

    def glimpse(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None:
        return self.so_far

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        self.was_fresh = fresh
        if self.error is not None:
            raise self.error
        return self.resolved


@dataclass
class Served:
    """stub: generated. raw: the channel, for bytes that are no message."""

    servicer: MeasurementServicer
    stub: rpc.MeasurementServiceStub
    channel: grpc.aio.Channel


@asynccontextmanager
async def served(world: World, folder: Path) -> AsyncIterator[Served]:
    """Serve the world over a Unix socket while the context lasts."""
    servicer = MeasurementServicer(
        scanner=world,
        resolver=world,
        vetting=VETTING,
        concurrent_scans=32,
        own_listeners=world.own_listeners,
        perspective=world.perspective,
    )
    server = grpc.aio.server(options=server_options())
    servicer.add_to(server)
    address = bind(server, f"unix:{folder / 'engine'}", None)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            stub = rpc.MeasurementServiceStub(channel)  # type: ignore[no-untyped-call]
            yield Served(servicer, stub, channel)
    finally:
        await server.stop(None)
