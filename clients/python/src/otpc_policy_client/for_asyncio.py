"""The client for asyncio. What it decides is decided in the modules without IO."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from otpc_policy_client.answer_cache import CacheLimits, key_of
from otpc_policy_client.attempts import Answered, Attempts, Wait
from otpc_policy_client.channel import Options, credentials, options
from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.error_details import call_error
from otpc_policy_client.errors import (
    CallError,
    DeadlineExceeded,
    NotAsJudged,
    TrafficNotPermitted,
)
from otpc_policy_client.following import SILENCE_S, Followed, Progress
from otpc_policy_client.following_in_task import TaskFollower
from otpc_policy_client.judged import JudgedEndpoint, judged_endpoint
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.lookups import Flight, Follow, Lookups
from otpc_policy_client.observing import (
    CallFinished,
    CheckLookedUp,
    ConnectionFinished,
    Observer,
    notify,
)
from otpc_policy_client.opening import (
    JudgedProtocol,
    JudgedStreams,
    P,
    open_protocol,
    open_streams,
    remaining_s,
)
from otpc_policy_client.questions import (
    MAX_PAGES,
    CheckFields,
    Question,
    ValidateFields,
    checking,
    checking_batch,
    getting_policy,
    listing_policies,
    listing_watched,
    request_of,
    validating,
)
from otpc_policy_client.requests import reporting
from otpc_policy_client.stubs import Calls, ChannelCalls
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import Verdict

T = TypeVar("T")
_LIST_TIMEOUT_S = 10.0


# Opens a connection as judged until a deadline.
_Opening = Callable[[JudgedEndpoint, float], Awaitable[T]]


class AsyncPolicyClient:
    """A client for asyncio, for one event loop; close it, or use it in an async with statement.

    Arguments and methods as those of PolicyClient.

    Methods raise exceptions of otpc_policy_client.errors. Each of them means: no traffic.
    """

    def __init__(
        self,
        target: str,
        *,
        root_certificates: bytes | None = None,
        private_key: bytes | None = None,
        certificate_chain: bytes | None = None,
        channel_credentials: grpc.ChannelCredentials | None = None,
        dangerously_plaintext: bool = False,
        options: Options = (),
        interceptors: Sequence[Any] = (),
        timeout_s: float = 5.0,
        cache: CacheLimits | None = CacheLimits(),  # noqa: B008 - it cannot be changed
        watch: bool = True,
        observer: Observer | None = None,
    ) -> None:
        chosen = credentials(
            target,
            root_certificates,
            private_key,
            certificate_chain,
            channel_credentials=channel_credentials,
            dangerously_plaintext=dangerously_plaintext,
        )
        self._channel = _channel(target, chosen, options, interceptors)
        self._begin(
            ChannelCalls(self._channel),
            timeout_s=timeout_s,
            cache=cache,
            watch=watch,
            observer=observer,
        )

    def _begin(
        self,
        calls: Calls,
        *,
        timeout_s: float,
        cache: CacheLimits | None,
        watch: bool,
        observer: Observer | None,
    ) -> None:
        self._calls = calls
        self._timeout_s = timeout_s
        self._observer = observer
        self._lookups: Lookups[asyncio.Event] = Lookups(
            cache, wall_ns=time.time_ns, new_waiter=asyncio.Event
        )
        self._watches = watch and cache is not None
        self._follower = TaskFollower(calls, self._lookups, self._list_again, observer)

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
        """End the channel and what follows changes."""
        await self._follower.close()
        await self._end_channel()

    async def _end_channel(self) -> None:
        await self._channel.close(None)

    async def check(
        self,
        endpoint: str | Message,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[CheckFields],
    ) -> Verdict:
        """Ask about an endpoint: a host with fields of check_request, or a request."""
        return await self._check(request_of(endpoint, fields), self._deadline(timeout_s))

    async def check_batch(
        self, requests: Sequence[Message], *, timeout_s: float | None = None
    ) -> tuple[Verdict | CallError, ...]:
        """Ask about 1 to 100 endpoints; for each, in the same order, a verdict or its error.

        Neither does the cache answer, nor is it filled.
        """
        return await self._ask(checking_batch(requests), self._deadline(timeout_s))

    async def connect(
        self,
        endpoint: str | Message,
        *,
        timeout_s: float | None = None,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
        **fields: Unpack[CheckFields],
    ) -> JudgedStreams:
        """Ask about an endpoint, and return a TLS connection to it that the verdict covers.

        As PolicyClient.connect in everything but that timeout_s bounds nothing afterwards.
        """
        return await self._connect(
            request_of(endpoint, fields),
            self._deadline(timeout_s),
            dangerously_permit_report_only,
            lambda judged, deadline: open_streams(judged, make_context, deadline=deadline),
        )

    async def connect_protocol(
        self,
        new_protocol: Callable[[], P],
        endpoint: str | Message,
        *,
        timeout_s: float | None = None,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
        **fields: Unpack[CheckFields],
    ) -> JudgedProtocol[P]:
        """As connect, for a protocol of the caller's in place of streams.

        new_protocol: returns one for each connection that is tried.
        """
        return await self._connect(
            request_of(endpoint, fields),
            self._deadline(timeout_s),
            dangerously_permit_report_only,
            lambda judged, deadline: open_protocol(
                judged, make_context, new_protocol, deadline=deadline
            ),
        )

    async def validate(
        self,
        chain: str | Sequence[bytes] | Message,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[ValidateFields],
    ) -> pb.ValidateCertificateResponse:
        """Ask about a chain: PEM text, or DER certificates, leaf first, or a request.

        fields: of validate_request.
        """
        return await self._ask(validating(chain, fields), self._deadline(timeout_s))

    async def get_policy(self, name: str = "", *, timeout_s: float | None = None) -> pb.Policy:
        """Return a policy; an empty name means the default."""
        return await self._ask(getting_policy(name), self._deadline(timeout_s))

    async def list_policies(self, *, timeout_s: float | None = None) -> Sequence[pb.Policy]:
        """Return every policy, ordered by name. timeout_s: for all pages."""
        deadline, policies, token = self._deadline(timeout_s), list[pb.Policy](), ""
        for _ in range(MAX_PAGES):
            page = await self._ask(listing_policies(token), deadline)
            policies.extend(page.policies)
            token = page.next_page_token
            if not token:
                break
        return policies

    async def list_watched(
        self, partner_id: str = "", *, timeout_s: float | None = None
    ) -> Sequence[pb.WatchedEndpoint]:
        """Return every watched endpoint, ordered by host and port. timeout_s: for all pages.

        partner_id: its endpoints alone.
        """
        return (await self._watched(partner_id, self._deadline(timeout_s)))[0]

    async def follow_verdicts(
        self,
        partner_id: str = "",
        *,
        timeout_s: float | None = None,
        cursor: str = "",
        most_failures: int = 20,
        silence_s: float = SILENCE_S,
    ) -> AsyncIterator[Followed]:
        """Yield what is watched and known, then what changes, for as long as the caller iterates.

        As PolicyClient.follow_verdicts in everything.
        """
        progress = Progress(cursor, most_failures=most_failures)
        while True:
            try:
                if progress.must_list:
                    listed = progress.listed(
                        *await self._watched(partner_id, self._deadline(timeout_s))
                    )
                    if listed is None:
                        await self._probe_stream(partner_id, self._time_s(timeout_s))
                        await asyncio.sleep(progress.failed())
                        continue
                    yield listed
                request = pb.WatchVerdictsRequest(cursor=progress.cursor, partner_id=partner_id)
                call = self._calls.follow("WatchVerdicts", request)
                try:
                    while (message := await _next(call, silence_s)) is not None:
                        yield progress.took(message)
                finally:
                    call.cancel()
            except grpc.RpcError as error:
                await asyncio.sleep(progress.failed(call_error(error)))

    async def _probe_stream(self, partner_id: str, timeout_s: float) -> None:
        """Have the service say that nothing is watched, where nothing is."""
        request = pb.WatchVerdictsRequest(partner_id=partner_id)
        call = self._calls.follow("WatchVerdicts", request, timeout_s)
        await call.read()
        call.cancel()

    def _time_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def _deadline(self, timeout_s: float | None) -> float:
        return elapsed_s() + self._time_s(timeout_s)

    async def _check(self, request: pb.CheckEndpointRequest, deadline: float) -> Verdict:
        key = key_of(request)
        if key is None:
            return await self._ask(checking(request), deadline)
        while True:
            found = self._lookups.look(key, request, elapsed_s(), deadline)
            if isinstance(found, Verdict):
                notify(self._observer, CheckLookedUp(result="kept"))
                return found
            if not isinstance(found, Follow):
                return await self._lead(found.flight, deadline)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, found.wait_s)):
                    await found.flight.ended.wait()
            shared = found.flight.shared()
            if shared is not None:
                notify(self._observer, CheckLookedUp(result="shared"))
                return shared
            if elapsed_s() >= deadline:
                raise DeadlineExceeded.here("no answer within the time of the call")

    async def _lead(self, flight: Flight[asyncio.Event], deadline: float) -> Verdict:
        """Ask for all who ask the same. Whatever happens, followers are told."""
        outcome: Verdict | CallError | None = None
        asked_at_s = elapsed_s()
        try:
            notify(self._observer, CheckLookedUp(result="asked"))
            if self._watches:
                self._follower.start()
            outcome = await self._ask(checking(flight.request), deadline)
        except CallError as error:
            outcome = error
            raise
        finally:
            self._lookups.landed(flight, outcome, asked_at_s=asked_at_s)
            flight.ended.set()
        return outcome

    async def _ask(self, question: Question[T], deadline: float) -> T:
        now = elapsed_s()
        attempts = Attempts(now=now, timeout_s=deadline - now, spread=random.random())  # noqa: S311 - it spreads calls, and keeps no secret
        code = "UNKNOWN"
        try:
            answered = await self._answered(question, attempts)
            code = "OK"
        except CallError as error:
            code = error.status.name
            raise
        finally:
            event = CallFinished(
                method=question.method, code=code, tries=attempts.tries, seconds=elapsed_s() - now
            )
            notify(self._observer, event)
        return question.read(answered.response, answered.asked_at_s)

    async def _answered(self, question: Question[Any], attempts: Attempts) -> Answered:
        while True:
            ask = attempts.start(elapsed_s())
            step: Answered | Wait
            try:
                response = await self._calls.call(question.method, question.request, ask.timeout_s)
            except grpc.RpcError as error:
                # Its traceback has the frames of gRPC, and nothing of it is lost in ours.
                failure = call_error(error)
                step = attempts.failed(failure, elapsed_s())
            else:
                step = attempts.answered(response, elapsed_s())
            if isinstance(step, Answered):
                return step
            await asyncio.sleep(step.delay_s)

    async def _connect(
        self,
        request: pb.CheckEndpointRequest,
        deadline: float,
        permit_report_only: bool,
        opening: "_Opening[T]",
    ) -> T:
        """Ask and open; report another leaf once, ask and open again."""
        result = "failed"
        try:
            try:
                opened = await self._connected(request, deadline, permit_report_only, opening)
            except NotAsJudged as difference:
                report = reporting(request, difference)
                if key := key_of(request):
                    self._lookups.forget(key)
                opened = await self._connected(report, deadline, permit_report_only, opening)
            result = "opened"
        except TrafficNotPermitted:
            result = "not permitted"
            raise
        except NotAsJudged:
            result = "not as judged"
            raise
        finally:
            notify(self._observer, ConnectionFinished(result=result))
        return opened

    async def _connected(
        self,
        request: pb.CheckEndpointRequest,
        deadline: float,
        permit_report_only: bool,
        opening: "_Opening[T]",
    ) -> T:
        remaining_s(deadline)
        verdict = await self._check(request, deadline)
        judged = judged_endpoint(
            verdict.response,
            port=request.port,
            perspective=request.perspective,
            dangerously_permit_report_only=permit_report_only,
            good_until_s=verdict.good_until_s,
        )
        return await opening(judged, deadline)

    async def _list_again(self) -> tuple[Sequence[pb.WatchedEndpoint], str]:
        return await self._watched("", elapsed_s() + _LIST_TIMEOUT_S)

    async def _watched(
        self, partner_id: str, deadline: float
    ) -> tuple[Sequence[pb.WatchedEndpoint], str]:
        """Return what is watched, and the cursor of the first page."""
        endpoints, token, cursor = list[pb.WatchedEndpoint](), "", ""
        for page_number in range(MAX_PAGES):
            page = await self._ask(listing_watched(token, partner_id), deadline)
            endpoints.extend(page.endpoints)
            cursor = page.cursor if page_number == 0 else cursor
            token = page.next_page_token
            if not token:
                break
        return endpoints, cursor


async def _next(call: Any, within_s: float) -> pb.WatchVerdictsResponse | None:
    """Return the next message of a stream, None at its end. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout(within_s):
            message = await call.read()
    except TimeoutError:
        raise DeadlineExceeded.here("the stream of changes is silent") from None
    return message if isinstance(message, pb.WatchVerdictsResponse) else None


def _channel(
    target: str,
    chosen: grpc.ChannelCredentials | None,
    given: Options,
    interceptors: Sequence[Any],
) -> Any:
    if chosen is None:
        return grpc.aio.insecure_channel(target, options(given), interceptors=interceptors)
    return grpc.aio.secure_channel(target, chosen, options(given), interceptors=interceptors)
