"""What ends in a partner's entry, and what is reported about it before and after."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from otpc_policy.catalog.entry import Partner, Trusted, TrustKind
from otpc_policy.catalog.toml_lines import KeyPath
from otpc_policy.policy.finding import Finding
from otpc_policy.policy.service_findings import service_finding
from otpc_policy.policy.waivers import Waiver

# Time enough to renew a certificate or to agree on an exception again.
ENDS_SOON = timedelta(days=30)

_TRUST_NAMES: Mapping[TrustKind, str] = {
    TrustKind.CERTIFICATE: "pin of a certificate",
    TrustKind.SPKI: "pin of a key",
    TrustKind.CA: "trust in a private CA",
}


class DeadlineKind(Enum):
    """What ends."""

    WAIVER = "waiver"
    PIN = "pin"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One end. what: for people. path: to its key in the partner's entry."""

    kind: DeadlineKind
    what: str
    ends_at: datetime
    path: KeyPath

    def has_ended(self, now: datetime) -> bool:
        """It is no longer applied, from the instant itself on."""
        return self.ends_at <= now

    def ends_soon(self, now: datetime) -> bool:
        """It is still applied, and its owner should act."""
        return self.ends_at - ENDS_SOON <= now < self.ends_at

    def sentence(self, now: datetime) -> str:
        """Return when it ends or ended, for people."""
        verb = "ended" if self.has_ended(now) else "ends"
        return f"{self.what} {verb} at {self.ends_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def deadlines(partner: Partner) -> Iterator[Deadline]:
    """Yield everything in an entry that ends."""
    for at, waiver in enumerate(partner.waivers):
        yield Deadline(
            kind=DeadlineKind.WAIVER,
            what=_waiver_text(waiver),
            ends_at=waiver.ends_at,
            path=("waivers", at, "ends"),
        )
    for at, trusted in enumerate(partner.trusted):
        if trusted.ends_at is not None:
            yield Deadline(
                kind=_kind(trusted),
                what=f"the {_TRUST_NAMES[trusted.kind]} ({trusted.note})",
                ends_at=trusted.ends_at,
                path=("trusted", at, "ends"),
            )


def deadline_findings(partner: Partner, now: datetime) -> Iterator[Finding]:
    """Yield the findings of a response about ends that have passed or are near."""
    for deadline in deadlines(partner):
        subject = "WAIVER" if deadline.kind is DeadlineKind.WAIVER else "TRUST"
        sentence = deadline.sentence(now)
        if deadline.has_ended(now):
            yield service_finding(
                f"PARTNER_{subject}_ENDED", f"{sentence}; it is no longer applied"
            )
        elif deadline.ends_soon(now):
            yield service_finding(
                f"PARTNER_{subject}_ENDS_SOON", f"{sentence}; it is not applied from then on"
            )


def deadline_instants(partner: Partner) -> Iterator[datetime]:
    """Yield every instant at which time alone changes these findings."""
    for deadline in deadlines(partner):
        yield deadline.ends_at - ENDS_SOON
        yield deadline.ends_at


class DeadlineCalendar:
    """The ends of many entries by kind, in order."""

    def __init__(self, ends: Iterable[tuple[DeadlineKind, datetime]]) -> None:
        by_kind: dict[DeadlineKind, list[datetime]] = {kind: [] for kind in DeadlineKind}
        for kind, ends_at in ends:
            by_kind[kind].append(ends_at)
        self._ends: Mapping[DeadlineKind, Sequence[datetime]] = {
            kind: sorted(instants) for kind, instants in by_kind.items()
        }

    def next_end(self, kind: DeadlineKind, now: datetime) -> datetime | None:
        """Return the first end after now, or None."""
        ends = self._ends[kind]
        following = bisect_right(ends, now)
        return ends[following] if following < len(ends) else None

    def ended(self, kind: DeadlineKind, now: datetime) -> int:
        """Return how many have ended and should be taken out."""
        return bisect_right(self._ends[kind], now)


def _kind(trusted: Trusted) -> DeadlineKind:
    return DeadlineKind.ANCHOR if trusted.kind is TrustKind.CA else DeadlineKind.PIN


def _waiver_text(waiver: Waiver) -> str:
    covers = ", ".join(sorted(waiver.covers))
    return f"the waiver of {waiver.code}" + (f" ({covers})" if covers else "")
