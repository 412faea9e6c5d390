"""Verdicts that may be given again, without IO: bounded in number and bytes, oldest use out first.

None is given at or after the instant at which it expires, by either clock: see Verdict. What is not
ALLOW is not given after retry_after either, from which on asking again can give another answer, and
CHECK_IN_PROGRESS is not kept at all.

Who is given a verdict shares it with others, and must not change it.
"""

import contextlib
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from otpc_policy_client.error_details import seconds_of
from otpc_policy_client.v1 import policy_pb2 as pb
from otpc_policy_client.verdict import Verdict, is_in_progress

_DEFAULT_PORT: Final = 443
# What an entry takes beside its request and its response.
_OVERHEAD_BYTES: Final = 500

# Host in lower case and without brackets, and port.
Endpoint = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheLimits:
    """What a cache may hold. entries: 0 for no cache. total_bytes: of requests and responses."""

    entries: int = 10_000
    total_bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    verdict: Verdict
    until_s: float
    # In nanoseconds since 1970, by the wall clock.
    expires_ns: int
    asked_at_s: float
    endpoints: frozenset[Endpoint]
    size: int


class AnswerCache:
    """Verdicts by request. wall_ns: time.time_ns; instants otherwise are of clock.elapsed_s."""

    def __init__(self, limits: CacheLimits, wall_ns: Callable[[], int]) -> None:
        self._limits = limits
        self._wall_ns = wall_ns
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._by_endpoint: dict[Endpoint, set[bytes]] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Bytes that count towards the limit."""
        return self._bytes

    def get(self, key: bytes, now: float) -> Verdict | None:
        """Return the verdict of a request, if one stands."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.until_s or self._wall_ns() >= entry.expires_ns:
            self.drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.verdict

    def put(
        self, key: bytes, request: pb.CheckEndpointRequest, verdict: Verdict, *, asked_at_s: float
    ) -> bool:
        """Keep a verdict; return whether it was kept. asked_at_s: when it was asked for."""
        response = verdict.response
        if is_in_progress(response) or not response.result_info.HasField("expire_time"):
            return False
        until_s = verdict.good_until_s
        if response.decision != pb.DECISION_ALLOW and response.HasField("retry_after"):
            until_s = min(until_s, asked_at_s + seconds_of(response.retry_after))
        size = len(key) + response.ByteSize() + _OVERHEAD_BYTES
        # An entry that would push out much of the others is not worth it.
        if (
            until_s <= asked_at_s
            or size > self._limits.total_bytes // 8
            or not self._limits.entries
        ):
            return False
        self.drop(key)
        expires = response.result_info.expire_time
        entry = _Entry(
            verdict=verdict,
            until_s=until_s,
            expires_ns=expires.seconds * 1_000_000_000 + expires.nanos,
            asked_at_s=asked_at_s,
            endpoints=endpoints_of(request, response),
            size=size,
        )
        self._entries[key] = entry
        self._bytes += size
        for endpoint in entry.endpoints:
            self._by_endpoint.setdefault(endpoint, set()).add(key)
        while len(self._entries) > self._limits.entries or self._bytes > self._limits.total_bytes:
            self.drop(next(iter(self._entries)))
        return True

    def drop(self, key: bytes) -> None:
        """Forget the verdict of a request."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self._bytes -= entry.size
        for endpoint in entry.endpoints:
            keys = self._by_endpoint[endpoint]
            keys.discard(key)
            if not keys:
                del self._by_endpoint[endpoint]

    def drop_endpoint(self, endpoint: Endpoint) -> int:
        """Forget what is known of an endpoint; return the number of verdicts."""
        keys = tuple(self._by_endpoint.get(endpoint, ()))
        for key in keys:
            self.drop(key)
        return len(keys)

    def drop_asked_before(self, instant: float) -> int:
        """Forget what was asked for before an instant; return the number of verdicts."""
        return self._drop_where(lambda entry: entry.asked_at_s < instant)

    def keep_confirmed(self, decisions: Mapping[Endpoint, int]) -> int:
        """Forget what is not confirmed; return the number of verdicts.

        decisions: by endpoint. A verdict is confirmed where its endpoint has the same decision.
        """
        return self._drop_where(
            lambda entry: (
                not any(
                    decisions.get(endpoint) == entry.verdict.response.decision
                    for endpoint in entry.endpoints
                )
            )
        )

    def _drop_where(self, condition: Callable[[_Entry], bool]) -> int:
        keys = [key for key, entry in self._entries.items() if condition(entry)]
        for key in keys:
            self.drop(key)
        return len(keys)


def endpoint_of(host: str, port: int) -> Endpoint:
    """Return an endpoint in the form in which endpoints are compared."""
    bare = host.strip("[]").rstrip(".").lower()
    with contextlib.suppress(ValueError):
        bare = str(ipaddress.ip_address(bare))
    return bare, port or _DEFAULT_PORT


def endpoints_of(
    request: pb.CheckEndpointRequest, response: pb.CheckEndpointResponse
) -> frozenset[Endpoint]:
    """Return the endpoint as it was asked for, and as the service calls it."""
    host, _, port = response.canonical_endpoint.rpartition(":")
    found = {endpoint_of(request.host, request.port)}
    if host and port.isdecimal() and len(port) <= 5:
        found.add(endpoint_of(host, int(port)))
    return frozenset(found)


def key_of(request: pb.CheckEndpointRequest) -> bytes | None:
    """Return what requests with equal answers have in common; None if an answer is for one alone.

    Who says how fresh facts have to be, or reports a leaf, wants the service itself.
    """
    if request.observed_leaf_sha256 or request.HasField("freshness"):
        return None
    return request.SerializeToString(deterministic=True)
