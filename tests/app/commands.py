"""The commands serve and engine as processes, as an operator runs them: pages, signals, logs."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

SERVE = (
    'listen = "127.0.0.1:0"',
    'ops_listen = "127.0.0.1:0"',
    'allow_networks = ["127.0.0.0/8"]',
    "drain_delay_s = 0",
    "engines = 1",
)


@dataclass(frozen=True)
class Command:
    """A running command. announced: its line on standard output."""

    process: "subprocess.Popen[str]"
    config: Path
    errors: Path
    announced: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def lines(self, event: str = "", **fields: Any) -> list[dict[str, Any]]:
        """Return the log lines with this event and these fields; all are JSON objects."""
        whole = self.errors.read_text(encoding="utf-8").rpartition("\n")[0]
        found: list[dict[str, Any]] = [json.loads(line) for line in whole.splitlines()]
        return [
            line
            for line in found
            if event in ("", line["event"]) and fields.items() <= line.items()
        ]

    def wait_for(self, event: str, **fields: Any) -> dict[str, Any]:
        """Return the first such line as soon as there is one."""
        wait_until(lambda: bool(self.lines(event, **fields)))
        return self.lines(event, **fields)[0]

    def configure(self, *lines: str) -> None:
        """Replace the configuration file, as editors and Kubernetes do."""
        other = self.config.with_suffix(".new")
        other.write_text("\n".join((*lines, "")), encoding="utf-8")
        other.replace(self.config)


@contextmanager
def command(folder: Path, *arguments: str, config: tuple[str, ...] = SERVE) -> Iterator[Command]:
    """Run otpc-policy with a configuration file until the context ends; it must end well."""
    path, errors = folder / "service.toml", folder / "errors"
    path.write_text("\n".join((*config, "")), encoding="utf-8")
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTPC_POLICY_")
    }
    with errors.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "otpc_policy", *arguments, "--config", str(path)],
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env=environment,
        )
    with process:
        try:
            assert process.stdout is not None
            announced = process.stdout.readline()
            assert announced, errors.read_text(encoding="utf-8")
            yield Command(process, path, errors, announced)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, errors.read_text(encoding="utf-8")
        finally:
            process.kill()


def ops_address(serving: Command) -> str:
    """Return where the pages of serve are."""
    found = re.search(r"http://(\S+)/metrics", serving.announced)
    assert found
    return found[1]


def page(address: str, path: str) -> tuple[int, str]:
    """Return status and body."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()
