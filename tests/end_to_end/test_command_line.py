"""The same verdicts from the command line, measured without a service, and its exit status.

Most runs are in this process: to start Python and to import everything takes longer than a check.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import json_format

from otpc_policy.v1 import policy_pb2 as pb
from tests.cli.running import runner
from tests.end_to_end import certificate_cases, protocol_cases
from tests.end_to_end.case import ANCHOR, Case, codes, decision_of, on_nginx
from tests.end_to_end.protocol_cases import offering
from tests.end_to_end.running import Service
from tests.end_to_end.world import World

EXIT_STATUS = {"ALLOW": 0, "DENY": 1, "INDETERMINATE": 3}
CASES = [*protocol_cases.CASES, *certificate_cases.CASES]


def command(
    *arguments: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the command in a directory without settings."""
    return subprocess.run(
        [sys.executable, "-m", "otpc_policy", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **(environment or {})},
    )


def response_of(done: "subprocess.CompletedProcess[str]") -> pb.CheckEndpointResponse:
    assert done.returncode in EXIT_STATUS.values(), done.stderr
    return json_format.Parse(done.stdout, pb.CheckEndpointResponse())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_check_judges_as_the_service_does(
    case: Case,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    partner = case.partner(world)
    trust = (
        ("--trust-pin", world.pinned_leaf.sha256)
        if case.pinned
        else ("--trust-anchor", str(world.anchor_file))
    )
    run = runner(monkeypatch, capsys)
    with case.serve(world, partner.listener(), partner.name) as at:
        policy = ("--policy", case.policy) if case.policy else ()
        done = run(
            "check",
            at,
            "--server-name",
            partner.name,
            "--allow-network",
            "127.0.0.0/8",
            *trust,
            *policy,
            "--format",
            "json",
        )
    assert done.status == EXIT_STATUS[case.decision], done.stderr
    case.hold(json_format.Parse(done.stdout, pb.CheckEndpointResponse()))


def test_check_asks_a_running_service(world: World, service: Service) -> None:
    case = Case(rule="", serve=on_nginx(offering()), advises=codes(ANCHOR))
    partner = world.partner()
    with case.serve(world, partner.listener(), partner.name) as at:
        done = command(
            "check", f"{partner.name}:{at.port}", "--server", service.address, "--format", "json"
        )
    case.hold(response_of(done))
    assert done.returncode == 0


def test_check_without_permission_dials_no_private_address(world: World) -> None:
    listener = world.partner().listener()
    done = command("check", str(listener), "--format", "json")
    response = response_of(done)
    assert (decision_of(response), done.returncode) == ("DENY", 1)
    (finding,) = response.findings
    assert (finding.code, finding.address) == ("TARGET_ADDRESS_FORBIDDEN", listener.address)


def test_check_from_here_shows_the_address_that_may_not_be_dialled() -> None:
    done = command("check", "localhost", "--format", "json")
    response = response_of(done)
    assert (decision_of(response), done.returncode) == ("DENY", 1)
    assert {finding.address for finding in response.findings} <= {"127.0.0.1", "::1"}
    assert all(finding.address for finding in response.findings)


def test_a_refused_connection_exits_with_3(world: World) -> None:
    done = command(
        "check",
        str(world.partner().listener()),
        "--allow-network",
        "127.0.0.0/8",
        "--format",
        "json",
    )
    assert (decision_of(response_of(done)), done.returncode) == ("INDETERMINATE", 3)


def test_validate_judges_a_chain_without_a_connection(world: World, tmp_path: Path) -> None:
    chain, _key = world.leaf("p0.partner.test").write(tmp_path, "leaf")
    anchored = command(
        "validate",
        str(chain),
        "--name",
        "p0.partner.test",
        "--anchor",
        str(world.anchor_file),
        "--format",
        "json",
    )
    unknown = command("validate", str(chain), "--name", "p0.partner.test", "--format", "json")
    assert (anchored.returncode, unknown.returncode) == (0, 1), anchored.stderr + unknown.stderr
    assert (
        json_format.Parse(unknown.stdout, pb.ValidateCertificateResponse()).findings[0].code
        == "CERTIFICATE_UNTRUSTED"
    )
