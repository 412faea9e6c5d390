"""Runbooks: one for each alert, in one form, with queries and commands that work."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from otpc_policy.cli.app import app
from tests.monitoring.conftest import Monitored
from tests.monitoring.promql import faults
from tests.monitoring.rules import RULES, RUNBOOKS, blocks

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("monitored")]

_ALERT = re.compile(r"^      - alert: (\w+)$", re.MULTILINE)
_SEVERITY = re.compile(r"- alert: (\w+)$.*?severity: (\w+)$", re.MULTILINE | re.DOTALL)
_ALERTS = sorted({name for path in RULES for name in _ALERT.findall(path.read_text("utf-8"))})
_SECTIONS = ["What it means", "Impact", "How to look", "What to do", "When it resolves"]
_COMMAND = re.compile(
    r"(?<![\w./-])otpc-policy ((?:policy|check|serve|admin|audit|explain)[^`\n;]*)"
)


def text_of(alert: str) -> str:
    return (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")


def test_every_runbook_is_of_an_alert_and_listed() -> None:
    assert sorted(path.stem for path in RUNBOOKS.glob("Otpc*.md")) == _ALERTS
    listed = re.findall(r"^- \[(\w+)\]\(\1\.md\)$", (RUNBOOKS / "README.md").read_text(), re.M)
    assert listed == _ALERTS


def test_every_alert_is_in_the_documentation_with_its_severities() -> None:
    severities: dict[str, list[str]] = {}
    for path in RULES:
        for name, severity in _SEVERITY.findall(path.read_text(encoding="utf-8")):
            severities.setdefault(name, []).append(severity)
    text = (RUNBOOKS.parents[1] / "docs" / "monitoring.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (OtpcPolicy\w+) \| ([\w, ]+) \|", text, re.MULTILINE))
    assert rows == {name: ", ".join(each) for name, each in severities.items()}


@pytest.mark.parametrize("alert", _ALERTS)
def test_a_runbook_has_its_form_and_its_links_lead_somewhere(alert: str) -> None:
    text = text_of(alert)
    assert text.startswith(f"# {alert}\n")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == _SECTIONS
    assert all(part.strip() for part in re.split(r"^## .*$", text, flags=re.MULTILINE)[1:])
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (RUNBOOKS / link).is_file(), link


@pytest.mark.parametrize("alert", _ALERTS)
def test_the_queries_of_a_runbook_can_be_asked_and_read_what_is_exported(
    monitored: Monitored, alert: str
) -> None:
    for query in blocks(text_of(alert), "promql"):
        assert faults(query, monitored.exported) == []
        monitored.prometheus.value(query)


@pytest.mark.parametrize("path", sorted(RUNBOOKS.glob("*.md")), ids=lambda path: path.stem)
def test_the_commands_of_a_runbook_exist_with_their_options(path: Path) -> None:
    # A line break within a command is one of the text.
    text = re.sub(r"\n(?!\n|```)", " ", path.read_text(encoding="utf-8"))
    for found in _COMMAND.findall(text):
        command: Any = typer.main.get_command(app)
        for word in shlex.split(found.rstrip(".,:")):
            # typer has a click of its own.
            if hasattr(command, "commands"):
                command = command.commands[word]
            elif word.startswith("--"):
                known = {option for each in command.params for option in each.opts}
                assert word in known, found
