"""How the scanner reads what a handshake worker says: strictly, or it is a lie.

The length of a message is checked before anything is allocated for it (`longest_statement`), then
types, counts, sizes and finite numbers, what cannot be true together, and that it answers a
request that was made, about the target that was asked about. The JSON parser limits nesting.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from otpc_policy.core.facts_form import schema_of
from otpc_policy.engine.workers.guarded_socket import FIRST_BYTES
from otpc_policy.engine.workers.handshake import (
    DETAIL_CHARACTERS,
    REPLY_BYTES,
    HandshakeEnding,
    HandshakeOffer,
    HandshakeOutcome,
    Target,
)
from otpc_policy.engine.workers.worker_lied import WorkerLied

# OpenSSL reads chains of 100 KiB at most (SSL_MAX_CERT_LIST_DEFAULT).
_MAX_CERTIFICATES: Final = 1024
_MAX_SUITES: Final = 1024
_MAX_CODE_POINT: Final = 0xFFFFFF  # of SSL 2; others have two bytes
_MAX_DURATION_S: Final = 86_400.0
_MAX_MISSING: Final = 8
# Names, numbers, suites and punctuation of a statement; what is left are bytes in base64.
_STATEMENT_FRAME_BYTES: Final = 32_768
# A worker is forked from a template that has read nothing; this is about bugs, not about lies.
LONGEST_READY: Final = 4096

_WITH_CHAIN = frozenset({HandshakeEnding.COMPLETED, HandshakeEnding.CLIENT_CERTIFICATE})
# These are the scanner's own findings: the worker gets connections that are made.
_NOT_OF_A_WORKER = frozenset({HandshakeEnding.REFUSED, HandshakeEnding.UNREACHABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statement:
    number: int
    target: Target
    outcome: HandshakeOutcome


def longest_statement(byte_limit: int) -> int:
    """Return how long a statement may be, in bytes. byte_limit: of one connection."""
    return (byte_limit + FIRST_BYTES) * 4 // 3 + _STATEMENT_FRAME_BYTES


def decode_statement(
    message: bytes, asked: Mapping[int, HandshakeOffer]
) -> tuple[int, HandshakeOutcome]:
    """Return the number of the request that is answered, and the outcome.

    message: within longest_statement. asked: requests without an answer so far, by number. Raises
    WorkerLied.
    """
    try:
        statement: _Statement = _validator().validate_json(message)
    except ValidationError as error:
        raise WorkerLied(_place(error)) from None
    offer = asked.get(statement.number)
    if offer is None:
        raise WorkerLied("number: nothing was asked by it")
    if statement.target != offer.target:
        raise WorkerLied("target: not the one that was asked about")
    _check(statement.outcome, offer)
    return statement.number, statement.outcome


def decode_ready(message: bytes) -> tuple[str, ...]:
    """Return what the kernel lacks for a worker's isolation. Raises WorkerLied."""
    try:
        missing: tuple[str, ...] = _ready_validator().validate_json(message)
    except ValidationError:
        raise WorkerLied("not a first message") from None
    return missing


def _check(outcome: HandshakeOutcome, offer: HandshakeOffer) -> None:
    chain, staple = outcome.chain, outcome.stapled_ocsp_response
    size = sum(map(len, chain)) + len(staple or b"")
    suites = outcome.offered
    faults = {
        "ending": outcome.ending in _NOT_OF_A_WORKER,
        "connected": not outcome.connected and outcome.ending is not HandshakeEnding.NOT_RUN,
        "offered": len(suites) > _MAX_SUITES
        or not all(0 <= suite <= _MAX_CODE_POINT for suite in suites),
        "first_bytes": len(outcome.first_bytes) > FIRST_BYTES,
        "key_proven": outcome.key_proven is not bool(chain),
        "chain": len(chain) > _MAX_CERTIFICATES
        or not all(chain)
        or size > offer.hello.byte_limit
        or (bool(chain) and outcome.ending not in _WITH_CHAIN),
        "stapled_ocsp_response": staple is not None and not chain,
        "reply": len(outcome.reply) > (REPLY_BYTES if offer.hello.request else 0),
        "duration_s": not 0 <= outcome.duration_s <= _MAX_DURATION_S,
        "detail": len(outcome.detail) > DETAIL_CHARACTERS,
    }
    for field, is_wrong in faults.items():
        if is_wrong:
            raise WorkerLied(f"outcome.{field}: impossible")


def _place(error: ValidationError) -> str:
    """Return the field that is wrong; names of fields are ours, anything else is not quoted."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    known = {"number", "target", "outcome", *Target.__slots__, *HandshakeOutcome.__slots__}
    place = ".".join(part for part in map(str, first["loc"]) if part in known)
    return f"{place or 'message'}: {first['type']}"


@cache
def _validator() -> SchemaValidator:
    return SchemaValidator(schema_of(_Statement))


@cache
def _ready_validator() -> SchemaValidator:
    text: Any = cs.str_schema(strict=True, max_length=LONGEST_READY)
    return SchemaValidator(
        cs.tuple_schema([text], variadic_item_index=0, max_length=_MAX_MISSING, fail_fast=True)
    )
