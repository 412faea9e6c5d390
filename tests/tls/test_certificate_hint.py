"""The leaf in clear is found where it is, and nothing is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.tls.certificate_hint import certificate_hint
from tests.tls.hostile_answers import SUPPORTED_VERSIONS_13, certificate, fragmented, hello, record

LEAF = b"\x30\x82\x01\x2c" + b"x" * 300
WARNING = record(b"\x01\x70", 0x15)
MESSAGES = hello() + certificate(LEAF, rest=b"\0\0\x02\x30\0") + b"\x0e\0\0\0"


@pytest.mark.parametrize(
    "received",
    [
        record(MESSAGES),
        record(hello()) + record(certificate(LEAF)),
        fragmented(MESSAGES, 1),
        fragmented(MESSAGES, 100),
        WARNING + record(MESSAGES),
        record(MESSAGES)[: 5 + len(hello()) + 10 + len(LEAF)],
        record(hello()) + record(certificate(LEAF)) + b"\x17\x03\x03\x00\x01x",
    ],
)
def test_the_leaf_is_returned_as_soon_as_it_is_whole(received: bytes) -> None:
    assert certificate_hint(received) == LEAF


@pytest.mark.parametrize(
    "received",
    [
        b"",
        record(hello()),
        record(MESSAGES)[: 5 + len(hello()) + 9 + len(LEAF)],
        record(certificate(LEAF)),
        record(hello() + b"\x0c\0\0\x01x" + certificate(LEAF)),
        record(hello(extensions=SUPPORTED_VERSIONS_13)) + b"\x14\x03\x03\x00\x01\x01" + record(LEAF, 0x17),
        record(hello() + certificate(b"")),
        record(hello() + certificate(b"no certificate")),
        record(hello() + certificate(LEAF + b"x")),
        record(hello() + certificate(b"\x30\x80xx\0\0")),
        record(hello() + certificate(b"\x30\x81\x03abc")),
        record(hello() + certificate(b"\x30\x84\0\0\0\x03abc")),
        record(hello() + b"\x0b\0\0\x07\0\0\x04\0\xff\xff\x30"),
        record(hello() + b"\x0b\0\0\x09\0\0\x05\0\0\x02\x30\0"),
        record(hello()) + record(b"\x02\x28", 0x15) + record(certificate(LEAF)),
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_is_absent_incomplete_or_malformed_is_no_leaf(received: bytes) -> None:
    assert certificate_hint(received) is None


def test_only_so_much_is_read() -> None:
    long = b"\x30\x83" + (2**17).to_bytes(3, "big") + bytes(2**17)
    assert certificate_hint(fragmented(hello() + certificate(long), 2**14)) is None


@given(st.integers(0, len(MESSAGES) + 4), st.integers(0, 255))
def test_a_changed_byte_never_raises_and_never_adds_to_the_leaf(place: int, value: int) -> None:
    received = bytearray(record(MESSAGES))
    received[place] = value
    leaf = certificate_hint(bytes(received))
    assert leaf is None or (leaf in bytes(received) and len(leaf) <= len(LEAF))
