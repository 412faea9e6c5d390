"""The client that callers import: it knows the contract and nothing of the service.

    with PolicyCheckClient("policy.internal:443") as client:
        answer = client.check("partner.example", timeout_s=0.5)
        if permits_traffic(answer):
            dial(answer.judged_addresses)

An error of gRPC (grpc.RpcError) means: no traffic.
"""

import ipaddress
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc

_SERVICE = pb.DESCRIPTOR.services_by_name["PolicyCheckService"].full_name
# Every method is safe to repeat, and UNAVAILABLE means that another replica may answer.
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
# Must be longer than the server's minimum ping interval, or it answers GOAWAY too_many_pings.
KEEPALIVE_TIME_S = 30
_OPTIONS = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.keepalive_time_ms", KEEPALIVE_TIME_S * 1000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A hundred answers in the FULL view pass gRPC's own limit of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)


def permits_traffic(response: pb.CheckEndpointResponse, *, now: datetime | None = None) -> bool:
    """Whether a response permits traffic at an instant (None: now).

    Nothing that is unset, unknown or expired does.
    """
    if (
        response.decision != pb.DECISION_ALLOW
        or not response.judged_addresses
        or not response.result_info.HasField("expire_time")
    ):
        return False
    since = (now or datetime.now(UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    expire_time = response.result_info.expire_time
    return (since.days * 86_400 + since.seconds, since.microseconds * 1000) < (
        expire_time.seconds,
        expire_time.nanos,
    )


def check_request(
    host: str,
    *,
    port: int = 0,
    policy: str = "",
    server_name: str = "",
    freshness: pb.Freshness | None = None,
    view: pb.View.ValueType = pb.VIEW_BASIC,
    depth: pb.ScanDepth.ValueType = pb.SCAN_DEPTH_STANDARD,
) -> pb.CheckEndpointRequest:
    """Return a request about an endpoint. port: 0 means 443. policy: empty means the default."""
    return pb.CheckEndpointRequest(
        host=host,
        port=port,
        policy=policy,
        server_name=server_name,
        freshness=freshness,
        view=view,
        depth=depth,
    )


def validate_request(
    chain: str | Sequence[bytes],
    *,
    server_name: str = "",
    policy: str = "",
    validation_time: datetime | None = None,
    trust_anchors: Sequence[bytes] = (),
    view: pb.View.ValueType = pb.VIEW_BASIC,
) -> pb.ValidateCertificateRequest:
    """Return a request about a chain.

    chain: PEM text, or DER certificates, leaf first. validation_time: aware; None for now.
    """
    request = pb.ValidateCertificateRequest(
        policy=policy, server_name=server_name, trust_anchors=trust_anchors, view=view
    )
    if isinstance(chain, str):
        request.pem_bundle = chain
    else:
        request.der_chain.certificates.extend(chain)
    if validation_time is not None:
        request.validation_time.FromDatetime(validation_time.astimezone(UTC))
    return request


def _credentials(
    target: str,
    root_certificates: bytes | None,
    private_key: bytes | None,
    certificate_chain: bytes | None,
    *,
    dangerously_plaintext: bool,
) -> grpc.ChannelCredentials | None:
    """Return credentials for TLS, or None for plain text.

    Plain text only if the caller demands it or, without certificates, if the target is this
    machine.
    """
    wants_tls = any((root_certificates, private_key, certificate_chain))
    if dangerously_plaintext and wants_tls:
        raise ValueError("certificates were given for a channel without TLS")
    if dangerously_plaintext or (not wants_tls and _is_loopback(target)):
        return None
    return grpc.ssl_channel_credentials(root_certificates, private_key, certificate_chain)


def _is_loopback(target: str) -> bool:
    scheme, _, rest = target.partition(":")
    if scheme in ("unix", "unix-abstract"):
        return True
    address = rest if scheme in ("dns", "ipv4", "ipv6") else target
    host = address.rpartition("/")[2].rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class PolicyCheckClient:
    """A client for threads. It may be shared; close it, or use it in a with statement.

    target: as gRPC names servers, such as "policy.internal:443". The channel uses TLS, unless the
    target is this machine and no certificates were given. root_certificates: PEM; None for gRPC's
    own roots. private_key, certificate_chain: PEM, for mutual TLS.
    Every method raises grpc.RpcError, whose trailers contain a google.rpc.Status with ErrorInfo of
    the domain "otpc-policy".
    """

    def __init__(
        self,
        target: str,
        *,
        root_certificates: bytes | None = None,
        private_key: bytes | None = None,
        certificate_chain: bytes | None = None,
        dangerously_plaintext: bool = False,
    ) -> None:
        credentials = _credentials(
            target,
            root_certificates,
            private_key,
            certificate_chain,
            dangerously_plaintext=dangerously_plaintext,
        )
        self._channel = (
            grpc.insecure_channel(target, _OPTIONS)
            if credentials is None
            else grpc.secure_channel(target, credentials, _OPTIONS)
        )
        self._stub: Any = policy_pb2_grpc.PolicyCheckServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the channel."""
        self._channel.close()

    def check(
        self,
        host: str,
        *,
        timeout_s: float,
        port: int = 0,
        policy: str = "",
        server_name: str = "",
        freshness: pb.Freshness | None = None,
        view: pb.View.ValueType = pb.VIEW_BASIC,
        depth: pb.ScanDepth.ValueType = pb.SCAN_DEPTH_STANDARD,
    ) -> pb.CheckEndpointResponse:
        """Ask about an endpoint.

        If the measurement takes longer, the response is INDETERMINATE with retry_after, and the
        measurement goes on.
        """
        request = check_request(
            host,
            port=port,
            policy=policy,
            server_name=server_name,
            freshness=freshness,
            view=view,
            depth=depth,
        )
        response: pb.CheckEndpointResponse = self._stub.CheckEndpoint(request, timeout=timeout_s)
        return response

    def check_batch(
        self, requests: Sequence[pb.CheckEndpointRequest], *, timeout_s: float
    ) -> Sequence[pb.BatchCheckEndpointsResult]:
        """Ask about 1 to 100 endpoints; results in the same order, each a response or an error."""
        response: pb.BatchCheckEndpointsResponse = self._stub.BatchCheckEndpoints(
            pb.BatchCheckEndpointsRequest(requests=requests), timeout=timeout_s
        )
        return response.results

    def validate(
        self,
        chain: str | Sequence[bytes],
        *,
        timeout_s: float,
        server_name: str = "",
        policy: str = "",
        validation_time: datetime | None = None,
        trust_anchors: Sequence[bytes] = (),
        view: pb.View.ValueType = pb.VIEW_BASIC,
    ) -> pb.ValidateCertificateResponse:
        """Ask about a chain: PEM text, or DER certificates, leaf first."""
        request = validate_request(
            chain,
            server_name=server_name,
            policy=policy,
            validation_time=validation_time,
            trust_anchors=trust_anchors,
            view=view,
        )
        response: pb.ValidateCertificateResponse = self._stub.ValidateCertificate(
            request, timeout=timeout_s
        )
        return response

    def get_policy(self, name: str = "", *, timeout_s: float) -> pb.Policy:
        """Return a policy; an empty name means the default."""
        response: pb.GetPolicyResponse = self._stub.GetPolicy(
            pb.GetPolicyRequest(name=name), timeout=timeout_s
        )
        return response.policy

    def list_policies(self, *, timeout_s: float) -> Sequence[pb.Policy]:
        """Return every policy, ordered by name. timeout_s: for each page."""
        policies: list[pb.Policy] = []
        token = ""
        while True:
            page: pb.ListPoliciesResponse = self._stub.ListPolicies(
                pb.ListPoliciesRequest(page_token=token), timeout=timeout_s
            )
            policies.extend(page.policies)
            token = page.next_page_token
            if not token:
                return policies


class AsyncPolicyCheckClient:
    """A client for asyncio, with the methods of a router's hot path.

    Arguments as those of PolicyCheckClient.
    """

    def __init__(
        self,
        target: str,
        *,
        root_certificates: bytes | None = None,
        private_key: bytes | None = None,
        certificate_chain: bytes | None = None,
        dangerously_plaintext: bool = False,
    ) -> None:
        credentials = _credentials(
            target,
            root_certificates,
            private_key,
            certificate_chain,
            dangerously_plaintext=dangerously_plaintext,
        )
        self._channel = (
            grpc.aio.insecure_channel(target, _OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, _OPTIONS)
        )
        self._stub: Any = policy_pb2_grpc.PolicyCheckServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the channel."""
        await self._channel.close(None)

    async def check(
        self, request: pb.CheckEndpointRequest, *, timeout_s: float
    ) -> pb.CheckEndpointResponse:
        """Ask about one endpoint; check_request makes the request."""
        response: pb.CheckEndpointResponse = await self._stub.CheckEndpoint(
            request, timeout=timeout_s
        )
        return response

    async def check_batch(
        self, requests: Sequence[pb.CheckEndpointRequest], *, timeout_s: float
    ) -> Sequence[pb.BatchCheckEndpointsResult]:
        """Ask about 1 to 100 endpoints; results in the same order, each a response or an error."""
        response: pb.BatchCheckEndpointsResponse = await self._stub.BatchCheckEndpoints(
            pb.BatchCheckEndpointsRequest(requests=requests), timeout=timeout_s
        )
        return response.results

    async def validate(
        self, request: pb.ValidateCertificateRequest, *, timeout_s: float
    ) -> pb.ValidateCertificateResponse:
        """Ask about a chain; validate_request makes the request."""
        response: pb.ValidateCertificateResponse = await self._stub.ValidateCertificate(
            request, timeout=timeout_s
        )
        return response
