"""Whether HTTP answers inside TLS at one address, or is refused without a client certificate."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.endpoint import DEFAULT_PORT, Endpoint
from otpc_policy.core.facts import HttpService, TlsVersion
from otpc_policy.engine.client_certificates import ClientCredentials
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.probes.http_probe import HttpAnswer, ask_http, http1_request, is_http1
from otpc_policy.engine.spans import timed
from otpc_policy.engine.survey.absence import CLOSES
from otpc_policy.engine.transport.openings import Openings
from otpc_policy.measurement.span_codec import Part

_NOT_ACCEPTED = (
    "the server demands a client certificate, and did not answer over HTTP to the one that is set "
    "for it in client_certificates: it may not accept that certificate"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAttempt:
    """One connection. started_s, duration_s: seconds, the first from that of the measurement.

    has_certificate: ours was presented.
    """

    answer: HttpAnswer
    has_alpn: bool
    has_certificate: bool = False
    started_s: float
    duration_s: float


class HttpQuestion:
    """One address's answer so far.

    openings: shared by all connections of one scan. connections_used: counted here.
    attempts: connections made for the question.
    leaves: presented on connections made for the question, by version, unproven.
    request: asks for HTTP on a connection that exists for another purpose.
    route: through a proxy; None for the direct way.
    credentials: presented once the server has refused a client without them.
    service, proves_client_auth: the answer inside TLS, and whether it showed that a client
    certificate is required. remarks: for people.
    """

    def __init__(
        self,
        *,
        address: VettedAddress,
        endpoint: Endpoint,
        openings: Openings,
        deadline_s: float,
        begun_s: float,
        credentials: ClientCredentials | None = None,
        route: ProxyRoute | None = None,
    ) -> None:
        self._credentials, self._route = credentials, route
        self._address, self._endpoint, self._openings, self._deadline_s, self._begun_s = (
            address,
            endpoint,
            openings,
            deadline_s,
            begun_s,
        )
        self._host_header = str(replace(endpoint, host=endpoint.server_name)).removesuffix(
            f":{DEFAULT_PORT}"
        )
        self.request = http1_request(self._host_header)
        self.connections_used = 0
        self.attempts: list[HttpAttempt] = []
        self.leaves: list[tuple[TlsVersion, bytes]] = []
        self.service = HttpService.UNKNOWN
        self.proves_client_auth = False
        self.remarks: tuple[str, ...] = ()

    @property
    def is_turned_away(self) -> bool:
        """The last connection was closed, or met by an alert, before there was any answer."""
        away = (HttpAnswer.CLOSED, HttpAnswer.CERTIFICATE_ALERT)
        return bool(self.attempts) and self.attempts[-1].answer in away

    def take_reply(self, reply: bytes) -> None:
        """Take the reply to request.

        Without ALPN, and with the suites of a single hello, only HTTP itself counts as an answer.
        """
        if is_http1(reply):
            self.service = HttpService.SERVED

    async def ask(
        self,
        is_certificate_requested: Callable[[], Awaitable[bool]],
        is_still_good: Callable[[], Awaitable[bool]],
    ) -> None:
        """Ask for HTTP.

        If a client certificate was requested, a refusal for lack of it is distinguished
        from a failure.
        is_certificate_requested: awaited only after a failure. is_still_good: sends a control and
        returns whether the server accepted it.
        """
        demanded = False
        # The rule for closes without an alert, applied to a server that demands a certificate so.
        for _ in range(CLOSES):
            answer = await self._answer(alpn=True)
            if answer is HttpAnswer.CLOSED:
                answer = await self._answer(alpn=False)
            if (
                answer not in (HttpAnswer.CLOSED, HttpAnswer.CERTIFICATE_ALERT)
                or not await is_certificate_requested()
            ):
                break
            demanded = await is_still_good()
            if not demanded or answer is HttpAnswer.CERTIFICATE_ALERT:
                break
        if answer is HttpAnswer.HTTP:
            self.service = HttpService.SERVED
        elif answer is HttpAnswer.NOT_HTTP:
            self.service = HttpService.NOT_SERVED
        elif demanded and (
            answer is HttpAnswer.CERTIFICATE_ALERT
            # A proxy may have closed the connection.
            or (answer is HttpAnswer.CLOSED and self._route is None)
        ):
            self.service, self.proves_client_auth = HttpService.NOT_OBSERVABLE, True
        if self._credentials is not None and self.proves_client_auth:
            await self._ask_with(self._credentials)

    async def _ask_with(self, credentials: ClientCredentials) -> None:
        """Ask once more as the client that the server demands."""
        match await self._answer(alpn=True, credentials=credentials):
            case HttpAnswer.HTTP:
                self.service = HttpService.SERVED
            case HttpAnswer.NOT_HTTP:
                self.service = HttpService.NOT_SERVED
            case _:
                self.remarks = (_NOT_ACCEPTED,)

    async def _answer(
        self, *, alpn: bool, credentials: ClientCredentials | None = None
    ) -> HttpAnswer:
        async with self._openings:
            self.connections_used += 1
            loop, endpoint = asyncio.get_running_loop(), self._endpoint
            started_s = loop.time()
            with timed(Part.HTTP):
                answer, leaf = await ask_http(
                    address=self._address,
                    port=endpoint.port,
                    server_name=endpoint.server_name,
                    host_header=self._host_header,
                    deadline_s=self._deadline_s,
                    alpn=alpn,
                    credentials=credentials,
                    route=self._route,
                )
        if leaf is not None:
            self.leaves.append(leaf)
        self.attempts.append(
            HttpAttempt(
                answer=answer,
                has_alpn=alpn,
                has_certificate=credentials is not None,
                started_s=started_s - self._begun_s,
                duration_s=loop.time() - started_s,
            )
        )
        return answer
