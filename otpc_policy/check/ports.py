"""What the use case needs from outside, as Protocols. Adapters satisfy them; none is known here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from otpc_policy.check.stored_facts import FactsKey, StoredFacts
from otpc_policy.core.addresses import Resolution, VettedAddress
from otpc_policy.core.demand import Demand
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.errors import OtpcPolicyError
from otpc_policy.core.facts import AddressFacts, Depth
from otpc_policy.core.fetching import Fetched, HttpUrl


class Resolver(Protocol):
    """Turns a canonical host into vetted addresses. A name without addresses is not an error.

    known: what resolve would return without waiting; None if it would have to ask.
    resolve: raises Overloaded if there is no room. A stale answer may serve stored facts and never
    a measurement. With fresh it waits for the name servers, and is stale only where they fail.
    """

    def known(self, host: str) -> Resolution | None: ...
    async def resolve(self, host: str, *, fresh: bool = False) -> Resolution: ...


class Scanner(Protocol):
    """Measures one address.

    Raises Overloaded if it has no room, TargetForbidden if it may not dial the address, and
    EgressUnavailable if it can reach nothing at all; anything else it raises is a bug.

    measure: demand says who wants it, and changes meanwhile. What nobody wants any more may be
    dropped.

    probe_revision: of whoever would measure the address now. Facts of another revision may differ
    though the server is the same.
    partial: what a measurement under way has found so far, all else unknown; None if none is, or
    nothing is at hand within a small part of a second.
    """

    def probe_revision(self, address: VettedAddress) -> str: ...
    async def measure(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth, demand: Demand
    ) -> AddressFacts: ...
    async def partial(
        self, endpoint: Endpoint, address: VettedAddress, depth: Depth
    ) -> AddressFacts | None: ...


class CrlFetcher(Protocol):
    """Fetches a CRL, unread. Raises an OtpcPolicyError where nobody can fetch anything now."""

    async def fetch_crl(self, url: HttpUrl, *, max_bytes: int, deadline_s: float) -> Fetched: ...


class StoreUnavailable(OtpcPolicyError):
    """A store cannot be asked now. Measuring goes on without it; no check fails for this."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to measure what a key names, which no other replica has meanwhile.

    token: whose it is. fence: higher than that of any earlier lease on the key. epoch: of the
    host's facts, which an invalidation ends.
    """

    token: str
    fence: int
    epoch: int


class Leases(Protocol):
    """Lets one replica at a time measure what a key names. A lease that is not renewed ends.

    Every method returns within a bound, or raises StoreUnavailable.

    acquire: a lease; or facts that another replica has stored within new_enough_s (0 for none);
    or None while another replica has the lease.
    renew: whether the lease still stands. release: one that has ended is passed over.
    renew_every_s: how often to.
    """

    renew_every_s: float

    async def acquire(
        self, key: FactsKey, *, new_enough_s: float
    ) -> Lease | StoredFacts | None: ...
    async def renew(self, key: FactsKey, lease: Lease) -> bool: ...
    async def release(self, key: FactsKey, lease: Lease) -> None: ...


class FactsStore(Protocol):
    """Keeps the newest facts under each key, in this process or outside of it.

    It never judges, and it never lets facts expire by a clock of its own before their readers do:
    whoever reads decides what is too old. It may forget anything at any time.

    Every method returns within a bound of the store's own, short enough to wait for, or raises
    StoreUnavailable; the store logs and counts that itself. A method that finds its answer in
    memory does not suspend.

    get_many: in the order of the keys, None where nothing is kept.
    put: older facts never replace newer ones, by their observed_at. lease: which they were
    measured under; if a later one was given out, or the host's facts were invalidated meanwhile,
    a store that replicas share does not keep them.
    discard_endpoint: forgets the facts of a host (canonical), of all ports for port 0, whatever
    else their keys say; returns how many there were.
    """

    async def get_many(self, keys: Sequence[FactsKey]) -> Sequence[StoredFacts | None]: ...
    async def put(
        self, key: FactsKey, stored: StoredFacts, *, lease: Lease | None = None
    ) -> None: ...
    async def discard(self, key: FactsKey) -> None: ...
    async def discard_endpoint(self, host: str, port: int) -> int: ...


class Clock(Protocol):
    """Wall clock in aware UTC, and seconds that only increase."""

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...


class LookUp(Enum):
    """What one check found of the facts it needs; later members cost more."""

    HIT = "hit"
    STALE = "stale"
    MISS = "miss"
    REFRESH = "refresh"


class Boarding(Enum):
    """How a check came by its measurement: began one, or joined one under way."""

    BEGAN = "began"
    JOINED = "joined"


class ScanOutcome(Enum):
    """How a measurement ended."""

    COMPLETE = "complete"
    INCOMPLETE = "incomplete"
    UNREACHABLE = "unreachable"
    OVERLOADED = "overloaded"
    DROPPED = "dropped"
    FAILED = "failed"


class LeafReport(Enum):
    """What became of a report that a connection met a certain leaf.

    KNOWN: the facts at hand have it. SEEN: a new measurement found it. UNSEEN: a measurement begun
    after the report did not, so the server gives that caller what it gives no measurement.
    UNFINISHED: not measured to the end in time. LIMITED: no measurement of its own, because of the
    bound or the request's freshness, and the facts do not have it.
    """

    KNOWN = "known"
    SEEN = "seen"
    UNSEEN = "unseen"
    UNFINISHED = "unfinished"
    LIMITED = "limited"


class CheckObserver(Protocol):
    """Learns what happened, for metrics.

    cache_request: a value of LookUp, once for each look at the facts of an endpoint: the costliest
    that any address needed. flight: a value of Boarding. scan_finished: outcome is a value of
    ScanOutcome. leaf_reported: a value of LeafReport.
    """

    def cache_request(self, result: str) -> None: ...
    def flight(self, result: str) -> None: ...
    def scan_finished(self, *, outcome: str, seconds: float) -> None: ...
    def leaf_reported(self, result: str) -> None: ...


class CrlObserver(Protocol):
    """Counts fetches of CRLs, for metrics.

    crl_fetched: result is a FetchOutcome in lower case, or "unusable" (what was fetched proves
    nothing), "engine" (none could fetch it) or "failed" (a bug).
    """

    def crl_fetched(self, result: str) -> None: ...
