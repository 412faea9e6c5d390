"""The service as a process of its own, and every process that it has started."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import pytest

from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.support.waiting import wait_until

_PROGRAM = """
import asyncio
from otpc_policy.app.serving import serve
from otpc_policy.app.settings import Settings
asyncio.run(serve(Settings(), ready=lambda *both: print(*both, flush=True)))
"""


class ServiceProcess:
    """A running service. address, ops_address: where it answers."""

    def __init__(self, process: "subprocess.Popen[str]", errors: Path) -> None:
        self.process = process
        self._errors = errors
        self._is_killed = False
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) != 2:
            process.kill()
            pytest.fail(f"the service did not start: {errors.read_text(encoding='utf-8')}")
        self.address, self.ops_address = words
        self.channel = grpc.insecure_channel(self.address)
        self.checks = rpc.PolicyCheckServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated without annotations

    def kill(self) -> None:
        """End it as a crash does. Its engines notice, and end too."""
        self._is_killed = True
        self.process.kill()

    def metric(self, series: str) -> float:
        with urllib.request.urlopen(f"http://{self.ops_address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(
            next(line for line in lines if line.startswith(series + " ")).rpartition(" ")[2]
        )

    @property
    def has_ended_well(self) -> bool:
        """It has ended by itself, or a test has killed it."""
        return self._is_killed or self.process.returncode == 0

    def log_lines(self) -> list[dict[str, object]]:
        lines: list[dict[str, object]] = [
            json.loads(line) for line in self._errors.read_text(encoding="utf-8").splitlines()
        ]
        return lines

    def engines(self) -> list[Path]:
        """Return the running engines, by their folders in /proc."""
        return _children(Path("/proc") / str(self.process.pid))

    def family(self) -> list[Path]:
        """Return the engines, the templates of their workers, and the workers."""
        return descendants(Path("/proc") / str(self.process.pid))


def descendants(process: Path) -> list[Path]:
    """Return every process that this one has started, and those that they have started."""
    found: list[Path] = []
    generation = _children(process)
    while generation:
        found += generation
        generation = [child for parent in generation for child in _children(parent)]
    return found


def _children(process: Path) -> list[Path]:
    found: list[Path] = []
    with suppress(OSError):  # it may end meanwhile
        for task in (process / "task").iterdir():
            found += [Path("/proc") / pid for pid in (task / "children").read_text().split()]
    return found


@contextmanager
def service_process(folder: Path, **variables: str) -> Iterator[ServiceProcess]:
    """Run the service while the context lasts; it must end well, and leave no process behind.

    folder: for its files. variables: of its environment, with settings.
    """
    config = folder / "service.toml"
    config.write_text(
        'listen = "127.0.0.1:0"\nops_listen = "127.0.0.1:0"\nallow_networks = ["127.0.0.0/8"]\n',
        encoding="utf-8",
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTPC_POLICY_")
    }
    environment |= {"OTPC_POLICY_CONFIG": str(config), "OTPC_POLICY_DRAIN_DELAY_S": "0"}
    environment |= variables
    errors = folder / "errors"
    with errors.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env=environment,
        )
    with process:
        service = ServiceProcess(process, errors)
        family = service.family()
        try:
            yield service
        finally:
            family += service.family()
            service.channel.close()
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
        assert service.has_ended_well, errors.read_text(encoding="utf-8")
        wait_until(lambda: not [process for process in family if process.exists()])
