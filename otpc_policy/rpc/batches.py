"""The response to a batch, joined from answers that are serialised already.

Each distinct answer exists once, however often it is repeated, until all of them are joined: as
messages, a hundred answers of 340 kB took a second of the loop and five times their size.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from google.rpc import status_pb2

from otpc_policy.core.errors import Budget, CallerBudgetUsed
from otpc_policy.rpc.status import status_of
from otpc_policy.v1 import policy_pb2 as pb

# A hundred FULL answers of the usual 50 kB, and some to spare. Clients take 4 MiB by default.
MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024
# The rest may be asked for in another batch at once.
_RETRY_AFTER: Final = timedelta()

_RESULTS: Final = bytes(
    [pb.BatchCheckEndpointsResponse.DESCRIPTOR.fields_by_name["results"].number << 3 | 2]
)
_RESPONSE: Final = bytes(
    [pb.BatchCheckEndpointsResult.DESCRIPTOR.fields_by_name["response"].number << 3 | 2]
)
# Of one result, in addition to its answer: index, tags and lengths.
_OVERHEAD_BYTES: Final = 24


def within_limit(
    outcomes: Sequence[bytes | status_pb2.Status], request_id: str
) -> Sequence[bytes | status_pb2.Status]:
    """Replace answers beyond MAX_RESPONSE_BYTES by an error.

    outcomes: a serialised CheckEndpointResponse, or an error, for each item in order.
    """
    left = MAX_RESPONSE_BYTES
    too_long: status_pb2.Status | None = None
    kept: list[bytes | status_pb2.Status] = []
    for outcome in outcomes:
        size = size_of(outcome)
        if size > left and isinstance(outcome, bytes):
            if too_long is None:
                too_long = status_of(CallerBudgetUsed(_RETRY_AFTER, Budget.BYTES), request_id)
            kept.append(too_long)
        else:
            left -= size
            kept.append(outcome)
    return kept


def size_of(outcome: bytes | status_pb2.Status) -> int:
    """Return how many bytes a result takes in a response, at most."""
    length = len(outcome) if isinstance(outcome, bytes) else outcome.ByteSize()
    return length + _OVERHEAD_BYTES


def batch_response(outcomes: Sequence[bytes | status_pb2.Status]) -> bytes:
    """Return a serialised BatchCheckEndpointsResponse. outcomes: as of within_limit."""
    parts: list[bytes] = []
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, bytes):
            head = pb.BatchCheckEndpointsResult(request_index=index).SerializeToString()
            head += _RESPONSE + _varint(len(outcome))
            parts += (_RESULTS, _varint(len(head) + len(outcome)), head, outcome)
        else:
            result = pb.BatchCheckEndpointsResult(request_index=index, error=outcome)
            serialised = result.SerializeToString()
            parts += (_RESULTS, _varint(len(serialised)), serialised)
    return b"".join(parts)


def _varint(value: int) -> bytes:
    """Encode a length. Source: protobuf.dev/programming-guides/encoding."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
