"""The clear part of a handshake, read from bytes of any kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.core.facts import Support, TlsVersion
from otpc_policy.tls.clear_flight import ClearFlight, offers_compression, read_flight
from tests.engine.partners import server_hello


def record(kind: int, body: bytes) -> bytes:
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


def hello(*, compression: int = 0, extensions: bytes = b"") -> bytes:
    body = b"\3\3" + bytes(32) + b"\0" + b"\xc0\x2f" + bytes([compression])
    if extensions:
        body += len(extensions).to_bytes(2, "big") + extensions
    return b"\2" + len(body).to_bytes(3, "big") + body


SECURE = b"\xff\x01\0\1\0"
CERTIFICATE = b"\x0b\0\0\3\0\0\0"
DONE = b"\x0e\0\0\0"
WHOLE = record(22, hello(extensions=SECURE) + CERTIFICATE + DONE)
FATAL_10 = record(21, b"\2\x0a")


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (b"", ClearFlight()),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ClearFlight()),
        (record(21, b"\2\x28"), ClearFlight(refusal=40)),
        # RFC 6066 3: a warning about the name does not refuse.
        (
            record(21, b"\1\x70") + WHOLE,
            ClearFlight(
                hello=True,
                compression=Support.NO,
                secure_renegotiation=Support.YES,
                hello_done=True,
            ),
        ),
        (
            record(22, hello()),
            ClearFlight(hello=True, compression=Support.NO, secure_renegotiation=Support.NO),
        ),
        (
            record(22, hello(compression=1)),
            ClearFlight(hello=True, compression=Support.YES, secure_renegotiation=Support.NO),
        ),
        (
            WHOLE + FATAL_10,
            ClearFlight(
                hello=True,
                compression=Support.NO,
                secure_renegotiation=Support.YES,
                hello_done=True,
                alerts=(10,),
            ),
        ),
        # An alert before the flight is complete does not count as one after it.
        (
            record(22, hello()) + FATAL_10,
            ClearFlight(hello=True, compression=Support.NO, secure_renegotiation=Support.NO),
        ),
        # What comes after ChangeCipherSpec is encrypted, whatever it looks like.
        (
            record(22, hello()) + record(20, b"\1") + record(22, DONE),
            ClearFlight(hello=True, compression=Support.NO, secure_renegotiation=Support.NO),
        ),
        (record(22, DONE), ClearFlight()),
        (WHOLE[:-1], ClearFlight()),
    ],
)
def test_what_was_sent_is_read_and_nothing_more(received: bytes, expected: ClearFlight) -> None:
    assert read_flight(received) == expected


def test_messages_may_be_cut_into_any_records() -> None:
    messages = hello(extensions=SECURE) + CERTIFICATE + DONE
    for size in range(1, 20):
        cut = b"".join(
            record(22, messages[place : place + size]) for place in range(0, len(messages), size)
        )
        assert read_flight(cut) == read_flight(WHOLE)


@given(st.binary(max_size=300))
def test_any_bytes_have_a_reading(received: bytes) -> None:
    assert isinstance(read_flight(received), ClearFlight)
    assert isinstance(offers_compression(received), bool)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_has_a_reading(place: int, value: int) -> None:
    changed = bytearray(WHOLE + FATAL_10)
    changed[place] = value
    assert isinstance(read_flight(bytes(changed)), ClearFlight)


def test_the_server_hello_of_these_tests_is_a_server_hello() -> None:
    assert read_flight(server_hello(0x1301, TlsVersion.TLS_1_3)).hello
