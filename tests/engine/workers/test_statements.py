"""What a handshake worker says is read strictly, or it is a lie."""

import json
from dataclasses import replace
from typing import Any

import pytest

from otpc_policy.engine.workers.handshake import HandshakeEnding, HandshakeOutcome
from otpc_policy.engine.workers.messages import (
    decode_request,
    encode_ready,
    encode_request,
    encode_statement,
)
from otpc_policy.engine.workers.statements import decode_ready, decode_statement, longest_statement
from otpc_policy.engine.workers.worker_lied import WorkerLied
from tests.engine.partners import SIX, offer

OFFER = offer(443, version=None, request=b"GET \xff")
OUTCOME = HandshakeOutcome(
    ending=HandshakeEnding.COMPLETED,
    connected=True,
    offered=SIX,
    first_bytes=b"\0\xff",
    key_proven=True,
    chain=(b"\x30",),
    stapled_ocsp_response=b"",
    reply=b"\xfe",
)


def statement(**changed: Any) -> bytes:
    """Return a statement about the request with number 9; outcome fields are changed."""
    fields = json.loads(encode_statement(9, OFFER.target, OUTCOME))
    fields["outcome"].update(changed)
    return json.dumps(fields).encode()


def test_messages_survive_the_channel() -> None:
    request = encode_request(7, OFFER)
    assert decode_request(request) == (7, OFFER.target, OFFER.hello)
    assert decode_statement(statement(), {9: OFFER}) == (9, OUTCOME)
    not_run = HandshakeOutcome(ending=HandshakeEnding.NOT_RUN, detail="MemoryError: ")
    said = encode_statement(9, OFFER.target, not_run)
    assert decode_statement(said, {9: OFFER}) == (9, not_run)
    assert decode_ready(encode_ready(("no Landlock",))) == ("no Landlock",)


def test_the_longest_honest_statement_fits() -> None:
    limit = OFFER.hello.byte_limit
    chain = tuple(bytes(limit // 300) for _ in range(300))
    outcome = replace(
        OUTCOME, chain=chain, first_bytes=bytes(4096), reply=bytes(16), detail='"' * 300
    )
    said = encode_statement(2**62, OFFER.target, replace(outcome, offered=(0xFFFF,) * 1024))
    assert len(said) <= longest_statement(limit)
    asked = {2**62: OFFER}
    assert decode_statement(said, asked)[1].chain == chain


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"ending": "PERFECT"}, id="unknown word"),
        pytest.param({"ending": "REFUSED"}, id="word of the scanner"),
        pytest.param({"connected": False}, id="completed without a connection"),
        pytest.param({"connected": 1}, id="number for a truth value"),
        pytest.param({"offered": [True]}, id="truth value for a number"),
        pytest.param({"offered": [-1]}, id="negative code point"),
        pytest.param({"offered": [2**24]}, id="code point too high"),
        pytest.param({"offered": [0] * 1025}, id="too many suites"),
        pytest.param({"first_bytes": "?"}, id="not base64"),
        pytest.param({"first_bytes": "A" * 8192}, id="too many first bytes"),
        pytest.param({"key_proven": False}, id="chain without proof"),
        pytest.param({"chain": []}, id="proof without a chain"),
        pytest.param({"chain": [""]}, id="empty certificate"),
        pytest.param({"chain": ["AAAA"] * 1025}, id="too many certificates"),
        pytest.param({"chain": ["A" * 133_400]}, id="more than was read"),
        pytest.param({"chain": "AAAA"}, id="text for a list"),
        pytest.param({"chain": {"0": "AAAA"}}, id="object for a list"),
        pytest.param({"ending": "FAILED"}, id="chain of a failed handshake"),
        pytest.param({"key_proven": False, "chain": []}, id="staple without a chain"),
        pytest.param({"reply": "A" * 32}, id="long reply"),
        pytest.param({"duration_s": float("nan")}, id="NaN"),
        pytest.param({"duration_s": float("inf")}, id="infinity"),
        pytest.param({"duration_s": -1.0}, id="negative duration"),
        pytest.param({"duration_s": "1"}, id="text for a number"),
        pytest.param({"detail": "x" * 301}, id="long detail"),
        pytest.param({"detail": None}, id="null"),
        pytest.param({"trusted": True}, id="unknown field"),
    ],
)
def test_an_impossible_outcome_is_a_lie(changed: dict[str, Any]) -> None:
    with pytest.raises(WorkerLied):
        decode_statement(statement(**changed), {9: OFFER})


@pytest.mark.parametrize(
    "changed", [{"address": "203.0.113.9"}, {"port": 444}, {"server_name": "other.test"}]
)
def test_a_statement_about_another_target_is_a_lie(changed: dict[str, Any]) -> None:
    said = encode_statement(9, replace(OFFER.target, **changed), OUTCOME)
    with pytest.raises(WorkerLied, match="target"):
        decode_statement(said, {9: OFFER})


def test_an_answer_to_nothing_is_a_lie() -> None:
    with pytest.raises(WorkerLied, match="number"):
        decode_statement(statement(), {8: OFFER})


def test_a_reply_without_a_request_is_a_lie() -> None:
    silent = replace(OFFER, hello=replace(OFFER.hello, request=b""))
    with pytest.raises(WorkerLied, match="reply"):
        decode_statement(statement(), {9: silent})


@pytest.mark.parametrize(
    "message",
    [b"", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"1" * 100_000, b"NaN"],
    ids=["empty", "null", "not UTF-8", "nested lists", "nested objects", "huge number", "NaN"],
)
def test_what_is_no_statement_at_all_is_a_lie(message: bytes) -> None:
    with pytest.raises(WorkerLied):
        decode_statement(message, {9: OFFER})
    with pytest.raises(WorkerLied):
        decode_ready(message)


def test_the_text_of_a_lie_quotes_nothing() -> None:
    with pytest.raises(WorkerLied) as lie:
        decode_statement(statement(**{"forged log line\n": 1}), {9: OFFER})
    assert "forged" not in str(lie.value)
