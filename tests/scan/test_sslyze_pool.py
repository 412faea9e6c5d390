"""The pool of workers: warm, recycled, robust against its own members, gone at the end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from otpc_policy.scan.handshake import Ending
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.scan.sslyze_pool import SslyzePool
from otpc_policy.scan.worker_process import WorkerLost, WorkerProcess
from tests.scan.partners import close, offer, open_sockets, openssl_server, server, stall
from tests.support.certificates import CertificateAuthority


@asynccontextmanager
async def running(limits: ScanLimits) -> AsyncIterator[SslyzePool]:
    pool = SslyzePool(limits)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.stop()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_handshakes_run_side_by_side_and_nothing_is_left_behind(tmp_path: Path) -> None:
    leaf = CertificateAuthority.create().issue()
    with openssl_server(tmp_path, leaf) as port:
        async with running(ScanLimits(workers=2)) as pool:
            pids = set(pool.worker_pids)
            outcomes = await asyncio.gather(*(pool.handshake(offer(port)) for _ in range(30)))
    assert [outcome.chain for outcome in outcomes] == [leaf.chain_der] * 30
    assert len(pids) == 2
    assert not any(is_running(pid) for pid in pids)


@pytest.mark.parametrize(("count", "each"), [(4, [0, 4]), (8, [4, 4]), (16, [8, 8])])
async def test_the_handshakes_of_a_scan_share_a_worker_and_many_are_spread(count: int, each: list[int]) -> None:
    all_arrived = asyncio.Barrier(count + 1)

    async def arrive_and_stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with all_arrived:
            pass
        await stall(reader, writer)

    async with server(arrive_and_stall) as port, running(ScanLimits(workers=2)) as pool:
        idle = {pid: open_sockets(pid) for pid in pool.worker_pids}
        waiting = [asyncio.create_task(pool.handshake(offer(port, deadline_s=1))) for _ in range(count)]
        async with all_arrived:
            assert sorted(open_sockets(pid) - before for pid, before in idle.items()) == each
        assert {(await one).ending for one in waiting} == {Ending.TIMED_OUT}


async def test_a_worker_that_dies_costs_its_neighbours_nothing() -> None:
    arrived = 0
    all_arrived = asyncio.Event()

    async def count_and_stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 8:
            all_arrived.set()
        await stall(reader, writer)

    async with server(count_and_stall) as port, server(close) as closing, running(ScanLimits(workers=2)) as pool:
        first = set(pool.worker_pids)
        waiting = [asyncio.create_task(pool.handshake(offer(port, deadline_s=1))) for _ in range(8)]
        await all_arrived.wait()
        os.kill(min(first), signal.SIGKILL)
        assert {(await one).ending for one in waiting} == {Ending.TIMED_OUT}
        for _ in range(5000):
            assert (await pool.handshake(offer(closing))).ending is Ending.CLOSED
            if pool.workers_alive == 2:
                break
        assert len(set(pool.worker_pids) - first) == 1


async def test_a_stuck_worker_is_killed_and_what_it_did_for_others_is_retried() -> None:
    async with server(close) as port, running(ScanLimits(workers=1)) as pool:
        before = set(pool.worker_pids)
        os.kill(min(before), signal.SIGSTOP)
        stuck = asyncio.create_task(pool.handshake(offer(port, deadline_s=0.1)))
        await asyncio.sleep(0)
        others = [asyncio.create_task(pool.handshake(offer(port, deadline_s=5))) for _ in range(3)]
        assert (await stuck).ending is Ending.NOT_RUN
        assert {(await one).ending for one in others} == {Ending.CLOSED}
        assert not before & set(pool.worker_pids)


async def test_workers_are_recycled_behind_a_warm_successor() -> None:
    async with server(close) as port, running(ScanLimits(workers=1, recycle_after_handshakes=5)) as pool:
        before = set(pool.worker_pids)
        for _ in range(5000):
            assert (await pool.handshake(offer(port))).ending is Ending.CLOSED
            if set(pool.worker_pids) != before:
                break
        assert pool.workers_alive == 1
        assert not before & set(pool.worker_pids)


async def test_a_worker_that_ended_says_so_and_ends_with_its_stdin() -> None:
    worker = await WorkerProcess.start()
    pid = worker.pid
    await worker.end()
    assert not is_running(pid)
    with pytest.raises(WorkerLost):
        await worker.ask(offer(1), within_s=1)


async def test_stopping_ends_what_still_runs() -> None:
    async with server(stall) as port:
        pool = SslyzePool(ScanLimits(workers=1))
        await pool.start()
        running_on = asyncio.create_task(pool.handshake(offer(port, deadline_s=30)))
        await asyncio.sleep(0)
        await pool.stop()
        assert (await running_on).ending is Ending.NOT_RUN
        assert (await pool.handshake(offer(port))).ending is Ending.NOT_RUN
        assert pool.workers_alive == 0
