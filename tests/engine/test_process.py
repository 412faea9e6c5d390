"""The engine that a front starts, as a process: what it is given, what it serves, how it ends."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.app.settings.engine_part import engine_part
from otpc_policy.core.facts import Depth, Support
from otpc_policy.measurement.codec import decode_facts
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.v1 import measurement_pb2_grpc as rpc
from tests.engine.serving import start
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, s_server
from tests.support.waiting import wait_until

SETTINGS = Settings(allow_networks=["127.0.0.0/8"], scan={"workers": 1})


def order(socket: Path, settings: Settings = SETTINGS) -> bytes:
    instruction = {"listen": f"unix:{socket}", "settings": engine_part(settings)}
    return json.dumps(instruction).encode() + b"\n"


@asynccontextmanager
async def engine(
    folder: Path, *, settings: Settings = SETTINGS, own_session: bool = False
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Any]]:
    """Run an engine; yield its process and a stub. It must end by itself with its input."""
    socket = folder / "engine"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "otpc_policy.engine"),
        stdin=-1,
        stdout=-1,
        env={},
        start_new_session=own_session,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(order(socket, settings))
        assert await process.stdout.readline() == b"ready\n"
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield process, rpc.MeasurementServiceStub(channel)  # type: ignore[no-untyped-call]
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        assert await process.stdout.read() == b""


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(one) for task in tasks for one in (task / "children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_it_asks_as_every_client_that_the_settings_name(tmp_path: Path) -> None:
    """Without the setting, a measurement asks as one recorded client."""
    authority = CertificateAuthority.create()
    offer = TlsOffer(certificates=(authority.issue(dns=("partner.test",)),))
    settings = Settings(
        allow_networks=["127.0.0.0/8"], client_profiles=["go", "java-17"], scan={"workers": 1}
    )
    with s_server(own_listener(), offer) as at:
        async with engine(tmp_path, settings=settings) as (_process, stub):
            call = stub.Measure()
            await call.write(start(address=at.address, port=at.port))
            message = await call.read()
    facts = decode_facts(
        message.final_report.facts,
        address=at.address,
        depth=Depth.STANDARD,
        probe_revision=message.probe_revision,
    )
    assert {"go", "java-17"} <= {step.offered for step in facts.trace}


async def test_a_real_server_is_measured_and_nothing_is_left_behind(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    offer = TlsOffer(certificates=(authority.issue(dns=("partner.test",)),))
    with s_server(own_listener(), offer) as at:
        async with engine(tmp_path) as (process, stub):
            workers = children(process.pid)
            assert len(workers) == 1
            call = stub.Measure()
            await call.write(start(address=at.address, port=at.port))
            message = await call.read()
    facts = decode_facts(
        message.final_report.facts,
        address=at.address,
        depth=Depth.STANDARD,
        probe_revision=message.probe_revision,
    )
    assert facts.reachable is Support.YES
    assert any(one.chain == offer.certificates[0].chain_der for one in facts.deployments)
    wait_until(lambda: not any(map(is_running, workers)))


async def test_it_has_no_environment_no_descriptors_and_a_socket_for_its_user_alone(
    tmp_path: Path,
) -> None:
    secret = os.memfd_create("secret of the front", 0)
    try:
        async with engine(tmp_path) as (process, _stub):
            worker = children(process.pid)[0]
            for pid in (process.pid, worker):
                proc = Path(f"/proc/{pid}")
                # What Python sets by itself where there is no locale (PEP 538).
                assert proc.joinpath("environ").read_bytes() in (b"", b"LC_CTYPE=C.UTF-8\0")
                opened = [os.readlink(one) for one in proc.joinpath("fd").iterdir()]
                assert not [one for one in opened if "secret" in one]
            mode = (tmp_path / "engine").stat().st_mode & 0o777
    finally:
        os.close(secret)
    assert mode == 0o600


def test_a_start_that_fails_for_its_settings_says_so_in_a_line(tmp_path: Path) -> None:
    command = (sys.executable, "-P", "-m", "otpc_policy.engine")
    nowhere = order(tmp_path / ("x" * 108))
    done = subprocess.run(command, input=nowhere, capture_output=True, check=False, env={})
    assert (done.returncode, done.stdout) == (2, b"")
    (line,) = done.stderr.splitlines()
    (problem,) = json.loads(line)["problems"]
    assert "107 bytes at most" in problem


def test_it_imports_neither_rules_nor_the_settings_model() -> None:
    """That would cost its start and its memory, and it is none of its business."""
    program = (
        "import sys, otpc_policy.engine.__main__\n"
        "own = [m for m in sys.modules if m.startswith('otpc_policy.')]\n"
        "print([m for m in own if m.split('.')[1] in "
        "('policy', 'pki', 'partners', 'check', 'server', 'service', 'settings', 'cli', 'wire')])\n"
        "print([m for m in ('pydantic', 'sslyze', 'nassl', 'typer') if m in sys.modules])\n"
    )
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "[]"]


_PARENT = """
import subprocess, sys, time
engine = subprocess.Popen([sys.executable, "-P", "-m", "otpc_policy.engine"],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={{}})
engine.stdin.write({order!r})
engine.stdin.flush()
engine.stdout.readline()
print(engine.pid, flush=True)
time.sleep(60)
"""


def test_a_stopped_engine_dies_with_its_front_and_its_workers_with_it(tmp_path: Path) -> None:
    program = _PARENT.format(order=order(tmp_path / "engine"))
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as front:
        assert front.stdout is not None
        pid = int(front.stdout.readline())
        workers = children(pid)
        assert workers
        os.kill(pid, signal.SIGSTOP)
        os.kill(workers[0], signal.SIGSTOP)
        front.kill()
    wait_until(lambda: not any(map(is_running, [pid, *workers])))


async def test_state_and_addresses(tmp_path: Path) -> None:
    async with engine(tmp_path) as (_process, stub):
        async for state in stub.WatchStatus(pb.WatchStatusRequest()):
            assert (state.workers_alive, state.concurrent_scans) == (1, 32)
            break
        found = await stub.Resolve(pb.ResolveRequest(host="127.0.0.1"))
        assert list(found.addresses) == ["127.0.0.1"]
        forbidden = await stub.Resolve(pb.ResolveRequest(host="10.0.0.1"))
        assert forbidden.status == pb.RESOLUTION_STATUS_FORBIDDEN


AUTOGROUP = Path("/proc/self/autogroup")


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="the kernel has no groups by session")
async def test_its_session_gives_way_to_others(tmp_path: Path) -> None:
    before = AUTOGROUP.read_text()
    async with engine(tmp_path, own_session=True) as (process, _):
        for pid in (process.pid, *children(process.pid)):
            group = Path(f"/proc/{pid}/autogroup").read_text()
            name, _, niceness = group.strip().partition(" ")
            assert niceness == "nice 10"
            # Empty for processes of the first session, which is in no group.
            assert not before.startswith(f"{name} ")
    assert AUTOGROUP.read_text() == before


async def test_it_leaves_the_session_of_another_as_it_is(tmp_path: Path) -> None:
    async with engine(tmp_path) as (process, _):
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 10
        if AUTOGROUP.exists():
            assert Path(f"/proc/{process.pid}/autogroup").read_text() == AUTOGROUP.read_text()
