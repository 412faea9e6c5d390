"""Who asks: the identities that a caller proved, and the connection it asks over."""

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network


class IdentityKind(StrEnum):
    """Kinds of subjectAltName that identify a caller. A name of one kind is never another's."""

    SPIFFE = "spiffe"
    URI = "uri"
    DNS = "dns"


@dataclass(frozen=True, slots=True)
class Identity:
    """A name in the certificate that a caller has proved to hold the key of.

    As text it is what a roles file says: a SPIFFE id as it is, others with their kind in front.
    """

    kind: IdentityKind
    name: str

    def __str__(self) -> str:
        return self.name if self.kind is IdentityKind.SPIFFE else f"{self.kind.value}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a call.

    identities: the SPIFFE id, then URIs, then DNS names, each kind in the order of the certificate;
        empty for a caller without a certificate, or with none of these names in it.
    peer: the connection as gRPC names it, for example "ipv4:127.0.0.1:4711"; empty for a call from
    within this process.
    share: who shares with whom: a group, and a member of it. Groups share equally, then members. A
        caller with a certificate is a group by itself, over however many connections. Callers
        without one are members by connection, in the group of their address: so a machine gets no
        larger share by opening more connections, nor by taking more addresses of its network.
    """

    identities: tuple[Identity, ...] = ()
    peer: str = ""
    share: tuple[str, str] = field(init=False, repr=False, compare=False)

    @property
    def label(self) -> str:
        """What logs and messages call this caller: its first identity, else its connection."""
        return str(self.identities[0]) if self.identities else self.peer or "this process"

    def __post_init__(self) -> None:
        # Callers are kept, and each call of one asks for its share.
        object.__setattr__(self, "share", self._share())

    def _share(self) -> tuple[str, str]:
        if self.identities:
            identity = str(self.identities[0])
            return identity, identity
        host, separator, port = self.peer.rpartition(":")
        if not separator or not port.isdigit():
            return self.peer, self.peer
        return _group_of(host), self.peer


@lru_cache(maxsize=4096)
def _group_of(host: str) -> str:
    """Return whose connections share: those of an IPv4 address, or of an IPv6 network of 64 bits.

    host: as gRPC writes it, such as "ipv4:192.0.2.1" or "ipv6:%5B2001:db8::1%5D".
    Within such a network a machine chooses its addresses itself. Source: RFC 4291 2.5.4, RFC 8981.
    """
    family, _, written = host.partition(":")
    if family != "ipv6":
        return host
    # gRPC writes brackets, and the percent sign of a zone, as in a URI.
    plain = written.removeprefix("%5B").removesuffix("%5D").strip("[]")
    try:
        address = IPv6Address(plain.partition("%")[0])
    except ValueError:
        return host
    if address.ipv4_mapped is not None:
        return f"ipv4:{address.ipv4_mapped}"
    return f"ipv6:{IPv6Network((address, 64), strict=False)}"


WITHIN_THIS_PROCESS = Caller()
WATCH_LIST = Caller(peer="watch list")
"""What the operator has watched, for which nobody asks. It has a share like any other caller's."""
