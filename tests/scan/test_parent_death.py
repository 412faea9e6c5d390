"""A worker never outlives the process that started it, not even one that a signal has stopped."""

import os
import signal
import subprocess
import sys
import time

_PARENT = """
import asyncio
from otpc_policy.scan.worker_process import WorkerProcess

async def main():
    worker = await WorkerProcess.start()
    print(worker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Whoever adopts it may be slow to reap it.
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def test_a_stopped_worker_dies_with_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, signal.SIGSTOP)
        parent.kill()
    give_up_at = time.monotonic() + 10
    while _is_running(pid):
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
