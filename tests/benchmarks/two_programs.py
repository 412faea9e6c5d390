"""What two programs and a process for each target cost at the least, in CPU time.

Run as `python -m tests.benchmarks.two_programs [TIMES]`. Nothing is measured of any partner here:
a bare grpc.aio stream carries messages of the size of facts over a Unix socket, and the template
of the workers forks one that does nothing. Each is done as seldom as cold checks come one by one,
since a process that has slept takes several times as long as one that is busy.
"""

import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import psutil  # type: ignore[import-untyped]

from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.workers.pool import WorkerPool
from otpc_policy.measurement.methods import MEASURE
from tests.benchmarks.echo import serve
from tests.benchmarks.processes import Running, announced, cpu_s

_REQUEST_BYTES, _FACTS_BYTES = 250, 7_100
# As long as a cold check takes.
_PAUSE_S: Final = 0.4


async def _answer(_requests: Any, context: Any) -> None:
    """Answer the first request of a stream with a message as long as facts."""
    await context.read()
    await context.write(bytes(_FACTS_BYTES))


async def _stream_ms(server: Running, times: int) -> float:
    """Return what a stream costs both sides."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        begin: Any = channel.stream_stream(MEASURE, None, None)

        async def once() -> None:
            call = begin()
            await call.write(bytes(_REQUEST_BYTES))
            assert len(await call.read()) == _FACTS_BYTES
            await call.code()

        processes = (psutil.Process(), server.process)
        return await _cost_ms(once, times, lambda: sum(map(cpu_s, processes)))


async def _fork_ms(times: int) -> float:
    """Return what a worker costs that is forked, isolated and killed without serving a target."""
    pool = WorkerPool(ScanLimits())
    await pool.start()
    try:

        async def once() -> None:
            (await pool.take()).kill()

        template = psutil.Process(pool.template_pid)
        return await _cost_ms(once, times, lambda: _with_children_s(template))
    finally:
        await pool.stop()


async def _cost_ms(
    once: Callable[[], Awaitable[None]], times: int, spent_s: Callable[[], float]
) -> float:
    await once()
    await asyncio.sleep(_PAUSE_S)
    before_s = spent_s()
    for _ in range(times):
        await once()
        await asyncio.sleep(_PAUSE_S)
    with_pauses_s = spent_s()
    for _ in range(times):
        await asyncio.sleep(_PAUSE_S)
    idle_s = spent_s() - with_pauses_s
    return (with_pauses_s - before_s - idle_s) / times * 1000


def _with_children_s(process: Any) -> float:
    """Return the CPU of a process and of the children that it has waited for."""
    times = process.cpu_times()
    return cpu_s(process) + float(times.children_user + times.children_system)


def main() -> None:
    """Run and print; with an address, be the server."""
    if sys.argv[1:] and sys.argv[1].startswith("unix:"):
        handler: Any = grpc.stream_stream_rpc_method_handler(_answer)
        asyncio.run(serve(MEASURE, handler, address=sys.argv[1]))
        return
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as name:
        address = f"unix:{Path(name) / 'engine'}"
        with announced("tests.benchmarks.two_programs", address) as server:
            stream_ms = asyncio.run(_stream_ms(server, times))
    fork_ms = asyncio.run(_fork_ms(times))
    print(f"CPU at the least, ms; means of {times}, one in {_PAUSE_S} s")
    print(f"{'a bare stream of one request and one reply, both sides':60}{stream_ms:6.1f}")
    print(f"{'a worker that is forked, isolated and killed':60}{fork_ms:6.1f}")


if __name__ == "__main__":
    main()
