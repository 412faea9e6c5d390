"""Who may do what: roles granted to identities, and the permissions that a caller has by them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from otpc_policy.catalog.role import ADMINISTRATION, EVERY_HOST, EVERYTHING, Demand, Role, Rpc
from otpc_policy.core.caller import Caller, Identity
from otpc_policy.core.identities import EVERY_CALLER, IdentityPattern, read_identity_pattern

# Sets of identities whose permissions are at hand. A caller is asked for again and again.
_KEPT_CALLERS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role, and who has it. place: "file:line" of the grant, for people."""

    identities: tuple[IdentityPattern, ...]
    role: Role
    place: str

    def is_for(self, identities: Iterable[Identity]) -> bool:
        """Whether a caller with these identities has the role; any of them suffices."""
        return any(
            pattern.kind is None or any(map(pattern.matches, identities))
            for pattern in self.identities
        )


class Permissions:
    """What callers with the same grants may do. Compared by identity: keys of what is kept."""

    __slots__ = ("_rpcs", "_scope", "_unlimited", "grants")

    def __init__(self, grants: Sequence[Grant]) -> None:
        self.grants = tuple(grants)
        self._scope = ""
        self._rpcs = frozenset(rpc for grant in self.grants for rpc in grant.role.rpcs)
        self._unlimited = frozenset(
            rpc for grant in self.grants if grant.role.is_unlimited for rpc in grant.role.rpcs
        )

    @property
    def scope(self) -> str:
        """Which endpoints and policies its roles name, as a text: a digest of all of them.

        Unlike the object it is the same in every process, and for as long as the roles say the
        same.
        """
        if not self._scope:
            roles = sorted(grant.role.scope for grant in self.grants)
            self._scope = hashlib.sha256(repr(roles).encode()).hexdigest()[:16]
        return self._scope

    def may_call(self, rpc: Rpc) -> bool:
        """Whether a method is permitted at all; what a call of it needs may still be missing."""
        return rpc in self._rpcs

    def missing(self, demand: Demand) -> tuple[str, ...]:
        """Return nothing if a role permits all that a call needs, else what the nearest lacks."""
        if demand.rpc in self._unlimited and not demand.internal_addresses:
            return ()
        nearest: tuple[str, ...] | None = None
        for grant in self.grants:
            missing = tuple(grant.role.missing(demand))
            if not missing:
                return ()
            # A role for another method is not what the caller meant.
            if demand.rpc in grant.role.rpcs and (nearest is None or len(missing) < len(nearest)):
                nearest = missing
        return nearest or (f"rpc {demand.rpc.value}",)

    def may_see_internal_addresses(self, demand: Demand) -> bool:
        """Whether a role that permits a call also lets its answer name addresses not measured."""
        return not self.missing(replace(demand, internal_addresses=True))


class Access:
    """The grants of one generation.

    by_roles: whether a document of roles says who may do what; else every caller whom the listener
    admits may do everything but administer.
    """

    def __init__(self, grants: Iterable[Grant], *, by_roles: bool) -> None:
        self.grants = tuple(grants)
        self.by_roles = by_roles
        self._by_positions: dict[tuple[int, ...], Permissions] = {}
        self._by_identities: dict[tuple[Identity, ...], Permissions] = {}

    def permissions_of(self, caller: Caller) -> Permissions:
        """Return what a caller may do. Callers with the same grants get the same object."""
        identities = caller.identities
        known = self._by_identities.get(identities)
        if known is not None:
            return known
        positions = tuple(
            position for position, grant in enumerate(self.grants) if grant.is_for(identities)
        )
        permissions = self._by_positions.get(positions)
        if permissions is None:
            permissions = Permissions([self.grants[position] for position in positions])
        if len(self._by_identities) >= _KEPT_CALLERS:
            self._by_identities.clear()
            self._by_positions.clear()
        self._by_positions[positions] = permissions
        self._by_identities[identities] = permissions
        return permissions


def admin_grants(callers: Sequence[str]) -> Iterator[Grant]:
    """Yield what the setting admin_callers grants. callers: names, or none for every caller."""
    role = Role(
        name="admin_callers",
        place="setting admin_callers",
        rpcs=ADMINISTRATION,
        hosts=(EVERY_HOST,),
    )
    identities = tuple(map(read_identity_pattern, callers or (EVERY_CALLER,)))
    yield Grant(identities=identities, role=role, place=role.place)


def access_without_roles(admin_callers: Sequence[str] = ()) -> Access:
    """Return what holds without a document of roles.

    Everyone whom the listener admits may do everything but administer, and sees no internal
    addresses. Those whom admin_callers names may administer. Without names everyone may: the
    settings allow that on loopback alone, and the administrative service must be on to matter.
    """
    everything = Role(
        name="everyone",
        place="built in, without roles_file",
        rpcs=frozenset(Rpc) - ADMINISTRATION,
        policies=frozenset({EVERYTHING}),
        partners=frozenset({EVERYTHING}),
        hosts=(EVERY_HOST,),
        refresh=True,
        deep=True,
        full_view=True,
        request_anchors=True,
    )
    anyone = Grant(
        identities=(read_identity_pattern(EVERY_CALLER),), role=everything, place=everything.place
    )
    return Access((anyone, *admin_grants(admin_callers)), by_roles=False)
