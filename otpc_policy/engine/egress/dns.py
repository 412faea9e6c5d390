"""Asks name servers for the addresses of one name, through aiodns. Keeps no answers, vets nothing,
and decides nothing about a host.

What c-ares (1.34, below pycares 5 and aiodns 4) does, stated once:
- A thread of its own watches its sockets and timers; answers arrive on the event loop.
- A question cannot be taken back: one that nobody waits for any more goes on until its tries are
  used up. Only all questions of a channel can be ended together. So a channel takes a bounded
  number of them, and of several channels the oldest makes room for a new one: whatever is asked
  now is asked, and in a flood of names that never answer those go that have waited longest.
- It keeps answers for their whole time to live, up to an hour, and that cannot be switched off. So
  a channel, with what it keeps, is replaced after a while.
- Once it has met a server, the first try waits five times that server's latency, at least 250 ms,
  and each further try twice as long. Only an answer to the latest try is taken. So three tries can
  be over in 1.75 s, while a name server may take longer to find an answer; a question that timed
  out is asked anew until the deadline.
- SERVFAIL and REFUSED count as a failed try: the next server is asked, if there is one.
- An answer that was truncated is asked for over TCP; one with a wrong id or question is ignored.
- query() reads no /etc/hosts and follows no search domain.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from types import MappingProxyType
from typing import Final, Literal

import aiodns
import pycares
from pycares import errno

from otpc_policy.core.errors import Overloaded
from otpc_policy.core.facts import ResolutionFailure

Family = Literal["IPv4", "IPv6"]
FAMILIES: Final[tuple[Family, ...]] = ("IPv4", "IPv6")

_QUESTIONS: Final[Mapping[Family, tuple[Literal["A", "AAAA"], int]]] = MappingProxyType(
    {"IPv4": ("A", pycares.QUERY_TYPE_A), "IPv6": ("AAAA", pycares.QUERY_TYPE_AAAA)}
)
_ADDRESS_DATA: Final = (pycares.ARecordData, pycares.AAAARecordData)
_FAILURES: Final[Mapping[int, ResolutionFailure]] = MappingProxyType(
    {
        errno.ARES_ENOTFOUND: ResolutionFailure.NXDOMAIN,
        errno.ARES_ENODATA: ResolutionFailure.NODATA,
        errno.ARES_ESERVFAIL: ResolutionFailure.SERVFAIL,
        errno.ARES_EREFUSED: ResolutionFailure.REFUSED,
        errno.ARES_ETIMEOUT: ResolutionFailure.TIMEOUT,
    }
)
# No search domains, no aliases from a file of $HOSTALIASES; EDNS, as without flags.
_FLAGS: Final = pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_NOALIASES | pycares.ARES_FLAG_EDNS
_TRIES: Final = 3
_FIRST_TIMEOUT_S: Final = 0.5
# A channel is a thread, an event queue and a look at resolv.conf: 0.6 ms.
_MINIMUM_CHANNEL_LIFE_S: Final = 1.0
# Five thousand names at a time, far more than can wait for a measurement. A channel has a thread.
_CHANNEL_QUESTIONS: Final = 2_048
_RETIRED_QUESTIONS: Final = 4 * _CHANNEL_QUESTIONS
_RETIRED_CHANNELS: Final = 16
_RETRY_AFTER: Final = timedelta(seconds=2)
# A chain of aliases is a handful long in practice; BIND and Unbound stop at 11 to 17.
_MAXIMUM_ALIASES: Final = 16
# More addresses than are ever measured, so that cutting the rest never makes a name look complete.
_MAXIMUM_ADDRESSES: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRecords:
    """What DNS says about one family of a name's addresses.

    failure: NONE with addresses; NXDOMAIN and NODATA say that there are none; anything else says
    that they are not known. ttl_s: of the record that ends first, aliases included.
    """

    addresses: tuple[str, ...] = ()
    ttl_s: float = 0.0
    failure: ResolutionFailure = ResolutionFailure.NONE

    @property
    def is_known(self) -> bool:
        """DNS answered, be it that there are none."""
        known = (ResolutionFailure.NONE, ResolutionFailure.NXDOMAIN, ResolutionFailure.NODATA)
        return self.failure in known


@dataclass(slots=True, eq=False)
class _Channel:
    resolver: aiodns.DNSResolver
    made_at_s: float
    outstanding: int = 0


class DnsClient:
    """Asks for A and AAAA at once. Close it.

    servers: "address:port", IPv6 in brackets; none for those of /etc/resolv.conf. deadline_s: of
    one name, whatever name servers do. channel_life_s: how long c-ares may answer from what it
    keeps, a second at least.
    """

    def __init__(
        self,
        *,
        servers: Sequence[str] = (),
        deadline_s: float,
        channel_life_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._servers = tuple(servers)
        self._deadline_s = deadline_s
        self._channel_life_s = max(_MINIMUM_CHANNEL_LIFE_S, channel_life_s)
        self._monotonic = monotonic
        self._current: _Channel | None = None
        # Channels whose questions have not all ended, the oldest first.
        self._retired: list[_Channel] = []

    @property
    def outstanding(self) -> int:
        """Questions that have not ended, those that nobody waits for any more included."""
        of_current = self._current.outstanding if self._current is not None else 0
        return of_current + sum(channel.outstanding for channel in self._retired)

    async def ask(self, host: str) -> dict[Family, AddressRecords]:
        """Return what DNS says about each family, within the deadline.

        host: canonical, not a literal. Raises Overloaded where newer questions crowded it out.
        """
        loop = asyncio.get_running_loop()
        ends_at_s = loop.time() + self._deadline_s
        silence = AddressRecords(failure=ResolutionFailure.TIMEOUT)
        records: dict[Family, AddressRecords] = dict.fromkeys(FAMILIES, silence)
        waiting = {self._question(host, family): family for family in FAMILIES}
        while waiting and (left_s := ends_at_s - loop.time()) > 0:
            first = asyncio.FIRST_COMPLETED
            ended, _ = await asyncio.wait(waiting, timeout=left_s, return_when=first)
            for question in ended:
                family = waiting.pop(question)
                records[family] = found = _records(host, family, question)
                if found.failure is ResolutionFailure.TIMEOUT:
                    waiting[self._question(host, family)] = family
        return records

    async def close(self) -> None:
        """End every question."""
        channels = [*self._retired, *([self._current] if self._current is not None else [])]
        self._retired.clear()
        self._current = None
        for channel in channels:
            await channel.resolver.close()

    def _question(self, host: str, family: Family) -> asyncio.Future[pycares.DNSResult]:
        channel = self._channel()
        kind, _ = _QUESTIONS[family]
        # The final dot says that the name is whole.
        question = channel.resolver.query_dns(f"{host}.", kind)
        channel.outstanding += 1

        def ended(_: asyncio.Future[pycares.DNSResult]) -> None:
            channel.outstanding -= 1
            if not channel.outstanding and channel in self._retired:
                self._retired.remove(channel)
            question.exception()  # retrieved here, because whoever asked may have gone

        question.add_done_callback(ended)
        return question

    def _channel(self) -> _Channel:
        """Return the channel for the next question: a new one where the last is old or full.

        A channel closes itself with its last reference.
        """
        now_s = self._monotonic()
        channel = self._current
        if channel is not None:
            is_young = now_s - channel.made_at_s < self._channel_life_s
            if is_young and channel.outstanding < _CHANNEL_QUESTIONS:
                return channel
            if channel.outstanding:
                self._retired.append(channel)
        self._make_room()
        resolver = aiodns.DNSResolver(
            nameservers=self._servers,
            timeout=min(_FIRST_TIMEOUT_S, self._deadline_s / (2**_TRIES - 1)),
            tries=_TRIES,
            flags=_FLAGS,
        )
        self._current = _Channel(resolver, now_s)
        return self._current

    def _make_room(self) -> None:
        questions = sum(channel.outstanding for channel in self._retired)
        while len(self._retired) > _RETIRED_CHANNELS or questions > _RETIRED_QUESTIONS:
            oldest = self._retired.pop(0)
            questions -= oldest.outstanding
            oldest.resolver.cancel()


def _records(
    host: str,
    family: Family,
    question: asyncio.Future[pycares.DNSResult],
) -> AddressRecords:
    """Return what a question that has ended came to. Raises Overloaded where it was crowded out."""
    error = question.exception()
    if error is None:
        return _addresses(host, _QUESTIONS[family][1], question.result().answer)
    code = int(error.args[0]) if isinstance(error, aiodns.error.DNSError) else -1
    if code == errno.ARES_ECANCELLED:
        raise Overloaded(_RETRY_AFTER)
    return AddressRecords(failure=_FAILURES.get(code, ResolutionFailure.OTHER))


def _addresses(host: str, kind: int, records: Sequence[pycares.DNSRecord]) -> AddressRecords:
    """Return the addresses at the end of the chain of aliases that begins at the host.

    Records that belong to other names prove nothing about this one.
    """
    of_name: dict[str, list[pycares.DNSRecord]] = {}
    for record in records:
        if record.record_class == pycares.QUERY_CLASS_IN:
            of_name.setdefault(_canonical(record.name), []).append(record)
    name, ttl_s = host, inf
    for _ in range(_MAXIMUM_ALIASES):
        own = of_name.get(name, [])
        found = [(record.ttl, record.data) for record in own if record.type == kind]
        texts = [data.addr for _, data in found if isinstance(data, _ADDRESS_DATA)]
        if texts:
            return AddressRecords(
                addresses=tuple(dict.fromkeys(texts))[:_MAXIMUM_ADDRESSES],
                ttl_s=min(ttl_s, *(ttl for ttl, _ in found)),
            )
        alias = next(
            (record for record in own if isinstance(record.data, pycares.CNAMERecordData)), None
        )
        if alias is None or not isinstance(alias.data, pycares.CNAMERecordData):
            break
        name, ttl_s = _canonical(alias.data.cname), min(ttl_s, alias.ttl)
    return AddressRecords(failure=ResolutionFailure.NODATA)


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")
