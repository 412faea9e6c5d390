"""Bytes that are no message of a method are refused, however often, and nothing of them is kept."""

import asyncio
from types import TracebackType
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty

from otpc_policy.core.errors import InvalidRequest
from otpc_policy.rpc.interceptors.calls import stream_call, unary_call

MALFORMED = b"\xff"


async def _behaviour(_request: Any, _context: Any) -> bytes:
    return b""


def _frames(traceback: TracebackType | None) -> int:
    return 0 if traceback is None else 1 + _frames(traceback.tb_next)


@pytest.mark.parametrize(
    "call",
    [
        unary_call(_behaviour, Empty.FromString, None),
        stream_call(_behaviour, Empty.FromString),
    ],
    ids=["unary", "stream"],
)
def test_each_malformed_request_leaves_nothing_behind(call: Any) -> None:
    seen = []
    for _ in range(3):
        with pytest.raises(InvalidRequest) as refused:
            asyncio.run(call(MALFORMED, None))
        seen.append(_frames(refused.value.__traceback__))
    assert len(set(seen)) == 1
