"""The decoder withstands mutated answers: here always the same cases, a million in fuzz.py."""

import tracemalloc
from pathlib import Path
from random import Random

import pytest

from otpc_policy.tls.answer import AnswerReader, Garbage, Incomplete, ServerHello
from tests.tls import fuzz
from tests.tls.hostile_answers import fragmented, hello, long_hello, mutated, record


def test_mutated_answers_end_as_values_however_they_come() -> None:
    random, known = Random(20261125), fuzz.seeds()
    kinds = set()
    for _ in range(1500):
        kinds.add(type(fuzz.check(mutated(random, known), random)[0]))
    assert kinds == set(fuzz.KINDS)


def test_time_is_linear_in_the_bytes() -> None:
    assert fuzz.growth() < 16


@pytest.mark.parametrize(
    "chunk",
    [
        record(b"\x01\x70", 0x15),
        fragmented(long_hello(2**14 - 100)[:-1], 1),
        b"\xff\xff\x04\0\x01\0\x02\xff\xec\0\0\0\0" + bytes(2**15),
        b"HTTX" * 500,
    ],
)
def test_memory_is_bounded_whatever_comes(chunk: bytes) -> None:
    tracemalloc.start()
    try:
        reader = AnswerReader()
        for _ in range(200):
            reader.feed(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**17 + len(chunk)


def test_a_case_that_breaks_the_decoder_is_saved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fuzzer itself must not pass a broken decoder."""

    def broken(reader: AnswerReader, chunk: bytes) -> object:
        raise IndexError("planted")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["fuzz", "--cases", "3", "--seed", "7"])
    monkeypatch.setattr(AnswerReader, "feed", broken)
    assert fuzz.main() == 1
    case = bytes.fromhex(Path("fuzz-7-1.hex").read_text())
    assert case == mutated(Random(7), fuzz.seeds())
    assert "IndexError: planted" in capsys.readouterr().err


@pytest.mark.parametrize("changes", ["first", "forgets"])
def test_the_fuzzer_notices_an_answer_that_depends_on_how_bytes_arrive(
    monkeypatch: pytest.MonkeyPatch, changes: str
) -> None:
    genuine = AnswerReader.feed

    def different(reader: AnswerReader, chunk: bytes) -> object:
        answer = genuine(reader, chunk)
        if changes == "first":
            return Garbage("one byte") if len(chunk) == 1 else answer
        return Incomplete() if isinstance(answer, ServerHello) and len(chunk) < 2 else answer

    monkeypatch.setattr(AnswerReader, "feed", different)
    with pytest.raises(AssertionError, match="answer"):
        fuzz.check(record(hello()) + b"more", Random(1))


def test_the_fuzzer_notices_a_decoder_that_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = AnswerReader.feed

    def slow(reader: AnswerReader, chunk: bytes) -> object:
        sum(range(40_000))
        return genuine(reader, chunk)

    monkeypatch.setattr(AnswerReader, "feed", slow)
    with pytest.raises(AssertionError, match="ms for"):
        fuzz.check(record(hello()), Random(1))
