"""Engines of our own, as processes: killed and stopped in the middle of scans, and never left."""

import asyncio
import errno
import fcntl
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog

from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.core.endpoint import Endpoint, parse_endpoint
from otpc_policy.core.facts import AddressFacts, Depth, Support, TlsVersion
from otpc_policy.engines import child, child_process
from otpc_policy.engines import pool as pool_module
from otpc_policy.engines.child import ChildFleet
from otpc_policy.engines.errors import EngineNotStarted
from otpc_policy.engines.pool import EnginePool
from tests.engine.serving import VETTING, vetted
from tests.engine.test_process import children, is_running
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.relay import relay
from tests.support.servers import TlsOffer, nginx
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

SETTINGS = Settings(allow_networks=["127.0.0.0/8"], scan={"workers": 1})


@pytest.fixture(scope="module")
def good() -> Iterator[Listener]:
    """A compliant server."""
    authority = CertificateAuthority.create()
    pair = (authority.issue(key="rsa2048"), authority.issue(key="ec256"))
    with nginx(own_listener(), TlsOffer(certificates=pair)) as near:
        yield near


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where sockets are put: a short path of the test's own, which must be empty at the end."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@asynccontextmanager
async def running(
    count: int, ended: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[EnginePool, ChildFleet]]:
    """Engines that must all be gone at the end, with their workers and sockets."""
    fleet = ChildFleet(
        count,
        orders=engine_part(SETTINGS),
        vetting=VETTING,
        now=lambda: datetime.now(UTC),
        ended=ended,
    )
    pool = EnginePool(
        fleet, queue_limit=64, scan_deadline_s=20, deep_deadline_s=60, dns_timeout_s=5
    )
    await pool.start()
    try:
        yield pool, fleet
    finally:
        family = [pid for engine in fleet.pids for pid in (engine, *children(engine))]
        await pool.stop()
        wait_until(lambda: not any(map(is_running, family)))
        assert list(Path(tempfile.gettempdir()).iterdir()) == []


async def until(holds: Callable[[], bool]) -> None:
    """Wait for other processes, and let this one do its part."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # processes do not tell
            await asyncio.sleep(0.02)


def endpoint(at: Listener) -> Endpoint:
    return parse_endpoint("partner.test", at.port)


async def measured(pool: EnginePool, at: Listener) -> AddressFacts:
    return await pool.measure(endpoint(at), vetted(at.address), Depth.STANDARD)


def is_whole(facts: AddressFacts) -> bool:
    supports = {one.support for one in facts.versions}
    supports |= {one.support for one in facts.cipher_suites}
    supports |= {one.support for one in facts.deployments}
    is_offered = facts.version(TlsVersion.TLS_1_2).support is Support.YES
    return is_offered and Support.UNKNOWN not in supports


async def test_engines_measure_resolve_and_are_gone_at_the_end(good: Listener) -> None:
    async with running(2) as (pool, fleet):
        assert len(set(fleet.pids)) == 2
        assert (pool.workers_alive, pool.queued) == (2, 0)
        resolution = await pool.resolve(good.address)
        assert [one.text for one in resolution.addresses] == [good.address]
        assert is_whole(await measured(pool, good))


@pytest.mark.long
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=lambda one: one.name)
@pytest.mark.parametrize("count", [1, 2])
async def test_engines_that_are_lost_in_the_middle_of_scans_fail_nobody(
    good: Listener, count: int, sign: signal.Signals
) -> None:
    """All of them at once, so that there is nobody to turn to but their successors."""
    with relay(own_listener(), good, round_trip_s=0.05) as counts:
        async with running(count) as (pool, fleet):
            family = [pid for engine in fleet.pids for pid in (engine, *children(engine))]
            callers = [asyncio.create_task(measured(pool, counts.listener)) for _ in range(6)]
            await until(lambda: counts.connections >= 10)
            assert not any(caller.done() for caller in callers)
            for pid in fleet.pids:
                os.kill(pid, sign)
            facts = await asyncio.gather(*callers)
            assert all(map(is_whole, facts))
            await until(lambda: not any(map(is_running, family)))
            assert is_whole(await measured(pool, counts.listener))


async def test_a_stopped_worker_costs_no_engine(good: Listener) -> None:
    async with running(1) as (pool, fleet):
        (engine,) = fleet.pids
        (worker,) = children(engine)
        os.kill(worker, signal.SIGSTOP)
        facts = await measured(pool, good)
        assert facts.reachable is Support.YES
        assert fleet.pids == (engine,)
        await until(lambda: not is_running(worker))


async def test_an_engine_that_lied_is_replaced_and_counted_and_one_that_is_stopped_is_not() -> None:
    ends: list[str] = []
    async with running(1, lambda: ends.append("ended")) as (pool, fleet):
        (liar,) = fleet.pids
        assert (pool.engines_up, pool.engines_wanted) == (1, 1)
        fleet.engines[0].condemn("facts: no time")
        await until(lambda: pool.engines_up == 0)
        assert pool.engines_wanted == 1
        await until(lambda: fleet.pids not in ((), (liar,)))
        assert not is_running(liar)
        assert pool.workers_alive == 1
    assert ends == ["ended"]


async def test_an_engine_that_cannot_start_says_so_and_leaves_nothing(own_folder: Path) -> None:
    fleet = ChildFleet(2, orders={}, vetting=VETTING, now=lambda: datetime.now(UTC))
    with pytest.raises(EngineNotStarted, match="its own log says why"):
        await fleet.start(lambda: None)
    assert fleet.pids == ()
    assert list(own_folder.iterdir()) == []


async def test_what_an_engine_writes_is_in_the_log_of_the_front_with_its_source() -> None:
    with structlog.testing.capture_logs() as lines:
        async with running(1) as (_pool, fleet):
            (pid,) = fleet.pids
            Path(f"/proc/{pid}/fd/2").write_text("from a library\n", "ascii")
            await until(lambda: bool(lines))
    assert lines[0] == {
        "event": "text on standard error",
        "log_level": "warning",
        "text": "from a library",
        "source": "engine-0",
        "pid": pid,
    }


@pytest.mark.parametrize("lost", [1, 2], ids=["one", "all"])
async def test_engines_that_are_killed_during_the_start_are_started_again(lost: int) -> None:
    before = set(children(os.getpid()))
    kept = ChildFleet(
        2, orders=engine_part(SETTINGS), vetting=VETTING, now=lambda: datetime.now(UTC)
    )
    starting = asyncio.create_task(kept.start(lambda: None))
    await until(lambda: len(set(children(os.getpid())) - before) == 2)
    first = set(children(os.getpid())) - before
    for pid in list(first)[:lost]:
        os.kill(pid, signal.SIGKILL)
    await starting
    assert len(kept.pids) == 2
    assert len(set(kept.pids) & first) == 2 - lost
    await kept.stop()


async def test_the_service_starts_with_the_engines_that_come_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other place stays empty at first, and is filled as soon as that is possible."""
    monkeypatch.setattr(child, "_LONGEST_PAUSE_S", 0.1)
    start_process, is_broken = child_process._process, True
    started: list[int] = []

    async def one_place_is_broken() -> asyncio.subprocess.Process:
        if is_broken and started:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        started.append(1)
        return await start_process()

    monkeypatch.setattr(child_process, "_process", one_place_is_broken)
    async with running(2) as (pool, fleet):
        assert len(fleet.pids) == 1
        assert pool.workers_alive == 1
        is_broken = False
        await until(lambda: len(fleet.pids) == 2)


@pytest.mark.parametrize(("status", "attempts"), [(1, 3), (2, 1)], ids=["crashes", "refuses"])
async def test_only_a_refusal_ends_the_start_at_the_first_attempt(
    status: int, attempts: int, monkeypatch: pytest.MonkeyPatch, own_folder: Path
) -> None:
    started: list[int] = []

    async def ending() -> asyncio.subprocess.Process:
        started.append(status)
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *("sh", "-c", f"read order; exit {status}"), stdin=pipe, stdout=pipe
        )

    monkeypatch.setattr(child_process, "_process", ending)
    fleet = ChildFleet(
        1, orders=engine_part(SETTINGS), vetting=VETTING, now=lambda: datetime.now(UTC)
    )
    with pytest.raises(EngineNotStarted, match="its own log says why"):
        await fleet.start(lambda: None)
    assert len(started) == attempts
    assert list(own_folder.iterdir()) == []


async def test_a_start_that_is_cancelled_leaves_nothing(own_folder: Path) -> None:
    before = set(children(os.getpid()))
    fleet = ChildFleet(
        2, orders=engine_part(SETTINGS), vetting=VETTING, now=lambda: datetime.now(UTC)
    )
    starting = asyncio.create_task(fleet.start(lambda: None))
    await asyncio.sleep(0.2)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert set(children(os.getpid())) == before
    assert list(own_folder.iterdir()) == []


async def test_nothing_is_left_to_connect_to_once_an_engine_is_up(
    good: Listener, own_folder: Path
) -> None:
    """So a front that is killed then leaves no files, and no engine reaches another."""
    async with running(2) as (pool, fleet):
        assert list(own_folder.iterdir()) == []
        former = fleet.pids[0]
        os.kill(former, signal.SIGKILL)
        await until(lambda: len(fleet.pids) == 2 and former not in fleet.pids)
        assert list(own_folder.iterdir()) == []
        assert is_whole(await measured(pool, good))


def is_unlocked(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


# A front that starts one engine, and has time to be killed meanwhile.
_FRONT = """\
import asyncio
from tests.engines.test_child import running

async def front():
    async with running(1):
        pass

asyncio.run(front())
"""


async def test_what_a_front_leaves_that_is_killed_as_its_engine_starts_the_next_one_removes(
    own_folder: Path,
) -> None:
    front = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _FRONT), env={**os.environ, "TMPDIR": str(own_folder)}
    )
    await until(lambda: any(own_folder.iterdir()))
    front.kill()
    await front.wait()
    (left,) = own_folder.iterdir()
    # A child that was being forked holds the lock until the kernel has killed it, too.
    await until(lambda: is_unlocked(left))
    async with running(1):
        assert list(own_folder.iterdir()) == []


@pytest.mark.parametrize("lacking", ["process", "folder"])
async def test_an_engine_is_kept_though_the_machine_could_start_none_for_a_while(
    lacking: str, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(1) as (pool, fleet):
        (former,) = fleet.pids
        with monkeypatch.context() as broken:
            refused = asyncio.Event()

            def fail(*_: object, **__: object) -> None:
                refused.set()
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

            if lacking == "process":
                broken.setattr(asyncio, "create_subprocess_exec", fail)
            else:
                broken.setattr(tempfile, "mkdtemp", fail)
            os.kill(former, signal.SIGKILL)
            await asyncio.wait_for(refused.wait(), 10)
            await asyncio.sleep(0)
        await until(lambda: len(fleet.pids) == 1)
        assert pool.workers_alive == 1
        assert list(own_folder.iterdir()) == []


def test_callers_wait_longer_for_an_engine_than_any_pause_between_two_starts() -> None:
    """Else those who come in a pause would fail for no reason. A start takes about a second."""
    assert child._LONGEST_PAUSE_S + 2 < pool_module._WAIT_FOR_ENGINE_S
