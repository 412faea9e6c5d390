"""Responses to batches: the same bytes as protobuf's own, and bounded."""

from google.rpc import status_pb2

from otpc_policy.rpc import batches
from otpc_policy.rpc.batches import MAX_RESPONSE_BYTES, batch_response, size_of, within_limit
from otpc_policy.v1 import policy_pb2 as pb


def answer(length: int) -> bytes:
    return pb.CheckEndpointResponse(canonical_endpoint="x" * length).SerializeToString()


def test_what_is_joined_reads_as_the_message() -> None:
    error = status_pb2.Status(code=3, message="no")
    outcomes = [answer(length) for length in (0, 1, 100, 127, 128, 20_000)]
    response = batch_response([*outcomes[:3], error, *outcomes[3:]])
    expected = pb.BatchCheckEndpointsResponse()
    for index, outcome in enumerate([*outcomes[:3], error, *outcomes[3:]]):
        result = expected.results.add(request_index=index)
        if isinstance(outcome, bytes):
            result.response.MergeFromString(outcome)
            result.response.SetInParent()
        else:
            result.error.CopyFrom(outcome)
    assert pb.BatchCheckEndpointsResponse.FromString(response) == expected
    assert len(response) <= sum(map(size_of, [*outcomes, error]))


def test_answers_beyond_the_limit_become_errors_and_shorter_ones_stay() -> None:
    long, short = answer(MAX_RESPONSE_BYTES // 3), answer(100)
    results = within_limit([long, long, long, short], "id-1")
    assert results[:2] == [long, long]
    assert results[3] == short
    (refused,) = (each for each in results if isinstance(each, status_pb2.Status))
    assert refused.code == 8
    assert len(batch_response(results)) <= MAX_RESPONSE_BYTES + batches._OVERHEAD_BYTES * 4 + 1000
