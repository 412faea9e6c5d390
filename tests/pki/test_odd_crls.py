"""CRLs that somebody made odd: unsigned ones cost nothing, and an odd entry is no milder for it."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from otpc_policy.pki.crl import CrlStatement, UnusableCrlError, judge_statement, read_crl
from otpc_policy.pki.judgement import CrlStatus
from tests.pki.test_crl import AUTHORITY, ISSUED, NOW, URL
from tests.support.crls import question
from tests.support.forging import signed
from tests.support.signing import der_element

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
NAME = AUTHORITY.certificate.subject.public_bytes()
SERIAL = ISSUED.certificate.serial_number
REASON, INVALIDITY, UNKNOWN = "551d15", "551d18", "2a0304"
SCOPE = "551d1c"


def sequence(*parts: bytes) -> bytes:
    return der_element(0x30, b"".join(parts))


def number(value: int) -> bytes:
    return der_element(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def utc_time(at: datetime) -> bytes:
    return der_element(0x17, f"{at:%y%m%d%H%M%SZ}".encode())


def date(text: str) -> bytes:
    return der_element(0x18, text.encode())


def extension(oid: str, content: bytes, *, critical: bool = False) -> bytes:
    flag = b"\x01\x01\xff" if critical else b""
    oid_octets = der_element(0x06, bytes.fromhex(oid))
    return sequence(oid_octets, flag, der_element(0x04, content))


BEGAN = utc_time(NOW - timedelta(hours=1))


def entry(serial: int | bytes = SERIAL, *extensions: bytes, revoked_at: bytes = BEGAN) -> bytes:
    shown = serial if isinstance(serial, bytes) else number(serial)
    return sequence(shown, revoked_at, *([sequence(*extensions)] if extensions else []))


def reason(code: int) -> bytes:
    return extension(REASON, bytes([0x0A, 1, code]))


def listing(
    *entries: bytes,
    extensions: Sequence[bytes] = (),
    name: bytes = NAME,
    this_update: bytes = BEGAN,
    next_update: bytes | None = None,
    is_signed: bool = True,
) -> bytes:
    """Return a list, with a wrong signature if not is_signed."""
    parts = [
        number(1),
        ECDSA_SHA256,
        name,
        this_update,
        utc_time(NOW + timedelta(days=6)) if next_update is None else next_update,
        *([sequence(*entries)] if entries else []),
        *([der_element(0xA0, sequence(*extensions))] if extensions else []),
    ]
    if is_signed:
        return signed(parts, AUTHORITY.private_key)
    return sequence(sequence(*parts), ECDSA_SHA256, der_element(0x03, bytes(71)))


def said(body: bytes, serial: int = SERIAL) -> CrlStatement:
    asked = question(ISSUED, AUTHORITY)
    subject = asked.subject
    if serial != SERIAL:
        subject = type(subject)(
            sha256=subject.sha256,
            serial_number=serial,
            is_authority=subject.is_authority,
            points=subject.points,
        )
    return read_crl(body, asked.issuer).says_of(subject, subject.points[0])


def status(body: bytes, serial: int = SERIAL, at: datetime = NOW) -> CrlStatus:
    return judge_statement(said(body, serial), at).status


def big_lists(*, is_signed: bool) -> dict[str, Callable[[], bytes]]:
    """Return lists of 1 to 4 MiB whose parts other than the entries are large."""

    def with_extension(content: bytes, oid: str = UNKNOWN) -> bytes:
        return listing(extensions=[extension(oid, content)], is_signed=is_signed)

    directory = der_element(0xA4, NAME)
    url = der_element(0x86, b"")
    names = der_element(0xA0, der_element(0xA0, url * 1_000_000))
    relative = der_element(0x31, sequence(bytes.fromhex("0603550403"), bytes.fromhex("0c0161")))
    return {
        "directories in the key identifier": lambda: with_extension(
            sequence(der_element(0xA1, directory * 100_000)), "551d23"
        ),
        "URLs in the scope": lambda: with_extension(sequence(names), SCOPE),
        "bytes of an unknown extension": lambda: with_extension(bytes(3_000_000)),
        "extensions": lambda: listing(
            extensions=[
                extension(f"2a03{n // 128 + 0x80:02x}{n % 128:02x}", b"") for n in range(16_000)
            ]
            * 10,
            is_signed=is_signed,
        ),
        "relative names of the issuer": lambda: listing(
            name=sequence(relative * 200_000), is_signed=is_signed
        ),
    }


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("what", big_lists(is_signed=False))
def test_large_parts_are_refused_before_they_are_read(what: str, is_signed: bool) -> None:
    body = big_lists(is_signed=is_signed)[what]()
    asked = question(ISSUED, AUTHORITY)
    began_s = time.process_time()
    with pytest.raises(UnusableCrlError):
        read_crl(body, asked.issuer)
    # To hash it for the signature takes 5 ms per MiB at most; to decode it, seconds.
    assert time.process_time() - began_s < 0.2


def test_nothing_of_an_unsigned_list_is_read_but_name_and_algorithm() -> None:
    with pytest.raises(UnusableCrlError, match="has not signed"):
        said(listing(sequence(), extensions=[b"\x05\x00"], is_signed=False))
    with pytest.raises(UnusableCrlError, match="another issuer"):
        said(listing(name=sequence(), is_signed=False))


def test_millions_of_elements_in_the_place_of_parts_are_not_looked_at() -> None:
    for body in (sequence(b"\x30\x00" * 2_000_000), sequence(sequence(b"\x30\x00" * 2_000_000))):
        began_s = time.process_time()
        with pytest.raises(UnusableCrlError):
            said(body)
        assert time.process_time() - began_s < 0.1


def test_an_authority_cannot_make_a_look_up_or_a_sort_long() -> None:
    dates = [f"20{n % 26:02}0101{n % 24:02}{n % 60:02}00Z" for n in range(20_000)]
    found = read_crl(
        listing(*(entry(5, revoked_at=date(each)) for each in dates), entry()),
        question(ISSUED, AUTHORITY).issuer,
    )
    assert found.size < 13_000


@pytest.mark.parametrize(
    "odd",
    [
        entry(SERIAL, reason(99)),
        entry(SERIAL, reason(7)),
        entry(SERIAL, extension(REASON, b"")),
        entry(SERIAL, extension(REASON, b"\x0a\x01\x06\x00")),
        entry(SERIAL, extension(REASON, b"\x0a\x02\x01\x06", critical=True)),
        entry(SERIAL, reason(6), reason(8)),
        entry(SERIAL, extension(INVALIDITY, b"\xff")),
        entry(SERIAL, extension(UNKNOWN, b"\xff\xff")),
        entry(b"\x02" + bytes([len(number(SERIAL)) - 1]) + b"\x00" + number(SERIAL)[2:]),
        entry(revoked_at=der_element(0x17, b"yesterday")),
        entry(revoked_at=date("00000101000000Z")),
        entry(revoked_at=date("20261332000000Z")),
        entry(revoked_at=date("99991231235959Z")),
        entry(revoked_at=der_element(0x04, b"")),
    ],
    ids=range(14),
)
def test_an_odd_entry_is_a_revocation_and_spoils_no_other(odd: bytes) -> None:
    others = [entry(7, reason(1)), odd, entry(9, reason(6))]
    body = listing(*others)
    assert [status(body, serial) for serial in (7, SERIAL, 9, 11)] == [
        *[CrlStatus.REVOKED] * 3,
        CrlStatus.GOOD,
    ]
    assert status(body, at=NOW + timedelta(days=30)) is CrlStatus.REVOKED


@pytest.mark.parametrize("octets", [19, 20, 21, 22, 200, 2_000])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_serial_number_of_any_length_is_found_and_no_other(octets: int, sign: int) -> None:
    serial = sign * (2 ** (8 * octets - 1) - 12_345)
    body = listing(entry(serial))
    assert status(body, serial) is CrlStatus.REVOKED
    for other in (serial + 1, -serial, serial * 2, serial >> 8, SERIAL):
        assert status(body, other) is CrlStatus.GOOD


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([reason(6), reason(1)], CrlStatus.REVOKED),
        ([reason(1), reason(6)], CrlStatus.REVOKED),
        ([reason(8), reason(1)], CrlStatus.REVOKED),
        ([reason(1), reason(8)], CrlStatus.REVOKED),
        ([reason(6), reason(8)], CrlStatus.UNVERIFIED),
    ],
)
def test_of_two_entries_the_worse_one_counts(entries: list[bytes], expected: CrlStatus) -> None:
    # A hold ends with its list.
    after = NOW + timedelta(days=30)
    assert status(listing(*(entry(SERIAL, each) for each in entries)), at=after) is expected
    if expected is CrlStatus.UNVERIFIED:
        held = listing(*(entry(SERIAL, each) for each in reversed(entries)))
        assert status(held) is CrlStatus.REVOKED


def test_of_two_equal_entries_the_later_one_counts() -> None:
    dates = [NOW - timedelta(days=days) for days in (3, 1, 2)]
    found = said(listing(*(entry(revoked_at=utc_time(at)) for at in dates)))
    assert found.revoked_at == dates[1]


def test_a_revocation_without_a_date_is_as_old_as_its_list() -> None:
    found = said(listing(entry(revoked_at=der_element(0x17, b""))))
    assert found.revoked_at == found.this_update


def test_years_of_two_digits_begin_in_1950() -> None:
    for text, year in (("500101000000Z", 1950), ("491231235959Z", 2049)):
        found = said(listing(entry(revoked_at=der_element(0x17, text.encode()))))
        assert found.revoked_at is not None
        assert found.revoked_at.year == year


@pytest.mark.parametrize(
    "damaged",
    [
        sequence(),
        sequence(BEGAN, number(5)),
        sequence(b"\x02\x00", BEGAN),
        sequence(number(5), BEGAN, BEGAN),
        sequence(number(5), BEGAN, sequence(), sequence()),
        entry(5, b"\x05\x00"),
        entry(5, extension(UNKNOWN, b"", critical=True)),
        number(5),
    ],
    ids=range(8),
)
def test_what_does_not_say_whom_it_lists_or_by_which_rules_spoils_the_list(damaged: bytes) -> None:
    with pytest.raises(UnusableCrlError):
        said(listing(entry(), damaged))


@pytest.mark.parametrize(
    ("this_update", "next_update", "expected"),
    [
        (date("00010101000000Z"), date("20990101000000Z"), CrlStatus.GOOD),
        (date("00010101000000Z"), date("00010101000000Z"), CrlStatus.UNVERIFIED),
        (date("00010101000000Z"), b"", CrlStatus.UNVERIFIED),
        (date("99991231235959Z"), b"", CrlStatus.UNVERIFIED),
        (date("99991231235959Z"), date("99991231235959Z"), CrlStatus.UNVERIFIED),
        (BEGAN, date("99991231235959Z"), CrlStatus.GOOD),
    ],
    ids=range(6),
)
def test_any_date_can_be_judged_at_any_instant(
    this_update: bytes, next_update: bytes, expected: CrlStatus
) -> None:
    body = listing(this_update=this_update, next_update=next_update)
    assert status(body) is expected
    ends = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
    for at in ends:
        assert URL in judge_statement(said(body), at).detail
    revoking = listing(entry(), this_update=this_update, next_update=next_update)
    assert [status(revoking, at=at) for at in (*ends, NOW)] == [CrlStatus.REVOKED] * 3


@pytest.mark.parametrize(
    ("this_update", "next_update"),
    [
        (BEGAN, utc_time(NOW - timedelta(hours=1, seconds=1))),
        (date("00000101000000Z"), date("20990101000000Z")),
        (date("20260230000000Z"), date("20990101000000Z")),
        (BEGAN, date("10000101000000")),
        (date("99991231235959Z"), BEGAN),
    ],
    ids=range(5),
)
def test_dates_that_are_none_or_run_backwards_make_a_list_unusable(
    this_update: bytes, next_update: bytes
) -> None:
    with pytest.raises(UnusableCrlError):
        said(listing(entry(), this_update=this_update, next_update=next_update))


@pytest.mark.parametrize(
    "scope",
    [
        b"\xff",
        sequence(der_element(0x81, b"")),
        sequence(der_element(0x82, b"\xff"), der_element(0x81, b"\xff")),
        sequence(der_element(0x81, b"\xff"), der_element(0x81, b"\xff")),
        sequence(der_element(0x86, b"\xff")),
        sequence(der_element(0xA0, b"")),
        sequence(der_element(0xA0, der_element(0xA0, b"\x05\x00"))),
    ],
    ids=range(7),
)
def test_a_scope_that_cannot_be_read_makes_a_list_unusable(scope: bytes) -> None:
    for critical in (False, True):
        body = listing(entry(), extensions=[extension(SCOPE, scope, critical=critical)])
        with pytest.raises(UnusableCrlError):
            said(body)
    twice = listing(entry(), extensions=[extension(SCOPE, sequence())] * 2)
    with pytest.raises(UnusableCrlError):
        said(twice)


def test_other_extensions_that_cannot_be_read_spoil_nothing() -> None:
    for oid in ("551d23", "551d14", "551d12", "551d2e", UNKNOWN):
        assert status(listing(extensions=[extension(oid, b"\xff")])) is CrlStatus.GOOD
        assert status(listing(entry(), extensions=[extension(oid, b"\xff")])) is CrlStatus.REVOKED
