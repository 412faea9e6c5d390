"""Fetches of CRLs as messages of the contract and back: what is asked, and how it ended."""

from dataclasses import dataclass

from otpc_policy.core.errors import FieldViolation, InvalidRequest
from otpc_policy.core.fetching import Fetched, FetchOutcome, HttpUrl
from otpc_policy.measurement.checks import require
from otpc_policy.measurement.limits import MAX_CRL_BYTES, MAX_CRL_CHUNK_BYTES, MAX_FETCH_S
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import FETCH_OUTCOME


@dataclass(frozen=True, slots=True)
class RequestedFetch:
    """What a front asks an engine to fetch. Its bounds are within those of the contract."""

    url: HttpUrl
    max_bytes: int
    deadline_s: float


def decode_fetch_request(message: pb.FetchCrlRequest) -> RequestedFetch:
    """Return what a front asks for. Raises InvalidRequest."""
    deadline_s = message.deadline.seconds + message.deadline.nanos / 1e9
    if not 0 < deadline_s <= MAX_FETCH_S:
        raise InvalidRequest([FieldViolation("deadline", "is not within the bounds")])
    if not 0 < message.max_bytes <= MAX_CRL_BYTES:
        raise InvalidRequest([FieldViolation("max_bytes", "is not within the bounds")])
    try:
        url = HttpUrl.parse(message.url)
    except ValueError as error:
        raise InvalidRequest([FieldViolation("url", str(error))]) from None
    return RequestedFetch(url, message.max_bytes, deadline_s)


def encode_fetch_end(outcome: FetchOutcome) -> pb.FetchCrlResponse:
    """Return the last message of a fetch."""
    return pb.FetchCrlResponse(end=pb.FetchCrlEnd(outcome=FETCH_OUTCOME.number[outcome]))


class FetchReader:
    """Puts the responses of an engine together. max_bytes: what was asked for."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._body = bytearray()
        self._outcome: FetchOutcome | None = None

    def take(self, message: pb.FetchCrlResponse) -> None:
        """Read the next response. Raises EngineLied."""
        require(self._outcome is None, "FetchCrlResponse: after the end")
        if message.WhichOneof("update") == "end":
            self._outcome = FETCH_OUTCOME.member(message.end.outcome)
            return
        chunk = message.chunk
        require(0 < len(chunk) <= MAX_CRL_CHUNK_BYTES, "chunk: empty, or too long")
        self._body += chunk
        require(len(self._body) <= self._max_bytes, "chunk: more than was asked for")

    def fetched(self) -> Fetched:
        """Return what was fetched, once no response follows. Raises EngineLied."""
        require(self._outcome is not None, "FetchCrlResponse: no end")
        outcome = self._outcome or FetchOutcome.BROKEN
        body = bytes(self._body) if outcome is FetchOutcome.FETCHED else b""
        return Fetched(outcome, body)
