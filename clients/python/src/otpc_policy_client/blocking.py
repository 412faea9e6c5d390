"""The client for threads. What it decides is decided in the modules without IO."""

import random
import threading
import time
from collections.abc import Generator, Sequence
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
from otpc_policy_client.following_in_thread import ThreadFollower
from otpc_policy_client.judged import judged_endpoint
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.lookups import Flight, Follow, Lookups
from otpc_policy_client.observing import (
    CallFinished,
    CheckLookedUp,
    ConnectionFinished,
    Observer,
    notify,
)
from otpc_policy_client.opening import JudgedSocket, open_socket, remaining_s
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
from otpc_policy_client.silence import SilenceWatch
from otpc_policy_client.stubs import Calls, ChannelCalls
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import Verdict

T = TypeVar("T")
_LIST_TIMEOUT_S = 10.0


class PolicyClient:
    """A client for threads. It may be shared; close it, or use it in a with statement.

    target: as gRPC names servers, such as "policy.internal:443". The channel uses TLS, unless the
    target is this machine and no certificates were given. root_certificates: PEM; None for gRPC's
    own roots. private_key, certificate_chain: PEM, for mutual TLS. channel_credentials: of gRPC, in
    place of those three. options, interceptors: of the channel; options take the place of ours.
    timeout_s: of a call that says nothing else. cache: what may be kept; None for nothing.
    watch: whether changes that the service reports drop what is kept. observer: is told of events.

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
        self._lock = threading.Lock()
        self._lookups: Lookups[threading.Event] = Lookups(
            cache, wall_ns=time.time_ns, new_waiter=threading.Event
        )
        self._watches = watch and cache is not None
        self._follower = ThreadFollower(
            calls, self._lookups, self._lock, self._list_again, observer
        )

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
        """End the channel and what follows changes."""
        self._follower.close()
        self._end_channel()

    def _end_channel(self) -> None:
        self._channel.close()

    def check(
        self,
        endpoint: str | Message,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[CheckFields],
    ) -> Verdict:
        """Ask about an endpoint: a host with fields of check_request, or a request.

        A verdict that is kept answers, if it stands. Otherwise one call is made for all who ask the
        same at a time. A measurement that takes longer is waited for within timeout_s; if that is
        over first, the verdict is INDETERMINATE, and the measurement goes on.
        """
        return self._check(request_of(endpoint, fields), self._deadline(timeout_s))

    def check_batch(
        self, requests: Sequence[Message], *, timeout_s: float | None = None
    ) -> tuple[Verdict | CallError, ...]:
        """Ask about 1 to 100 endpoints; for each, in the same order, a verdict or its error.

        Neither does the cache answer, nor is it filled.
        """
        return self._ask(checking_batch(requests), self._deadline(timeout_s))

    def connect(
        self,
        endpoint: str | Message,
        *,
        timeout_s: float | None = None,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
        **fields: Unpack[CheckFields],
    ) -> JudgedSocket:
        """Ask about an endpoint, and return a TLS connection to it that the verdict covers.

        It leads to a judged address, offers the permitted versions and cipher suites alone, and met
        a leaf that was judged. If the first one meets another leaf, that is closed and reported,
        the service decides anew, and one more is opened.

        endpoint, fields: as of check. timeout_s: for all of this together, and then for each
        operation on the socket until its settimeout says otherwise.
        make_context: for client certificates, ALPN or verification in addition. With a client
        certificate, the handshake shows it to a server before its leaf is compared.
        dangerously_permit_report_only: as of permits_traffic.

        Whatever is in doubt raises, with the connection closed and nothing sent over it:
        TrafficNotPermitted, NotAsJudged, CallError, OSError if no judged address gives a
        connection, ssl.SSLError and TimeoutError among them.
        """
        connection = self._connect(
            request_of(endpoint, fields),
            self._deadline(timeout_s),
            make_context,
            dangerously_permit_report_only,
        )
        connection.socket.settimeout(self._time_s(timeout_s))
        return connection

    def validate(
        self,
        chain: str | Sequence[bytes] | Message,
        *,
        timeout_s: float | None = None,
        **fields: Unpack[ValidateFields],
    ) -> pb.ValidateCertificateResponse:
        """Ask about a chain: PEM text, or DER certificates, leaf first, or a request.

        fields: of validate_request.
        """
        return self._ask(validating(chain, fields), self._deadline(timeout_s))

    def get_policy(self, name: str = "", *, timeout_s: float | None = None) -> pb.Policy:
        """Return a policy; an empty name means the default."""
        return self._ask(getting_policy(name), self._deadline(timeout_s))

    def list_policies(self, *, timeout_s: float | None = None) -> Sequence[pb.Policy]:
        """Return every policy, ordered by name. timeout_s: for all pages."""
        deadline, policies, token = self._deadline(timeout_s), list[pb.Policy](), ""
        for _ in range(MAX_PAGES):
            page = self._ask(listing_policies(token), deadline)
            policies.extend(page.policies)
            token = page.next_page_token
            if not token:
                break
        return policies

    def list_watched(
        self, partner_id: str = "", *, timeout_s: float | None = None
    ) -> Sequence[pb.WatchedEndpoint]:
        """Return every watched endpoint, ordered by host and port. timeout_s: for all pages.

        partner_id: its endpoints alone.
        """
        return self._watched(partner_id, self._deadline(timeout_s))[0]

    def follow_verdicts(
        self,
        partner_id: str = "",
        *,
        timeout_s: float | None = None,
        cursor: str = "",
        most_failures: int = 20,
        silence_s: float = SILENCE_S,
    ) -> Generator[Followed, None, None]:
        """Yield what is watched and known, then what changes, for as long as the caller iterates.

        It begins with a list, or where a cursor of an earlier time leads; and it lists again where
        changes may have been missed. Streams that end, or are silent for silence_s, are begun
        again after a pause of up to ten seconds. timeout_s: for each list.

        For people and their tools: a change is no answer to rely on for traffic. What check keeps
        is dropped by itself. Raises the last error once most_failures calls in a row have failed,
        and at once where another attempt changes nothing; ChangesUnknown where the service does not
        know either.
        """
        progress = Progress(cursor, most_failures=most_failures)
        while True:
            try:
                if progress.must_list:
                    listed = progress.listed(*self._watched(partner_id, self._deadline(timeout_s)))
                    if listed is None:
                        self._probe_stream(partner_id, self._time_s(timeout_s))
                        time.sleep(progress.failed())
                        continue
                    yield listed
                request = pb.WatchVerdictsRequest(cursor=progress.cursor, partner_id=partner_id)
                call = self._calls.follow("WatchVerdicts", request)
                with SilenceWatch(call, silence_s) as silence:
                    for message in call:
                        silence.heard()
                        yield progress.took(message)
            except grpc.RpcError as error:
                time.sleep(progress.failed(call_error(error)))

    def _probe_stream(self, partner_id: str, timeout_s: float) -> None:
        """Have the service say that nothing is watched, where nothing is."""
        request = pb.WatchVerdictsRequest(partner_id=partner_id)
        call = self._calls.follow("WatchVerdicts", request, timeout_s)
        next(call, None)
        call.cancel()

    def _time_s(self, timeout_s: float | None) -> float:
        return self._timeout_s if timeout_s is None else timeout_s

    def _deadline(self, timeout_s: float | None) -> float:
        return elapsed_s() + self._time_s(timeout_s)

    def _check(self, request: pb.CheckEndpointRequest, deadline: float) -> Verdict:
        key = key_of(request)
        if key is None:
            return self._ask(checking(request), deadline)
        while True:
            with self._lock:
                found = self._lookups.look(key, request, elapsed_s(), deadline)
            if isinstance(found, Verdict):
                notify(self._observer, CheckLookedUp(result="kept"))
                return found
            if not isinstance(found, Follow):
                return self._lead(found.flight, deadline)
            found.flight.ended.wait(max(0.0, found.wait_s))
            shared = found.flight.shared()
            if shared is not None:
                notify(self._observer, CheckLookedUp(result="shared"))
                return shared
            if elapsed_s() >= deadline:
                raise DeadlineExceeded.here("no answer within the time of the call")

    def _lead(self, flight: Flight[threading.Event], deadline: float) -> Verdict:
        """Ask for all who ask the same. Whatever happens, followers are told."""
        outcome: Verdict | CallError | None = None
        asked_at_s = elapsed_s()
        try:
            notify(self._observer, CheckLookedUp(result="asked"))
            if self._watches:
                self._follower.start()
            outcome = self._ask(checking(flight.request), deadline)
        except CallError as error:
            outcome = error
            raise
        finally:
            with self._lock:
                self._lookups.landed(flight, outcome, asked_at_s=asked_at_s)
            flight.ended.set()
        return outcome

    def _ask(self, question: Question[T], deadline: float) -> T:
        now = elapsed_s()
        attempts = Attempts(now=now, timeout_s=deadline - now, spread=random.random())  # noqa: S311 - it spreads calls, and keeps no secret
        code = "UNKNOWN"
        try:
            answered = self._answered(question, attempts)
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

    def _answered(self, question: Question[Any], attempts: Attempts) -> Answered:
        while True:
            ask = attempts.start(elapsed_s())
            step: Answered | Wait
            try:
                response = self._calls.call(question.method, question.request, ask.timeout_s)
            except grpc.RpcError as error:
                # Its traceback has the frames of gRPC, and nothing of it is lost in ours.
                failure = call_error(error)
                step = attempts.failed(failure, elapsed_s())
            else:
                step = attempts.answered(response, elapsed_s())
            if isinstance(step, Answered):
                return step
            time.sleep(step.delay_s)

    def _connect(
        self,
        request: pb.CheckEndpointRequest,
        deadline: float,
        make_context: MakeContext,
        permit_report_only: bool,
    ) -> JudgedSocket:
        """Ask and open; report another leaf once, ask and open again."""
        result = "failed"
        try:
            try:
                opened = self._connected(request, make_context, deadline, permit_report_only)
            except NotAsJudged as difference:
                report = reporting(request, difference)
                if key := key_of(request):
                    with self._lock:
                        self._lookups.forget(key)
                opened = self._connected(report, make_context, deadline, permit_report_only)
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

    def _connected(
        self,
        request: pb.CheckEndpointRequest,
        make_context: MakeContext,
        deadline: float,
        permit_report_only: bool,
    ) -> JudgedSocket:
        remaining_s(deadline)
        verdict = self._check(request, deadline)
        judged = judged_endpoint(
            verdict.response,
            port=request.port,
            perspective=request.perspective,
            dangerously_permit_report_only=permit_report_only,
            good_until_s=verdict.good_until_s,
        )
        return open_socket(judged, make_context, deadline=deadline)

    def _list_again(self) -> tuple[Sequence[pb.WatchedEndpoint], str]:
        return self._watched("", elapsed_s() + _LIST_TIMEOUT_S)

    def _watched(
        self, partner_id: str, deadline: float
    ) -> tuple[Sequence[pb.WatchedEndpoint], str]:
        """Return what is watched, and the cursor of the first page."""
        endpoints, token, cursor = list[pb.WatchedEndpoint](), "", ""
        for page_number in range(MAX_PAGES):
            page = self._ask(listing_watched(token, partner_id), deadline)
            endpoints.extend(page.endpoints)
            cursor = page.cursor if page_number == 0 else cursor
            token = page.next_page_token
            if not token:
                break
        return endpoints, cursor


def _channel(
    target: str,
    chosen: grpc.ChannelCredentials | None,
    given: Options,
    interceptors: Sequence[Any],
) -> grpc.Channel:
    channel = (
        grpc.insecure_channel(target, options(given))
        if chosen is None
        else grpc.secure_channel(target, chosen, options(given))
    )
    return grpc.intercept_channel(channel, *interceptors) if interceptors else channel
