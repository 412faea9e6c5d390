"""One scan of one address: drives the questions through the pool in waves and asks for HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from otpc_policy.endpoint import DEFAULT_PORT, Endpoint, is_ip_literal
from otpc_policy.facts import ClientAuth, HttpService, TlsVersion
from otpc_policy.scan.elimination import KnownGood, Plan, Question
from otpc_policy.scan.evidence import Reaction, observe
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.scan.hello_probe import probe
from otpc_policy.scan.http_probe import HttpAnswer, ask_http
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.scan.questions import MODERN_VERSIONS, OLD_VERSIONS, controls_for, first_contact, key_type_questions, suite_questions
from otpc_policy.scan.sslyze_pool import SslyzePool
from otpc_policy.scan.translation import Measured, client_auth

# The design's rule for closes without an alert, applied to a client certificate that is demanded by closing.
_CLOSES = 3


class AddressScan:
    """What is known about one address so far; readable at every moment, so that a deadline loses nothing.

    http, http_proves_client_auth: the answer inside TLS, and whether it showed that a client certificate is required.
    """

    def __init__(self, *, pool: SslyzePool, limits: ScanLimits, slots: asyncio.Semaphore, endpoint: Endpoint, address: str) -> None:
        self._pool, self._limits, self._slots = pool, limits, slots
        self._endpoint, self.address = endpoint, address
        self._shape = HandshakeOffer(
            address=address,
            port=endpoint.port,
            server_name=None if is_ip_literal(endpoint.server_name) else endpoint.server_name,
            version=None,
            cipher_suites=(),
            deadline_s=limits.connection_deadline_s,
            byte_limit=limits.connection_bytes,
        )
        self._contact_offer = first_contact(self._shape)
        self.contact = HandshakeOutcome(ending=Ending.NOT_RUN)
        self.questions: dict[TlsVersion, list[Question]] = {version: suite_questions(self._shape, version) for version in (*MODERN_VERSIONS, *OLD_VERSIONS)}
        self.key_types: list[Question] = []
        self.connections_used = 0
        self.http = HttpService.UNKNOWN
        self.http_proves_client_auth = False

    async def make_contact(self) -> None:
        """Send the first hello, alone: most of what can go wrong shows here."""
        self.contact = await self._shake(self._contact_offer)

    async def examine(self) -> None:
        """Settle all questions. Cancel it to stop; what is known stays."""
        modern = [question for version in MODERN_VERSIONS for question in self.questions[version]]
        await self._ask([question for question in modern if not question.offer.hello_only], lambda _: ())
        tls13 = next((good for good in self._found() if good.offer.version is TlsVersion.TLS_1_3), None)
        self.key_types = [] if tls13 is None else key_type_questions(tls13)
        old = [question for version in OLD_VERSIONS for question in self.questions[version]]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._ask(self.key_types, lambda _: () if tls13 is None else (tls13,)))
            tasks.create_task(self._ask([*modern, *old] if self._found() else old, lambda question: controls_for(question, self._found())))
            tasks.create_task(self._ask_http())
        if self._found():
            # What was refused while nothing good was known is asked again, now that something is.
            await self._ask([*modern, *old], lambda question: controls_for(question, self._found()))

    def measured(self) -> Measured:
        """Return what is known now."""
        seen = observe(self._contact_offer, self.contact)
        accepted = seen.reaction is Reaction.ACCEPTED
        return Measured(
            contact=self.contact,
            contact_version=seen.version if seen.reaction in (Reaction.ACCEPTED, Reaction.LOWER_VERSION) else None,
            contact_suite=seen.suites[0] if accepted else None,
            questions=self.questions,
            key_type_questions=self.key_types,
            steady=not any(question.broken_control for question in self._all_questions()),
        )

    def remarks(self) -> tuple[str, ...]:
        """Return, each once, what kept something from being proven."""
        found = [observe(self._contact_offer, self.contact).remark]
        for question in self._all_questions():
            found += question.remarks
        if not self.measured().steady:
            found.append("the server refused a hello that it had accepted before: none of its refusals counts")
        return tuple(dict.fromkeys(remark for remark in found if remark))

    def _all_questions(self) -> list[Question]:
        return [*(question for asked in self.questions.values() for question in asked), *self.key_types]

    def _found(self) -> list[KnownGood]:
        seen = observe(self._contact_offer, self.contact)
        contact = [KnownGood(self._contact_offer, seen.suites[0])] if seen.reaction is Reaction.ACCEPTED else []
        accepted = [KnownGood(question.offer, suite) for asked in self.questions.values() for question in asked for suite in question.accepted]
        return [*accepted, *contact]

    async def _ask(self, questions: Sequence[Question], controls: Callable[[Question], Sequence[KnownGood]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for question in questions:
                if not question.settled:
                    tasks.create_task(self._drive(question.ask(controls(question))))

    async def _drive(self, plan: Plan) -> None:
        try:
            offer = next(plan)
            while True:
                offer = plan.send(await self._shake(offer))
        except StopIteration:
            return

    async def _shake(self, offer: HandshakeOffer) -> HandshakeOutcome:
        async with self._slots:
            self.connections_used += 1
            return await (probe(offer) if offer.hello_only else self._pool.handshake(offer))

    async def _ask_http(self) -> None:
        """Ask for HTTP; where a client certificate was asked for, tell a refusal for want of it from a server that fails."""
        demanded = False
        for _ in range(_CLOSES):
            answer = await self._http_answer(alpn=True)
            if answer is HttpAnswer.CLOSED:
                answer = await self._http_answer(alpn=False)
            if answer not in (HttpAnswer.CLOSED, HttpAnswer.CERTIFICATE_ALERT) or client_auth(self.measured()) is not ClientAuth.REQUESTED:
                break
            control = await self._shake(self._contact_offer)
            demanded = observe(self._contact_offer, control).reaction is Reaction.ACCEPTED
            if not demanded or answer is HttpAnswer.CERTIFICATE_ALERT:
                break
        if answer is HttpAnswer.HTTP:
            self.http = HttpService.SERVED
        elif answer is HttpAnswer.NOT_HTTP:
            self.http = HttpService.NOT_SERVED
        elif demanded and answer is not HttpAnswer.UNKNOWN:
            self.http, self.http_proves_client_auth = HttpService.NOT_OBSERVABLE, True

    async def _http_answer(self, *, alpn: bool) -> HttpAnswer:
        async with self._slots:
            self.connections_used += 1
            endpoint = self._endpoint
            return await ask_http(
                address=self.address,
                port=endpoint.port,
                server_name=endpoint.server_name,
                host_header=str(replace(endpoint, host=endpoint.server_name)).removesuffix(f":{DEFAULT_PORT}"),
                deadline_s=self._limits.connection_deadline_s,
                alpn=alpn,
            )
