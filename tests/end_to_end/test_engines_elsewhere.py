"""A service whose engine runs apart from it: over mutual TLS, gone for a while, and lying."""

import asyncio
import socket
import ssl
import threading
import time
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
from tests.support.certificates import CertificateAuthority
from tests.support.engine_program import engine_program, mutual_tls
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer, nginx
from tests.support.waiting import wait_until


def judged(world: World, service: Service) -> pb.CheckEndpointResponse:
    partner = world.partner()
    with nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at:
        return service.check(partner, at)


def test_a_partner_is_judged_through_an_engine_over_mutual_tls(
    world: World, tmp_path: Path
) -> None:
    keys = mutual_tls(tmp_path)
    with running_service(world.settings(**keys.settings)) as service:
        assert not service.is_ready()
        for _ in range(2):
            with engine_program(*keys.options):
                wait_until(service.is_ready, 30)
                response = judged(world, service)
                assert decision_of(response) == "ALLOW", summary(response)
            wait_until(lambda: not service.is_ready())


class _Calls(threading.Thread):
    """Measures a partner again and again while the context lasts, and keeps what is answered."""

    def __init__(self, service: Service, partner: Partner, at: Listener) -> None:
        super().__init__(daemon=True)
        self._service, self._partner, self._at = service, partner, at
        self._is_over = threading.Event()
        self.answers: list[str] = []

    def __enter__(self) -> "_Calls":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self.join(30)

    def run(self) -> None:
        refresh = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
        while not self._is_over.is_set():
            try:
                response = self._service.check(self._partner, self._at, freshness=refresh)
            except grpc.RpcError as error:
                self.answers.append(str(error))
            else:
                source = pb.ResultSource.Name(response.result_info.source)
                self.answers.append(f"{decision_of(response)} {source}")

    def go_on(self, within_s: float = 1.0) -> None:
        """Return after so long, in which files are looked at, and at least two more answers."""
        before, until_s = len(self.answers), time.monotonic() + within_s
        wait_until(lambda: time.monotonic() > until_s and len(self.answers) > before + 1, 30)


def certificate_at(port: int) -> bytes:
    """Return what the engine shows to a new connection, DER."""
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        anyone.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.getpeercert(binary_form=True) or b""


def test_every_certificate_and_the_authority_are_replaced_while_calls_go_on(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_LOOK_S", 0.2)
    keys, successor = mutual_tls(tmp_path), CertificateAuthority.create("Of next year")
    partner = world.partner()
    with (
        nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at,
        running_service(world.settings(**keys.settings)) as service,
    ):
        with engine_program(*keys.options):
            wait_until(service.is_ready, 30)
            with _Calls(service, partner, at) as calls:
                keys.trust(keys.authority, successor)
                calls.go_on()
                for owner, leaf in (
                    ("engine", keys.issue_for_engine(successor)),
                    ("front", keys.issue_for_front(successor)),
                ):
                    keys.replace_certificate(owner, leaf)
                    calls.go_on()  # the key is still that of the former certificate
                    keys.replace_key(owner, leaf)
                    calls.go_on()
                    if owner == "engine":
                        assert certificate_at(keys.port) == leaf.der
                keys.trust(successor)
                calls.go_on()
            assert set(calls.answers) == {"ALLOW RESULT_SOURCE_MEASURED"}
        # Nothing of before is accepted by an engine that starts now, nor by the service.
        with engine_program(*keys.options):
            wait_until(service.is_ready, 30)
            response = service.check(
                partner, at, freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
            )
    assert decision_of(response) == "ALLOW", summary(response)


def test_without_its_engine_the_service_judges_nothing_and_says_so(
    world: World, tmp_path: Path
) -> None:
    address = f"unix:{tmp_path}/engine"
    with running_service(world.settings(engine_addresses=[address])) as service:
        with engine_program("--listen", address):
            wait_until(service.is_ready)
        wait_until(lambda: not service.is_ready())
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
            wait_until(service.is_ready)
            response = judged(world, service)
            assert service.metric('otpc_policy_scans_total{outcome="failed"}') == 1
    finally:
        liar.end()
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert {finding.code for finding in response.findings} == {"SCAN_FAILED"}
