"""A real Prometheus that scrapes what a test runs, asked over its HTTP API."""

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.loopback import Listener, own_listener
from tests.support.requirements import require
from tests.support.servers.program import program
from tests.support.waiting import wait_until

_INTERVAL = "200ms"
_DURATION = re.compile(r"(?<=\[)(?P<window>[0-9]+[smhd])(?=\])|(?<=for: )(?P<hold>[0-9]+[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
# A rate needs two samples.
_SHORTEST_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    listener: Listener

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of /api/v1; fail with what Prometheus has against it."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"http://{self.listener}/api/v1/{path}?{query}") as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None

    def is_ready(self) -> bool:
        """Tell whether it has read what it had stored, and answers."""
        try:
            with urllib.request.urlopen(f"http://{self.listener}/-/ready"):
                return True
        except urllib.error.HTTPError:
            return False

    def value(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and values of an instant query."""
        found = self.ask("query", query=query)["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def rules(self) -> list[dict[str, Any]]:
        """Return every rule as Prometheus has read it."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[tuple[str, str]]:
        """Return the names and severities of the alerts that fire now."""
        return {
            (alert["labels"]["alertname"], alert["labels"]["severity"])
            for alert in self.ask("alerts")["alerts"]
            if alert["state"] == "firing"
        }


@contextmanager
def prometheus(
    targets: Mapping[str, Sequence[str]],
    rules: Mapping[str, str],
    *,
    interval: str = _INTERVAL,
) -> Iterator[Prometheus]:
    """Run a Prometheus that has scraped every target once.

    targets: "host:port" by the name of the job. rules: text of each file, by its name.
    """
    binary = require("prometheus")
    listener = own_listener()

    def command(folder: Path) -> list[str]:
        for name, text in rules.items():
            (folder / name).write_text(text, encoding="utf-8")
        configuration = {
            "global": {"scrape_interval": interval, "evaluation_interval": interval},
            "rule_files": sorted(rules),
            "scrape_configs": [
                {
                    "job_name": job,
                    "scrape_timeout": interval,
                    "static_configs": [{"targets": list(addresses)}],
                }
                for job, addresses in targets.items()
            ],
        }
        file = folder / "prometheus.yml"
        # YAML knows JSON.
        file.write_text(json.dumps(configuration), encoding="utf-8")
        return [
            binary,
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={listener}",
            "--enable-feature=exemplar-storage",
        ]

    with program(listener, command):
        running = Prometheus(listener)
        wait_until(running.is_ready, 30)
        expected = sum(map(len, targets.values()))
        wait_until(lambda: len(running.value("up == 1")) == expected, 30)
        yield running


def scaled(rules: str, times: float) -> str:
    """Return rules in which time passes so many times faster: windows and what alerts wait for."""

    def shorter(found: re.Match[str]) -> str:
        text = found["window"] or found["hold"]
        seconds = int(text[:-1]) * _SECONDS[text[-1]] / times
        return f"{int(1_000 * max(seconds, _SHORTEST_WINDOW_S))}ms"

    return _DURATION.sub(shorter, rules)
