"""Hellos made by hand have the shape that was asked for, as an independent reader sees it."""

from otpc_policy.core.facts import TlsVersion
from tests.support.hostile.hello import SeenHello, hello_length, read_client_hello
from tests.support.hostile.made_hello import (
    Change,
    MadeHello,
    all_of,
    in_order,
    key_shares,
    numbers,
    protocols,
    server_name,
    suites_first,
    suites_last,
    versions,
    with_extension,
    with_legacy_version,
    with_random_beginning,
    with_record_version,
    with_suites,
    with_wire_size,
    without_extensions,
    without_suites,
)

_PLAIN = MadeHello(
    version=0x0303,
    cipher_suites=(0xC02F, 0x002F),
    extensions=((0, server_name("partner.test")), (10, numbers(29, 23)), (23, b"")),
)


def read(sent: bytes) -> SeenHello:
    hello = read_client_hello(sent)
    assert hello is not None
    return hello


def after(*changes: Change) -> SeenHello:
    return read(bytes(all_of(*changes)(_PLAIN)))


def test_a_plain_hello_is_read_as_it_was_made() -> None:
    hello = after()
    assert (hello.record_version, hello.highest) == (0x0301, TlsVersion.TLS_1_2)
    assert (hello.cipher_suites, hello.extensions) == ((0xC02F, 0x002F), (0, 10, 23))
    assert (hello.server_name, hello.groups) == ("partner.test", (29, 23))
    assert (hello.protocols, hello.share_groups) == ((), ())
    assert hello.wire_size == len(bytes(_PLAIN)) == hello.size + 5


def test_what_fingerprints_and_coins_look_at_is_read_as_it_was_made() -> None:
    hello = after(with_legacy_version(0x0301), with_random_beginning(0x99), without_suites(0x002F))
    assert (hello.legacy_version, hello.highest) == (0x0301, TlsVersion.TLS_1_2)
    assert (hello.random[0], len(hello.random)) == (0x99, 32)
    assert hello.cipher_suites == (0xC02F,)
    old = read(with_random_beginning(0x99)(_PLAIN).in_ssl2_format())
    assert (old.legacy_version, old.random[0], len(old.random)) == (0x0303, 0x99, 32)


def test_extensions_are_added_moved_and_left_out() -> None:
    hello = after(with_extension(16, protocols("h2", "http/1.1")), in_order(23, 10))
    assert hello.extensions == (23, 10, 0, 16)
    assert hello.protocols == (b"h2", b"http/1.1")
    assert after(with_extension(23, first=True)).extensions == (23, 0, 10)
    bare = after(without_extensions(0, 10, 23))
    assert (bare.extensions, bare.groups, bare.server_name) == ((), None, None)
    shares = after(with_extension(51, key_shares((29, 32), (23, 65))))
    assert shares.share_groups == (29, 23)
    assert after(with_extension(43, versions(0x0304, 0x0303))).highest is TlsVersion.TLS_1_3


def test_suites_are_put_in_front_at_the_end_and_filled_up() -> None:
    assert after(suites_first(0x0A0A)).cipher_suites == (0x0A0A, 0xC02F, 0x002F)
    assert after(suites_last(0xC02F)).cipher_suites == (0x002F, 0xC02F)
    assert len(after(with_suites(65)).offered) == 65


def test_a_hello_has_the_size_and_the_record_version_that_were_asked_for() -> None:
    hello = after(with_record_version(0x0300), with_wire_size(513))
    assert (hello.record_version, hello.wire_size) == (0x0300, 513)


def test_a_hello_in_many_records_is_the_same_but_for_its_size() -> None:
    sent = _PLAIN.in_records_of(7)
    for end in range(len(sent)):
        assert hello_length(sent[:end]) > end
        assert read_client_hello(sent[:end]) is None
    assert hello_length(sent) == len(sent)
    hello = read(sent + b"what comes later")
    assert (hello.cipher_suites, hello.size) == (after().cipher_suites, after().size)
    assert hello.wire_size == len(sent) > after().wire_size


def test_a_hello_in_the_format_of_ssl_2_has_its_suites_and_version_only() -> None:
    hello = read(_PLAIN.in_ssl2_format())
    assert (hello.record_version, hello.highest) == (None, TlsVersion.TLS_1_2)
    assert (hello.cipher_suites, hello.extensions) == (_PLAIN.cipher_suites, ())
