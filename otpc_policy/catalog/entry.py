"""Partner entries as values."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from otpc_policy.core.facts import ClientAuth
from otpc_policy.policy.waivers import Waiver


class TrustKind(Enum):
    """What one statement of trust names."""

    CERTIFICATE = "certificate"
    SPKI = "spki"
    CA = "ca"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """One statement: this is trusted at the partner's endpoints.

    pin: SHA-256 in lower-case hexadecimal of the leaf's DER or SPKI; empty for a CA.
    anchors: CA certificates in DER; empty for a pin.
    ends_at: it is no longer trusted from this instant on; None for never.
    """

    kind: TrustKind
    pin: str = ""
    anchors: tuple[bytes, ...] = ()
    note: str
    ends_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class EndpointPattern:
    """Which endpoints are meant.

    host: canonical. is_wildcard: exactly one more label precedes it.
    """

    host: str
    port: int
    is_wildcard: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'*.' if self.is_wildcard else ''}{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """One partner.

    policy: "" where the entry names none.
    server_names: canonical; what a request may name in addition to the host itself.
    client_auth: what was agreed; None if nothing was.
    number: position in its document, from 0.
    """

    id: str
    owner: str
    endpoints: tuple[EndpointPattern, ...]
    policy: str = ""
    server_names: frozenset[str] = frozenset()
    client_auth: ClientAuth | None = None
    trusted: tuple[Trusted, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    number: int = 0
