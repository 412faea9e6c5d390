"""Roles as values: what a call needs, and what a role permits.

A call is permitted where a single role permits all that it needs. Roles do not complement each
other: one that may refresh and one that may see an endpoint do not together refresh it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

EVERYTHING = "*"
"""What stands for every policy, every partner or every host."""


class Rpc(StrEnum):
    """The methods that a role may permit, by their names in the contract.

    Health is not among them: load balancers ask for it, and it says nothing of partners.
    """

    CHECK_ENDPOINT = "CheckEndpoint"
    BATCH_CHECK_ENDPOINTS = "BatchCheckEndpoints"
    VALIDATE_CERTIFICATE = "ValidateCertificate"
    GET_POLICY = "GetPolicy"
    LIST_POLICIES = "ListPolicies"
    LIST_WATCHED = "ListWatched"
    WATCH_VERDICTS = "WatchVerdicts"
    INVALIDATE_RESULTS = "InvalidateResults"
    RELOAD_POLICIES = "ReloadPolicies"
    SERVER_REFLECTION_INFO = "ServerReflectionInfo"


ABOUT_ENDPOINTS = frozenset(
    {
        Rpc.CHECK_ENDPOINT,
        Rpc.BATCH_CHECK_ENDPOINTS,
        Rpc.LIST_WATCHED,
        Rpc.WATCH_VERDICTS,
        Rpc.INVALIDATE_RESULTS,
    }
)
"""Methods that always concern an endpoint, so that a role must say which."""
ADMINISTRATION = frozenset({Rpc.INVALIDATE_RESULTS, Rpc.RELOAD_POLICIES})


@dataclass(frozen=True, slots=True)
class HostPattern:
    """Which hosts are meant.

    host: canonical; "" for every host. is_wildcard: exactly one more label precedes it.
    """

    host: str
    is_wildcard: bool = False

    def matches(self, host: str) -> bool:
        """Whether it means this host, in canonical form."""
        if not self.host:
            return True
        if self.is_wildcard:
            return host.partition(".")[2] == self.host
        return host == self.host


EVERY_HOST = HostPattern("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a call needs a role to permit.

    policy: by name, never ""; None where the call concerns no policy.
    is_default_policy: the policy is the one that an empty name means.
    host, server_name: canonical; None where the call concerns none.
    port: None for every port, or where the call concerns none.
    partner: id of the endpoint's partner, "" if it has none.
    internal_addresses: addresses that may not be measured are named in the answer. No call needs
        that: who may not see them is answered without.
    """

    rpc: Rpc
    policy: str | None = None
    is_default_policy: bool = False
    host: str | None = None
    port: int | None = None
    server_name: str | None = None
    partner: str = ""
    refresh: bool = False
    deep: bool = False
    full_view: bool = False
    request_anchors: bool = False
    internal_addresses: bool = False

    @property
    def endpoint_text(self) -> str:
        """The host, and the port where there is one, for people."""
        if self.host is None:
            return ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """What callers of one role may do. place: "file:line" of its definition, for people.

    policies: by name, or EVERYTHING; empty for the default policy alone.
    partners: by id, or EVERYTHING; their endpoints.
    hosts: whose endpoints, in addition to those of partners.
    ports: None for any that the service itself allows.
    """

    name: str
    place: str
    rpcs: frozenset[Rpc]
    policies: frozenset[str] = frozenset()
    partners: frozenset[str] = frozenset()
    hosts: tuple[HostPattern, ...] = ()
    ports: frozenset[int] | None = None
    refresh: bool = False
    deep: bool = False
    full_view: bool = False
    request_anchors: bool = False
    internal_addresses: bool = False

    @property
    def is_unlimited(self) -> bool:
        """Whether its methods are permitted whatever a call of them needs.

        No call needs internal_addresses.
        """
        rights = (self.refresh, self.deep, self.full_view, self.request_anchors)
        return (
            all(rights)
            and EVERYTHING in self.policies
            and EVERY_HOST in self.hosts
            and self.ports is None
        )

    @property
    def scope(self) -> str:
        """What it permits, as a text that is the same in every process."""
        ports = None if self.ports is None else sorted(self.ports)
        hosts = sorted((pattern.host, pattern.is_wildcard) for pattern in self.hosts)
        return repr((sorted(self.rpcs), sorted(self.policies), sorted(self.partners), hosts, ports))

    def missing(self, demand: Demand) -> Iterator[str]:
        """Yield what the role does not permit, such as "port 25"; nothing if it permits all."""
        if demand.rpc not in self.rpcs:
            yield f"rpc {demand.rpc.value}"
        if not self._permits_policy(demand):
            yield f"policy {demand.policy}"
        yield from self._missing_of_endpoint(demand)
        if demand.refresh and not self.refresh:
            yield "refresh"
        if demand.deep and not self.deep:
            yield "deep"
        if demand.full_view and not self.full_view:
            yield "full_view"
        if demand.request_anchors and not self.request_anchors:
            yield "request_anchors"
        if demand.internal_addresses and not self.internal_addresses:
            yield "internal_addresses"

    def _permits_policy(self, demand: Demand) -> bool:
        if demand.policy is None or EVERYTHING in self.policies:
            return True
        return demand.policy in self.policies or (not self.policies and demand.is_default_policy)

    def _missing_of_endpoint(self, demand: Demand) -> Iterator[str]:
        of_partner = bool(demand.partner) and not self.partners.isdisjoint(
            (demand.partner, EVERYTHING)
        )
        if demand.host is not None:
            if not of_partner and not self._means(demand.host):
                yield f"endpoint {demand.endpoint_text}"
            if demand.rpc in ABOUT_ENDPOINTS and self.ports is not None:
                if demand.port is None:
                    yield "every port"
                elif demand.port not in self.ports:
                    yield f"port {demand.port}"
        name = demand.server_name
        if name is not None and name != demand.host and not of_partner and not self._means(name):
            yield f"server_name {name}"

    def _means(self, host: str) -> bool:
        return any(pattern.matches(host) for pattern in self.hosts)
