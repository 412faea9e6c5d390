"""The first answer of a server: every kind, at every cut, and hostile bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.tls.answer import (
    Alert,
    Answer,
    AnswerReader,
    Garbage,
    Incomplete,
    PlainHttp,
    ServerHello,
    Ssl2ServerHello,
    parse_answer,
)
from tests.tls.hostile_answers import (
    RETRY_RANDOM,
    SUPPORTED_VERSIONS_13,
    fragmented,
    hello,
    long_hello,
    record,
    ssl2_hello,
)

UNRECOGNIZED_NAME = record(b"\x01\x70", 0x15)
CHOSEN = ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False)

WHOLE: list[tuple[bytes, Answer]] = [
    (record(hello()), ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False)),
    (
        record(hello(session_id=b"")),
        ServerHello(version=0x0303, cipher_suite=0xC02F, is_retry_request=False),
    ),
    (
        record(hello(suite=0x1301, extensions=SUPPORTED_VERSIONS_13)),
        ServerHello(version=0x0304, cipher_suite=0x1301, is_retry_request=False),
    ),
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
def test_answers_are_decided_once_complete_and_not_before(received: bytes, answer: Answer) -> None:
    assert parse_answer(received) == answer
    assert parse_answer(received + b"whatever follows") == answer
    shorter = [parse_answer(received[:cut]) for cut in range(len(received))]
    assert all(one in (Incomplete(), answer) for one in shorter)
    assert Incomplete() in shorter


@pytest.mark.parametrize(("received", "answer"), WHOLE)
def test_a_reader_gives_the_answer_with_its_last_byte_and_keeps_it(
    received: bytes, answer: Answer
) -> None:
    reader = AnswerReader()
    given = [reader.feed(received[place : place + 1]) for place in range(len(received))]
    first = next(place for place, one in enumerate(given) if one == answer)
    assert given == [Incomplete()] * first + [answer] * (len(given) - first)
    assert reader.feed(b"\x15\x03\x03\x00\x02\x02\x28") == answer == reader.at_end()
    assert parse_answer(received[:first]) == Incomplete()


def test_warnings_are_passed_over_a_bounded_number_of_times() -> None:
    """A server may warn of an unknown name before its ServerHello (RFC 6066 3), not for ever."""
    reader = AnswerReader()
    assert reader.feed(UNRECOGNIZED_NAME * 5) == Incomplete()
    assert reader.at_end() == Alert(1, 112)
    assert reader.feed(record(hello())) == CHOSEN == reader.at_end()
    assert reader.warning == Alert(1, 112)
    assert isinstance(parse_answer(UNRECOGNIZED_NAME * 6 + record(hello())), Garbage)


@pytest.mark.parametrize(
    "received",
    [
        record(hello())[:40],
        UNRECOGNIZED_NAME + record(hello())[:3],
        UNRECOGNIZED_NAME[:6],
        b"HTT",
        b"\x80\x20\x04",
    ],
)
def test_a_truncated_answer_is_not_silence(received: bytes) -> None:
    """Whoever counts closes without an answer must be able to tell them from half a ServerHello."""
    reader = AnswerReader()
    assert reader.feed(received) == Incomplete()
    assert reader.at_end() == Garbage("the answer breaks off")
    assert AnswerReader().at_end() == Incomplete()


@pytest.mark.parametrize("level", [0, 3, 255])
def test_an_alert_of_an_unknown_level_is_reported_as_it_is(level: int) -> None:
    assert parse_answer(record(bytes([level, 40]), 0x15)) == Alert(level, 40)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 37, 38, 39, 76, 77])
def test_a_server_hello_may_come_in_records_of_any_size(size: int) -> None:
    assert parse_answer(fragmented(hello(), size)) == CHOSEN


def test_the_longest_server_hello_is_read_and_a_longer_message_is_not() -> None:
    fits = long_hello(2**14 - 80)
    assert isinstance(parse_answer(fragmented(fits, 2**14)), ServerHello)
    assert isinstance(parse_answer(record(long_hello(2**14))[:20]), Garbage)


@pytest.mark.parametrize(
    ("length", "accepted"), [(1, True), (2**14 + 2048, True), (2**14 + 2049, False), (0, False)]
)
def test_lengths_of_records(length: int, accepted: bool) -> None:
    header = b"\x16\x03\x03" + length.to_bytes(2, "big")
    assert isinstance(parse_answer(header), Incomplete if accepted else Garbage)


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "a greeting of SSH"),
        (b"220 mail.example ESMTP\r\n", "a greeting of SMTP or FTP"),
        (b"+OK ready\r\n", "a greeting of POP3"),
        (b"* OK IMAP4\r\n", "a greeting of IMAP"),
        (b"\x16\xfe\xff" + bytes(10), "a record of DTLS"),
        (b"\x00\x00\x12\x04", "neither TLS nor HTTP"),
    ],
)
def test_garbage_is_named_where_it_is_known(received: bytes, reason: str) -> None:
    assert parse_answer(received) == Garbage(reason)


def test_a_server_hello_may_be_fragmented_and_may_follow_a_warning() -> None:
    whole = hello()
    fragmented = UNRECOGNIZED_NAME + b"".join(
        record(whole[place : place + 7]) for place in range(0, len(whole), 7)
    )
    assert parse_answer(fragmented) == ServerHello(
        version=0x0303, cipher_suite=0xC02F, is_retry_request=False
    )
    assert parse_answer(UNRECOGNIZED_NAME) == Alert(1, 112)


def test_a_record_with_more_messages_need_not_be_complete() -> None:
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
        record(b"\x02\x00\x00\x00"),
        record(hello()[:10]) + record(b""),
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


def test_false_lengths_are_not_waited_for() -> None:
    extensions_too_long = bytearray(record(hello(extensions=SUPPORTED_VERSIONS_13)))
    extensions_too_long[-7] = 200
    assert isinstance(parse_answer(bytes(extensions_too_long)), Garbage)


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(record),
        st.binary(max_size=300).map(lambda tail: b"\x80" + tail),
    )
)
def test_no_bytes_make_it_raise(received: bytes) -> None:
    answer = parse_answer(received)
    assert isinstance(
        answer, ServerHello | Alert | PlainHttp | Ssl2ServerHello | Garbage | Incomplete
    )


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=12),
    st.sampled_from([record(hello()), ssl2_hello(b"\x01\x00\x80"), UNRECOGNIZED_NAME, b"HTTP"]),
)
def test_how_the_bytes_arrive_makes_no_difference(chunks: list[bytes], start: bytes) -> None:
    in_chunks, in_bytes = AnswerReader(), AnswerReader()
    received = start + b"".join(chunks)
    for chunk in (start, *chunks):
        in_chunks.feed(chunk)
    for place in range(len(received)):
        in_bytes.feed(received[place : place + 1])
    assert in_chunks.feed(b"") == in_bytes.feed(b"") == AnswerReader().feed(received)
    assert in_chunks.at_end() == in_bytes.at_end()


@given(st.data())
def test_a_mutated_server_hello_is_still_answered_and_decisions_are_final(
    data: st.DataObject,
) -> None:
    received = bytearray(record(hello(extensions=SUPPORTED_VERSIONS_13)))
    for _ in range(data.draw(st.integers(1, 4))):
        received[data.draw(st.integers(0, len(received) - 1))] = data.draw(st.integers(0, 255))
    answers = [parse_answer(bytes(received[:cut])) for cut in range(len(received) + 1)]
    decided = [
        one
        for one in answers
        if not isinstance(one, Incomplete) and not (isinstance(one, Alert) and one.level == 1)
    ]
    assert len(set(decided)) <= 1
