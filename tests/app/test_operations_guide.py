"""docs/operations.md names only what there is: tests, settings, metrics, events."""

import re
import subprocess
import sys
from pathlib import Path

from otpc_policy.app.application import build_application
from otpc_policy.app.settings import Settings, describe_settings
from otpc_policy.ops.metrics.fleet import FleetMetrics
from otpc_policy.policy.registry import finding_codes

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SOURCES = "\n".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "otpc_policy").rglob("*.py")
)


def test_each_line_of_what_breaks_names_a_test_that_can_be_collected() -> None:
    table = GUIDE.split("## What breaks when X is down")[1]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 18
    named: set[str] = set()
    for row in rows:
        tests = re.findall(r"`(tests/[^`]+::[^`]+)`", row.rpartition(" | ")[2])
        assert tests, row
        named.update(tests)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, *sorted(named)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


async def test_metrics_that_it_names_are_exported() -> None:
    registry = build_application(Settings()).registry
    FleetMetrics(registry)
    families = {family.name for family in registry.collect()}
    for name in set(re.findall(r"`(otpc_policy_\w+)", GUIDE)):
        assert name.removesuffix("_total") in families, name


def test_settings_that_it_names_exist() -> None:
    keys = {setting.key for setting in describe_settings()}
    tables = {key.partition(".")[0] for key in keys if "." in key}
    named = {
        name
        for name in re.findall(r"`([a-z]+\.[a-z_]+)(?: = [^`]*)?`", GUIDE)
        if name.partition(".")[0] in tables
    }
    assert named
    assert named <= keys


def test_events_and_codes_that_it_names_are_in_the_code() -> None:
    events = set(re.findall(r"`((?:[a-z]+_)+[a-z]+)`", GUIDE))
    keys = {setting.key.rpartition(".")[2] for setting in describe_settings()}
    for event in events - keys:
        if not event.startswith("otpc_policy"):
            assert f'"{event}"' in SOURCES or f"{event}" in keys, event
    for code in set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", GUIDE)):
        is_status = code in {"RESOURCE_EXHAUSTED", "OTPC_POLICY_LOG_LEVEL"}
        assert is_status or code in finding_codes(), code
