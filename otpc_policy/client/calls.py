"""The calls of the contract, blocking and for asyncio, and how to reach the service."""

import ipaddress
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import grpc

from otpc_policy.client.judged import NotAsJudged, judged_endpoint
from otpc_policy.client.opening import (
    JudgedSocket,
    JudgedStreams,
    open_socket,
    open_streams,
    remaining_s,
)
from otpc_policy.client.tls import MakeContext, client_context
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


def check_request(
    host: str,
    *,
    port: int = 0,
    policy: str = "",
    server_name: str = "",
    freshness: pb.Freshness | None = None,
    view: pb.View.ValueType = pb.VIEW_BASIC,
    depth: pb.ScanDepth.ValueType = pb.SCAN_DEPTH_STANDARD,
    observed_leaf_sha256: bytes = b"",
) -> pb.CheckEndpointRequest:
    """Return a request about an endpoint.

    port: 0 means 443. policy: empty means the default. observed_leaf_sha256: to report a leaf that
    was not among those judged: the 32 bytes of the SHA-256 of its DER.
    """
    return pb.CheckEndpointRequest(
        host=host,
        port=port,
        policy=policy,
        server_name=server_name,
        freshness=freshness,
        view=view,
        depth=depth,
        observed_leaf_sha256=observed_leaf_sha256,
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


def _reporting(
    request: pb.CheckEndpointRequest, difference: NotAsJudged
) -> pb.CheckEndpointRequest:
    """Return the request with a report of the leaf; raise the difference if it is another."""
    if not difference.observed_leaf_sha256:
        raise difference
    report = pb.CheckEndpointRequest()
    report.CopyFrom(request)
    report.observed_leaf_sha256 = difference.observed_leaf_sha256
    return report


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
        observed_leaf_sha256: bytes = b"",
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
            observed_leaf_sha256=observed_leaf_sha256,
        )
        response: pb.CheckEndpointResponse = self._stub.CheckEndpoint(request, timeout=timeout_s)
        return response

    def connect(
        self,
        request: pb.CheckEndpointRequest,
        *,
        timeout_s: float,
        make_context: MakeContext = client_context,
    ) -> JudgedSocket:
        """Ask about an endpoint, and return a TLS connection to it that the verdict covers.

        It leads to a judged address, offers the permitted versions and cipher suites alone, and met
        a leaf that was judged. If the first one meets another leaf, that is closed and reported,
        the service decides anew, and one more is opened.

        request: check_request makes it. timeout_s: for all of this together, and then for each
        operation on the socket until its settimeout says otherwise.
        make_context: for client certificates, ALPN or verification in addition. With a client
        certificate, the handshake shows it to a server before its leaf is compared.

        Whatever is in doubt raises, with the connection closed and nothing sent over it:
        TrafficNotPermitted, NotAsJudged, grpc.RpcError, OSError if no judged address gives a
        connection, ssl.SSLError and TimeoutError among them.
        """
        deadline = time.monotonic() + timeout_s
        try:
            connection = self._connected(request, make_context, deadline)
        except NotAsJudged as difference:
            report = _reporting(request, difference)
            connection = self._connected(report, make_context, deadline)
        connection.socket.settimeout(timeout_s)
        return connection

    def _connected(
        self, request: pb.CheckEndpointRequest, make_context: MakeContext, deadline: float
    ) -> JudgedSocket:
        answer = self._stub.CheckEndpoint(request, timeout=remaining_s(deadline))
        judged = judged_endpoint(answer, port=request.port)
        return open_socket(judged, make_context, deadline=deadline)

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

    async def connect(
        self,
        request: pb.CheckEndpointRequest,
        *,
        timeout_s: float,
        make_context: MakeContext = client_context,
    ) -> JudgedStreams:
        """Ask about an endpoint, and return a TLS connection to it that the verdict covers.

        As PolicyCheckClient.connect in everything but that timeout_s bounds nothing afterwards.
        """
        deadline = time.monotonic() + timeout_s
        try:
            return await self._connected(request, make_context, deadline)
        except NotAsJudged as difference:
            report = _reporting(request, difference)
            return await self._connected(report, make_context, deadline)

    async def _connected(
        self, request: pb.CheckEndpointRequest, make_context: MakeContext, deadline: float
    ) -> JudgedStreams:
        answer = await self._stub.CheckEndpoint(request, timeout=remaining_s(deadline))
        judged = judged_endpoint(answer, port=request.port)
        return await open_streams(judged, make_context, deadline=deadline)

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
