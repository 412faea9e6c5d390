"""The client for asyncio."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from otpc_policy_client.channel import OPTIONS, credentials
from otpc_policy_client.following import SILENCE_S, Followed, Progress
from otpc_policy_client.judged import NotAsJudged, judged_endpoint
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.opening import JudgedStreams, open_streams, remaining_s
from otpc_policy_client.requests import reporting


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
        chosen = credentials(
            target,
            root_certificates,
            private_key,
            certificate_chain,
            dangerously_plaintext=dangerously_plaintext,
        )
        self._channel = (
            grpc.aio.insecure_channel(target, OPTIONS)
            if chosen is None
            else grpc.aio.secure_channel(target, chosen, OPTIONS)
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
        dangerously_permit_report_only: bool = False,
    ) -> JudgedStreams:
        """Ask about an endpoint, and return a TLS connection to it that the verdict covers.

        As PolicyCheckClient.connect in everything but that timeout_s bounds nothing afterwards.
        """
        deadline = time.monotonic() + timeout_s
        try:
            return await self._connected(
                request, make_context, deadline, dangerously_permit_report_only
            )
        except NotAsJudged as difference:
            report = reporting(request, difference)
            return await self._connected(
                report, make_context, deadline, dangerously_permit_report_only
            )

    async def _connected(
        self,
        request: pb.CheckEndpointRequest,
        make_context: MakeContext,
        deadline: float,
        permit_report_only: bool,
    ) -> JudgedStreams:
        answer = await self._stub.CheckEndpoint(request, timeout=remaining_s(deadline))
        judged = judged_endpoint(
            answer,
            port=request.port,
            perspective=request.perspective,
            dangerously_permit_report_only=permit_report_only,
        )
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

    async def follow_verdicts(
        self,
        partner_id: str = "",
        *,
        timeout_s: float,
        cursor: str = "",
        most_failures: int = 20,
        silence_s: float = SILENCE_S,
    ) -> AsyncIterator[Followed]:
        """Yield what is watched and known, then what changes, for as long as the caller iterates.

        As PolicyCheckClient.follow_verdicts in everything.
        """
        progress = Progress(cursor, most_failures=most_failures)
        while True:
            try:
                if progress.must_list:
                    listed = progress.listed(await self._watched_pages(partner_id, timeout_s))
                    if listed is None:
                        # Where nothing is watched, this says so.
                        await self._probe_stream(partner_id, timeout_s)
                        await asyncio.sleep(progress.failed())
                        continue
                    yield listed
                request = pb.WatchVerdictsRequest(cursor=progress.cursor, partner_id=partner_id)
                call = self._stub.WatchVerdicts(request)
                try:
                    while (message := await _next(call, silence_s)) is not None:
                        yield progress.took(message)
                finally:
                    call.cancel()
            except grpc.RpcError as error:
                await asyncio.sleep(progress.failed(error))
            except TimeoutError:
                await asyncio.sleep(progress.failed())

    async def _probe_stream(self, partner_id: str, timeout_s: float) -> None:
        request = pb.WatchVerdictsRequest(partner_id=partner_id)
        call = self._stub.WatchVerdicts(request, timeout=timeout_s)
        await call.read()
        call.cancel()

    async def _watched_pages(
        self, partner_id: str, timeout_s: float
    ) -> Sequence[pb.ListWatchedResponse]:
        pages: list[pb.ListWatchedResponse] = []
        token = ""
        while True:
            page: pb.ListWatchedResponse = await self._stub.ListWatched(
                pb.ListWatchedRequest(page_token=token, partner_id=partner_id), timeout=timeout_s
            )
            pages.append(page)
            token = page.next_page_token
            if not token:
                return pages


async def _next(call: Any, within_s: float) -> pb.WatchVerdictsResponse | None:
    """Return the next message of a stream, None at its end. Raises TimeoutError."""
    async with asyncio.timeout(within_s):
        message = await call.read()
    return message if isinstance(message, pb.WatchVerdictsResponse) else None
