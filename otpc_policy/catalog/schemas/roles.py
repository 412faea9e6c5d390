"""What a document of roles may say: roles as [[role]], and who has them as [[caller]]."""

from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator

from otpc_policy.catalog.role import ABOUT_ENDPOINTS, EVERY_HOST, EVERYTHING, HostPattern, Role, Rpc
from otpc_policy.catalog.schemas.tables import Identifier, Many, Table, Text, one_of
from otpc_policy.core.endpoint import canonical_host, is_ip_literal
from otpc_policy.core.identities import IdentityPattern, read_identity_pattern


def _host_pattern(value: object) -> HostPattern:
    if not isinstance(value, str):
        raise ValueError('must be text, such as "api.partner.example", "*.partner.example" or "*"')
    if value == EVERYTHING:
        return EVERY_HOST
    is_wildcard = value.startswith("*.")
    bare = value[2:] if is_wildcard else value
    if "*" in bare:
        raise ValueError(
            f'{value!r}: a wildcard is "*", or the whole left-most label as in *.partner.example'
        )
    try:
        host = canonical_host(bare)
    except ValueError as error:
        raise ValueError(f"{value!r}: the host {error}; ports have a key of their own") from None
    if is_wildcard and ("." not in host or is_ip_literal(host)):
        raise ValueError(f"{value!r}: a wildcard must be followed by at least two labels of a name")
    return HostPattern(host, is_wildcard)


def _identity(value: object) -> IdentityPattern:
    if not isinstance(value, str):
        raise ValueError('must be text, such as "spiffe://example.org/router"')
    return read_identity_pattern(value)


def _port(value: int) -> int:
    if not 1 <= value <= 65535:
        raise ValueError(f"{value} is not a TCP port, 1 to 65535")
    return value


def _some(values: tuple[object, ...]) -> tuple[object, ...]:
    # min_length counts valid values only, and so would call a list of one wrong one empty.
    if not values:
        raise ValueError("is empty")
    return values


_RpcName = Annotated[Rpc, one_of({rpc.value: rpc for rpc in Rpc})]


class RoleTable(Table):
    """One [[role]] table."""

    name: Identifier
    policies: Many[Text] = ()
    partners: Many[Text] = ()
    hosts: Many[Annotated[HostPattern, PlainValidator(_host_pattern)]] = ()
    ports: Annotated[Many[Annotated[int, AfterValidator(_port)]], AfterValidator(_some)] | None = (
        None
    )
    refresh: bool = False
    deep: bool = False
    full_view: bool = False
    request_anchors: bool = False
    internal_addresses: bool = False
    rpcs: Annotated[Many[_RpcName], AfterValidator(_some)]

    @field_validator("rpcs")
    @classmethod
    def _says_which_endpoints(cls, rpcs: tuple[Rpc, ...], info: ValidationInfo) -> tuple[Rpc, ...]:
        # A list that is not in info.data was there and is invalid.
        if info.data.get("partners", "invalid") or info.data.get("hosts", "invalid"):
            return rpcs
        for rpc in rpcs:
            if rpc in ABOUT_ENDPOINTS:
                raise ValueError(
                    f"{rpc.value} concerns endpoints, and the role names none: set partners or "
                    'hosts; hosts = ["*"] means every endpoint'
                )
        return rpcs

    def role(self, place: str) -> Role:
        """Return the role. place: "file:line" of the table."""
        return Role(
            name=self.name,
            place=place,
            rpcs=frozenset(self.rpcs),
            policies=frozenset(self.policies),
            partners=frozenset(self.partners),
            hosts=self.hosts,
            ports=None if self.ports is None else frozenset(self.ports),
            refresh=self.refresh,
            deep=self.deep,
            full_view=self.full_view,
            request_anchors=self.request_anchors,
            internal_addresses=self.internal_addresses,
        )


class CallerTable(Table):
    """One [[caller]] table: who has which roles. note: for people."""

    identities: Annotated[
        Many[Annotated[IdentityPattern, PlainValidator(_identity)]], AfterValidator(_some)
    ]
    roles: Annotated[Many[Text], AfterValidator(_some)]
    note: str = ""


class RolesDocument(Table):
    """A document of roles. Without callers it permits nobody anything."""

    role: Many[RoleTable] = Field(default=())
    caller: Many[CallerTable] = Field(default=())
