"""Paths: built from what was served, in whatever order, past what leads nowhere."""

from datetime import timedelta

from tests.chains.case import (
    INCOMPLETE,
    ISSUING,
    MALFORMED,
    MISORDERED,
    ROOT,
    UNKNOWN_ROOT,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import AT, LONG_AGO, Made, authority, leaf

_LEAF = leaf(ISSUING)
_ENDED = (LONG_AGO, AT - timedelta(days=1))
_PATH = "RFC 5280 6.1"
_BUILD = "RFC 4158 3"
_ORDER = "RFC 5246 7.4.2"


def path_cases() -> list[ChainCase]:
    """Return the cases."""
    return [*_plain(), *_order(), *_broken(), *_cross_signed(), *_graphs()]


def _plain() -> list[ChainCase]:
    upper = authority("Upper", by=ROOT)
    lower = authority("Lower", by=upper)
    lowest = authority("Lowest", by=lower)
    eight, nine = _levels(8), _levels(9)
    old = authority("Rollover", by=ROOT)
    new = authority("Rollover", by=old)
    return [
        case("leaf directly under a root", _PATH, [leaf(ROOT)]),
        case("one intermediate", _PATH, [_LEAF, ISSUING]),
        case("two intermediates", _PATH, [leaf(lower), lower, upper]),
        case("three intermediates", _PATH, [leaf(lowest), lowest, lower, upper]),
        case("eight intermediates", _PATH, [leaf(eight[0]), *eight]),
        case(
            "nine intermediates",
            "our bound",
            [leaf(nine[0]), *nine],
            UNTRUSTED,
            openssl="OpenSSL goes to a depth of 100; public chains have three.",
        ),
        case("root included", "RFC 8446 4.4.2", [_LEAF, ISSUING, ROOT]),
        case("new key certified by the old one", "RFC 4210 4.4", [leaf(new), new, old]),
    ]


def _order() -> list[ChainCase]:
    upper = authority("Order Upper", by=ROOT)
    lower = authority("Order Lower", by=upper)
    server = leaf(lower)
    alien = authority("Alien", by=UNKNOWN_ROOT)
    return [
        case("intermediates reversed", _ORDER, [server, upper, lower], MISORDERED),
        case("root first, then upwards", _ORDER, [server, ROOT, upper, lower], MISORDERED),
        case("unrelated certificate between", _ORDER, [server, alien, lower, upper], MISORDERED),
        case("unrelated certificate at the end", _ORDER, [server, lower, upper, alien], MISORDERED),
        case(
            "unrelated expired certificate at the end",
            _ORDER,
            [server, lower, upper, authority("Old", by=UNKNOWN_ROOT, dates=_ENDED)],
            MISORDERED,
        ),
        case(
            "unrelated leaf at the end",
            _ORDER,
            [server, lower, upper, leaf(UNKNOWN_ROOT)],
            MISORDERED,
        ),
        case("intermediate twice", _ORDER, [server, lower, lower, upper], MISORDERED),
        case("leaf twice", _ORDER, [server, server, lower, upper], MISORDERED),
        case("root twice", _ORDER, [server, lower, upper, ROOT, ROOT], MISORDERED),
        case(
            "sixty-four certificates, two of use",
            _ORDER,
            [_LEAF, ISSUING, *[authority(f"Ballast {number}") for number in range(62)]],
            MISORDERED,
        ),
    ]


def _broken() -> list[ChainCase]:
    upper = authority("Broken Upper", by=ROOT)
    lower = authority("Broken Lower", by=upper)
    server = leaf(lower)
    twin = authority("Root")
    impostor = authority("Issuing", by=UNKNOWN_ROOT)
    holder = leaf(ISSUING, subject="holder")
    own = leaf(None, subject="self")
    own_ca = authority("self CA")
    return [
        case("intermediate missing", "RFC 5246 7.4.2", [_LEAF], UNTRUSTED, INCOMPLETE),
        case(
            "lower intermediate missing",
            "RFC 5246 7.4.2",
            [server, upper],
            UNTRUSTED,
            INCOMPLETE,
            MISORDERED,
        ),
        case(
            "upper intermediate missing", "RFC 5246 7.4.2", [server, lower], UNTRUSTED, INCOMPLETE
        ),
        case("unknown root", _PATH, [leaf(UNKNOWN_ROOT)], UNTRUSTED, INCOMPLETE),
        case("unknown root, served", _PATH, [leaf(UNKNOWN_ROOT), UNKNOWN_ROOT], UNTRUSTED),
        case(
            "another root of the same name", "RFC 5280 6.1.3 (a)(1)", [leaf(twin), twin], UNTRUSTED
        ),
        case(
            "another intermediate of the same name",
            "RFC 5280 6.1.3 (a)(1)",
            [_LEAF, impostor],
            UNTRUSTED,
            MISORDERED,
        ),
        case(
            "signature of the leaf broken",
            "RFC 5280 6.1.3 (a)(1)",
            [_LEAF.with_flipped_bit(), ISSUING],
            UNTRUSTED,
            MISORDERED,
        ),
        case(
            "signature of the intermediate broken",
            "RFC 5280 6.1.3 (a)(1)",
            [_LEAF, ISSUING.with_flipped_bit()],
            UNTRUSTED,
        ),
        case(
            "issuer name differs",
            "RFC 5280 6.1.3 (a)(4)",
            [leaf(_named(ISSUING, "Issuing 2")), ISSUING],
            UNTRUSTED,
            INCOMPLETE,
            MISORDERED,
        ),
        case(
            "leaf issued by a leaf",
            "RFC 5280 6.1.4 (k)",
            [leaf(holder), holder, ISSUING],
            UNTRUSTED,
        ),
        case("self-signed leaf", _PATH, [own], UNTRUSTED),
        case(
            "self-signed authority as leaf", _PATH, [own_ca], UNTRUSTED, "CERTIFICATE_NAME_MISMATCH"
        ),
        case("trusted root as leaf", "BR 7.1.2.7", [ROOT], UNTRUSTED, "CERTIFICATE_NAME_MISMATCH"),
        case(
            "intermediate as leaf", "BR 7.1.2.7", [ISSUING], UNTRUSTED, "CERTIFICATE_NAME_MISMATCH"
        ),
        case(
            "garbage for a leaf",
            "RFC 5280 4.1",
            [b"garbage", ISSUING],
            UNTRUSTED,
            MALFORMED,
            "CERTIFICATE_NAME_MISMATCH",
            "MEASUREMENT_INCOMPLETE",
        ),
        case(
            "garbage between",
            "RFC 5280 4.1",
            [_LEAF, b"\x30\x03\x02\x01\x00", ISSUING],
            MALFORMED,
            openssl="OpenSSL is given what can be read.",
        ),
    ]


def _cross_signed() -> list[ChainCase]:
    old_root = authority("Cross Old Root")
    good = authority("Crossed", by=ROOT)
    cross = authority("Crossed", by=old_root, key=good.key)
    ended = authority("Crossed", by=old_root, key=good.key, dates=_ENDED)
    unknown = authority("Crossed", by=UNKNOWN_ROOT, key=good.key)
    server = leaf(good)
    root_cross = authority("Root", by=old_root, key=ROOT.key)
    root_cross_ended = authority("Root", by=old_root, key=ROOT.key, dates=_ENDED)
    ended_root = authority("Cross Ended Root", dates=_ENDED)
    under_ended = authority("Root", by=ended_root, key=ROOT.key)
    both = (ROOT, old_root)
    return [
        case(
            "expired cross-certificate after the good one",
            _BUILD,
            [server, good, ended],
            MISORDERED,
            roots=both,
        ),
        case(
            "expired cross-certificate before the good one",
            _BUILD,
            [server, ended, good],
            MISORDERED,
            roots=both,
        ),
        case(
            "only the expired cross-certificate",
            _BUILD,
            [server, ended],
            "CERTIFICATE_EXPIRED",
            roots=both,
        ),
        case(
            "cross-certificate of an unknown root before the good one",
            _BUILD,
            [server, unknown, good],
            MISORDERED,
            openssl="OpenSSL takes the first issuer that fits and does not turn back.",
        ),
        case(
            "cross-certificate of an unknown root alone",
            _BUILD,
            [server, unknown],
            UNTRUSTED,
            INCOMPLETE,
        ),
        case("two good cross-certificates", _BUILD, [server, cross, good], MISORDERED, roots=both),
        case("only the cross-certificate, its root trusted", _BUILD, [server, cross], roots=both),
        case(
            "root's own cross-certificate at the end",
            _BUILD,
            [_LEAF, ISSUING, root_cross],
            roots=both,
        ),
        case(
            "root's cross-certificate by an unknown root",
            _BUILD,
            [_LEAF, ISSUING, authority("Root", by=UNKNOWN_ROOT, key=ROOT.key)],
        ),
        case(
            "root's expired cross-certificate at the end",
            _BUILD,
            [_LEAF, ISSUING, root_cross_ended],
            roots=both,
        ),
        case(
            "root's cross-certificate under a root that has expired",
            _BUILD,
            [_LEAF, ISSUING, under_ended, ended_root],
            roots=(ROOT, ended_root),
        ),
        case(
            "twelve expired cross-certificates before the good one",
            _BUILD,
            [server, *_many(good, old_root), good],
            MISORDERED,
            roots=both,
        ),
    ]


def _graphs() -> list[ChainCase]:
    key = authority("Key").key
    crowd = [
        authority("Mesh A", by=Made(b"", key, authority("Mesh B").name), key=key) for _ in range(7)
    ]
    crowd += [
        authority("Mesh B", by=Made(b"", key, authority("Mesh A").name), key=key) for _ in range(8)
    ]
    same = [
        authority("Mesh", by=Made(b"", key, authority("Mesh").name), key=key) for _ in range(15)
    ]
    way_out = authority("Mesh A", by=ROOT, key=key)
    return [
        case(
            "two names and one key certify each other",
            "RFC 4158 2.4.1",
            [leaf(crowd[0]), *crowd],
            UNTRUSTED,
            INCOMPLETE,
            MISORDERED,
        ),
        case(
            "one name and one key, fifteen times",
            "RFC 4158 2.4.1",
            [leaf(same[0]), *same],
            UNTRUSTED,
        ),
        case(
            "a mesh with one way to a root",
            "RFC 4158 2.4.1",
            [leaf(crowd[0]), *crowd[:14], way_out],
            MISORDERED,
        ),
    ]


def _levels(count: int) -> list[Made]:
    levels = [ROOT]
    for number in range(count):
        levels.insert(0, authority(f"Level {number} of {count}", by=levels[0]))
    return levels[:-1]


def _many(good: Made, by: Made) -> list[Made]:
    return [
        authority("Crossed", by=by, key=good.key, dates=(LONG_AGO, AT - timedelta(days=number + 1)))
        for number in range(12)
    ]


def _named(holder: Made, name: str) -> Made:
    return Made(holder.der, holder.key, authority(name).name)
