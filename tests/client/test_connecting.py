"""A connection is as judged, or there is none: real TLS servers, and a service that a test scripts.

Every test is made for threads and for asyncio.
"""

import asyncio
import hashlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy_client import (
    AsyncPolicyClient,
    MakeContext,
    NotAsJudged,
    Overloaded,
    PolicyClient,
    TrafficNotPermitted,
    check_request,
    client_context,
    keeping_terms,
)
from otpc_policy_client.v1 import policy_pb2 as pb
from tests.client.serving import service
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.hostile import stall
from tests.support.loopback import Listener, free_port, own_address, own_listener
from tests.support.servers import OTPC_CIPHERS, TlsOffer
from tests.support.servers.threaded import tls_server
from tests.support.tcp import counting_server
from tests.support.waiting import wait_until

HOST = "partner.test"
AUTHORITY = CertificateAuthority.create()
LEAF, OTHER, THIRD = (AUTHORITY.issue(dns=(HOST,)) for _ in range(3))
SIX = {
    suite.code_point
    for name in OTPC_CIPHERS.split(":")
    if (suite := suite_by_name(name)) is not None
}
# Long enough for a slow machine, and what no test may reach.
PATIENCE_S = 20.0


def digest(issued: Issued) -> bytes:
    return hashlib.sha256(issued.der).digest()


@dataclass
class Scripted:
    """Answers with these responses in turn, the last one for ever."""

    answers: Sequence[pb.CheckEndpointResponse] = ()
    asked: list[pb.CheckEndpointRequest] = field(default_factory=list)

    def CheckEndpoint(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        if not self.answers:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded")
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@dataclass
class Heard:
    """What reached the partner's server inside of TLS, and how many connections ended."""

    content: list[bytes] = field(default_factory=list)
    ended: int = 0

    def __call__(self, connection: socket.socket) -> None:
        try:
            while received := connection.recv(4096):
                self.content.append(received)
                connection.sendall(received)
        finally:
            self.ended += 1


@contextmanager
def partner(
    *certificates: Issued, at: Listener | None = None, versions: tuple[str, ...] = ("1.2", "1.3")
) -> Iterator[tuple[Listener, Heard]]:
    heard = Heard()
    offer = TlsOffer(certificates=certificates, versions=versions)
    with tls_server(at or own_listener(), offer, heard) as running:
        yield running, heard


def allow(at: Listener, *leaves: Issued, **overrides: Any) -> pb.CheckEndpointResponse:
    fields: dict[str, Any] = {
        "decision": pb.DECISION_ALLOW,
        "evaluated_decision": pb.DECISION_ALLOW,
        "canonical_endpoint": f"{HOST}:{at.port}",
        "judged_addresses": [at.address],
        "judged_certificates": [pb.JudgedCertificate(leaf_sha256=digest(each)) for each in leaves],
        "connection_terms": terms(),
    }
    answer = pb.CheckEndpointResponse(**{**fields, **overrides})
    answer.result_info.evaluation_time.GetCurrentTime()
    answer.result_info.expire_time.FromDatetime(datetime.now(UTC) + timedelta(minutes=5))
    return answer


def terms(**overrides: Any) -> pb.ConnectionTerms:
    return pb.ConnectionTerms(
        **{
            "server_name": HOST,
            "versions": [pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3],
            "cipher_suites": [*range(0x1301, 0x1306), *SIX],
            **overrides,
        }
    )


# What a router learns of its connection: the leaf, the address, what came back.
Met = tuple[bytes, str, bytes]
Connect = Callable[..., Met]


def connect_in_a_thread(
    port: int,
    at: Listener,
    *,
    timeout_s: float = PATIENCE_S,
    make_context: MakeContext = client_context,
    **options: Any,
) -> Met:
    with PolicyClient(f"127.0.0.1:{port}") as client:
        connection = client.connect(
            check_request(HOST, port=at.port),
            timeout_s=timeout_s,
            make_context=make_context,
            **options,
        )
        with connection:
            assert connection.socket.gettimeout() == timeout_s
            connection.socket.sendall(b"payment")
            return connection.leaf_sha256, connection.address, connection.socket.recv(100)


def connect_with_asyncio(
    port: int,
    at: Listener,
    *,
    timeout_s: float = PATIENCE_S,
    make_context: MakeContext = client_context,
    **options: Any,
) -> Met:
    async def connect() -> Met:
        async with AsyncPolicyClient(f"127.0.0.1:{port}") as client:
            connection = await client.connect(
                check_request(HOST, port=at.port),
                timeout_s=timeout_s,
                make_context=make_context,
                **options,
            )
            async with connection:
                connection.writer.write(b"payment")
                echoed = await connection.reader.read(100)
            await connection.writer.wait_closed()
            return connection.leaf_sha256, connection.address, echoed

    return asyncio.run(connect())


both = pytest.mark.parametrize("connect", [connect_in_a_thread, connect_with_asyncio])


@both
def test_a_connection_that_meets_a_judged_leaf_carries_traffic(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> Any:
        raise AssertionError("the name was resolved again")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with partner(LEAF) as (at, heard):
        scripted = Scripted([allow(at, OTHER, LEAF)])
        with service(scripted) as port:
            assert connect(port, at) == (digest(LEAF), at.address, b"payment")
    assert heard.content == [b"payment"]
    assert [each.observed_leaf_sha256 for each in scripted.asked] == [b""]


@both
def test_another_leaf_is_reported_and_the_new_answer_decides(connect: Connect) -> None:
    with partner(OTHER) as (at, heard):
        scripted = Scripted([allow(at, LEAF), allow(at, LEAF, OTHER)])
        with service(scripted) as port:
            assert connect(port, at)[0] == digest(OTHER)
        wait_until(lambda: heard.ended == 2)
    assert heard.content == [b"payment"]
    assert [each.observed_leaf_sha256 for each in scripted.asked] == [b"", digest(OTHER)]
    assert {(each.host, each.port) for each in scripted.asked} == {(HOST, at.port)}


@both
@pytest.mark.parametrize("decision", [pb.DECISION_DENY, pb.DECISION_INDETERMINATE])
def test_an_answer_to_the_report_that_does_not_allow_ends_it(
    connect: Connect, decision: pb.Decision.ValueType
) -> None:
    with partner(OTHER) as (at, heard):
        scripted = Scripted([allow(at, LEAF), allow(at, LEAF, decision=decision)])
        with service(scripted) as port, pytest.raises(TrafficNotPermitted):
            connect(port, at)
        wait_until(lambda: heard.ended == 1)
    assert (heard.content, len(scripted.asked)) == ([], 2)


@both
def test_a_leaf_that_differs_twice_is_closed_twice_and_raises(connect: Connect) -> None:
    with partner(OTHER) as (at, heard):
        scripted = Scripted([allow(at, LEAF), allow(at, LEAF, THIRD)])
        with service(scripted) as port, pytest.raises(NotAsJudged) as raised:
            connect(port, at)
        wait_until(lambda: heard.ended == 2)
    assert raised.value.observed_leaf_sha256 == digest(OTHER)
    assert (heard.content, len(scripted.asked)) == ([], 2)


@both
def test_a_suite_of_tls_1_3_that_is_not_permitted_is_closed(connect: Connect) -> None:
    with partner(LEAF) as (at, heard):
        # OpenSSL prefers TLS_AES_256_GCM_SHA384, and offers it whatever set_ciphers says.
        only = terms(versions=[pb.TLS_VERSION_TLS_1_3], cipher_suites=[0x1304])
        scripted = Scripted([allow(at, LEAF, connection_terms=only)])
        with service(scripted) as port, pytest.raises(NotAsJudged, match="cipher suite"):
            connect(port, at)
        wait_until(lambda: heard.ended == 1)
    assert (heard.content, len(scripted.asked)) == ([], 1)


@both
def test_a_server_without_a_permitted_version_gets_no_connection(connect: Connect) -> None:
    with partner(LEAF, versions=("1.2",)) as (at, heard):
        only = terms(versions=[pb.TLS_VERSION_TLS_1_3], cipher_suites=[0x1301, 0x1302])
        scripted = Scripted([allow(at, LEAF, connection_terms=only)])
        with service(scripted) as port, pytest.raises(ssl.SSLError):
            connect(port, at)
    assert heard.content == []


@both
def test_what_a_policy_on_trial_denies_gets_a_connection_only_if_that_is_demanded(
    connect: Connect,
) -> None:
    with partner(LEAF) as (at, heard):
        on_trial = allow(at, LEAF, evaluated_decision=pb.DECISION_DENY)
        with service(Scripted([on_trial])) as port:
            with pytest.raises(TrafficNotPermitted, match="report-only"):
                connect(port, at)
            assert heard.content == []
        with service(Scripted([on_trial])) as port:
            assert connect(port, at, dangerously_permit_report_only=True)[0] == digest(LEAF)


@both
def test_an_answer_that_expires_during_the_handshake_permits_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping_terms, "permits_traffic", lambda _, **_options: False)
    with partner(LEAF) as (at, heard):
        scripted = Scripted([allow(at, LEAF)])
        with service(scripted) as port, pytest.raises(TrafficNotPermitted, match="expired"):
            connect(port, at)
        wait_until(lambda: heard.ended == 1)
    assert heard.content == []


@both
def test_a_context_of_the_caller_verifies_in_addition(connect: Connect) -> None:
    def verifying(root: CertificateAuthority) -> MakeContext:
        return lambda: ssl.create_default_context(cadata=root.pem.decode())

    with partner(LEAF) as (at, heard), service(Scripted([allow(at, LEAF)])) as port:
        assert connect(port, at, make_context=verifying(AUTHORITY))[0] == digest(LEAF)
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, at, make_context=verifying(CertificateAuthority.create("stranger")))
    assert heard.content == [b"payment"]


@both
def test_the_next_judged_address_is_tried_where_one_gives_no_connection(connect: Connect) -> None:
    with partner(LEAF) as (at, _):
        silent = Listener(own_address(), at.port)
        addresses = [own_address(), silent.address, at.address]
        with (
            counting_server(silent, stall),
            service(Scripted([allow(at, LEAF, judged_addresses=addresses)])) as port,
        ):
            assert connect(port, at, timeout_s=3.0)[1] == at.address


@both
def test_time_is_bounded_as_a_whole(connect: Connect) -> None:
    address = own_address()
    silent = Listener(address, free_port(address))
    with counting_server(silent, stall) as counts:
        answer = allow(silent, LEAF, judged_addresses=[silent.address] * 3)
        with service(Scripted([answer])) as port:
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                connect(port, silent, timeout_s=0.6)
            assert time.monotonic() - began < 0.6 + 2.0
        wait_until(lambda: all(each.client_left for each in counts.transcripts))
    assert counts.connections == 3


@both
def test_no_address_that_accepts_is_an_error_of_the_network(connect: Connect) -> None:
    nobody = own_listener()
    with service(Scripted([allow(nobody, LEAF)])) as port, pytest.raises(ConnectionRefusedError):
        connect(port, nobody)


@both
def test_an_error_of_the_service_means_no_connection(connect: Connect) -> None:
    with (
        partner(LEAF) as (at, heard),
        service(Scripted()) as port,
        pytest.raises(Overloaded),
    ):
        connect(port, at)
    assert (heard.content, heard.ended) == ([], 0)


async def test_a_cancelled_caller_leaves_no_connection_behind() -> None:
    silent = own_listener()
    with counting_server(silent, stall) as counts, service(Scripted([allow(silent, LEAF)])) as port:
        async with AsyncPolicyClient(f"127.0.0.1:{port}") as client:
            connecting = asyncio.create_task(
                client.connect(check_request(HOST, port=silent.port), timeout_s=PATIENCE_S)
            )
            await asyncio.to_thread(wait_until, lambda: counts.connections == 1)
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
        await asyncio.to_thread(
            wait_until, lambda: all(each.client_left for each in counts.transcripts)
        )


def test_the_request_of_the_caller_is_not_changed_by_a_report() -> None:
    with partner(OTHER) as (at, _):
        scripted = Scripted([allow(at, LEAF), allow(at, OTHER)])
        asked = check_request(HOST, port=at.port)
        with service(scripted) as port, PolicyClient(f"127.0.0.1:{port}") as client:
            client.connect(asked, timeout_s=PATIENCE_S).close()
    assert asked == check_request(HOST, port=at.port)
