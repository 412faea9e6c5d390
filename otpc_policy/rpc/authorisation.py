"""What each method needs the roles of a caller to permit: the table, and what a request demands.

A call is permitted in two steps. The guard asks, before anything is read, whether some role names
the method at all. The servicer asks, once the request is parsed, whether a single role permits
everything that it needs; of a batch, each item by itself.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from enum import Enum
from types import MappingProxyType

from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from otpc_policy.catalog.access import Access, Permissions
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.role import Demand, Rpc
from otpc_policy.check import ChainRequest, CheckRequest
from otpc_policy.check.freshness import Freshness, FreshnessMode
from otpc_policy.core.caller import Caller
from otpc_policy.core.endpoint import Endpoint
from otpc_policy.core.facts import Depth
from otpc_policy.rpc.convert import ParsedCheck, ParsedValidation
from otpc_policy.rpc.current_call import current_call
from otpc_policy.rpc.status import CallerNotPermitted, CallerUnknown
from otpc_policy.v1 import policy_pb2 as pb

_CHECK = pb.DESCRIPTOR.services_by_name["PolicyCheckService"].full_name
_ADMIN = pb.DESCRIPTOR.services_by_name["PolicyAdminService"].full_name


class Open(Enum):
    """What the table says of a method that needs no role."""

    FOR_EVERYONE = "for everyone"


PERMISSIONS: Mapping[tuple[str, str], Rpc | Open] = MappingProxyType(
    {
        (_CHECK, "CheckEndpoint"): Rpc.CHECK_ENDPOINT,
        (_CHECK, "BatchCheckEndpoints"): Rpc.BATCH_CHECK_ENDPOINTS,
        (_CHECK, "ValidateCertificate"): Rpc.VALIDATE_CERTIFICATE,
        (_CHECK, "GetPolicy"): Rpc.GET_POLICY,
        (_CHECK, "ListPolicies"): Rpc.LIST_POLICIES,
        (_CHECK, "ListWatched"): Rpc.LIST_WATCHED,
        (_CHECK, "WatchVerdicts"): Rpc.WATCH_VERDICTS,
        (_ADMIN, "InvalidateResults"): Rpc.INVALIDATE_RESULTS,
        (_ADMIN, "ReloadPolicies"): Rpc.RELOAD_POLICIES,
        (reflection.SERVICE_NAME, "ServerReflectionInfo"): Rpc.SERVER_REFLECTION_INFO,
        # Clients and load balancers stop sending calls where they may not ask.
        (health.SERVICE_NAME, "Check"): Open.FOR_EVERYONE,
        (health.SERVICE_NAME, "Watch"): Open.FOR_EVERYONE,
    }
)
"""What a role must name for each method that the server offers.

A method without a row cannot be registered, and is refused.
"""

# Facts younger than this are as good as measured anew: to demand them is to demand a measurement.
_FORCES_A_MEASUREMENT = timedelta(minutes=1)


class MethodWithoutRow(Exception):
    """A method is to be served that the table of permissions does not know. A bug."""


def require_rows(methods: Iterable[tuple[str, str]]) -> None:
    """Raise MethodWithoutRow unless the table has a row for each service and method."""
    missing = ["/".join(method) for method in methods if method not in PERMISSIONS]
    if missing:
        raise MethodWithoutRow(
            f"rpc/authorisation.py says of no role whether it permits {', '.join(missing)}"
        )


def require_method(caller: Caller, access: Access, method: tuple[str, str]) -> None:
    """Refuse a caller none of whose roles names the method: service and name.

    Raises CallerUnknown where the caller has no identity, else CallerNotPermitted.
    """
    row = PERMISSIONS.get(method)
    if row is Open.FOR_EVERYONE:
        return
    if row is None or not access.permissions_of(caller).may_call(row):
        raise _refusal(caller, (f"rpc {method[1]}",))


def require(permissions: Permissions, demand: Demand) -> None:
    """Refuse the current call unless a role permits all that it needs.

    Raises as require_method does.
    """
    if missing := permissions.missing(demand):
        raise _refusal(current_call.get().caller, missing)


def permissions_in(generation: Catalog) -> Permissions:
    """Return what the current caller may do under a generation."""
    return generation.access.permissions_of(current_call.get().caller)


def check_demand(parsed: ParsedCheck, generation: Catalog, rpc: Rpc) -> Demand:
    """Return what a check needs. rpc: the method that it is part of."""
    asked: CheckRequest = parsed.request
    endpoint = asked.endpoint
    partner = generation.partners.find(endpoint.host, endpoint.port)
    policy, is_default = _policy(asked.policy_name, generation)
    return Demand(
        rpc=rpc,
        policy=policy,
        is_default_policy=is_default,
        host=endpoint.host,
        port=endpoint.port,
        server_name=endpoint.server_name,
        partner="" if partner is None else partner.id,
        refresh=_forces_a_measurement(asked.freshness),
        deep=asked.depth is Depth.DEEP,
        full_view=parsed.view == pb.VIEW_FULL,
    )


def validation_demand(parsed: ParsedValidation, generation: Catalog) -> Demand:
    """Return what the validation of a chain needs; without a server name, no endpoint."""
    asked: ChainRequest = parsed.request
    name = asked.server_name
    partner = None if name is None else generation.partners.find_by_name(name)
    policy, is_default = _policy(asked.policy_name, generation)
    return Demand(
        rpc=Rpc.VALIDATE_CERTIFICATE,
        policy=policy,
        is_default_policy=is_default,
        server_name=name,
        partner="" if partner is None else partner.id,
        full_view=parsed.view == pb.VIEW_FULL,
        request_anchors=bool(asked.trust_anchors),
    )


def policy_demand(policy_name: str, generation: Catalog, rpc: Rpc) -> Demand:
    """Return what reading a policy needs; "" is the default policy."""
    policy, is_default = _policy(policy_name, generation)
    return Demand(rpc=rpc, policy=policy, is_default_policy=is_default)


def watched_demand(
    endpoint: Endpoint,
    generation: Catalog,
    rpc: Rpc = Rpc.LIST_WATCHED,
    *,
    partner_id: str | None = None,
) -> Demand:
    """Return what being shown a watched endpoint needs.

    It is what a check of it needs, with the list or the stream in place of the check. partner_id:
    of one that was a partner's; by default, of the partner whose endpoint it is.
    """
    if partner_id is None:
        partner = generation.partners.find(endpoint.host, endpoint.port)
        partner_id = "" if partner is None else partner.id
    policy, is_default = _policy("", generation)
    return Demand(
        rpc=rpc,
        policy=policy,
        is_default_policy=is_default,
        host=endpoint.host,
        port=endpoint.port,
        server_name=endpoint.server_name,
        partner=partner_id,
    )


def invalidation_demand(host: str, port: int, generation: Catalog) -> Demand:
    """Return what forgetting results needs. port: 0 for every port."""
    partner = generation.partners.find(host, port) if port else None
    return Demand(
        rpc=Rpc.INVALIDATE_RESULTS,
        host=host,
        port=port or None,
        partner="" if partner is None else partner.id,
    )


def _policy(name: str, generation: Catalog) -> tuple[str, bool]:
    default = generation.policies.default_name
    return (name or default), name in ("", default)


def _forces_a_measurement(freshness: Freshness) -> bool:
    if freshness.mode is FreshnessMode.CACHE_FIRST:
        max_age = freshness.max_age
        return max_age is not None and max_age < _FORCES_A_MEASUREMENT
    return freshness.mode is FreshnessMode.REFRESH


def _refusal(caller: Caller, missing: tuple[str, ...]) -> CallerUnknown | CallerNotPermitted:
    return CallerNotPermitted(caller.label, missing) if caller.identities else CallerUnknown()
