"""The facts of an endpoint: from the store, or from one shared measurement of each address.

What the facts mean is not known here. How long they answer is: a function that whoever asks for
facts hands over (LifetimeAt).
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum
from functools import lru_cache, partial

from otpc_policy.check.basis import Basis, facts_ids
from otpc_policy.check.caller_limits import CallerBounds, CallerLimits
from otpc_policy.check.freshness import (
    Freshness,
    FreshnessLimits,
    FreshnessMode,
    LifetimeAt,
    Usable,
    lifetime_ends_at,
)
from otpc_policy.check.leasing import NEW_ENOUGH_S, Leasing
from otpc_policy.check.ports import (
    Boarding,
    CheckObserver,
    Clock,
    FactsStore,
    Lease,
    LookUp,
    Resolver,
    Scanner,
    ScanOutcome,
    StoreUnavailable,
)
from otpc_policy.check.single_flight import Flight, FlightBoard
from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.caller import WITHIN_THIS_PROCESS, Caller
from otpc_policy.core.demand import Claim, Demand, ScanClass
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import (
    CallerBudgetUsed,
    EgressUnavailable,
    Overloaded,
    PortNotAllowed,
    ServiceUnavailable,
    TargetForbidden,
)
from otpc_policy.core.facts import AddressFacts, Depth, ForbiddenAddress, Support
from otpc_policy.core.perspective import DEFAULT_PERSPECTIVE
from otpc_policy.core.spans import Span, current_span, span
from otpc_policy.core.trace_context import TraceContext
from otpc_policy.turns import turn

_logger = logging.getLogger(__name__)

# OpenTelemetry's name for the host that is resolved.
_NAME = "dns.question.name"
_COST = {result: cost for cost, result in enumerate(LookUp)}
# A caller whose time is over is told to ask again in a second. Until then it keeps its turn.
_KEEPS_ITS_TURN_S = 5.0
_JUST_STORED = timedelta(seconds=NEW_ENOUGH_S)


class Newer(Enum):
    """Whether a check needs newer facts than those that would do otherwise."""

    NO = "no"
    IF_UNDER_WAY = "join the measurement under way, if there is one"
    AT_ANY_RATE = "measure, and join no measurement that has begun already"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactsWanted:
    """What a check asks for, and for whom.

    lifetime: how long facts answer this check. is_partners: a partner's entry names the endpoint.
    scan_class: of measurements that it waits for. Those of the watch list are no requests, and are
    not counted as such.
    """

    endpoint: Endpoint
    depth: Depth
    freshness: Freshness
    lifetime: LifetimeAt
    newer: Newer = Newer.NO
    caller: Caller = WITHIN_THIS_PROCESS
    is_partners: bool = False
    scan_class: ScanClass = ScanClass.INTERACTIVE

    @property
    def is_request(self) -> bool:
        """Somebody asks."""
        return self.scan_class is not ScanClass.WATCH

    def claim(self, scan_class: ScanClass) -> Claim:
        """Return the claim on a measurement."""
        return Claim(share=self.caller.share, scan_class=scan_class, is_partners=self.is_partners)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a host before anything is measured.

    stored: the newest facts of each address, however old; None without any. basis: all that was
    looked up, by name; None where the store was not asked, or could not be.
    """

    resolution: Resolution
    stored: Sequence[StoredFacts | None]
    basis: Basis | None = None


class WhyMissing(Enum):
    """Why an address has no facts to answer with."""

    NOT_STORED = "nothing stored may answer, and the request permits no measurement"
    EARLIER_ADDRESS = "the host does not resolve now, and the address is an earlier answer's"
    UNDER_WAY = "the measurement has not ended in time"
    NO_ROOM = "the scanner has no room"
    FORBIDDEN = "the engine may not dial the address"
    NO_WAY_OUT = "nothing can be reached from here"
    FAILED = "the measurement raised"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An address whose facts answer.

    boarding: of the measurement that brought them, or will replace them; None without one.
    """

    usable: Usable
    boarding: Boarding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """An address without facts.

    so_far: what the measurement under way has found, all else unknown; None if nothing yet.
    overloaded: what the scanner raised, for NO_ROOM. reason: for people, for FORBIDDEN and
    NO_WAY_OUT.
    """

    address: str
    why: WhyMissing
    boarding: Boarding | None = None
    so_far: AddressFacts | None = None
    overloaded: Overloaded | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Need:
    """What one address has and needs. flight: waited for unless something is usable."""

    address: VettedAddress
    usable: Usable | None
    looked_up: LookUp
    flight: Flight | None
    boarding: Boarding | None

    @property
    def awaited(self) -> Flight | None:
        """The flight that the caller waits for."""
        return self.flight if self.usable is None else None


class Measurements:
    """Resolves, measures and remembers. close() ends every measurement and lets none begin.

    perspective: the place from which resolver and scanner work. All facts are marked with it,
    whatever the scanner says. Several of these, each for a place, may share a store.
    is_own_listener: tells of an IP literal and port whether this service itself listens there.
    callers: what each may have measured; None for no bounds. leasing: who of several replicas
    measures; None where there is one.
    """

    def __init__(
        self,
        *,
        resolver: Resolver,
        scanner: Scanner,
        store: FactsStore,
        clock: Clock,
        limits: FreshnessLimits,
        observer: CheckObserver,
        perspective: str = DEFAULT_PERSPECTIVE,
        is_own_listener: Callable[[str, int], bool] = lambda _address, _port: False,
        callers: CallerLimits | None = None,
        leasing: Leasing | None = None,
    ) -> None:
        self.perspective = perspective
        self._callers = callers or CallerLimits(CallerBounds(), monotonic=clock.monotonic)
        self._resolver = resolver
        self._scanner = scanner
        self._store = store
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._is_own_listener = is_own_listener
        self._leasing = leasing
        self._flights = FlightBoard()
        self._look_ups: set[asyncio.Task[Resolution]] = set()
        self._closing = False

    @property
    def in_progress(self) -> int:
        """Measurements under way or waiting for their predecessor."""
        return len(self._flights)

    def flights(self) -> Iterator[tuple[FactsKey, Flight, bool]]:
        """See FlightBoard.flights."""
        return self._flights.flights()

    async def close(self) -> None:
        """End every measurement."""
        self._closing = True
        look_ups = tuple(self._look_ups)
        for look_up in look_ups:
            look_up.cancel()
        await asyncio.gather(*look_ups, return_exceptions=True)
        await self._flights.close()

    async def invalidate(self, host: str, port: int) -> int:
        """Forget the facts of a host (canonical), of all ports for port 0; return how many.

        A measurement under way began before this: it answers those who wait for it already, and
        nobody who asks from now on. Raises ServiceUnavailable if the store cannot be asked.
        """
        self.outdate_endpoints({(host, port)})
        try:
            return await self._store.discard_endpoint(host, port)
        except StoreUnavailable as error:
            raise ServiceUnavailable("the store of facts cannot be asked") from error

    def outdate_endpoints(self, endpoints: Collection[tuple[str, int]] | None) -> None:
        """Let nobody join a measurement under way of these hosts, of all ports for port 0.

        endpoints: None for all that there are.
        """
        self._flights.outdate(
            lambda key: (
                endpoints is None or (key.host, key.port) in endpoints or (key.host, 0) in endpoints
            )
        )

    async def known(self, wanted: FactsWanted, *, wait_s: float | None) -> Known | None:
        """Return what the host turns into and what is stored of its addresses.

        None if resolving takes longer than the caller waits (wait_s; None for as long as it takes).
        Raises Overloaded if the resolver has no room, or the caller looks up too many names.
        """
        began = self._clock.monotonic()
        host = wanted.endpoint.host
        # What is at hand needs no timer: setting one and taking it back costs more than looking.
        resolution = self._resolver.known(host) or await self._resolved(wanted, wait_s)
        if resolution is None:
            return None
        known = await self._stored(wanted, resolution)
        if not (resolution.is_stale and self._needs_measuring(wanted, known)):
            return known
        if wait_s is not None:
            wait_s = max(0.0, wait_s - (self._clock.monotonic() - began))
        resolution = await self._resolved(wanted, wait_s, fresh=True)
        if resolution is None:
            return None
        return await self._stored(wanted, resolution)

    async def still_known(self, basis: Basis) -> bool:
        """Tell whether the same resolution is at hand, and the same facts are stored, as before."""
        resolution = basis.resolution
        if self._resolver.known(basis.host) is not resolution:
            return False
        if self._revisions(resolution.addresses) != basis.revisions:
            return False
        try:
            found = await self._store.get_many(basis.keys)
        except StoreUnavailable:
            return False
        return facts_ids(found) == basis.facts_ids

    async def _resolved(
        self, wanted: FactsWanted, wait_s: float | None, *, fresh: bool = False
    ) -> Resolution | None:
        look_up = asyncio.create_task(self._look_up(wanted, fresh=fresh), name="resolve for a call")
        self._look_ups.add(look_up)
        look_up.add_done_callback(self._looked_up)
        await asyncio.wait((look_up,), timeout=wait_s)
        if not look_up.done():
            return None
        if look_up.cancelled():
            raise ServiceUnavailable("the service is draining")
        return look_up.result()

    async def _look_up(self, wanted: FactsWanted, *, fresh: bool) -> Resolution:
        """Resolve the host. Goes on when the call has ended, as the question itself does.

        So it counts until then: callers that leave at once would otherwise ask without bounds.
        """
        host = wanted.endpoint.host
        with (
            self._callers.looking_up(wanted.caller, host, perspective=self.perspective),
            span("resolve", attributes={_NAME: host}),
        ):
            return await self._resolver.resolve(host, fresh=fresh)

    def _looked_up(self, look_up: "asyncio.Task[Resolution]") -> None:
        self._look_ups.discard(look_up)
        if not look_up.cancelled():
            look_up.exception()  # retrieved here, because whoever asked may have gone

    def _needs_measuring(self, wanted: FactsWanted, known: Known) -> bool:
        """Tell whether the request lets an address be measured that has nothing to answer with."""
        if wanted.freshness.mode is FreshnessMode.CACHE_ONLY:
            return False
        now = self._clock.now()
        return any(self._usable(wanted, stored, now) is None for stored in known.stored)

    def _usable(
        self, wanted: FactsWanted, stored: StoredFacts | None, now: datetime
    ) -> Usable | None:
        if stored is None or wanted.newer is Newer.AT_ANY_RATE:
            return None
        return self._limits.usable(stored, wanted.freshness, wanted.lifetime, now)

    async def _stored(self, wanted: FactsWanted, resolution: Resolution) -> Known:
        """Return the newest stored facts of each address, however old.

        Facts of a DEEP measurement serve STANDARD too.
        """
        resolution = self._without_own_listeners(resolution, wanted.endpoint.port)
        addresses = resolution.addresses
        if not addresses:
            return Known(resolution, ())
        revisions = self._revisions(addresses)
        keys: list[FactsKey] = []
        for address, revision in zip(addresses, revisions, strict=True):
            keys += self._keys_under(wanted, address, revision)
        try:
            found = await self._store.get_many(keys)
        except StoreUnavailable:
            return Known(resolution, [None] * len(addresses))
        basis = Basis(
            host=wanted.endpoint.host,
            resolution=resolution,
            revisions=revisions,
            keys=tuple(keys),
            facts_ids=facts_ids(found),
        )
        if wanted.depth is Depth.DEEP:
            return Known(resolution, found, basis)
        # Two keys for each address.
        stored = [_newer(found[at], found[at + 1]) for at in range(0, len(found), 2)]
        return Known(resolution, stored, basis)

    def _without_own_listeners(self, resolution: Resolution, port: int) -> Resolution:
        """Return the resolution as forbidden if this service listens at one of the addresses."""
        own = [one for one in resolution.addresses if self._is_own_listener(one.text, port)]
        reason = f"this service itself listens on port {port} there"
        if not own:
            return resolution
        return resolution.forbidding(ForbiddenAddress(one.text, reason) for one in own)

    def _revisions(self, addresses: Sequence[VettedAddress]) -> tuple[str, ...]:
        return tuple([self._scanner.probe_revision(address) for address in addresses])

    def _keys(self, wanted: FactsWanted, address: VettedAddress) -> Sequence[FactsKey]:
        """Return the keys of facts that serve, the one to measure under first."""
        return self._keys_under(wanted, address, self._scanner.probe_revision(address))

    def _keys_under(
        self, wanted: FactsWanted, address: VettedAddress, revision: str
    ) -> Sequence[FactsKey]:
        endpoint, depth = wanted.endpoint, wanted.depth
        return _facts_keys(endpoint, address.text, depth, revision, self.perspective)

    async def collect(
        self,
        wanted: FactsWanted,
        known: Known,
        *,
        wait_s: float | None,
    ) -> Sequence[Found | Missing]:
        """Return what each address has to answer with, measured where that is needed.

        Nothing is measured at the addresses of a stale resolution: they may be another's by now.
        wait_s: for measurements; None until they end. Raises ServiceUnavailable while closing, and
        PortNotAllowed or CallerBudgetUsed where the caller may not have measured what it needs.
        """
        now = self._clock.now()
        addresses = known.resolution.addresses
        usables = [self._usable(wanted, stored, now) for stored in known.stored]
        may_measure = (
            wanted.freshness.mode is not FreshnessMode.CACHE_ONLY and not known.resolution.is_stale
        )
        if may_measure and not all(usable and not usable.is_stale for usable in usables):
            may_measure = self._may_measure(wanted, addresses, is_needed=None in usables)
        needs = [
            self._need(wanted, address, usable, may_measure=may_measure)
            for address, usable in zip(addresses, usables, strict=True)
        ]
        if wanted.is_request:
            self._observer.cache_request(max((need.looked_up for need in needs), key=_cost).value)
        awaited = [need.awaited for need in needs if need.awaited is not None]
        if awaited:
            with span("wait", links=_joined(needs)):
                await self._wait(awaited, wanted.claim(wanted.scan_class), wait_s)
        so_far = await self._so_far(wanted, needs)
        # What has just been measured has yet to be judged.
        async with turn() if awaited else nullcontext():
            now = self._clock.now()
            return [
                self._outcome(wanted, need, found, now)
                for need, found in zip(needs, so_far, strict=True)
            ]

    def _may_measure(
        self, wanted: FactsWanted, addresses: Sequence[VettedAddress], *, is_needed: bool
    ) -> bool:
        """Tell whether the caller may have the endpoint measured.

        is_needed: it has nothing to go by otherwise; then the reason why not is raised.
        """
        try:
            self._callers.admit(
                wanted.endpoint,
                addresses,
                wanted.caller,
                is_partners=wanted.is_partners,
                perspective=self.perspective,
            )
        except (PortNotAllowed, CallerBudgetUsed):
            if is_needed:
                raise
            return False
        return True

    async def _wait(self, flights: Sequence[Flight], claim: Claim, wait_s: float | None) -> None:
        """Wait for all flights, or for the time; then give up the claims on them.

        Whoever hangs up gives up its claims at once. Whoever has waited to its deadline asks again
        soon, so its claims stand until then.
        """
        began = self._clock.monotonic()
        try:
            await asyncio.wait({flight.task for flight in flights}, timeout=wait_s)
        except asyncio.CancelledError:
            # The caller's deadline cancels as well, where the answer was late.
            is_late = wait_s is not None and self._clock.monotonic() - began >= wait_s
            self._give_up(flights, claim, after_s=_KEEPS_ITS_TURN_S if is_late else 0.0)
            raise
        self._give_up(flights, claim, after_s=_KEEPS_ITS_TURN_S)

    def _give_up(self, flights: Sequence[Flight], claim: Claim, *, after_s: float) -> None:
        for flight in flights:
            if flight.task.done():
                continue
            if after_s:
                loop = asyncio.get_running_loop()
                loop.call_later(after_s, flight.demand.withdraw, claim)
            else:
                flight.demand.withdraw(claim)

    async def _so_far(
        self, wanted: FactsWanted, needs: Sequence[_Need]
    ) -> Sequence[AddressFacts | None]:
        """Return what the measurements that did not end in time have found, need by need."""
        late = {
            need.address: self._scanner.partial(wanted.endpoint, need.address, wanted.depth)
            for need in needs
            if need.usable is None and need.flight is not None and not need.flight.task.done()
        }
        if not late:
            return [None] * len(needs)
        found = dict(zip(late, await asyncio.gather(*late.values()), strict=True))
        in_order = [found.get(need.address) for need in needs]
        return [None if each is None else self._from_here(each) for each in in_order]

    def _from_here(self, facts: AddressFacts) -> AddressFacts:
        """Return the facts marked with the perspective: it is known who was asked."""
        return replace(facts, perspective=self.perspective)

    def _need(
        self,
        wanted: FactsWanted,
        address: VettedAddress,
        usable: Usable | None,
        *,
        may_measure: bool,
    ) -> _Need:
        """Decide between the stored facts and a measurement, and board one where it is needed."""
        if wanted.newer is Newer.IF_UNDER_WAY:
            key = self._keys(wanted, address)[0]
            under_way = self._flights.under_way(key)
            if under_way is not None:
                under_way.demand.claim(wanted.claim(wanted.scan_class))
                self._observer.flight(Boarding.JOINED.value)
                return _Need(address, None, LookUp.REFRESH, under_way, Boarding.JOINED)
        if usable is not None:
            looked_up = LookUp.STALE if usable.is_stale else LookUp.HIT
        elif _demands_new(wanted) and may_measure:
            looked_up = LookUp.REFRESH
        else:
            looked_up = LookUp.MISS
        flight, boarding = None, None
        if looked_up is not LookUp.HIT and may_measure:
            is_awaited = usable is None
            scan_class = wanted.scan_class if is_awaited else ScanClass.REFRESH
            flight, boarding = self._board(wanted, address, scan_class)
        return _Need(address, usable, looked_up, flight, boarding)

    def _board(
        self, wanted: FactsWanted, address: VettedAddress, scan_class: ScanClass
    ) -> tuple[Flight, Boarding]:
        """Join a measurement, or begin one, and claim it.

        What replaces facts that have answered is claimed for as long as it takes: nobody waits for
        it who could give it up.
        """
        if self._closing:
            raise ServiceUnavailable("the service is draining")
        endpoint, depth = wanted.endpoint, wanted.depth
        key = self._keys(wanted, address)[0]
        demands_new = _demands_new(wanted)
        join = self._flights.join_new if demands_new else self._flights.join
        flight, boarding = join(
            key,
            lambda demand: self._measure(
                endpoint,
                depth,
                address,
                key,
                demand,
                must_be_new=demands_new or _allows_next_to_no_age(wanted),
            ),
        )
        flight.demand.claim(wanted.claim(scan_class))
        self._observer.flight(boarding.value)
        return flight, boarding

    async def _measure(
        self,
        endpoint: Endpoint,
        depth: Depth,
        address: VettedAddress,
        key: FactsKey,
        demand: Demand,
        *,
        must_be_new: bool,
    ) -> StoredFacts:
        """Measure, or take what another replica has. The outermost frame of a flight's task."""
        if (flight := current_span()) is not None:
            _describe(flight, endpoint, address, depth)

        async def scan(lease: Lease | None) -> StoredFacts:
            facts = await self._scanner.measure(endpoint, address, depth, demand)
            async with turn():
                stored = StoredFacts.of(self._from_here(facts))
            await self._keep(key, stored, lease)
            return stored

        began = self._clock.monotonic()
        try:
            if self._leasing is None:
                stored = await scan(None)
            else:
                async with self._leasing.turn(key, demand, must_be_new=must_be_new) as has:
                    if isinstance(has, StoredFacts):
                        return has
                    began = self._clock.monotonic()
                    stored = await scan(has)
        except asyncio.CancelledError:
            if demand.is_dropped:
                self._observer.scan_finished(outcome=ScanOutcome.DROPPED.value, seconds=0.0)
            raise
        except Overloaded:
            self._observer.scan_finished(outcome=ScanOutcome.OVERLOADED.value, seconds=0.0)
            raise
        except (TargetForbidden, EgressUnavailable):
            self._observer.scan_finished(outcome=ScanOutcome.FAILED.value, seconds=0.0)
            await self._forget(key)
            raise
        except Exception:
            _logger.exception("a measurement failed")
            self._observer.scan_finished(outcome=ScanOutcome.FAILED.value, seconds=0.0)
            # What was known before proves nothing about the endpoint as it is now.
            await self._forget(key)
            raise
        seconds = self._clock.monotonic() - began
        self._observer.scan_finished(outcome=outcome_of(stored.facts).value, seconds=seconds)
        return stored

    async def _keep(self, key: FactsKey, stored: StoredFacts, lease: Lease | None) -> None:
        if self._flights.is_outdated(key):
            return
        # Who was to measure may have been lost, and another release measured in its place.
        revision = stored.facts.probe_revision or key.probe_revision
        measured = key._replace(probe_revision=revision)
        try:
            await self._store.put(measured, stored, lease=lease if measured == key else None)
        except StoreUnavailable:
            return
        if self._flights.is_outdated(key):
            # Invalidated while they were on their way into the store, maybe ahead of them.
            await self._forget(measured)

    async def _forget(self, key: FactsKey) -> None:
        try:
            await self._store.discard(key)
        except StoreUnavailable:
            return

    def _outcome(
        self, wanted: FactsWanted, need: _Need, so_far: AddressFacts | None, now: datetime
    ) -> Found | Missing:
        boarding = need.boarding
        if need.usable is not None:
            return Found(usable=need.usable, boarding=boarding)
        missing = partial(Missing, address=need.address.text, boarding=boarding)
        if need.flight is None:
            is_cache_only = wanted.freshness.mode is FreshnessMode.CACHE_ONLY
            return missing(
                why=WhyMissing.NOT_STORED if is_cache_only else WhyMissing.EARLIER_ADDRESS
            )
        task = need.flight.task
        if not task.done():
            return missing(why=WhyMissing.UNDER_WAY, so_far=so_far)
        if task.cancelled():
            raise ServiceUnavailable("the service is draining")
        error = task.exception()
        if isinstance(error, Overloaded):
            return missing(why=WhyMissing.NO_ROOM, overloaded=error)
        if isinstance(error, TargetForbidden):
            return missing(why=WhyMissing.FORBIDDEN, reason=error.reason)
        if isinstance(error, EgressUnavailable):
            return missing(why=WhyMissing.NO_WAY_OUT, reason=str(error))
        if error is not None:
            return missing(why=WhyMissing.FAILED)
        stored = task.result()
        ends_at = lifetime_ends_at(stored, wanted.lifetime(stored, now).length)
        return Found(usable=Usable(stored=stored, ends_at=ends_at), boarding=boarding)


def _joined(needs: Sequence[_Need]) -> Sequence[TraceContext]:
    """Return the spans of measurements that others have begun, and that are waited for."""
    joined = [need.awaited for need in needs if need.boarding is Boarding.JOINED]
    spans = [each.span for each in joined if each is not None and each.span is not None]
    return [each.context for each in spans if each.is_recorded]


def _describe(flight: Span, endpoint: Endpoint, address: VettedAddress, depth: Depth) -> None:
    flight.set("server.address", endpoint.host)
    flight.set("server.port", endpoint.port)
    flight.set("network.peer.address", address.text)
    flight.set("otpc_policy.depth", depth.name)


def outcome_of(facts: AddressFacts) -> ScanOutcome:
    """Return how a measurement ended."""
    if facts.reachable is not Support.YES:
        return ScanOutcome.UNREACHABLE
    kinds = (facts.versions, facts.cipher_suites, facts.deployments)
    supports = {fact.support for kind in kinds for fact in kind}
    if Support.UNKNOWN in supports or not facts.versions:
        return ScanOutcome.INCOMPLETE
    return ScanOutcome.COMPLETE


def _demands_new(wanted: FactsWanted) -> bool:
    """Whether no measurement will do that has begun already."""
    is_refresh = wanted.freshness.mode is FreshnessMode.REFRESH
    return is_refresh or wanted.newer is Newer.AT_ANY_RATE


def _allows_next_to_no_age(wanted: FactsWanted) -> bool:
    """Whether facts are too old for the request that another replica has only just stored."""
    max_age = wanted.freshness.max_age
    return max_age is not None and max_age <= _JUST_STORED


def _cost(result: LookUp) -> int:
    return _COST[result]


@lru_cache(maxsize=16_384)
def _facts_keys(
    endpoint: Endpoint, address: str, depth: Depth, probe_revision: str, perspective: str
) -> tuple[FactsKey, ...]:
    """Return the key to measure under; for STANDARD, that of DEEP facts after it."""
    depths = (depth,) if depth is Depth.DEEP else (depth, Depth.DEEP)
    return tuple(
        FactsKey(
            host=endpoint.host,
            port=endpoint.port,
            server_name=endpoint.server_name,
            address=address,
            depth=each,
            probe_revision=probe_revision,
            perspective=perspective,
        )
        for each in depths
    )


def _newer(standard: StoredFacts | None, deep: StoredFacts | None) -> StoredFacts | None:
    if standard is None or deep is None:
        return standard or deep
    return deep if deep.facts.observed_at > standard.facts.observed_at else standard
