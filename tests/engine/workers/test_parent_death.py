"""A worker never outlives the process that started it, not even one that a signal has stopped."""

import os
import signal
import socket
import subprocess
import sys
import time

from otpc_policy.engine.workers.template_process import PROGRAM

_PARENT = """
import asyncio
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.workers.pool import WorkerPool

async def main():
    pool = WorkerPool(ScanLimits(workers=1))
    await pool.start()
    print(pool.template_pid, *pool.worker_pids, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # Whoever adopts it may be slow to reap it.
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_stopped_worker_and_its_template_die_with_their_parent() -> None:
    command = [sys.executable, "-c", _PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
    assert len(pids) == 2
    give_up_at = time.monotonic() + 10
    while any(map(_is_running, pids)):
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_template_whose_scanner_ends_meanwhile_ends_without_a_word() -> None:
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        template = subprocess.Popen(
            [sys.executable, *PROGRAM, "prefer"],
            stdin=theirs.fileno(),
            stdout=-1,
            stderr=-1,
            env={},
        )
    control.close()
    assert template.communicate(timeout=30) == (b"", b"")
    assert template.returncode == 0
