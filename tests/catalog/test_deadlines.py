"""What ends is told before and after its instant, by kind, and never by surprise."""

from datetime import UTC, datetime, timedelta

import pytest

from otpc_policy.catalog.entry import Partner
from otpc_policy.catalog.partners.deadlines import (
    ENDS_SOON,
    DeadlineCalendar,
    DeadlineKind,
    deadline_findings,
    deadline_instants,
    deadlines,
)
from tests.catalog.writing import HEAD, TRUSTED, WAIVER, document

END = datetime(2027, 3, 1, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def partner(rest: str) -> Partner:
    (one,) = document(HEAD + rest).partners
    return one


@pytest.mark.parametrize(
    ("at", "codes"),
    [
        (END - ENDS_SOON - INSTANT, []),
        (END - ENDS_SOON, ["PARTNER_WAIVER_ENDS_SOON", "PARTNER_TRUST_ENDS_SOON"]),
        (END - INSTANT, ["PARTNER_WAIVER_ENDS_SOON", "PARTNER_TRUST_ENDS_SOON"]),
        (END, ["PARTNER_WAIVER_ENDED", "PARTNER_TRUST_ENDED"]),
        (END + timedelta(days=365), ["PARTNER_WAIVER_ENDED", "PARTNER_TRUST_ENDED"]),
    ],
)
def test_an_end_is_told_from_a_month_before(at: datetime, codes: list[str]) -> None:
    assert [one.code for one in deadline_findings(partner(TRUSTED + WAIVER), at)] == codes


def test_the_instants_are_those_at_which_what_is_told_changes() -> None:
    assert set(deadline_instants(partner(TRUSTED + WAIVER))) == {END - ENDS_SOON, END}


def test_what_never_ends_is_no_deadline() -> None:
    assert not list(deadlines(partner(TRUSTED.replace("ends = 2027-03-01T00:00:00Z\n", ""))))


def test_each_kind_has_its_calendar() -> None:
    calendar = DeadlineCalendar(
        [
            (DeadlineKind.PIN, END),
            (DeadlineKind.PIN, END + timedelta(days=1)),
            (DeadlineKind.WAIVER, END),
        ]
    )
    assert calendar.next_end(DeadlineKind.PIN, END - INSTANT) == END
    assert calendar.next_end(DeadlineKind.PIN, END) == END + timedelta(days=1)
    assert calendar.next_end(DeadlineKind.PIN, END + timedelta(days=1)) is None
    assert calendar.next_end(DeadlineKind.ANCHOR, END) is None
    assert [
        calendar.ended(DeadlineKind.PIN, END + offset)
        for offset in (-INSTANT, timedelta(), timedelta(days=1))
    ] == [0, 1, 2]


def test_what_ends_is_named() -> None:
    waiver, pin = sorted(one.sentence(END) for one in deadlines(partner(TRUSTED + WAIVER)))[::-1]
    assert waiver == "the waiver of CERTIFICATE_EXPIRED ended at 2027-03-01 00:00:00 UTC"
    assert pin == "the pin of a certificate (agreed) ended at 2027-03-01 00:00:00 UTC"
