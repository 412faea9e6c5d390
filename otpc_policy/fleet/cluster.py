"""A store that is a cluster: each script goes to the server that has its slot.

Theory of operation. Each server has bounds and rest of its own (server), so that one that fails
costs what lies in its slots and nothing else. Which server has which slots is asked of any one of
them, apart from every request: requests go by the last map. It is asked for again when a server
fails or redirects, and as long as one fails, each time of another server, because one that is cut
off goes on telling what was true before.

The library's own cluster client is not used. When one server fails it forgets the map, and the next
request asks any server for a new one, the failed one too, and for the table of all commands; a
request that is cut off in this, or that a server answers with CLUSTERDOWN, closes the connections
to all servers under everybody else. Its connections, its parser and its hash of slots are used.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final

import redis.asyncio
from redis.exceptions import AskError, MovedError, TryAgainError

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.clients import Address
from otpc_policy.fleet.scripts import Script
from otpc_policy.fleet.server import StoreServer
from otpc_policy.fleet.slot_map import SlotMap, read_slot_map, redirected_to, slot_of
from otpc_policy.fleet.store import DEADLINE_S, Polled, StoreObserver

# AskError is the base of MovedError.
_REDIRECTS: Final = (AskError, TryAgainError)
# Between two questions for the map. A failover takes a few of them.
_ASKED_AGAIN_AFTER_S: Final = 0.25
# A poll is read in one go, or after one redirect.
_GOES: Final = 2
# Primaries and replicas, and where redirects led since the last map.
_MOST_SERVERS: Final = 512


class ClusterConnection:
    """Satisfies Store.

    seeds: servers that are asked where no other is known. connect: makes a client for a server.
    is_permitted: whether a host that the cluster names may be reached.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        connect: Callable[[Address], "redis.asyncio.Redis"],
        *,
        observer: StoreObserver,
        clock: Callable[[], float] = monotonic,
        deadline_s: float = DEADLINE_S,
        is_permitted: Callable[[str], bool] = lambda _host: True,
    ) -> None:
        self._seeds = tuple(dict.fromkeys(seeds))
        self._connect = connect
        self._observer = observer
        self._monotonic = clock
        self._deadline_s = deadline_s
        self._is_permitted = is_permitted
        self._servers: dict[Address, StoreServer] = {}
        self._map: SlotMap | None = None
        self._is_outdated = False
        self._finding: asyncio.Task[None] | None = None
        self._find_at_s = 0.0
        # Who was asked for the map last: the next one is another.
        self._asked_last: Address | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._available: bool | None = None
        self._why_no_map = ""
        self._why_unusable = ""

    @property
    def failure(self) -> str:
        """See Store."""
        if self._why_unusable or self._why_no_map:
            return self._why_unusable or self._why_no_map
        if failed := sorted(map(str, self._failed())):
            return f"{', '.join(failed)}: no answer"
        return "" if self._is_whole else "some slots have no server"

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """See Store."""
        if self._why_unusable:
            raise StoreUnavailable(self._why_unusable)
        address = await self._owner(keys[0])
        answer = await self._server(address).run(script, keys, arguments, within_s=self._deadline_s)
        if isinstance(answer, AskError):
            address = self._redirected(answer, address)
            answer = await self._server(address).run(
                script,
                keys,
                arguments,
                within_s=self._deadline_s,
                is_asking=not isinstance(answer, MovedError),
            )
        if isinstance(answer, _REDIRECTS):
            raise StoreUnavailable("the store is moving what was asked for")
        return answer

    async def poll(self, script: Script, calls: Sequence[tuple[str, ...]]) -> Polled:
        """See Store. Servers are asked at once, and one that fails does not hinder the others."""
        slots, times = await self._slots(), list[Any]()
        answers: dict[int, Any] = {}
        at_server: dict[Address, list[int]] = (
            {} if calls else {each: [] for each in slots.primaries}
        )
        for at, call in enumerate(calls):
            owner = slots.owner(slot_of(call[0]))
            if owner is not None:
                at_server.setdefault(owner, []).append(at)
        for _ in range(_GOES):
            polled = await asyncio.gather(
                *(
                    self._server(address).poll(
                        script, [calls[at] for at in which], within_s=self._deadline_s
                    )
                    for address, which in at_server.items()
                ),
                return_exceptions=True,
            )
            moved: dict[Address, list[int]] = {}
            for (address, which), result in zip(at_server.items(), polled, strict=True):
                if isinstance(result, StoreUnavailable):
                    continue
                if isinstance(result, BaseException):
                    raise result
                times.append(result[0])
                for at, answer in zip(which, result[1], strict=True):
                    if isinstance(answer, MovedError):
                        moved.setdefault(self._redirected(answer, address), []).append(at)
                    elif not isinstance(answer, _REDIRECTS):
                        answers[at] = answer
            at_server = moved
        if not times:
            raise StoreUnavailable(self.failure or "no server of the store answers")
        return Polled(times, [answers.get(at) for at in range(len(calls))])

    def use_not(self, why: str) -> None:
        """See Store."""
        self._why_unusable = why

    async def close(self) -> None:
        """See Store."""
        if self._finding is not None:
            self._finding.cancel()
            await asyncio.wait({self._finding})
        servers, self._servers = tuple(self._servers.values()), {}
        closing = (*self._closing, *(server.close() for server in servers))
        await asyncio.gather(*closing, return_exceptions=True)

    async def _owner(self, key: str) -> Address:
        owner = (await self._slots()).owner(slot_of(key))
        if owner is None:
            self._outdate()
            raise StoreUnavailable("no server of the store has the slot")
        return owner

    async def _slots(self) -> SlotMap:
        """Return the map. Raises StoreUnavailable.

        Waits for the first one, but once nobody has told any, nobody waits for it any more.
        """
        if self._map is None:
            self._outdate()
            if not self._why_no_map:
                await self._found()
        elif self._is_outdated or self._failed():
            self._outdate()
        if self._map is None:
            raise StoreUnavailable(self._why_no_map or "no server of the store answers")
        return self._map

    def _redirected(self, redirect: AskError, asked: Address) -> Address:
        """Return where a redirect leads. Raises StoreUnavailable."""
        try:
            address = redirected_to(redirect.host, redirect.port, asked)
        except (TypeError, ValueError):
            raise StoreUnavailable("the store leads to no server") from None
        self._check(address)
        self._outdate()
        return address

    def _check(self, address: Address) -> None:
        """Raise StoreUnavailable for where nothing may be sent."""
        if address not in self._seeds and not self._is_permitted(address.host):
            raise StoreUnavailable("the store names another machine, which needs TLS")

    def _server(self, address: Address) -> StoreServer:
        server = self._servers.get(address)
        if server is None:
            self._check(address)
            if len(self._servers) >= _MOST_SERVERS:
                raise StoreUnavailable("the store names more servers than any has")
            server = StoreServer(
                self._connect(address),
                observer=_OfServer(self._observer, self._compare),
                clock=self._monotonic,
                redirects=_REDIRECTS,
                name=f" at {address}",
            )
            self._servers[address] = server
        return server

    def _outdate(self) -> None:
        """Ask for the map soon, if nobody does."""
        self._is_outdated = True
        now_s = asyncio.get_running_loop().time()
        if self._finding is None and now_s >= self._find_at_s:
            self._find_at_s = now_s + _ASKED_AGAIN_AFTER_S
            self._finding = asyncio.create_task(self._find(), name="ask for the store's slots")
            self._finding.add_done_callback(self._has_found)

    def _has_found(self, finding: "asyncio.Task[None]") -> None:
        self._finding = None
        if not finding.cancelled():
            finding.exception()

    async def _found(self) -> None:
        """Wait until nobody asks for the map, or for the time."""
        finding = self._finding
        if finding is not None:
            await asyncio.wait({finding}, timeout=self._deadline_s)

    async def _find(self) -> None:
        """Ask one server after the other for the map."""
        why = "no server of the store answers"
        for address in tuple(self._candidates()):
            self._asked_last = address
            try:
                found = await self._server(address).command(
                    partial(read_slot_map, asked=address),
                    *("CLUSTER", "SLOTS"),
                    operation="servers",
                    within_s=self._deadline_s,
                )
                for each in found.primaries:
                    self._check(each)
            except StoreUnavailable as error:
                is_none = "cluster support disabled" in str(error.__cause__)
                why = "it is no cluster" if is_none else str(error)
                continue
            self._take(found)
            return
        self._why_no_map = why
        self._compare()

    def _candidates(self) -> Iterator[Address]:
        """Yield servers, those that do not rest first, beginning after the last that was asked."""
        known = [] if self._map is None else [*self._map.primaries, *self._map.others]
        known = sorted(set(known), key=str)
        if self._asked_last in known:
            at = known.index(self._asked_last) + 1
            known = known[at:] + known[:at]
        known += [seed for seed in self._seeds if seed not in known]
        resting = [
            each for each in known if each in self._servers and self._server(each).is_resting
        ]
        yield from (each for each in known if each not in resting)
        yield from resting

    def _take(self, found: SlotMap) -> None:
        self._map, self._is_outdated, self._why_no_map = found, False, ""
        kept = found.primaries | found.others | set(self._seeds)
        for address in self._servers.keys() - kept:
            closing = asyncio.create_task(self._servers.pop(address).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._compare()

    def _failed(self) -> Sequence[Address]:
        """Return servers with slots that do not answer."""
        primaries = () if self._map is None else self._map.primaries
        return [
            address
            for address in primaries
            if (server := self._servers.get(address)) is not None and server.has_failed
        ]

    def _compare(self) -> None:
        """Tell whether all of the store answers, as soon as it is known."""
        if self._map is None and not self._why_no_map:
            return
        is_available = self._is_whole and not self._why_no_map and not self._failed()
        if is_available != self._available:
            self._available = is_available
            self._observer.store_available(is_available)

    @property
    def _is_whole(self) -> bool:
        """No map is known that leaves slots out."""
        return self._map is None or self._map.is_whole


class _OfServer:
    """Hands on what one server counts, and tells when it fails or answers again."""

    def __init__(self, observer: StoreObserver, changed: Callable[[], None]) -> None:
        self._observer, self._changed = observer, changed

    def store_asked(self, operation: str, result: str, seconds: float) -> None:
        self._observer.store_asked(operation, result, seconds)

    def store_available(self, _is_available: bool) -> None:
        self._changed()
