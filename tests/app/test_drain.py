"""Serving and draining: who is notified, who is refused, who is waited for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any, TypeAlias

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from otpc_policy.app.application import build_application
from otpc_policy.app.serving import Service
from otpc_policy.app.settings import Settings
from otpc_policy.app.stopping import Stopping
from otpc_policy.core.addresses import AddressVetting, Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import AddressFacts, Depth, ResolutionStatus, Support, TlsService
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc

HealthWatch: TypeAlias = (
    "grpc.aio.UnaryStreamCall[health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse]"
)


class GatedEngines:
    """Reports "nothing answered" once the gate is open; hosts are IP literals."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.measuring = asyncio.Event()
        self.workers_alive = 0
        self.queued = 0
        self.resolving = 0
        self.engines_wanted = self.engines_up = 1
        self.tasks = 0
        self.reaped = False

    def probe_revision(self, address: VettedAddress) -> str:
        return "1"

    async def start(self) -> None:
        self.workers_alive = 1

    async def stop(self) -> None:
        self.workers_alive = 0
        self.reaped = True

    async def partial(self, endpoint: Endpoint, address: VettedAddress, depth: Depth) -> None:
        return None

    def known(self, host: str) -> Resolution:
        address = AddressVetting([ip_network("127.0.0.0/8")]).vet(host)
        assert isinstance(address, VettedAddress)
        return Resolution(status=ResolutionStatus.RESOLVED, addresses=(address,))

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        return self.known(host)

    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts:
        self.measuring.set()
        await self.gate.wait()
        return AddressFacts(
            address=address.text,
            observed_at=datetime.now(UTC),
            duration=timedelta(),
            connections_used=1,
            depth=depth,
            reachable=Support.UNKNOWN,
            tls=TlsService.UNKNOWN,
        )


def _checks(channel: grpc.aio.Channel) -> rpc.PolicyCheckServiceStub:
    return rpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]  # generated without annotations


class Running:
    """A service in this process."""

    def __init__(self, drain_grace_s: float = 30.0, drain_delay_s: float = 0.0) -> None:
        self.engines = GatedEngines()
        self.stopping = Stopping()
        settings = Settings(
            listen="127.0.0.1:0",
            ops_listen="127.0.0.1:0",
            allow_networks=["127.0.0.0/8"],
            drain_grace_s=drain_grace_s,
            drain_delay_s=drain_delay_s,
        )
        self.service = Service(build_application(settings, engines=self.engines))
        self._addresses: asyncio.Future[tuple[str, str]] = (
            asyncio.get_running_loop().create_future()
        )
        self.run = asyncio.create_task(
            self.service.run(lambda *both: self._addresses.set_result(both), self.stopping)
        )

    async def addresses(self) -> tuple[str, str]:
        self.run.add_done_callback(self._gave_up)
        return await self._addresses

    def _gave_up(self, run: "asyncio.Task[None]") -> None:
        if not self._addresses.done():
            self._addresses.set_exception(
                run.exception() or AssertionError("ended before it served")
            )

    async def check(self, channel: grpc.aio.Channel) -> pb.CheckEndpointResponse:
        request = pb.CheckEndpointRequest(host="127.0.0.1", port=4433)
        response: pb.CheckEndpointResponse = await _checks(channel).CheckEndpoint(
            request, timeout=30
        )
        return response


@asynccontextmanager
async def _running(
    drain_grace_s: float = 30.0, drain_delay_s: float = 0.0
) -> AsyncIterator[tuple[Running, grpc.aio.Channel, str]]:
    running = Running(drain_grace_s, drain_delay_s)
    address, ops_address = await running.addresses()
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            yield running, channel, ops_address
        finally:
            running.stopping.ask(delayed=False)
            running.stopping.ask(delayed=False)
            await running.run
            assert running.engines.reaped


async def test_a_stop_ends_a_start_that_hangs() -> None:
    class Hanging(GatedEngines):
        async def start(self) -> None:
            self.measuring.set()
            await self.gate.wait()

    engines, stopping = Hanging(), Stopping()
    settings = Settings(listen="127.0.0.1:0", ops_listen="127.0.0.1:0")
    service = Service(build_application(settings, engines=engines))
    run = asyncio.create_task(service.run(None, stopping))
    await engines.measuring.wait()
    stopping.ask(delayed=True)
    async with asyncio.timeout(5):
        await run


async def _probe(ops_address: str, path: str) -> str:
    host, _, port = ops_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer.split(" ")[1] + " " + answer.rpartition("\r\n\r\n")[2].strip()


async def test_a_call_in_flight_is_answered_and_new_ones_are_refused() -> None:
    async with _running() as (running, channel, ops_address):
        assert await _probe(ops_address, "/readyz") == "200 ok"
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        in_flight = asyncio.create_task(running.check(channel))
        await running.engines.measuring.wait()
        running.stopping.ask(delayed=True)
        await _not_serving(watch)
        assert await _probe(ops_address, "/readyz") == "503 draining"
        assert await _probe(ops_address, "/livez") == "200 ok"
        await _told_to_go_away(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await running.check(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not running.run.done()
        running.engines.gate.set()
        assert (await in_flight).decision == pb.DECISION_INDETERMINATE
        await asyncio.wait_for(running.run, 5)


async def _not_serving(watch: HealthWatch) -> None:
    async for answer in watch:
        if answer.status == health_pb2.HealthCheckResponse.NOT_SERVING:
            return
    pytest.fail("the watch ended without NOT_SERVING")


async def _told_to_go_away(channel: grpc.aio.Channel) -> None:
    """Wait until the client knows: a call that it sends before that may end as CANCELLED."""
    async with asyncio.timeout(5):
        while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
            await channel.wait_for_state_change(state)


async def test_calls_are_answered_in_the_lame_duck_period_and_a_second_signal_ends_it() -> None:
    async with _running(drain_delay_s=60.0) as (running, channel, ops_address):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        running.stopping.ask(delayed=True)
        await _not_serving(watch)
        assert await _probe(ops_address, "/readyz") == "503 draining"
        assert await _probe(ops_address, "/livez") == "200 ok"
        await _checks(channel).ListPolicies(pb.ListPoliciesRequest(), timeout=10)
        async with grpc.aio.insecure_channel((await running.addresses())[0]) as newcomer:
            await _checks(newcomer).ListPolicies(pb.ListPoliciesRequest(), timeout=10)
        assert not running.run.done()
        running.stopping.ask(delayed=True)
        await asyncio.wait_for(running.run, 10)


async def test_the_drain_goes_on_after_the_lame_duck_period() -> None:
    async with _running(drain_delay_s=0.2) as (running, _channel, _ops_address):
        running.stopping.ask(delayed=True)
        await asyncio.wait_for(running.run, 10)


async def test_a_person_at_a_terminal_does_not_wait_for_load_balancers() -> None:
    async with _running(drain_delay_s=60.0) as (running, channel, _ops_address):
        in_flight = asyncio.create_task(running.check(channel))
        await running.engines.measuring.wait()
        running.stopping.ask(delayed=False)
        await _told_to_go_away(channel)
        running.engines.gate.set()
        assert (await in_flight).decision == pb.DECISION_INDETERMINATE
        await asyncio.wait_for(running.run, 10)


async def test_health_watchers_are_notified_and_do_not_hold_up_the_drain() -> None:
    async with _running() as (running, channel, _ops_address):
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service="otpc_policy.v1.PolicyCheckService")
        )
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        running.stopping.ask(delayed=True)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await asyncio.wait_for(running.run, 5)


async def test_callers_that_call_again_at_once_are_answered_or_refused_in_full() -> None:
    """Never CANCELLED, which no client retries, and never a status without details."""
    async with _running() as (running, channel, _ops_address):
        stub = _checks(channel)
        all_busy = asyncio.Barrier(21)
        refused = []

        async def busy() -> None:
            await stub.ListPolicies(pb.ListPoliciesRequest(), timeout=10)
            await all_busy.wait()
            while True:
                try:
                    await stub.ListPolicies(pb.ListPoliciesRequest(), timeout=10)
                except grpc.aio.AioRpcError as error:
                    if "failed to connect" in (error.details() or ""):
                        return
                    refused.append(error)

        callers = [asyncio.create_task(busy()) for _ in range(20)]
        await all_busy.wait()
        running.stopping.ask(delayed=True)
        await asyncio.wait_for(running.run, 10)
        await asyncio.wait_for(asyncio.gather(*callers), 10)
        assert len(refused) >= len(callers)
        for error in refused:
            assert _refusal(error) == ("UNAVAILABLE", "SERVICE_UNAVAILABLE", True)


async def test_health_is_told_to_the_end_of_the_drain() -> None:
    async with _running() as (running, channel, _ops_address):
        in_flight = asyncio.create_task(running.check(channel))
        await running.engines.measuring.wait()
        running.stopping.ask(delayed=True)
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        await _not_serving(watch)
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        running.engines.gate.set()
        await in_flight


def _refusal(error: grpc.aio.AioRpcError) -> tuple[str, str, bool]:
    """Return the status of an error, the reason in ErrorInfo, and whether RetryInfo is there."""
    trailers: Any = error.trailing_metadata() or ()
    metadata = dict(trailers)
    details = status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b"")).details
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    found = [detail.Unpack(info) or detail.Unpack(retry) for detail in details]
    return error.code().name, info.reason, all(found) and retry.HasField("retry_delay")


@pytest.mark.parametrize("by_signal", [True, False])
async def test_a_call_that_does_not_end_is_abandoned_at_the_grace_or_on_the_second_signal(
    by_signal: bool,
) -> None:
    async with _running(drain_grace_s=30.0 if by_signal else 0.05) as (
        running,
        channel,
        _ops_address,
    ):
        in_flight = asyncio.create_task(running.check(channel))
        await running.engines.measuring.wait()
        running.stopping.ask(delayed=True)
        if by_signal:
            running.stopping.ask(delayed=True)
        await asyncio.wait_for(running.run, 5)
        with pytest.raises(grpc.aio.AioRpcError) as abandoned:
            await in_flight
        assert _refusal(abandoned.value) == ("UNAVAILABLE", "SERVICE_UNAVAILABLE", True)


async def test_a_port_in_use_is_a_problem_of_the_configuration_and_leaves_nothing_behind() -> None:
    async with _running() as (_running_service, _channel, ops_address):
        for name in ("ops_listen", "listen"):
            settings = Settings(
                **{"listen": "127.0.0.1:0", "ops_listen": "127.0.0.1:0", name: ops_address}
            )
            engines = GatedEngines()
            service = Service(build_application(settings, engines=engines))
            with pytest.raises(
                ConfigurationError, match=f"{name}: cannot listen on {ops_address}: "
            ):
                await service.run(None, Stopping())
            assert engines.workers_alive == 0
