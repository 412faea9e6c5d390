"""The client for threads."""

import time
from collections.abc import Generator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from otpc_policy_client.channel import OPTIONS, credentials
from otpc_policy_client.following import SILENCE_S, Followed, Progress
from otpc_policy_client.judged import NotAsJudged, judged_endpoint
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.opening import JudgedSocket, open_socket, remaining_s
from otpc_policy_client.requests import check_request, reporting, validate_request
from otpc_policy_client.silence import SilenceWatch


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
        chosen = credentials(
            target,
            root_certificates,
            private_key,
            certificate_chain,
            dangerously_plaintext=dangerously_plaintext,
        )
        self._channel = (
            grpc.insecure_channel(target, OPTIONS)
            if chosen is None
            else grpc.secure_channel(target, chosen, OPTIONS)
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
        perspective: str = "",
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
            perspective=perspective,
        )
        response: pb.CheckEndpointResponse = self._stub.CheckEndpoint(request, timeout=timeout_s)
        return response

    def connect(
        self,
        request: pb.CheckEndpointRequest,
        *,
        timeout_s: float,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
    ) -> JudgedSocket:
        """Ask about an endpoint, and return a TLS connection to it that the verdict covers.

        It leads to a judged address, offers the permitted versions and cipher suites alone, and met
        a leaf that was judged. If the first one meets another leaf, that is closed and reported,
        the service decides anew, and one more is opened.

        request: check_request makes it. timeout_s: for all of this together, and then for each
        operation on the socket until its settimeout says otherwise.
        make_context: for client certificates, ALPN or verification in addition. With a client
        certificate, the handshake shows it to a server before its leaf is compared.
        dangerously_permit_report_only: as of permits_traffic.

        Whatever is in doubt raises, with the connection closed and nothing sent over it:
        TrafficNotPermitted, NotAsJudged, grpc.RpcError, OSError if no judged address gives a
        connection, ssl.SSLError and TimeoutError among them.
        """
        deadline = time.monotonic() + timeout_s
        try:
            connection = self._connected(
                request, make_context, deadline, dangerously_permit_report_only
            )
        except NotAsJudged as difference:
            report = reporting(request, difference)
            connection = self._connected(
                report, make_context, deadline, dangerously_permit_report_only
            )
        connection.socket.settimeout(timeout_s)
        return connection

    def _connected(
        self,
        request: pb.CheckEndpointRequest,
        make_context: MakeContext,
        deadline: float,
        permit_report_only: bool,
    ) -> JudgedSocket:
        answer = self._stub.CheckEndpoint(request, timeout=remaining_s(deadline))
        judged = judged_endpoint(
            answer,
            port=request.port,
            perspective=request.perspective,
            dangerously_permit_report_only=permit_report_only,
        )
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

    def list_watched(
        self, partner_id: str = "", *, timeout_s: float
    ) -> Sequence[pb.WatchedEndpoint]:
        """Return every watched endpoint, ordered by host and port. timeout_s: for each page.

        partner_id: its endpoints alone.
        """
        pages = self._watched_pages(partner_id, timeout_s)
        return [endpoint for page in pages for endpoint in page.endpoints]

    def follow_verdicts(
        self,
        partner_id: str = "",
        *,
        timeout_s: float,
        cursor: str = "",
        most_failures: int = 20,
        silence_s: float = SILENCE_S,
    ) -> Generator[Followed, None, None]:
        """Yield what is watched and known, then what changes, for as long as the caller iterates.

        It begins with a list, or where a cursor of an earlier time leads; and it lists again where
        changes may have been missed. Streams that end, or are silent for silence_s, are begun
        again after a pause of up to ten seconds. timeout_s: for each page of a list.

        Raises the last error once most_failures calls in a row have failed, and at once where
        another attempt changes nothing; ChangesUnknown where the service does not know either.
        """
        progress = Progress(cursor, most_failures=most_failures)
        while True:
            try:
                if progress.must_list:
                    listed = progress.listed(self._watched_pages(partner_id, timeout_s))
                    if listed is None:
                        # Where nothing is watched, this says so.
                        self._probe_stream(partner_id, timeout_s)
                        time.sleep(progress.failed())
                        continue
                    yield listed
                request = pb.WatchVerdictsRequest(cursor=progress.cursor, partner_id=partner_id)
                call = self._stub.WatchVerdicts(request)
                with SilenceWatch(call, silence_s) as silence:
                    for message in call:
                        silence.heard()
                        yield progress.took(message)
            except grpc.RpcError as error:
                time.sleep(progress.failed(error))

    def _probe_stream(self, partner_id: str, timeout_s: float) -> None:
        request = pb.WatchVerdictsRequest(partner_id=partner_id)
        call = self._stub.WatchVerdicts(request, timeout=timeout_s)
        next(call, None)
        call.cancel()

    def _watched_pages(self, partner_id: str, timeout_s: float) -> Sequence[pb.ListWatchedResponse]:
        pages: list[pb.ListWatchedResponse] = []
        token = ""
        while True:
            page: pb.ListWatchedResponse = self._stub.ListWatched(
                pb.ListWatchedRequest(page_token=token, partner_id=partner_id), timeout=timeout_s
            )
            pages.append(page)
            token = page.next_page_token
            if not token:
                return pages
