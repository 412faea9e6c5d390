"""A service whose engine runs apart from it: over mutual TLS, gone for a while, and lying."""

import asyncio
import contextlib
import threading
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest

from otpc_policy.engines import remote
from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.running import Service, running_service
from tests.end_to_end.world import Partner, World
from tests.engines.lies import LIES
from tests.engines.lying import lying_engine
from tests.support.engine_program import engine_program, mutual_tls
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer, nginx
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long


def is_ready(service: Service) -> bool:
    with (
        contextlib.suppress(urllib.error.HTTPError),
        urllib.request.urlopen(f"http://{service.ops_address}/readyz", timeout=5) as answer,
    ):
        return bool(answer.status == 200)
    return False


def judged(world: World, service: Service) -> pb.CheckEndpointResponse:
    partner = world.partner()
    with nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at:
        return service.check(partner, at)


def test_a_partner_is_judged_through_an_engine_over_mutual_tls(
    world: World, tmp_path: Path
) -> None:
    keys = mutual_tls(tmp_path)
    with running_service(world.settings(**keys.settings)) as service:
        assert not is_ready(service)
        for _ in range(2):
            with engine_program(*keys.options):
                wait_until(lambda: is_ready(service), 30)
                response = judged(world, service)
                assert decision_of(response) == "ALLOW", summary(response)
            wait_until(lambda: not is_ready(service))


class _Caller(threading.Thread):
    """Has the same partner measured again and again until it is stopped."""

    def __init__(self, service: Service, partner: Partner, at: Listener) -> None:
        super().__init__(daemon=True)
        self._service, self._partner, self._at = service, partner, at
        self.decisions: list[str] = []
        self._is_over = threading.Event()

    def run(self) -> None:
        anew = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
        while not self._is_over.is_set():
            try:
                response = self._service.check(self._partner, self._at, freshness=anew)
            except grpc.RpcError as error:
                self.decisions.append(str(error))
            else:
                is_new = response.result_info.source == pb.RESULT_SOURCE_MEASURED
                self.decisions.append(decision_of(response) if is_new else "not measured")

    def wait_for_a_whole_call(self) -> None:
        """Wait until a call has ended that began after this."""
        enough = len(self.decisions) + 2
        wait_until(lambda: len(self.decisions) >= enough, 30)

    def end(self) -> None:
        self._is_over.set()
        self.join(60)


def test_both_sides_change_their_certificates_and_no_call_fails(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file at a time, so that halves of a pair stand side by side; then a new connection."""
    monkeypatch.setattr(remote, "_LOOK_S", 0.05)
    keys = mutual_tls(tmp_path)
    partner = world.partner()
    with (
        nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at,
        running_service(world.settings(**keys.settings)) as service,
    ):
        caller = _Caller(service, partner, at)
        with engine_program(*keys.options):
            wait_until(lambda: is_ready(service), 30)
            caller.start()
            for _file in keys.rotation():
                caller.wait_for_a_whole_call()
            caller.end()
        with engine_program(*keys.options):
            wait_until(lambda: is_ready(service), 30)
            response = judged(world, service)
    assert set(caller.decisions) == {"ALLOW"}
    assert decision_of(response) == "ALLOW", summary(response)


def test_without_its_engine_the_service_judges_nothing_and_says_so(
    world: World, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/engine"
    with running_service(world.settings(engine_addresses=[address])) as service:
        with engine_program("--listen", address):
            wait_until(lambda: is_ready(service))
        wait_until(lambda: not is_ready(service))
        response = judged(world, service)
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert {finding.code for finding in response.findings} == {"SCAN_FAILED"}


class _Liar(threading.Thread):
    """A lying engine in a thread of its own."""

    def __init__(self, folder: Path, lie: str) -> None:
        super().__init__(daemon=True)
        self._folder, self._lie = folder, lie
        self.ready, self._is_over = threading.Event(), asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with lying_engine(self._folder, LIES[self._lie]):
            self.ready.set()
            await self._is_over.wait()

    def end(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._is_over.set)
        self.join(10)


@pytest.mark.parametrize("lie", ["a chain of half a million", "NaN", "another host"])
def test_a_lie_is_one_scan_that_failed(world: World, tmp_path: Path, lie: str) -> None:
    liar = _Liar(tmp_path, lie)
    liar.start()
    assert liar.ready.wait(10)
    try:
        settings = world.settings(engine_addresses=[f"unix:{tmp_path}/liar"])
        with running_service(settings) as service:
            wait_until(lambda: is_ready(service))
            response = judged(world, service)
            assert service.metric('otpc_policy_scans_total{outcome="failed"}') == 1
    finally:
        liar.end()
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert {finding.code for finding in response.findings} == {"SCAN_FAILED"}
