"""What ends in a partner's entry, and what is said of it before and after."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from otpc_policy.catalog.partners.entry import Partner, Trusted, TrustKind
from otpc_policy.catalog.toml_lines import KeyPath
from otpc_policy.policy.finding import Finding
from otpc_policy.policy.service_findings import service_finding
from otpc_policy.policy.waivers import Waiver

# A certificate is renewed, or an exception agreed anew, within a month.
ENDS_SOON = timedelta(days=30)


class DeadlineKind(Enum):
    """What ends."""

    WAIVER = "waiver"
    PIN = "pin"
    ANCHOR = "anchor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """One end. what: for people. path: where it stands in the partner's entry."""

    kind: DeadlineKind
    what: str
    ends_at: datetime
    path: KeyPath

    def has_ended(self, now: datetime) -> bool:
        """It works no more from the instant itself on."""
        return self.ends_at <= now

    def ends_soon(self, now: datetime) -> bool:
        """It still works, and whoever owns it should act."""
        return self.ends_at - ENDS_SOON <= now < self.ends_at

    def sentence(self, now: datetime) -> str:
        """Say when it ends or ended."""
        return f"{self.what} {'ended' if self.has_ended(now) else 'ends'} at {self.ends_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def deadlines(partner: Partner) -> Iterator[Deadline]:
    """Yield everything of an entry that ends."""
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
                what=_trusted_text(trusted),
                ends_at=trusted.ends_at,
                path=("trusted", at, "ends"),
            )


def deadline_findings(partner: Partner, now: datetime) -> Iterator[Finding]:
    """Yield what a response says of ends that have come or are near."""
    for one in deadlines(partner):
        subject = "WAIVER" if one.kind is DeadlineKind.WAIVER else "TRUST"
        if one.has_ended(now):
            yield service_finding(
                f"PARTNER_{subject}_ENDED", f"{one.sentence(now)}; it counts no more"
            )
        elif one.ends_soon(now):
            yield service_finding(
                f"PARTNER_{subject}_ENDS_SOON",
                f"{one.sentence(now)}; it counts no more from then on",
            )


def deadline_instants(partner: Partner) -> Iterator[datetime]:
    """Yield every instant at which time alone changes what is said of this partner."""
    for one in deadlines(partner):
        yield one.ends_at - ENDS_SOON
        yield one.ends_at


class DeadlineCalendar:
    """The ends of many entries by kind, in order."""

    def __init__(self, ends: Iterable[tuple[DeadlineKind, datetime]]) -> None:
        by_kind: dict[DeadlineKind, list[datetime]] = {kind: [] for kind in DeadlineKind}
        for kind, ends_at in ends:
            by_kind[kind].append(ends_at)
        self._ends: Mapping[DeadlineKind, Sequence[datetime]] = {
            kind: sorted(found) for kind, found in by_kind.items()
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


def _trusted_text(trusted: Trusted) -> str:
    names = {
        TrustKind.CERTIFICATE: "pin of a certificate",
        TrustKind.SPKI: "pin of a key",
        TrustKind.CA: "trust in a private CA",
    }
    return f"the {names[trusted.kind]} ({trusted.note})"
