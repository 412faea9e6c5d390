"""Every rule reads what is exported; every alert has its texts, its runbook and its tests."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.monitoring.conftest import Monitored
from tests.monitoring.promql import Exported, faults, reads
from tests.monitoring.rules import PROMETHEUS, ROOT, RULE_TESTS, RULES
from tests.support.requirements import require

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("monitored")]

_OBJECTIVES = {"missed", "cached_slow", "indeterminate"}
_WINDOWS = ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]
_TEST = re.compile(r"^  - name: (?P<name>.*?)\n(?P<text>.*?)(?=^  - name: |\Z)", re.M | re.S)


@pytest.fixture(scope="module")
def rules(monitored: Monitored) -> list[dict[str, Any]]:
    return monitored.prometheus.rules()


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for rule in rules if rule["type"] == "alerting"]


def with_recorded(monitored: Monitored, rules: list[dict[str, Any]]) -> Exported:
    """Return what is exported and what is recorded from it."""
    recorded = {
        rule["name"]: {label: {""} for label in reads(rule["query"]).labels}
        for rule in rules
        if rule["type"] == "recording"
    }
    return {**monitored.exported, **recorded}


def test_every_alert_fires_and_stays_quiet_where_it_should() -> None:
    tested = subprocess.run(
        [require("promtool"), "test", "rules", *map(str, RULE_TESTS)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_the_example_of_a_configuration_is_one() -> None:
    checked = subprocess.run(
        [require("promtool"), "check", "config", str(PROMETHEUS / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(RULES)} rule files found" in checked.stdout


def test_every_alert_is_tested_both_ways(alerts: list[dict[str, Any]]) -> None:
    blocks = [
        (found["name"], found["text"])
        for path in RULE_TESTS
        for found in _TEST.finditer(path.read_text(encoding="utf-8"))
    ]
    for alert in alerts:
        name, severity = alert["name"], alert["labels"]["severity"]
        fires = f'labels: \'{{alertname="{name}", severity="{severity}"}}\''
        assert any(title.startswith(f"{name} ") and fires in text for title, text in blocks), alert
        quiet = [text for title, text in blocks if title.startswith(f"{name} stays quiet")]
        assert quiet, name
        assert not any("alertname=" in text.partition("exp_samples:")[2] for text in quiet), name


def test_every_rule_reads_what_is_exported(
    monitored: Monitored, rules: list[dict[str, Any]]
) -> None:
    there = with_recorded(monitored, rules)
    found = {rule["name"]: faults(rule["query"], there) for rule in rules}
    assert {name: each for name, each in found.items() if each} == {}


def test_every_rule_was_evaluated_without_an_error_and_nothing_fires_on_a_sound_service(
    monitored: Monitored,
) -> None:
    rules = monitored.prometheus.rules()
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] == "err"} == {}
    assert monitored.prometheus.firing() == set()


def test_every_alert_says_how_bad_it_is_what_it_is_and_where_its_runbook_is(
    alerts: list[dict[str, Any]],
) -> None:
    for alert in alerts:
        assert alert["labels"].keys() == {"severity"}, alert
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
        assert all(alert["annotations"].values())
        url = alert["annotations"]["runbook_url"]
        assert url == f"deploy/runbooks/{alert['name']}.md"
        assert (ROOT / url).is_file()


def test_objectives_are_recorded_over_the_same_windows_by_the_same_expressions(
    rules: list[dict[str, Any]],
) -> None:
    found: dict[tuple[str, str], dict[str, str]] = {}
    for rule in rules:
        if rule["type"] == "recording":
            _, name, kind = rule["name"].split(":")
            of = name.removeprefix("otpc_policy_")
            record, window = re.fullmatch("(rate|ratio)(.*)", kind).groups()  # type: ignore[union-attr]
            # Window by window the same, but for the window.
            text = re.sub(rf"\[{window}\]|(?<=rate){window}\b", "", rule["query"])
            found.setdefault((of, record), {})[window] = text
    assert found.keys() == {(of, record) for of in _OBJECTIVES for record in ("rate", "ratio")}
    for texts in found.values():
        assert list(texts) == _WINDOWS
        assert len(set(texts.values())) == 1


def test_burn_rates_have_a_long_and_a_short_window(alerts: list[dict[str, Any]]) -> None:
    pairs = {"critical": "1h 5m 6h 30m 6h", "warning": "1d 2h 3d 6h 3d"}
    of_objectives = [alert for alert in alerts if "job:otpc_policy_" in alert["query"]]
    assert len(of_objectives) == 2 * len(_OBJECTIVES)
    for alert in of_objectives:
        windows = re.findall(r"\w+:(?:ratio|rate)(\w+)", alert["query"])
        assert " ".join(windows) == pairs[alert["labels"]["severity"]], alert


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_a_file_of_rules_is_plain_and_its_own(path: Path) -> None:
    """Whatever deploys them, a Helm chart among others, copies them as they are."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith(("#", " "))] == ["groups:"]
