"""Validity: every certificate on the path, the anchor included, to the second."""

from datetime import UTC, datetime, timedelta

from tests.chains.case import (
    EXPIRED,
    INCOMPLETE,
    ISSUING,
    NOT_YET,
    ROOT,
    SOON,
    UNKNOWN_ROOT,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import (
    AT,
    EXPIRES,
    FAR_OFF,
    ISSUED,
    LONG_AGO,
    VALIDITY,
    Edit,
    authority,
    leaf,
)
from tests.support.signing import der_element

_SECOND = timedelta(seconds=1)
_ENDED, _COMING = (LONG_AGO, AT - _SECOND), (AT + _SECOND, FAR_OFF)
_CLAUSE = "RFC 5280 4.1.2.5"
_PATH = "RFC 5280 6.1.3 (a)(2)"


def validity_cases() -> list[ChainCase]:
    """Return the cases."""
    ended, coming = (
        authority("Ended", by=ROOT, dates=_ENDED),
        authority("Coming", by=ROOT, dates=_COMING),
    )
    ended_root, coming_root = (
        authority("Ended Root", dates=_ENDED),
        authority("Coming Root", dates=_COMING),
    )
    server = leaf(ISSUING)
    return [
        case("at notBefore", _CLAUSE, [server, ISSUING], at=ISSUED),
        case(
            "one second before notBefore", _CLAUSE, [server, ISSUING], NOT_YET, at=ISSUED - _SECOND
        ),
        case(
            "at notAfter",
            _CLAUSE,
            [server, ISSUING],
            SOON,
            at=EXPIRES,
            openssl="RFC 5280: through notAfter, inclusive. OpenSSL ends a second early.",
        ),
        case(
            "one second after notAfter", _CLAUSE, [server, ISSUING], EXPIRED, at=EXPIRES + _SECOND
        ),
        case(
            "expires within 21 days",
            "our warning",
            [leaf(ISSUING, dates=(AT - timedelta(days=70), AT + timedelta(days=20))), ISSUING],
            SOON,
        ),
        case("intermediate has expired", _PATH, [leaf(ended), ended], EXPIRED),
        case("intermediate is not yet valid", _PATH, [leaf(coming), coming], NOT_YET),
        case(
            "leaf and intermediate have expired", _PATH, [leaf(ended, dates=_ENDED), ended], EXPIRED
        ),
        case(
            "leaf has expired, intermediate is not yet valid",
            _PATH,
            [leaf(coming, dates=_ENDED), coming],
            UNTRUSTED,
            EXPIRED,
            NOT_YET,
        ),
        case(
            "root has expired, not served",
            "RFC 5280 6.1.1 (d)",
            [leaf(ended_root)],
            UNTRUSTED,
            roots=(ended_root,),
        ),
        case(
            "root has expired, served",
            "RFC 5280 6.1.1 (d)",
            [leaf(ended_root), ended_root],
            UNTRUSTED,
            EXPIRED,
            roots=(ended_root,),
        ),
        case(
            "root is not yet valid",
            "RFC 5280 6.1.1 (d)",
            [leaf(coming_root)],
            UNTRUSTED,
            roots=(coming_root,),
        ),
        case(
            "expired leaf under an unknown root",
            _PATH,
            [leaf(UNKNOWN_ROOT, dates=_ENDED)],
            UNTRUSTED,
            EXPIRED,
            INCOMPLETE,
        ),
        case(
            "expired leaf without its intermediate",
            _PATH,
            [leaf(ISSUING, dates=_ENDED)],
            UNTRUSTED,
            EXPIRED,
            INCOMPLETE,
        ),
        case(
            "notAfter before notBefore",
            _CLAUSE,
            [leaf(ISSUING, edit=_validity(b"260601000000Z", b"260501000000Z")), ISSUING],
            UNTRUSTED,
            EXPIRED,
        ),
        case(
            "notAfter 9999-12-31 23:59:59",
            "RFC 5280 4.1.2.5",
            [
                leaf(ISSUING, dates=(ISSUED, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))),
                ISSUING,
            ],
        ),
        case(
            "notAfter in 2050, GeneralizedTime",
            "RFC 5280 4.1.2.5",
            [leaf(ISSUING, dates=(ISSUED, datetime(2050, 1, 1, tzinfo=UTC))), ISSUING],
        ),
        case(
            "notBefore in 1949, GeneralizedTime",
            "RFC 5280 4.1.2.5",
            [leaf(ISSUING, edit=_validity(b"19490101000000Z", b"270101000000Z")), ISSUING],
        ),
        case(
            "UTCTime without seconds",
            "RFC 5280 4.1.2.5.1",
            [leaf(ISSUING, edit=_validity(b"2605010000Z", b"2705010000Z")), ISSUING],
            "CERTIFICATE_MALFORMED",
            UNTRUSTED,
            "CERTIFICATE_NAME_MISMATCH",
            "MEASUREMENT_INCOMPLETE",
        ),
        case(
            "date before 2050 as GeneralizedTime",
            "RFC 5280 4.1.2.5",
            [leaf(ISSUING, edit=_validity(b"20260501000000Z", b"20270501000000Z")), ISSUING],
        ),
    ]


def _validity(not_before: bytes, not_after: bytes) -> Edit:
    def edit(elements: list[bytes]) -> None:
        times = (
            der_element(0x17 if len(one) < 15 else 0x18, one) for one in (not_before, not_after)
        )
        elements[VALIDITY] = der_element(0x30, b"".join(times))

    return edit
