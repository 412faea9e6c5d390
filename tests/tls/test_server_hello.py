"""What a ServerHello says, and what makes it malformed."""

import pytest

from otpc_policy.tls.answer import Answer, Garbage, ServerHello, parse_answer
from tests.tls.hostile_answers import RETRY_RANDOM, SUPPORTED_VERSIONS_13, hello, record

KEY_SHARE = bytes.fromhex("0033 0006 001d 0002 abcd")
RETRY_GROUP = bytes.fromhex("0033 0002 0017")
ALPN_H2 = bytes.fromhex("0010 0005 0003 026832")


def read(**fields: object) -> Answer:
    return parse_answer(record(hello(**fields)))  # type: ignore[arg-type]


def test_tls_1_3_says_version_and_group() -> None:
    answer = read(suite=0x1301, extensions=SUPPORTED_VERSIONS_13 + KEY_SHARE)
    assert answer == ServerHello(
        version=0x0304,
        cipher_suite=0x1301,
        is_retry_request=False,
        legacy_version=0x0303,
        selected_group=29,
    )


def test_a_retry_request_names_the_group_that_the_server_wants() -> None:
    answer = read(suite=0x1302, random=RETRY_RANDOM, extensions=RETRY_GROUP + SUPPORTED_VERSIONS_13)
    assert answer == ServerHello(
        version=0x0304, cipher_suite=0x1302, is_retry_request=True, selected_group=23
    )


@pytest.mark.parametrize("version", [0x0300, 0x0301, 0x0302, 0x0303])
def test_older_versions_say_it_in_the_old_field_and_the_protocol_in_clear(version: int) -> None:
    answer = read(version=version, extensions=ALPN_H2)
    assert answer == ServerHello(
        version=version,
        cipher_suite=0xC02F,
        is_retry_request=False,
        legacy_version=version,
        alpn=b"h2",
    )


def test_a_key_share_below_tls_1_3_means_nothing() -> None:
    assert read(extensions=KEY_SHARE) == ServerHello(
        version=0x0303, cipher_suite=0xC02F, is_retry_request=False
    )


def test_the_compression_method_is_told() -> None:
    compressed = bytearray(record(hello()))
    compressed[-1] = 1
    answer = parse_answer(bytes(compressed))
    assert isinstance(answer, ServerHello)
    assert answer.compression_method == 1


def test_a_version_without_a_name_is_told_as_it_is() -> None:
    answer = read(extensions=bytes.fromhex("002b 0002 7f1c"))
    assert isinstance(answer, ServerHello)
    assert answer.version == 0x7F1C


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"version": 0x0304}, "TLS 1.3 without supported_versions"),
        ({"random": RETRY_RANDOM}, "TLS 1.3 without supported_versions"),
        (
            {"version": 0x0301, "extensions": SUPPORTED_VERSIONS_13},
            "supported_versions of the wrong length, or for a version that does without",
        ),
        (
            {"extensions": bytes.fromhex("002b 0002 0303")},
            "supported_versions of the wrong length, or for a version that does without",
        ),
        (
            {"extensions": bytes.fromhex("002b 0003 000304")},
            "supported_versions of the wrong length, or for a version that does without",
        ),
        ({"extensions": SUPPORTED_VERSIONS_13 * 2}, "extension 43 twice"),
        ({"extensions": b"\xff\x01\0\0" * 2}, "extension 65281 twice"),
        ({"extensions": SUPPORTED_VERSIONS_13 + RETRY_GROUP}, "a field runs past its message"),
        (
            {"extensions": SUPPORTED_VERSIONS_13 + bytes.fromhex("0033 0004 001d 0000")},
            "a malformed key share",
        ),
        (
            {"extensions": SUPPORTED_VERSIONS_13 + KEY_SHARE, "random": RETRY_RANDOM},
            "a malformed key share",
        ),
        ({"extensions": bytes.fromhex("0010 0002 0000")}, "a field runs past its message"),
        (
            {"extensions": bytes.fromhex("0010 0003 0001 00")},
            "not exactly one protocol chosen by ALPN",
        ),
        (
            {"extensions": bytes.fromhex("0010 0007 0005 0161 026832")[:-1] + b"\0"},
            "not exactly one protocol chosen by ALPN",
        ),
        ({"session_id": b"s" * 33}, "a session id of more than 32 bytes"),
    ],
)
def test_what_a_client_must_refuse_proves_nothing(fields: dict[str, object], reason: str) -> None:
    """RFC 8446 4.1.2 to 4.2.8, RFC 7301 3.1."""
    assert read(**fields) == Garbage(reason)


@pytest.mark.parametrize(
    ("extensions", "has_master_secret", "has_renegotiation"),
    [
        ("", False, False),
        ("0017 0000", True, False),
        ("ff01 0001 00", False, True),
        ("0017 0000 ff01 0001 00", True, True),
        ("0017 0001 00", False, False),
        ("ff01 0000", False, False),
        ("ff01 000d 0c 010203040506070809101112", False, False),
    ],
)
def test_an_extension_counts_with_the_content_that_clients_insist_on(
    extensions: str, has_master_secret: bool, has_renegotiation: bool
) -> None:
    """RFC 7627 5.1, RFC 5746 3.4: anything else ends the handshake of a client."""
    answer = read(extensions=bytes.fromhex(extensions))
    assert isinstance(answer, ServerHello)
    assert answer.extended_master_secret is has_master_secret
    assert answer.secure_renegotiation is has_renegotiation
