"""otpc-policy probe: finds the operations port of either role, and says what it answers."""

import subprocess
import sys
from pathlib import Path

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.cli.probe import DEFAULT_ADDRESS, watched_address
from otpc_policy.cli.status import CommandFailed, ExitStatus
from tests.cli.running import Run
from tests.support.loopback import free_port

PROGRAM = ("python", "/opt/otpc-policy/bin/otpc-policy")


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        ("serve", {}, DEFAULT_ADDRESS),
        ("serve --ops-listen 0.0.0.0:1", {"OTPC_POLICY_OPS_LISTEN": "x:2"}, "0.0.0.0:1"),
        ("serve --ops-listen=[::]:1", {}, "[::]:1"),
        ("serve", {"OTPC_POLICY_OPS_LISTEN": "0.0.0.0:2"}, "0.0.0.0:2"),
        ("serve --config FILE", {"OTPC_POLICY_OPS_LISTEN": "0.0.0.0:2"}, "0.0.0.0:2"),
        ("serve --config FILE", {}, "0.0.0.0:3"),
        ("serve --config=FILE", {}, "0.0.0.0:3"),
        ("serve", {"OTPC_POLICY_CONFIG": "FILE"}, "0.0.0.0:3"),
        ("engine --listen x:9 --ops-listen 0.0.0.0:4 --config FILE", {}, "0.0.0.0:4"),
    ],
)
def test_the_port_is_where_the_program_was_told(
    arguments: str, environment: dict[str, str], expected: str, tmp_path: Path
) -> None:
    file = tmp_path / "service.toml"
    file.write_text('ops_listen = "0.0.0.0:3"\n')
    given = arguments.replace("FILE", str(file)).split()
    variables = {name: text.replace("FILE", str(file)) for name, text in environment.items()}
    assert watched_address([*PROGRAM, *given], variables) == expected


def test_the_default_is_that_of_the_setting(tmp_path: Path) -> None:
    assert Settings().ops_listen == DEFAULT_ADDRESS
    file = tmp_path / "service.toml"
    file.write_text("cache_entries = 5\n")
    assert watched_address(["serve", "--config", str(file)], {}) == DEFAULT_ADDRESS


@pytest.mark.parametrize("arguments", ["engine --listen unix:/x", "serve --config /nowhere.toml"])
def test_without_a_port_it_says_what_is_missing(arguments: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        watched_address(arguments.split(), {})
    assert failed.value.status is ExitStatus.USAGE
    assert str(failed.value)


def test_a_program_that_does_not_answer_is_not_well(run: Run) -> None:
    address = f"127.0.0.1:{free_port('127.0.0.1')}"
    done = run("probe", "--ops", address)
    assert (done.status, done.stdout) == (1, "")
    assert address in done.stderr
    assert run("probe", "--ops", "nowhere").status == ExitStatus.USAGE


def test_an_engine_is_asked_like_a_service(run: Run, tmp_path: Path) -> None:
    port = free_port("127.0.0.1")
    options = ("--listen", f"unix:{tmp_path}/engine", "--ops-listen", f"0.0.0.0:{port}")
    with subprocess.Popen(
        [sys.executable, "-m", "otpc_policy", "engine", *options], stdout=subprocess.PIPE
    ) as engine:
        assert engine.stdout is not None
        assert engine.stdout.readline()
        for page in ("livez", "readyz", "startupz"):
            done = run("probe", page, "--ops", f"0.0.0.0:{port}")
            assert (done.status, done.stdout) == (0, "ok\n"), done.stderr
        engine.terminate()
        assert engine.wait(30) == 0
