"""otpc-policy serve as a process, for commands that ask it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(config: Path) -> Iterator[int]:
    """Run a service with a configuration file; yield its port on loopback."""
    command = [sys.executable, "-m", "otpc_policy", "serve", "--config", str(config)]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTPC_POLICY_")
    }
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as service:
        try:
            assert service.stdout is not None
            ready = re.search(r"serving on 127\.0\.0\.1:([0-9]+)", service.stdout.readline())
            assert ready
            yield int(ready[1])
        finally:
            service.terminate()
        assert service.wait(30) == 0


def configuration(folder: Path, *lines: str) -> Path:
    """Write a configuration for loopback, with further lines of TOML."""
    path = folder / "service.toml"
    first = ('listen = "127.0.0.1:0"', 'ops_listen = "127.0.0.1:0"', "drain_delay_s = 0")
    path.write_text("\n".join((*first, "engines = 1", *lines, "")))
    return path
