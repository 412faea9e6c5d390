"""Who asks: the identities that a caller proved, and the connection it asks over."""

from dataclasses import dataclass
from enum import StrEnum


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
    """

    identities: tuple[Identity, ...] = ()
    peer: str = ""

    @property
    def label(self) -> str:
        """What logs and messages call this caller: its first identity, else its connection."""
        return str(self.identities[0]) if self.identities else self.peer or "this process"

    @property
    def share(self) -> tuple[str, str]:
        """Who shares with whom: a group, and a member of it. Groups share equally, then members.

        A caller with a certificate is a group by itself, over however many connections. Callers
        without one are members by connection, in the group of their address: so a machine gets no
        larger share by opening more connections.
        """
        if self.identities:
            identity = str(self.identities[0])
            return identity, identity
        host, separator, port = self.peer.rpartition(":")
        return (host, self.peer) if separator and port.isdigit() else (self.peer, self.peer)


WITHIN_THIS_PROCESS = Caller()
