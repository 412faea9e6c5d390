"""Partners with entries.

Each has its own address, a document in the folder that the service reads, and a server that a test
starts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from otpc_policy.app.settings import Settings
from tests.support.certificates import Issued
from tests.support.loopback import Listener, own_listener

OWNER = "onboarding@example.com"


class MovableClock:
    """The machine's time, moved on by hand."""

    def __init__(self) -> None:
        self._moved = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._moved

    def monotonic(self) -> float:
        return self.now().timestamp()

    def move_to(self, at: datetime) -> None:
        """Let it be this instant now; time goes on from there."""
        self._moved = at - datetime.now(UTC)


@dataclass(slots=True)
class PartnerFolder:
    """The folder of entries, and the names that lead to loopback."""

    folder: Path
    hosts: dict[str, list[str]] = field(default_factory=dict)

    def partner(
        self,
        name: str,
        *,
        host: str = "",
        rest: str = "",
        wildcard: str = "",
        names: Sequence[str] = (),
    ) -> "KnownPartner":
        """Write an entry.

        host: instead of name.partner.test. wildcard: the pattern of the entry in place of the host.
        names: further hosts at this address.
        """
        at = own_listener()
        chosen = host or f"{name}.partner.test"
        for known in (chosen, *names):
            self.hosts[known] = [at.address]
        partner = KnownPartner(self.folder / f"{name}.toml", wildcard or chosen, chosen, at)
        partner.write(rest)
        return partner

    def by_address(self, name: str, rest: str = "") -> "KnownPartner":
        """Write the entry of a partner that has an address and no name."""
        at = own_listener()
        partner = KnownPartner(self.folder / f"{name}.toml", at.address, at.address, at)
        partner.write(rest)
        return partner

    def settings(self, **others: Any) -> Settings:
        """Return settings of a service that knows all of them."""
        return Settings(
            listen="127.0.0.1:0",
            ops_listen="127.0.0.1:0",
            allow_networks=["127.0.0.0/8"],
            static_hosts=dict(self.hosts),
            partners_dir=self.folder,
            log_level="error",
            minimum_refresh_interval_s=0.0,
            drain_delay_s=0.0,
            drain_grace_s=2.0,
            **{"scan": {"workers": 1}, **others},
        )


@dataclass(frozen=True, slots=True)
class KnownPartner:
    """One partner. pattern: of its entry. host: to ask about. at: where its server listens."""

    document: Path
    pattern: str
    host: str
    at: Listener

    def write(self, rest: str) -> None:
        """Rewrite its entry. rest: the lines after id, owner and endpoints."""
        head = (
            f'id = "{self.document.stem}"\nowner = "{OWNER}"\n'
            f'endpoints = ["{self.pattern}:{self.at.port}"]\n'
        )
        self.document.write_text(head + rest, encoding="utf-8")


def pin(leaf: Issued, *, ends: datetime | None = None, kind: str = "certificate_sha256") -> str:
    """Return the statement that this leaf is trusted."""
    value = leaf.sha256 if kind == "certificate_sha256" else leaf.spki_sha256
    return f'[[trusted]]\n{kind} = "{value}"\nnote = "agreed by phone"\n' + (
        f"ends = {ends.isoformat()}\n" if ends else ""
    )


def private_ca(pem: bytes, *, ends: datetime | None = None) -> str:
    """Return the statement that this authority is trusted."""
    return f"[[trusted]]\nca_pem = '''\n{pem.decode()}'''\nnote = \"private CA\"\n" + (
        f"ends = {ends.isoformat()}\n" if ends else ""
    )


def waiver(code: str, ends: datetime, *, covers: str = "") -> str:
    """Return a waiver. covers: a line such as versions = ["TLS 1.1"]."""
    return (
        f'[[waivers]]\ncode = "{code}"\nreason = "change window"\nowner = "{OWNER}"\n'
        f"ends = {ends.isoformat()}\n{covers}\n"
    )


def one_bit_different(leaf: Issued) -> Issued:
    """Return the certificate with the last bit of its signature flipped.

    The key is unchanged, so it can be served.
    """
    der = bytearray(leaf.der)
    der[-1] ^= 1
    certificate = x509.load_der_x509_certificate(bytes(der))
    return Issued(certificate, leaf.private_key, (certificate,))
