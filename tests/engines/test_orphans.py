"""A service that is process 1 of its container takes the ends of what its engines leave behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

from otpc_policy.engines.orphans import reap_orphans


def start() -> int:
    """Start a process that ends at once, and wait until it is a zombie."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    process.returncode = 0  # nobody waits for it here
    return process.pid


def test_process_1_reaps_what_is_not_its_own_and_no_other_process_does() -> None:
    own, orphan = start(), start()
    try:
        reap_orphans({own})
        assert Path(f"/proc/{orphan}").exists()
        reap_orphans({own}, pid=1)
        assert not Path(f"/proc/{orphan}").exists()
    finally:
        assert os.waitpid(own, 0)[0] == own
