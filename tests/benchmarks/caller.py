"""A caller in a separate process: `python -m tests.benchmarks.caller ADDRESS REQUESTS RATE`.

REQUESTS: a file with a CheckEndpointRequest in hexadecimal on each line, sent in turn and repeated.
RATE: calls a second, or 0 for all at once. A line on stdin starts the calls and another line ends
them; a burst ends by itself. Then it prints one line of JSON: for each call the scheduled instant
(seconds since the start), the latency counted from that instant, and the number of the decision, 0
for an error.

A call is made when it is due, whether or not earlier calls have been answered: a server that stalls
is charged for every call that came due meanwhile.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc

from otpc_policy.v1 import policy_pb2 as pb
from tests.benchmarks.echo import METHOD

_TIMEOUT_S = 300.0
# Without a limit, a server that stopped answering would be called forever.
_MOST_CALLS = 100_000


class _Calls:
    def __init__(self, address: str) -> None:
        self._channel = _channel(address)
        self._call = self._channel.unary_unary(METHOD)
        self.results: list[tuple[float, float, int]] = []

    async def connect(self) -> None:
        await self._channel.channel_ready()

    async def ask(self, request: bytes, due: float, began: float) -> None:
        try:
            answer = pb.CheckEndpointResponse.FromString(
                await self._call(request, timeout=_TIMEOUT_S)
            )
            decision = int(answer.decision)
        except grpc.aio.AioRpcError as error:
            print(error.code().name, file=sys.stderr)
            decision = 0
        self.results.append((due - began, time.perf_counter() - due, decision))


def _channel(address: str) -> Any:
    # Bytes in, bytes out; the stubs' types demand serializers.
    return grpc.aio.insecure_channel(address)


async def _run(address: str, requests: Sequence[bytes], rate: float) -> None:
    calls, loop = _Calls(address), asyncio.get_running_loop()
    await calls.connect()
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    ended = loop.run_in_executor(None, sys.stdin.readline) if rate else None
    began, tasks = time.perf_counter(), set()
    for due, request in _schedule(requests, rate, began):
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        if ended is not None and ended.done():
            break
        tasks.add(asyncio.create_task(calls.ask(request, due, began)))
    await asyncio.gather(*tasks)
    print(json.dumps(calls.results), flush=True)


def _schedule(
    requests: Sequence[bytes], rate: float, began: float
) -> Iterator[tuple[float, bytes]]:
    if rate:
        each = itertools.islice(itertools.cycle(requests), _MOST_CALLS)
        yield from ((began + number / rate, request) for number, request in enumerate(each))
    else:
        yield from ((began, request) for request in requests)


if __name__ == "__main__":
    lines = Path(sys.argv[2]).read_text(encoding="ascii").split()
    asyncio.run(_run(sys.argv[1], [bytes.fromhex(line) for line in lines], float(sys.argv[3])))
