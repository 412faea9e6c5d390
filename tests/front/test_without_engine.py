"""What decides runs where nothing that measures is installed, and on a newer cryptography."""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.running import Service, running_service
from tests.end_to_end.world import World
from tests.support.engine_program import engine_program, mutual_tls
from tests.support.servers import TlsOffer, nginx
from tests.support.waiting import wait_until

# The interpreter of the environment in which the engine is installed.
ENGINE_PYTHON = os.environ["OTPC_ENGINE_PYTHON"]


@pytest.mark.parametrize("package", ["sslyze", "nassl", "aiodns", "pycares", "pqcrypto", "brotli"])
def test_nothing_that_measures_is_installed(package: str) -> None:
    assert find_spec(package) is None


def test_cryptography_is_newer_than_sslyze_allows() -> None:
    assert int(version("cryptography").partition(".")[0]) >= 48


def test_the_whole_application_can_be_imported() -> None:
    names = "otpc_policy.app.application, otpc_policy.app.serving, otpc_policy.cli.local"
    subprocess.run([sys.executable, "-W", "error", "-c", f"import {names}"], check=True)


@pytest.mark.parametrize(
    ("command", "remedy"),
    [
        (("serve",), "engine_addresses"),
        (("check", "127.0.0.1:8443"), "--server"),
        (("engine", "--listen", "unix:/nowhere"), "otpc-policy[engine]"),
    ],
)
def test_a_command_that_needs_the_engine_says_so_and_what_to_do(
    command: tuple[str, ...], remedy: str
) -> None:
    ports = dict.fromkeys(("OTPC_POLICY_LISTEN", "OTPC_POLICY_OPS_LISTEN"), "127.0.0.1:0")
    done = subprocess.run(
        [sys.executable, "-m", "otpc_policy", *command],
        env={**os.environ, **ports},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "the engine is not installed" in done.stderr
    assert remedy in done.stderr


def is_ready(service: Service) -> bool:
    address = f"http://{service.ops_address}/readyz"
    with (
        contextlib.suppress(urllib.error.HTTPError),
        urllib.request.urlopen(address, timeout=5) as answer,
    ):
        return bool(answer.status == 200)
    return False


def test_a_partner_is_judged_through_an_engine_of_another_environment(
    world: World, tmp_path: Path
) -> None:
    keys = mutual_tls(tmp_path)
    partner = world.partner()
    with (
        running_service(world.settings(**keys.settings)) as service,
        engine_program(*keys.options, python=ENGINE_PYTHON),
        nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at,
    ):
        wait_until(lambda: is_ready(service), 30)
        response = service.check(partner, at)
    assert decision_of(response) == "ALLOW", summary(response)
    assert len(response.observation.addresses[0].certificate_deployments) >= 2
