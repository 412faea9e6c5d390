"""The first answer of a server: every kind, at every cut, and hostile bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.tls.answer import Alert, Answer, Garbage, Incomplete, PlainHttp, ServerHello, Ssl2ServerHello, parse_answer

RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def record(body: bytes, kind: int = 0x16) -> bytes:
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


def hello(*, version: int = 0x0303, suite: int = 0xC02F, extensions: bytes = b"", random: bytes = b"r" * 32, session_id: bytes = b"s" * 32) -> bytes:
    body = version.to_bytes(2, "big") + random + bytes([len(session_id)]) + session_id + suite.to_bytes(2, "big") + b"\0"
    body += len(extensions).to_bytes(2, "big") + extensions if extensions else b""
    return b"\x02" + len(body).to_bytes(3, "big") + body


def ssl2_hello(kinds: bytes, certificate: bytes = b"c" * 7) -> bytes:
    body = b"\x04\x00\x01\x00\x02" + b"".join(len(part).to_bytes(2, "big") for part in (certificate, kinds, b"i" * 16)) + certificate + kinds + b"i" * 16
    return (0x8000 | len(body)).to_bytes(2, "big") + body


SUPPORTED_VERSIONS_13 = bytes.fromhex("002b00020304")
UNRECOGNIZED_NAME = record(b"\x01\x70", 0x15)

WHOLE: list[tuple[bytes, Answer]] = [
    (record(hello()), ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False)),
    (record(hello(session_id=b"")), ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False)),
    (record(hello(suite=0x1301, extensions=SUPPORTED_VERSIONS_13)), ServerHello(version=0x0304, cipher_suite=0x1301, is_retry_request=False)),
    (
        record(hello(suite=0x1301, extensions=SUPPORTED_VERSIONS_13, random=RETRY_RANDOM)),
        ServerHello(version=0x0304, cipher_suite=0x1301, is_retry_request=True),
    ),
    (record(b"\x02\x28", 0x15), Alert(2, 40)),
    (b"HTTP/1.1 400 Bad Request\r\n", PlainHttp()),
    (b"<html><head>", PlainHttp()),
    (ssl2_hello(b"\x01\x00\x80\x07\x00\xc0"), Ssl2ServerHello((0x010080, 0x0700C0))),
    (ssl2_hello(b""), Ssl2ServerHello(())),
]


@pytest.mark.parametrize(("received", "answer"), WHOLE)
def test_whole_answers_and_no_decision_before_enough_bytes(received: bytes, answer: Answer) -> None:
    assert parse_answer(received) == answer
    assert parse_answer(received + b"whatever follows") == answer
    shorter = [parse_answer(received[:cut]) for cut in range(len(received))]
    assert all(one in (Incomplete(), answer) for one in shorter)
    assert Incomplete() in shorter


def test_a_server_hello_may_be_fragmented_and_may_follow_a_warning() -> None:
    whole = hello()
    fragmented = UNRECOGNIZED_NAME + b"".join(record(whole[place : place + 7]) for place in range(0, len(whole), 7))
    assert parse_answer(fragmented) == ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False)
    assert parse_answer(UNRECOGNIZED_NAME) == Alert(1, 112)


def test_a_record_with_more_messages_needs_not_be_whole() -> None:
    coalesced = record(hello() + b"\x0b\x00\x40\x00" + b"c" * 9000)
    assert isinstance(parse_answer(coalesced[:200]), ServerHello)


@pytest.mark.parametrize(
    "received",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x00\x00",
        b"\x16\x03\x03\xff\xff\x02",
        b"\x16\x03\x03\x00\x00\x02",
        b"\x16\x02\x03\x00\x04\x02\x00\x00\x00",
        b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00",
        record(b"\x02\xff\xff\xff"),
        record(b"\x02\x00\x00\x05" + b"\x03\x03" + b"r" * 32),
        record(hello(extensions=SUPPORTED_VERSIONS_13 * 2)),
        record(hello(session_id=b"s" * 33)),
        record(b"\x02\x28\x00", 0x15),
        record(hello()[:10]) + record(b"\x02\x28", 0x15),
        b"\x80\x03\x00\x00\x01",
        b"\x80\x20\x04\x00\x01\x00\x02\x00\x00\x00\x04\x00\x10",
    ],
)
def test_garbage_is_called_garbage(received: bytes) -> None:
    assert isinstance(parse_answer(received), Garbage)


def test_lengths_that_lie_are_not_waited_for() -> None:
    extensions_too_long = bytearray(record(hello(extensions=SUPPORTED_VERSIONS_13)))
    extensions_too_long[-7] = 200
    assert isinstance(parse_answer(bytes(extensions_too_long)), Garbage)


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(record), st.binary(max_size=300).map(lambda tail: b"\x80" + tail)))
def test_no_bytes_make_it_raise(received: bytes) -> None:
    answer = parse_answer(received)
    assert isinstance(answer, ServerHello | Alert | PlainHttp | Ssl2ServerHello | Garbage | Incomplete)


@given(st.data())
def test_a_mutated_server_hello_is_still_answered_and_decisions_are_final(data: st.DataObject) -> None:
    received = bytearray(record(hello(extensions=SUPPORTED_VERSIONS_13)))
    for _ in range(data.draw(st.integers(1, 4))):
        received[data.draw(st.integers(0, len(received) - 1))] = data.draw(st.integers(0, 255))
    answers = [parse_answer(bytes(received[:cut])) for cut in range(len(received) + 1)]
    decided = [one for one in answers if not isinstance(one, Incomplete) and not (isinstance(one, Alert) and one.level == 1)]
    assert len(set(decided)) <= 1
