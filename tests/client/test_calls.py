"""The client fails closed, uses TLS unless the service is local, and carries every field."""

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as service_pb2
from otpc_policy_client import (
    AsyncPolicyClient,
    PolicyClient,
    ServiceUnavailable,
    check_request,
    permits_traffic,
    validate_request,
)
from otpc_policy_client.channel import credentials
from otpc_policy_client.v1 import policy_pb2 as pb
from tests.client.serving import service
from tests.support.certificates import CertificateAuthority

NOW = datetime(2025, 6, 1, 12, 0, 0, 500, tzinfo=UTC)


def response(
    decision: int = pb.DECISION_ALLOW,
    expires_in: timedelta | None = timedelta(minutes=1),
    addresses: tuple[str, ...] = ("192.0.2.1",),
) -> Any:
    message = pb.CheckEndpointResponse(
        evaluated_decision=pb.DECISION_ALLOW, judged_addresses=addresses
    )
    message.decision = decision  # type: ignore[assignment]
    if expires_in is not None:
        message.result_info.expire_time.FromDatetime(NOW + expires_in)
    return message


@pytest.mark.parametrize(
    ("answer", "permitted"),
    [
        (response(), True),
        (response(expires_in=timedelta(microseconds=1)), True),
        (response(expires_in=timedelta(0)), False),
        (response(expires_in=timedelta(days=-1)), False),
        (response(expires_in=None), False),
        (response(addresses=()), False),
        (response(pb.DECISION_DENY), False),
        (response(pb.DECISION_INDETERMINATE), False),
        (response(pb.DECISION_UNSPECIFIED), False),
        (response(99), False),
        (pb.CheckEndpointResponse(), False),
    ],
)
def test_only_a_valid_allow_permits_traffic(
    answer: pb.CheckEndpointResponse, permitted: bool
) -> None:
    assert permits_traffic(answer, now=NOW) is permitted


def test_an_answer_that_expired_long_ago_permits_nothing_now() -> None:
    assert permits_traffic(response()) is False


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        ("127.0.0.1:50051", True),
        ("127.8.9.1:1", True),
        ("localhost:50051", True),
        ("[::1]:50051", True),
        ("ipv4:127.0.0.1:50051", True),
        ("ipv6:[::1]:50051", True),
        ("dns:///localhost:50051", True),
        ("unix:/run/policy.sock", True),
        ("policy.internal:443", False),
        ("10.0.0.1:50051", False),
        ("dns:///policy.internal:443", False),
        ("localhost.example.com:443", False),
        ("[2001:db8::1]:443", False),
        ("xds:///localhost", False),
    ],
)
def test_plain_text_only_towards_this_machine(target: str, plain: bool) -> None:
    root = CertificateAuthority.create().pem
    assert (credentials(target, None, None, None, dangerously_plaintext=False) is None) is plain
    assert credentials(target, root, None, None, dangerously_plaintext=False) is not None
    assert credentials(target, None, None, None, dangerously_plaintext=True) is None


def test_certificates_and_plain_text_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="without TLS"):
        PolicyClient("policy.internal:443", root_certificates=b"x", dangerously_plaintext=True)


class Recorder:
    """Answers with fixed messages and remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def CheckEndpoint(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        return response()

    def BatchCheckEndpoints(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.BatchCheckEndpointsResponse(
            results=[
                pb.BatchCheckEndpointsResult(request_index=index)
                for index, _ in enumerate(request.requests)
            ]
        )

    def ValidateCertificate(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.asked.append(request)
        return pb.ValidateCertificateResponse(decision=pb.DECISION_DENY)

    def GetPolicy(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.GetPolicyResponse(policy=pb.Policy(name=request.name))

    def ListPolicies(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.page_token:
            return pb.ListPoliciesResponse(policies=[pb.Policy(name="b")])
        return pb.ListPoliciesResponse(policies=[pb.Policy(name="a")], next_page_token="more")

    def ListWatched(self, request: Any, context: Any) -> Any:  # noqa: N802
        host = f"{request.partner_id}{request.page_token}.example"
        token = "" if request.page_token else "more"
        return pb.ListWatchedResponse(
            endpoints=[pb.WatchedEndpoint(host=host)], next_page_token=token
        )


def test_every_field_of_a_check_is_carried() -> None:
    recorder = Recorder()
    freshness = pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
    with service(recorder) as port, PolicyClient(f"127.0.0.1:{port}") as client:
        answer = client.check(
            "a.example",
            port=8443,
            policy="p",
            server_name="b.example",
            freshness=freshness,
            view=pb.VIEW_FULL,
            depth=pb.SCAN_DEPTH_DEEP,
            observed_leaf_sha256=b"l" * 32,
            timeout_s=5,
        ).response
    assert answer == response()
    assert recorder.asked == [
        pb.CheckEndpointRequest(
            host="a.example",
            port=8443,
            policy="p",
            server_name="b.example",
            freshness=freshness,
            view=pb.VIEW_FULL,
            depth=pb.SCAN_DEPTH_DEEP,
            observed_leaf_sha256=b"l" * 32,
        )
    ]


def test_chains_go_as_pem_or_as_der() -> None:
    recorder = Recorder()
    with service(recorder) as port, PolicyClient(f"127.0.0.1:{port}") as client:
        client.validate(
            "PEM",
            server_name="a.example",
            validation_time=NOW,
            trust_anchors=[b"anchor"],
            timeout_s=5,
        )
        assert client.validate([b"leaf", b"issuer"], timeout_s=5).decision == pb.DECISION_DENY
    by_pem, by_der = recorder.asked
    assert (by_pem.pem_bundle, by_pem.server_name, by_pem.trust_anchors) == (
        "PEM",
        "a.example",
        [b"anchor"],
    )
    assert by_pem.validation_time.ToDatetime(tzinfo=UTC) == NOW
    assert list(by_der.der_chain.certificates) == [b"leaf", b"issuer"]
    assert not by_der.HasField("validation_time")


def test_batches_policies_and_pages() -> None:
    with service(Recorder()) as port, PolicyClient(f"127.0.0.1:{port}") as client:
        outcomes = client.check_batch([check_request("a.example")] * 2, timeout_s=5)
        assert [each.permits_traffic for each in outcomes] == [False, False]  # type: ignore[union-attr]
        assert client.get_policy("p", timeout_s=5).name == "p"
        assert [policy.name for policy in client.list_policies(timeout_s=5)] == ["a", "b"]
        watched = client.list_watched("bank", timeout_s=5)
        assert [each.host for each in watched] == ["bank.example", "bankmore.example"]


async def test_messages_of_the_services_own_stubs_are_taken() -> None:
    recorder = Recorder()
    foreign = service_pb2.CheckEndpointRequest(host="a.example", port=7)
    freshness = service_pb2.Freshness(mode=service_pb2.FRESHNESS_MODE_REFRESH)
    with service(recorder) as port, PolicyClient(f"127.0.0.1:{port}") as client:
        client.check(foreign)
        client.check("a.example", freshness=freshness)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="is not a CheckEndpointRequest"):
            client.check(service_pb2.Freshness())
        with pytest.raises(TypeError, match="port"):
            client.check(foreign, port=8)
    assert recorder.asked[0] == pb.CheckEndpointRequest(host="a.example", port=7)
    assert recorder.asked[1].freshness.mode == pb.FRESHNESS_MODE_REFRESH


async def test_the_asynchronous_client_asks_the_same() -> None:
    recorder = Recorder()
    with service(recorder) as port:
        async with AsyncPolicyClient(f"127.0.0.1:{port}") as client:
            verdict = await client.check(check_request("a.example", port=1), timeout_s=5)
            assert verdict.response == response()
            assert len(await client.check_batch([check_request("a.example")], timeout_s=5)) == 1
            assert (
                await client.validate(validate_request([b"leaf"]), timeout_s=5)
            ).decision == pb.DECISION_DENY
    assert recorder.asked[0] == check_request("a.example", port=1)


def test_mutual_tls() -> None:
    authority = CertificateAuthority.create()
    server, caller = (
        authority.issue(dns=("localhost",), ips=("127.0.0.1",)),
        authority.issue(dns=("router.internal",), extended_key_usage=("client_auth",)),
    )
    credentials = grpc.ssl_server_credentials(
        [(server.key_pem, server.chain_pem)],
        root_certificates=authority.pem,
        require_client_auth=True,
    )
    with service(Recorder(), credentials) as port:
        target = f"localhost:{port}"
        with PolicyClient(
            target,
            root_certificates=authority.pem,
            private_key=caller.key_pem,
            certificate_chain=caller.chain_pem,
        ) as client:
            assert client.check("a.example", timeout_s=10).response == response()
        with (
            PolicyClient(target, root_certificates=authority.pem) as nobody,
            pytest.raises(ServiceUnavailable),
        ):
            nobody.check("a.example", timeout_s=3)
