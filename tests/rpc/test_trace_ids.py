"""A trace id is taken from a valid W3C traceparent and from nothing else."""

import pytest

from otpc_policy.core.trace_context import trace_id_in
from otpc_policy.rpc.request_id import identifiers

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-{PARENT}-01", TRACE),
        (f"00-{TRACE}-{PARENT}-00", TRACE),
        # A later version may append fields.
        (f"01-{TRACE}-{PARENT}-01", TRACE),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", TRACE),
        (f"00-{TRACE}-{PARENT}-01-more", ""),
        (f"01-{TRACE}-{PARENT}-01more", ""),
        (f"ff-{TRACE}-{PARENT}-01", ""),
        (f"00-{'0' * 32}-{PARENT}-01", ""),
        (f"00-{TRACE}-{'0' * 16}-01", ""),
        (f"00-{TRACE.upper()}-{PARENT}-01", ""),
        (f"00-{TRACE[1:]}-{PARENT}-01", ""),
        (f"00-{TRACE}-{PARENT}-1", ""),
        (f"00-{TRACE}-{PARENT}-01\n", ""),
        (f"cc-{TRACE}-{PARENT}-01-{'x' * 300}", ""),
        ("", ""),
        ("-" * 55, ""),
    ],
)
def test_which_traceparents_count(traceparent: str, expected: str) -> None:
    assert trace_id_in(traceparent) == expected


def test_a_call_without_identifiers_has_one_of_its_own_and_no_trace() -> None:
    given = (("x-request-id", "un safe"), ("traceparent", b"binary"))
    for metadata in (given, None):
        request_id, trace_id = identifiers(metadata)
        assert len(request_id) == 32
        assert trace_id == ""
