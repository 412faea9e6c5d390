"""The program starts with what the chart renders: its own --check, for every file of values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.mounting import ENGINE_HOST, ENGINES_ELSEWHERE, Cluster
from tests.deploy.rendering import ROOT, VALUES, resources
from tests.support.loopback import free_port

pytestmark = pytest.mark.long


def program(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "otpc_policy", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "OTPC_POLICY" not in name},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def front_configuration(cluster: Cluster, values: str) -> Path:
    if values == "all-in-one":
        return cluster.configuration("front")
    # Nobody answers there, which does not keep a front from starting.
    here = f"localhost:{free_port('127.0.0.1')}"
    elsewhere = {f"{ENGINES_ELSEWHERE}:50052": here} if values == "regions" else {}
    return cluster.configuration("front", **{f"{ENGINE_HOST}:50052": here, **elsewhere})


@pytest.mark.parametrize("values", VALUES)
def test_a_front_would_start(values: str, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, resources(values))
    done = program("serve", "--check", "--config", str(front_configuration(cluster, values)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok: the service would start" in done.stdout
    # Nothing is set in vain.
    assert "has no effect" not in done.stdout


@pytest.mark.parametrize("values", VALUES)
def test_its_documents_are_without_fault(values: str, tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, resources(values))
    done = program("policy", "lint", "--config", str(front_configuration(cluster, values)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_setting_that_does_not_exist_would_be_found(tmp_path: Path) -> None:
    found = resources("all-in-one", "--set", "front.settings.drain_dealy_s=3")
    cluster = Cluster(tmp_path, found)
    done = program("serve", "--check", "--config", str(cluster.configuration("front")))
    assert done.returncode == 2
    assert "drain_dealy_s" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("--set", "fleet.mode=cluster"),
        (
            *("--set", "fleet.mode=sentinel,fleet.primaryName=otpc,fleet.sentinelUser=watcher"),
            *("--set", "fleet.sentinelPassword.existingSecret=otpc-policy-sentinels"),
            *("--set-json", "fleet.ports=[6379,26379]"),
        ),
    ],
    ids=["cluster", "sentinel"],
)
def test_a_front_would_start_with_a_store_of_several_servers(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    urls = 'fleet.urls=["rediss://a.data.example:26379","rediss://b.data.example:26379"]'
    servers = ("--set", "fleet.url=", "--set-json", urls)
    cluster = Cluster(tmp_path, resources("regions", *servers, *options))
    done = program("serve", "--check", "--config", str(front_configuration(cluster, "regions")))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "has no effect" not in done.stdout
