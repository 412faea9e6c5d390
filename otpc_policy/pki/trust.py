"""Whom we trust, and for which hosts: Mozilla's roots, the operator's anchors and pins.

A pin is equality of the leaf's DER or SPKI. It never enters a store, so it gives trust to
nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from otpc_policy.core.endpoint import canonical_host, is_ip_literal
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.pki.roots import RootLimit, mozilla_limits

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustEntry:
    """One statement of the operator: for these hosts, trust this.

    hosts: canonical host names or IP literals, or "*." followed by a name for exactly one more
    label; not empty. anchors: CA certificates in DER. certificate_pins, spki_pins: SHA-256 in
    lower-case hexadecimal. ends_at: the entry stops at this instant.
    """

    hosts: tuple[str, ...]
    anchors: tuple[bytes, ...] = ()
    certificate_pins: frozenset[str] = frozenset()
    spki_pins: frozenset[str] = frozenset()
    note: str = ""
    ends_at: datetime | None = None

    def __post_init__(self) -> None:
        problems = []
        if not self.hosts:
            problems.append(
                f"trust entry {self.note!r}: hosts is empty;"
                " an anchor or pin must name the hosts it speaks for"
            )
        if not (self.anchors or self.certificate_pins or self.spki_pins):
            problems.append(f"trust entry {self.note!r}: holds no anchor and no pin")
        for pin in sorted(self.certificate_pins | self.spki_pins):
            if not _SHA256.match(pin):
                problems.append(
                    f"trust entry {self.note!r}: pin {pin!r} is not a SHA-256 in lower-case"
                    " hexadecimal, so nothing could equal it"
                )
        for host in self.hosts:
            bare = host.removeprefix("*.")
            try:
                if canonical_host(bare) != bare or (
                    bare != host and (is_ip_literal(bare) or "." not in bare)
                ):
                    problems.append(
                        f"trust entry {self.note!r}: host {host!r} is not in canonical form"
                    )
            except ValueError as error:
                problems.append(f"trust entry {self.note!r}: host {host!r} {error}")
        if problems:
            raise ConfigurationError(problems)

    def speaks_for(self, host: str) -> bool:
        """The entry names this canonical host, exactly or by a leading wildcard label."""
        return host in self.hosts or ("." in host and "*." + host.partition(".")[2] in self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """All trust of a process.

    mozilla_roots: in DER. root_limits: how far Mozilla trusts them, by SHA-256. entries: the
    operator's.
    """

    mozilla_roots: Sequence[bytes] = field(repr=False)
    root_limits: Mapping[str, RootLimit] = field(default_factory=mozilla_limits, repr=False)
    entries: tuple[TrustEntry, ...] = ()

    def entries_for(self, host: str, at: datetime) -> tuple[TrustEntry, ...]:
        """Return the entries that name the host and have not ended at the given instant."""
        return tuple(
            entry
            for entry in self.entries
            if entry.speaks_for(host) and (entry.ends_at is None or at < entry.ends_at)
        )
