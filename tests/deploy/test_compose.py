"""The compose file is valid, exposes nothing beyond this machine, and starts what exists."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from otpc_policy.app.settings import Settings
from tests.deploy.rendering import ROOT
from tests.support.requirements import require

FOLDER = ROOT / "deploy/compose"
OURS = ("otpc-policy", "demo")


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    )["services"]
    return found


def test_the_compose_specification_accepts_it() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run(
        [*command, str(FOLDER / "compose.yaml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ports_are_published_on_loopback_alone() -> None:
    for name, service in services().items():
        for port in service["ports"]:
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), name
    published = [port for service in services().values() for port in service["ports"]]
    assert len({port.split(":")[1] for port in published}) == len(published)


@pytest.mark.parametrize("name", OURS)
def test_our_containers_are_confined_and_have_time_to_drain(name: str) -> None:
    service, defaults = services()[name], Settings()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    grace_s = float(service["stop_grace_period"].removesuffix("s"))
    assert grace_s >= defaults.drain_delay_s + defaults.drain_grace_s + 3


@pytest.mark.parametrize("name", OURS)
def test_its_commands_are_those_of_the_program(name: str) -> None:
    command, *options = services()[name]["command"]
    probe = services()[name]["healthcheck"]["test"]
    assert probe == ["CMD", "otpc-policy", "probe", "readyz"]
    for words in ([command, *options], ["probe", "readyz"]):
        done = subprocess.run(
            [sys.executable, "-m", "otpc_policy", *words, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in done.stdout


def test_what_is_mounted_is_there() -> None:
    # Written in other changes; Docker makes an empty folder of what is missing.
    may_be_missing = {"rules", "dashboards"}
    for service in services().values():
        for volume in service.get("volumes", ()):
            source, _, mode = volume.split(":")
            assert mode == "ro"
            path = (FOLDER / source).resolve()
            assert path.exists() or path.name in may_be_missing, source


def test_prometheus_scrapes_the_services_that_there_are() -> None:
    text = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    promtool = require("promtool")
    done = subprocess.run(
        [promtool, "check", "config", "--syntax-only", str(FOLDER / "prometheus.yml")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for job in yaml.safe_load(text)["scrape_configs"]:
        for found in job.get("static_configs", ()):
            assert {each.partition(":")[0] for each in found["targets"]} <= set(services())
        for found in job.get("dns_sd_configs", ()):
            assert set(found["names"]) <= set(services())
        assert "otpc-policy" in job["job_name"], json.dumps(job)
