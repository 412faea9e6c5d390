"""Host names to vetted addresses. Implements check.Resolver.

Order: a literal is itself, then static_hosts, /etc/hosts, DNS. Answers are kept for their time to
live within bounds. One look-up serves everybody who asks for a name meanwhile, and ends with or
without them. While name servers fail, the addresses of the last answer stand in for up to five
minutes, marked stale: they may serve cached facts, and never a measurement. That a name does not
exist is an answer, and no failure: its addresses are gone at once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from otpc_policy.core.address_selection import AddressSelection
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.errors import Overloaded, ServiceUnavailable
from otpc_policy.core.facts import ResolutionFailure, ResolutionStatus
from otpc_policy.core.known_hosts import KnownHosts
from otpc_policy.engine.egress.dns import FAMILIES, AddressRecords, DnsClient, Family
from otpc_policy.engine.egress.hosts_file import HostsFile

_MAXIMUM_TTL_S: Final = 60.0  # an address of yesterday never answers for today's
_MINIMUM_TTL_S: Final = 1.0  # a time to live of zero would turn every call into a question
_FAILURE_TTL_S: Final = 5.0  # long enough to take the edge off a storm of callers
# An answer that rests on earlier addresses may add _FAILURE_TTL_S: five minutes in all.
_STALE_S: Final = 295.0
# A caller that can be answered from before waits no longer than this for DNS (RFC 8767 5 suggests
# 1.8 s for resolvers; our callers are on a hot path).
_PATIENCE_S: Final = 0.5
_MAXIMUM_NAMES: Final = 10_000


class LookUpObserver(Protocol):
    """Counts look-ups, for metrics.

    dns_looked_up: result "answered", "overloaded" (crowded out by other names), or a
    ResolutionFailure in lower case. dns_fell_back: addresses of an earlier answer took its place.
    """

    def dns_looked_up(self, result: str) -> None: ...
    def dns_fell_back(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Known:
    """addresses: the last answer for each family, with its time."""

    resolution: Resolution
    until_s: float
    addresses: Mapping[Family, tuple[float, tuple[str, ...]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class _LookUp:
    task: asyncio.Task[Resolution]
    begun_s: float

    async def ends_soon(self) -> bool:
        """Wait as long as a caller does who can be answered from before; tell whether it ended."""
        left_s = self.begun_s + _PATIENCE_S - asyncio.get_running_loop().time()
        await asyncio.wait((self.task,), timeout=max(0.0, left_s))
        return self.task.done()


class EgressResolver:
    """Resolves within the client's deadline. Close it.

    static_hosts: addresses by canonical name, in place of DNS. dns_ttl_s: the longest that an
    answer is kept; a minute at most.
    """

    def __init__(
        self,
        selection: AddressSelection,
        dns: DnsClient,
        *,
        static_hosts: Mapping[str, Sequence[str]],
        hosts_file: HostsFile,
        dns_ttl_s: float = _MAXIMUM_TTL_S,
        monotonic: Callable[[], float],
        observer: LookUpObserver,
    ) -> None:
        self._selection, self._dns = selection, dns
        self._ttl_s = min(dns_ttl_s, _MAXIMUM_TTL_S)
        self._known_hosts = KnownHosts(
            static_hosts, selection, ttl_s=self._ttl_s, others=hosts_file.addresses
        )
        self._monotonic, self._observer = monotonic, observer
        self._known: dict[str, _Known] = {}
        self._running: dict[str, _LookUp] = {}

    @property
    def outstanding(self) -> int:
        """Questions that name servers have not answered yet."""
        return self._dns.outstanding

    async def close(self) -> None:
        """End every look-up; whoever waits for one gets ServiceUnavailable."""
        tasks = [look_up.task for look_up in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._dns.close()

    def known(self, host: str) -> Resolution | None:
        """Return the answer that is at hand and still good. host: canonical."""
        known = self._known.get(host)
        if known is None or self._monotonic() >= known.until_s:
            return None
        return known.resolution

    def seconds_left(self, host: str) -> float:
        """Return how long the answer at hand is still good; zero where there is none."""
        known = self._known.get(host)
        return 0.0 if known is None else max(0.0, known.until_s - self._monotonic())

    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution:
        """Return what the host resolves to; a name without addresses is an answer, not an error.

        host: canonical. fresh: wait for the name servers, even where an earlier answer could stand
        in. Raises Overloaded where other names crowded it out, and ServiceUnavailable where the
        resolver is closed meanwhile.
        """
        look_up = self._running.get(host)
        known = self.known(host) or self._known_here(host)
        # A stale answer without a look-up under way is the outcome of one that has just failed.
        is_outcome = look_up is None or not fresh
        if known is not None and (is_outcome or not known.is_stale):
            return known
        fallback = self._fallback(host)
        if look_up is None:
            look_up = self._begin(host)
        if fallback is None or fresh:
            await asyncio.wait((look_up.task,))
        elif not await look_up.ends_soon():
            return self._fall_back(host, fallback)
        if look_up.task.cancelled():
            raise ServiceUnavailable("the service is draining")
        return look_up.task.result()

    def _known_here(self, host: str) -> Resolution | None:
        """Return what needs no name server."""
        resolution = self._known_hosts.resolution(host)
        if resolution is not None:
            self._keep(host, _Known(resolution, self._monotonic() + self._ttl_s))
        return resolution

    def _begin(self, host: str) -> _LookUp:
        begun_s = asyncio.get_running_loop().time()
        look_up = _LookUp(asyncio.create_task(self._look_up(host), name="look up a name"), begun_s)
        self._running[host] = look_up

        def ended(task: asyncio.Task[Resolution]) -> None:
            del self._running[host]
            if not task.cancelled():
                task.exception()  # retrieved here, because every caller may have gone

        look_up.task.add_done_callback(ended)
        return look_up

    async def _look_up(self, host: str) -> Resolution:
        try:
            records = await self._dns.ask(host)
        except Overloaded:
            self._observer.dns_looked_up("overloaded")
            if (fallback := self._fallback(host)) is None:
                raise
            return self._fall_back(host, fallback)
        known = self._combined(host, records)
        self._keep(host, known)
        resolution = known.resolution
        failure = resolution.failure
        is_answer = failure is ResolutionFailure.NONE
        self._observer.dns_looked_up("answered" if is_answer else failure.name.lower())
        if resolution.is_stale:
            self._observer.dns_fell_back()
        return resolution

    def _fallback(self, host: str) -> _Known | None:
        """Return what an earlier answer says, if there is one that may still be used."""
        silence = AddressRecords(failure=ResolutionFailure.TIMEOUT)
        known = self._combined(host, dict.fromkeys(FAMILIES, silence))
        resolution = known.resolution
        holds_some = resolution.status is not ResolutionStatus.FAILED
        return known if resolution.is_stale and holds_some else None

    def _fall_back(self, host: str, fallback: _Known) -> Resolution:
        """Answer from before until the look-up under way has ended, or is tried again."""
        self._keep(host, fallback)
        self._observer.dns_fell_back()
        return fallback.resolution

    def _combined(self, host: str, records: Mapping[Family, AddressRecords]) -> _Known:
        """Join what DNS says now with what it said before, where it says nothing now."""
        now_s = self._monotonic()
        known = self._known.get(host)
        before = {} if known is None else known.addresses
        addresses: dict[Family, tuple[float, tuple[str, ...]]] = {}
        unresolved: list[str] = []
        ends_s = [now_s + self._ttl_s]
        failures: list[ResolutionFailure] = []
        is_stale = False
        for family, found in records.items():
            if found.is_known:
                addresses[family] = (now_s, found.addresses)
                if found.addresses:
                    ends_s.append(now_s + max(found.ttl_s, _MINIMUM_TTL_S))
                continue
            failures.append(found.failure)
            ends_s.append(now_s + _FAILURE_TTL_S)
            earlier = before.get(family)
            if earlier is not None and now_s < earlier[0] + _STALE_S:
                addresses[family] = earlier
                ends_s.append(earlier[0] + _STALE_S)
                is_stale = True
            else:
                unresolved.append(family)
        every = [text for _, texts in addresses.values() for text in texts]
        if not every:
            failures += [record.failure for record in records.values() if record.is_known]
            ends_s.append(now_s + _FAILURE_TTL_S)
        failure = failures[0] if failures else ResolutionFailure.NONE
        ttl_s = max(0.0, min(ends_s) - now_s)
        resolution = self._selection.resolution(
            every,
            ttl_s=ttl_s,
            failure=failure,
            unresolved=unresolved,
            is_stale=is_stale,
        )
        return _Known(resolution, now_s + ttl_s, addresses)

    def _keep(self, host: str, known: _Known) -> None:
        self._known.pop(host, None)
        self._known[host] = known
        if len(self._known) > _MAXIMUM_NAMES:
            del self._known[next(iter(self._known))]
