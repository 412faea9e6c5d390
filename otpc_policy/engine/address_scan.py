"""One scan of one address: a survey by hellos, handshakes and the HTTP question, all at once."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.endpoint import Endpoint, is_ip_literal
from otpc_policy.core.facts import ClientAuth, HttpService, TlsVersion, TraceStep
from otpc_policy.engine.client_certificates import ClientCredentials
from otpc_policy.engine.egress.hindrance import CannotDial
from otpc_policy.engine.egress.proxy import EgressProxy, ProxyRoute
from otpc_policy.engine.facts.groups import used_groups
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.facts.trace import trace
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.probes.handshakes import (
    MOST_USUAL,
    Handshake,
    Handshakes,
    client_auth,
    missing_handshakes,
)
from otpc_policy.engine.probes.http_question import HttpQuestion
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.seed import Draws
from otpc_policy.engine.spans import timed
from otpc_policy.engine.survey.cast import draw_cast
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.group_survey import GroupSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import (
    AnyHello,
    Ending,
    Hello_co,
    Outcome,
    Probe,
    Purpose,
    Record,
)
from otpc_policy.engine.survey.survey import Survey
from otpc_policy.engine.transport.address_slots import SlotsOfScan
from otpc_policy.engine.transport.openings import ConnectionsExhausted, Openings
from otpc_policy.engine.transport.prober import Prober
from otpc_policy.engine.workers.handshake import HandshakeOffer, Hello
from otpc_policy.engine.workers.pool import WorkerPool
from otpc_policy.engine.workers.worker_lied import WorkerLied
from otpc_policy.measurement.span_codec import Part
from otpc_policy.tls.answer import Incomplete
from otpc_policy.tls.client_hello import ClientHello

# Rounds of handshakes for certificates that no flight proved.
_FOLLOW_UPS = 2
# Where nothing was accepted yet, it is unknown what the server tolerates.
_UNTRIED = 8


class AddressScan:
    """What is known about one address so far; readable at any time, so a deadline loses nothing."""

    def __init__(
        self,
        *,
        pool: WorkerPool,
        limits: ScanLimits,
        slots: SlotsOfScan,
        endpoint: Endpoint,
        address: VettedAddress,
        required_suites: Collection[frozenset[int]] = (),
        asks_groups: bool = False,
        routers: Sequence[ClientProfile] = (),
        seed: bytes | None = None,
        credentials: ClientCredentials | None = None,
        proxy: EgressProxy | None = None,
    ) -> None:
        self.address = address
        self._route = None if proxy is None else ProxyRoute(proxy)
        self._draws = Draws(seed)
        # Groups are asked about beside the survey of suites.
        self._draws_of_groups = self._draws.beside()
        self._server_name = None if is_ip_literal(endpoint.server_name) else endpoint.server_name
        self._cast = draw_cast(self._draws.source(), routers, server_name=self._server_name)
        self._required_suites, self._asks_groups = required_suites, asks_groups
        self._limits, self._slots = limits, slots
        begun_s = asyncio.get_running_loop().time()
        shape = HandshakeOffer(
            address=address,
            port=endpoint.port,
            hello=Hello(
                server_name=self._server_name,
                version=None,
                cipher_suites=(),
                deadline_s=limits.connection_deadline_s,
                byte_limit=limits.connection_bytes,
            ),
        )
        self._openings = Openings(
            slots, limits.connections_per_address, total=limits.connections_per_scan
        )
        self._prober = Prober(
            address=address,
            port=endpoint.port,
            openings=self._openings,
            limits=limits,
            begun_s=begun_s,
            new_random=self._draws.source,
            route=self._route,
        )
        self._lease = pool.lease(self._route)
        self._handshakes = Handshakes(
            lease=self._lease, openings=self._openings, shape=shape, begun_s=begun_s
        )
        self._http = HttpQuestion(
            address=address,
            endpoint=endpoint,
            openings=self._openings,
            deadline_s=limits.connection_deadline_s,
            begun_s=begun_s,
            credentials=credentials,
            route=self._route,
        )
        self._handshakes_done = asyncio.Event()
        self._surveys: list[Journal] = []
        self._http_controls = Journal()
        self._clients = ClientSurvey(self._server_name, self._cast)
        self._groups: GroupSurvey | None = None
        self._group_task: asyncio.Task[None] | None = None
        self._measured: tuple[tuple[int, ...], Measured] | None = None

    @property
    def seed(self) -> bytes:
        """What this scan draws its clients and hellos from."""
        return self._draws.seed

    @property
    def connections_used(self) -> int:
        """Connections opened so far."""
        return (
            self._prober.connections_used
            + self._handshakes.connections_used
            + self._http.connections_used
        )

    @property
    def http(self) -> HttpService:
        """Whether HTTP answers inside TLS."""
        return self._http.service

    @property
    def remarks(self) -> tuple[str, ...]:
        """What people should know beyond the facts."""
        of_proxy = () if self._route is None else self._route.remarks()
        return (*self._http.remarks, *of_proxy)

    @property
    def is_proxied(self) -> bool:
        """What came back may have come from a proxy, unless cryptography says otherwise."""
        return self._route is not None

    @property
    def client_auth(self) -> ClientAuth:
        """Whether a client certificate is asked for, or required."""
        asked = client_auth(self.measured().presented)
        return (
            ClientAuth.REQUIRED
            if asked is ClientAuth.REQUESTED and self._http.proves_client_auth
            else asked
        )

    def measured(self) -> Measured:
        """Return what is known now.

        It is the same object as long as nothing new is known, because it caches what it derives.
        """
        surveys = tuple(self._surveys) or (Journal(),)
        clients, leaves = self._clients, self._http.leaves
        state = (
            len(surveys),
            surveys[-1].waves,
            len(clients.records),
            len(self._groups.records) if self._groups is not None else 0,
            len(self._handshakes.done),
            len(leaves),
        )
        if self._measured is None or self._measured[0] != state:
            completed = tuple(self._handshakes.presented())
            self._measured = (
                state,
                Measured(
                    surveys=surveys,
                    clients=clients,
                    completed=completed,
                    http_leaves=tuple(leaves),
                    groups=self._groups,
                ),
            )
        return self._measured[1]

    def trace(self) -> tuple[TraceStep, ...]:
        """Return every connection so far, for people."""
        return trace(
            self.measured(), self._handshakes.done, self._http.attempts, self._http_controls
        )

    async def run(self) -> None:
        """Measure. Cancel it to stop; what is known stays.

        Raises WorkerLied, CannotDial, and ConnectionsExhausted if the server answered so that all
        connections of a scan were not enough.
        """
        self._slots.on_surrender(self._prober.surrender)
        try:
            await self._run()
        except ExceptionGroup as group:
            for kind in (WorkerLied, CannotDial, ConnectionsExhausted):
                if (error := _first_of(group, kind)) is not None:
                    raise error from None
            raise
        finally:
            self._slots.on_surrender(None)
            self._lease.end()

    def raise_if_lied(self) -> None:
        """Raise WorkerLied if the worker of this scan lied, at whatever time."""
        self._lease.raise_if_lied()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            usual = tasks.create_task(self._handshakes.shake(MOST_USUAL, self._http.request))
            http = tasks.create_task(self._ask_http(usual))
            await self._survey(tasks)
            if self._is_silent:
                # Whoever answered no hello is not asked for HTTP either.
                http.cancel()
                await asyncio.wait((usual,))
                return
            if self._surveys[-1].versions and not self.measured().is_steady:
                # Some servers cannot take so much at once: ask everything again, sequentially.
                self._openings.limit = 1
                self._clients.begin_again()
                self._end_groups()
                await self._survey(tasks)
            await asyncio.wait((usual,))
            await self._follow_up()
            self._handshakes_done.set()
            await http
            if self._is_http_turned_away:
                await self._ask_http_alone()

    @property
    def _is_http_turned_away(self) -> bool:
        """The question for HTTP may have been one connection too many."""
        is_served = bool(self._surveys[-1].versions)
        is_busy = len(self._surveys) > 1 or self._http.is_turned_away
        return self._http.service is HttpService.UNKNOWN and is_served and is_busy

    async def _survey(self, tasks: asyncio.TaskGroup) -> None:
        survey = Survey(self._server_name, self._cast.variants)
        self._surveys.append(survey.journal)
        while True:
            probes = survey.next_wave()
            clients = self._clients.next_wave(
                survey.journal, is_closed=any(probe.is_last for probe in probes)
            )
            if not probes and not clients:
                break
            await self._carry_together(survey, probes, clients)
            if self._is_silent:
                break
            self._openings.limit = min(
                self._openings.limit,
                _tolerated_connections((*survey.journal.records, *self._clients.records)),
            )
            self._begin_groups(tasks)
        if (
            self._openings.limit > 1
            and survey.journal.versions
            and (again := survey.confirmation())
        ):
            self._openings.limit = 1
            await self._carry(again, survey.take)

    @property
    def _is_silent(self) -> bool:
        """The server took every hello so far and answered none in time: it is asked no more."""
        outcomes = [record.outcome for record in self._surveys[-1].records]
        outcomes += [record.outcome for record in self._clients.records]
        return all(
            outcome.connected
            and outcome.ending is Ending.TIMED_OUT
            and isinstance(outcome.answer, Incomplete)
            for outcome in outcomes
        )

    def _begin_groups(self, tasks: asyncio.TaskGroup) -> None:
        """Ask about groups, as soon as TLS 1.3 is accepted and it is known what is tolerated."""
        if not self._asks_groups or self._groups is not None:
            return
        measured = self.measured()
        if suites := measured.accepted.get(TlsVersion.TLS_1_3):
            self._groups = GroupSurvey(
                self._server_name,
                client=self._clients.base(),
                suites=suites,
                known=used_groups(measured),
            )
            self._group_task = tasks.create_task(self._survey_groups(self._groups))

    def _end_groups(self) -> None:
        """Begin anew with the next survey: refusals may have been about open connections."""
        if self._group_task is not None:
            self._group_task.cancel()
        self._groups = None

    async def _survey_groups(self, survey: GroupSurvey) -> None:
        while probes := survey.next_wave():
            await self._carry(probes, survey.take, self._draws_of_groups.source)

    async def _carry_together(
        self,
        survey: Survey,
        probes: tuple[Probe[ClientHello], ...],
        clients: tuple[Probe[ProfileHello], ...],
    ) -> None:
        def take(_: Sequence[Probe[AnyHello]], outcomes: Sequence[Outcome]) -> None:
            survey.take(probes, outcomes[: len(probes)])
            self._clients.take(clients, outcomes[len(probes) :])

        await self._carry((*probes, *clients), take)

    async def _carry(
        self,
        probes: Sequence[Probe[Hello_co]],
        take: Callable[[Sequence[Probe[Hello_co]], Sequence[Outcome]], None],
        new_random: Callable[[], RandomBytes] | None = None,
    ) -> None:
        """Carry out a wave and have it taken down, what there is of it if it is cut short."""
        outcomes: list[Outcome] = []
        try:
            with timed(Part.WAVE, connections=len(probes)):
                await self._prober.run(probes, outcomes, new_random)
        finally:
            take(probes, outcomes)

    async def _follow_up(self) -> None:
        is_steady = self.measured().is_steady
        for _ in range(_FOLLOW_UPS):
            measured = self.measured()
            wanted = missing_handshakes(
                {version: sorted(suites) for version, suites in measured.accepted.items()},
                measured.leaf_hints,
                measured.presented,
                [attempt.handshake for attempt in self._handshakes.done],
                self._required_suites,
            )
            if not wanted:
                return
            await self._shake_all(wanted, one_by_one=not is_steady)

    async def _shake_all(self, wanted: list[Handshake], *, one_by_one: bool) -> None:
        if one_by_one:
            for handshake in wanted:
                await self._handshakes.shake(handshake)
        else:
            await asyncio.gather(*map(self._handshakes.shake, wanted))

    async def _ask_http(self, handshake: asyncio.Task[bytes]) -> None:
        self._http.take_reply(await handshake)
        if self._http.service is HttpService.UNKNOWN:
            await self._ask_http_alone()

    async def _ask_http_alone(self) -> None:
        await self._http.ask(self._is_certificate_requested, self._is_still_good)

    async def _is_certificate_requested(self) -> bool:
        await self._handshakes_done.wait()
        return client_auth(self.measured().presented) is ClientAuth.REQUESTED

    async def _is_still_good(self) -> bool:
        """Send again the first hello that was accepted."""
        good = next(
            (record.probe.hello for log in self._surveys for record in log.records if record.chose),
            None,
        )
        if good is None:
            return False
        controls = self._http_controls
        await self._carry((Probe(hello=good, purpose=Purpose.CLOSING_CONTROL),), controls.add)
        return controls.records[-1].chose


def _first_of(group: ExceptionGroup[Exception], kind: type[Exception]) -> Exception | None:
    """Return an exception of that kind in a group of tasks, or of tasks of these."""
    found: Exception | None = group.subgroup(kind)
    while isinstance(found, ExceptionGroup):
        found = found.exceptions[0]
    return found


def _tolerated_connections(records: Iterable[Record[AnyHello]]) -> int:
    """Return how many open connections a server tolerates.

    Refusals at more than the highest number at which one was accepted may be about their number.
    The controls that are sent last would not show that, because they have the server to themselves.
    A server counts a connection until it has noticed its end, so a fifth of them is left to those.
    """
    highest = max((record.outcome.concurrent for record in records if record.chose), default=None)
    return _UNTRIED if highest is None else max(1, highest * 4 // 5)
