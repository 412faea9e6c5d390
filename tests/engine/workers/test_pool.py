"""The pool of workers: warm, one for each target, robust against its own, gone at the end."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.workers.handshake import HandshakeEnding, HandshakeOutcome
from otpc_policy.engine.workers.pool import WorkerPool
from otpc_policy.engine.workers.template_process import TemplateProcess
from otpc_policy.engine.workers.worker_process import WorkerLost
from tests.engine.partners import close, offer, openssl_server, server, stall
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import free_port


@asynccontextmanager
async def running(limits: ScanLimits) -> AsyncIterator[WorkerPool]:
    pool = WorkerPool(limits)
    await pool.start()
    pids = {*pool.worker_pids, pool.template_pid or 0}
    try:
        yield pool
        pids |= {*pool.worker_pids, pool.template_pid or 0}
    finally:
        await pool.stop()
    assert not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def until_gone(pid: int) -> None:
    await until(lambda: not is_running(pid))


async def until_ready(pool: WorkerPool, count: int) -> None:
    await until(lambda: pool.workers_alive == count)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("not within ten seconds")


async def serve(pool: WorkerPool, port: int, deadline_s: float = 2) -> HandshakeOutcome:
    """Carry out a handshake with a target of its own."""
    lease = pool.lease()
    try:
        return await lease.handshake(offer(port, deadline_s=deadline_s))
    finally:
        lease.end()


async def test_targets_are_served_at_the_same_time(tmp_path: Path) -> None:
    leaf = CertificateAuthority.create().issue()
    with openssl_server(tmp_path, leaf) as port:
        async with running(ScanLimits(workers=2)) as pool:
            outcomes = await asyncio.gather(*(serve(pool, port) for _ in range(30)))
            assert [outcome.chain for outcome in outcomes] == [leaf.chain_der] * 30


async def test_the_handshakes_of_a_target_share_a_worker_that_ends_with_it(tmp_path: Path) -> None:
    leaf = CertificateAuthority.create().issue()
    with openssl_server(tmp_path, leaf) as port:
        async with running(ScanLimits(workers=1)) as pool:
            (first,) = pool.worker_pids
            lease = pool.lease()
            outcomes = await asyncio.gather(*(lease.handshake(offer(port)) for _ in range(16)))
            assert [outcome.chain for outcome in outcomes] == [leaf.chain_der] * 16
            await until_ready(pool, 2)
            (second,) = set(pool.worker_pids) - {first}
            lease.end()
            await until_gone(first)
            assert pool.worker_pids == (second,)
            await serve(pool, port)
            await until_gone(second)


async def test_whether_tcp_connects_is_found_out_without_a_worker() -> None:
    async with running(ScanLimits(workers=1)) as pool:
        outcome = await serve(pool, free_port("127.0.0.1"))
        assert (outcome.ending, outcome.connected) == (HandshakeEnding.REFUSED, False)


async def test_a_worker_that_dies_costs_a_retry_and_others_nothing() -> None:
    arrived = asyncio.Semaphore(0)

    async def count_and_stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.release()
        await stall(reader, writer)

    async with server(count_and_stall) as port, running(ScanLimits(workers=2)) as pool:
        waiting = [asyncio.create_task(serve(pool, port, deadline_s=1)) for _ in range(4)]
        for _ in range(4):
            await arrived.acquire()
        os.kill(min(pool.worker_pids), signal.SIGKILL)
        assert {(await one).ending for one in waiting} == {HandshakeEnding.TIMED_OUT}


async def test_a_stopped_worker_is_killed_and_nobody_else_waits() -> None:
    async with server(close) as port, running(ScanLimits(workers=1)) as pool:
        (stopped,) = pool.worker_pids
        os.kill(stopped, signal.SIGSTOP)
        stuck = asyncio.create_task(serve(pool, port, deadline_s=0.1))
        await asyncio.sleep(0)
        others = [asyncio.create_task(serve(pool, port, deadline_s=5)) for _ in range(3)]
        assert {(await one).ending for one in others} == {HandshakeEnding.CLOSED}
        assert not stuck.done()
        assert (await stuck).ending is HandshakeEnding.NOT_RUN
        await until_gone(stopped)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_template_that_is_killed_or_stopped_is_replaced(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otpc_policy.engine.workers.template_process._FORK_S", 0.2)
    async with server(close) as port, running(ScanLimits(workers=1)) as pool:
        before = {*pool.worker_pids, pool.template_pid or 0}
        os.kill(pool.template_pid or 0, number)
        for _ in range(3):
            assert (await serve(pool, port, deadline_s=5)).ending is HandshakeEnding.CLOSED
        for pid in before:
            await until_gone(pid)


async def test_a_spare_worker_that_is_killed_is_replaced() -> None:
    async with server(close) as port, running(ScanLimits(workers=1)) as pool:
        (first,) = pool.worker_pids
        os.kill(first, signal.SIGKILL)
        await until_gone(first)
        await until_ready(pool, 1)
        assert (await serve(pool, port)).ending is HandshakeEnding.CLOSED


async def test_what_is_lost_during_the_start_is_replaced() -> None:
    """The template is killed as soon as it is there, and with it every worker forked so far."""
    async with server(close) as port:
        pool = WorkerPool(ScanLimits(workers=3))
        starting = asyncio.create_task(pool.start())
        await until(lambda: pool.template_pid is not None)
        lost = pool.template_pid
        assert lost is not None
        os.kill(lost, signal.SIGKILL)
        await starting
        await until_ready(pool, 3)
        assert pool.template_pid != lost
        assert (await serve(pool, port)).ending is HandshakeEnding.CLOSED
        await pool.stop()


async def test_a_worker_that_never_starts_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = []

    async def broken(level: object) -> None:
        attempts.append(level)
        raise WorkerLost("the template of the workers did not start")

    monkeypatch.setattr(TemplateProcess, "start", broken)
    with pytest.raises(WorkerLost, match="did not start"):
        await WorkerPool(ScanLimits(workers=2)).start()
    assert len(attempts) == 3


async def test_stopping_ends_what_still_runs() -> None:
    async with server(stall) as port:
        pool = WorkerPool(ScanLimits(workers=1))
        await pool.start()
        under_way = asyncio.create_task(serve(pool, port, deadline_s=30))
        await asyncio.sleep(0)
        await pool.stop()
        assert (await under_way).ending is HandshakeEnding.NOT_RUN
        assert (await serve(pool, port)).ending is HandshakeEnding.NOT_RUN
        assert pool.workers_alive == 0
        with pytest.raises(WorkerLost):
            await pool.take()
