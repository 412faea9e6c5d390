"""What no measurement can show, a router's own connection does: real servers, a real service."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy_client import (
    AsyncPolicyClient,
    PolicyClient,
    TrafficNotPermitted,
)
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.routing import count, digest, paid, question
from tests.end_to_end.running import PATIENCE_S, Service, running_service
from tests.end_to_end.world import World
from tests.support.certificates import Issued, self_signed
from tests.support.hostile.endpoint import SIX, TLS13
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.turns import where
from tests.support.loopback import Listener, own_listener
from tests.support.relay import relay_to
from tests.support.servers import TlsOffer, nginx
from tests.support.servers.threaded import tls_server
from tests.support.tcp import Connection, counting_server

NOT_JUDGED = "OBSERVED_LEAF_NOT_JUDGED"
_ROUTERS = 4
# RFC 5746: it stands in OpenSSL's hello after the suites.
_RENEGOTIATION_INFO = 0x00FF


@pytest.fixture(scope="module")
def loop_service(world: World) -> Iterator[Service]:
    """A service of its own, so that its metrics count these tests' measurements alone.

    A report may force one measurement in a minute: longer than any of these tests.
    """
    settings = world.settings().model_copy(update={"minimum_refresh_interval_s": 60.0})
    with running_service(settings) as running:
        yield running


@pytest.fixture
def router(loop_service: Service) -> Iterator[PolicyClient]:
    with PolicyClient(loop_service.address, cache=None) as client:
        yield client


@dataclass
class Switch:
    """A balancer that leads to one server now and to another later."""

    target: Listener

    async def __call__(self, connection: Connection) -> None:
        await relay_to(self.target)(connection)


def is_the_routers(hello: SeenHello) -> bool:
    """Whether it offers what the default policy lets a client offer, and nothing else."""
    permitted = SIX | TLS13 | {_RENEGOTIATION_INFO}
    return hello.highest is TlsVersion.TLS_1_3 and permitted == hello.offered


@dataclass
class TwoFaces:
    """A partner with one leaf for measurements and another for the router.

    heard: what the router sent to the server behind the other face.
    """

    at: Listener
    heard: list[bytes] = field(default_factory=list)


@contextmanager
def two_faces(at: Listener, honest: Issued, other: Issued) -> Iterator[TwoFaces]:
    faces = TwoFaces(at)

    def hear(connection: socket.socket) -> None:
        received = connection.recv(4096)
        if received:
            faces.heard.append(received)

    behind = own_listener(), own_listener()
    with (
        nginx(behind[0], TlsOffer(certificates=(honest,))) as to_measurements,
        tls_server(behind[1], TlsOffer(certificates=(other,)), hear) as to_router,
        counting_server(at, where(is_the_routers, relay_to(to_router), relay_to(to_measurements))),
    ):
        yield faces


def test_every_answer_names_the_leaves_and_how_to_connect(
    world: World, loop_service: Service
) -> None:
    partner = world.partner()
    rsa, ec = world.pair(partner.name)
    with nginx(partner.listener(), TlsOffer(certificates=(rsa, ec))) as at:
        answers = [
            loop_service.check(partner, at, view=view)
            for view in (pb.VIEW_BASIC, pb.VIEW_FULL, pb.VIEW_BASIC)
        ]
    for answer in answers:
        assert decision_of(answer) == "ALLOW", summary(answer)
        assert list(answer.judged_certificates) == [
            pb.JudgedCertificate(
                leaf_sha256=digest(each), spki_sha256=bytes.fromhex(each.spki_sha256)
            )
            for each in sorted((rsa, ec), key=digest)
        ]
        assert answer.connection_terms == pb.ConnectionTerms(
            server_name=partner.name,
            versions=[pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3],
            cipher_suites=sorted({*range(0x1301, 0x1306), *SIX}),
        )
    assert not answers[0].HasField("observation")
    of_facts = {
        deployment.certificates[0].sha256
        for address in answers[1].observation.addresses
        for deployment in address.certificate_deployments
        if deployment.certificates
    }
    assert {each.leaf_sha256.hex() for each in answers[1].judged_certificates} == of_facts
    sources = [answer.result_info.source for answer in answers[1:]]
    assert sources == [pb.RESULT_SOURCE_CACHE] * 2


@pytest.mark.parametrize("versions", [("1.2",), ("1.2", "1.3")])
def test_a_connection_as_judged_works_over_each_version(
    world: World, router: PolicyClient, versions: tuple[str, ...]
) -> None:
    partner = world.partner()
    leaf = world.leaf(partner.name)
    with nginx(partner.listener(), TlsOffer(certificates=(leaf,), versions=versions)) as at:
        with router.connect(question(partner, at), timeout_s=PATIENCE_S) as connection:
            assert connection.leaf_sha256 == digest(leaf)
            assert connection.address == at.address
            assert connection.socket.version() == f"TLSv{versions[-1]}"
            assert paid(connection) == 200
        assert connection.answer.decision == int(pb.DECISION_ALLOW)


async def test_the_same_for_asyncio(world: World, loop_service: Service) -> None:
    partner = world.partner()
    leaf = world.leaf(partner.name)
    with nginx(partner.listener(), TlsOffer(certificates=(leaf,))) as at:
        async with AsyncPolicyClient(loop_service.address, cache=None) as client:
            asked = question(partner, at)
            async with await client.connect(asked, timeout_s=PATIENCE_S) as connection:
                connection.writer.write(b"GET / HTTP/1.0\r\n\r\n")
                assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200")
                assert connection.leaf_sha256 == digest(leaf)


def test_a_pinned_self_signed_partner_is_connected_to_without_any_root(
    world: World, router: PolicyClient
) -> None:
    with (
        nginx(world.pinned.listener(), TlsOffer(certificates=(world.pinned_leaf,))) as at,
        router.connect(question(world.pinned, at), timeout_s=PATIENCE_S) as connection,
    ):
        assert paid(connection) == 200


def test_a_certificate_renewed_under_a_routers_traffic_fails_no_connection(
    world: World, loop_service: Service, router: PolicyClient
) -> None:
    partner = world.partner()
    old, renewed = world.leaf(partner.name), world.leaf(partner.name)
    at, is_over = partner.listener(), threading.Event()
    before_all = count(loop_service)
    routes: list[Future[None]] = []
    met: list[tuple[float, bytes]] = []
    longest_s = 0.0

    def route() -> None:
        nonlocal longest_s
        while not is_over.is_set():
            began = time.monotonic()
            with router.connect(question(partner, at), timeout_s=PATIENCE_S) as connection:
                assert paid(connection) == 200
            longest_s = max(longest_s, time.monotonic() - began)
            met.append((began, connection.leaf_sha256))

    def until_met(leaf: Issued, times: int) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while [seen for _, seen in met].count(digest(leaf)) < times:
            assert time.monotonic() < give_up_at
            assert not any(each.done() for each in routes), "a connection failed"
            time.sleep(0.01)

    with (
        nginx(own_listener(), TlsOffer(certificates=(old,))) as before,
        nginx(own_listener(), TlsOffer(certificates=(renewed,))) as after,
    ):
        balancer = Switch(before)
        with counting_server(at, balancer), ThreadPoolExecutor(_ROUTERS) as routers:
            routes += [routers.submit(route) for _ in range(_ROUTERS)]
            try:
                until_met(old, 20 * _ROUTERS)
                renewed_at = time.monotonic()
                balancer.target = after
                until_met(renewed, 20 * _ROUTERS)
            finally:
                is_over.set()
            # A connection that failed raises here.
            for each in routes:
                each.result(PATIENCE_S)
    assert {leaf for began, leaf in met if began > renewed_at} == {digest(renewed)}
    counted = count(loop_service) - before_all
    assert counted["scans"] == 2, "one for the first answer, one for all reports"
    assert counted.keys() <= {"scans", "seen", "known"}
    assert counted["seen"] >= 1
    # Whoever met the renewed leaf waited for a measurement, and for nothing longer.
    assert longest_s < 5


@pytest.mark.parametrize("kind", ["as good", "self-signed", "expired"])
def test_a_server_with_another_leaf_for_the_router_never_gets_a_connection(
    world: World, loop_service: Service, router: PolicyClient, kind: str
) -> None:
    partner = world.partner()
    other = {
        "as good": world.leaf,
        "self-signed": lambda name: self_signed(dns=(name,)),
        "expired": world.expired_leaf,
    }[kind](partner.name)
    honest, before = world.leaf(partner.name), count(loop_service)
    with two_faces(partner.listener(), honest, other) as faces:
        for _ in range(5):
            with pytest.raises(TrafficNotPermitted, match=NOT_JUDGED) as raised:
                router.connect(question(partner, faces.at), timeout_s=PATIENCE_S)
            answer = raised.value.answer
            assert [each.leaf_sha256 for each in answer.judged_certificates] == [digest(honest)]
            assert answer.retry_after.ToTimedelta() <= timedelta(seconds=60)
        # Whoever does not report is answered as ever.
        assert decision_of(loop_service.check(partner, faces.at)) == "ALLOW"
    assert faces.heard == []
    assert count(loop_service) - before == {"scans": 2, "unseen": 1, "limited": 4}


async def test_nor_from_asyncio(world: World, loop_service: Service) -> None:
    partner = world.partner()
    honest, other = world.leaf(partner.name), world.leaf(partner.name)
    with two_faces(partner.listener(), honest, other) as faces:
        async with AsyncPolicyClient(loop_service.address, cache=None) as client:
            with pytest.raises(TrafficNotPermitted, match=NOT_JUDGED):
                await client.connect(question(partner, faces.at), timeout_s=PATIENCE_S)
    await asyncio.sleep(0)
    assert faces.heard == []


def test_random_hashes_cause_one_measurement_whoever_sends_them(
    world: World, loop_service: Service
) -> None:
    partner = world.partner()
    chance, before = Random(13), count(loop_service)
    with nginx(partner.listener(), TlsOffer(certificates=(world.leaf(partner.name),))) as at:
        assert decision_of(loop_service.check(partner, at)) == "ALLOW"

        def hashed() -> pb.CheckEndpointRequest:
            return pb.CheckEndpointRequest(
                host=partner.name, port=at.port, observed_leaf_sha256=chance.randbytes(32)
            )

        batch = pb.BatchCheckEndpointsRequest(requests=[hashed() for _ in range(100)])
        results = loop_service.stub.BatchCheckEndpoints(batch, timeout=PATIENCE_S).results
        answers = [result.response for result in results]
        for _ in range(20):
            answers.append(loop_service.stub.CheckEndpoint(hashed(), timeout=PATIENCE_S))
        # Other ports, depths and policies are no way round it for the same endpoint.
        for policy in ("otpc-2024-12-strict", "trial"):
            asked = hashed()
            asked.policy = policy
            answers.append(loop_service.stub.CheckEndpoint(asked, timeout=PATIENCE_S))
        assert "ALLOW" not in {decision_of(answer) for answer in answers}
        assert all(
            NOT_JUDGED in {finding.code for finding in answer.findings} for answer in answers
        )
        assert (count(loop_service) - before)["scans"] == 2
        assert decision_of(loop_service.check(partner, at)) == "ALLOW"
