"""The demo as a user starts it: every partner gets its verdict, through gRPC, and nothing is left
running.
"""

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from otpc_policy.cli.demo.cast import PARTS, Partner, TrustedBy
from otpc_policy.cli.demo.run import surprise
from otpc_policy.v1 import policy_pb2 as pb
from tests.support.loopback import free_port

pytestmark = pytest.mark.long

COMMAND = [sys.executable, "-m", "otpc_policy", "demo"]


def test_the_demo_gives_every_partner_its_verdict_and_exits_with_0() -> None:
    done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for part in PARTS:
        row = re.search(
            rf"^{part.name} +(ALLOW|DENY|INDETERMINATE) +([A-Z_]+)", done.stdout, re.MULTILINE
        )
        assert row, f"{part.name} is missing in\n{done.stdout}"
        assert row.groups() == (part.decision, part.code)


def test_the_demo_stays_up_on_request_and_answers_from_outside() -> None:
    with subprocess.Popen(
        [*COMMAND, "--keep-running"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        try:
            assert running.stdout is not None
            advice = next(line for line in running.stdout if "otpc-policy check compliant" in line)
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    *advice.strip().replace("otpc-policy", "otpc_policy", 1).split(),
                ],
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0
        finally:
            running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0


def test_the_demo_listens_where_others_reach_it_if_it_is_told_so() -> None:
    """As in a network of containers: the service is open, its partners stay on loopback."""
    port, ops_port = free_port("127.0.0.1"), free_port("127.0.0.1")
    opened = ("--listen", f"0.0.0.0:{port}", "--ops-listen", f"0.0.0.0:{ops_port}")
    refused = subprocess.run([*COMMAND, *opened], capture_output=True, timeout=60, check=False)
    assert refused.returncode == 2
    command = [*COMMAND, "--keep-running", *opened, "--dangerously-listen-without-tls"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            advice = next(line for line in running.stdout if "otpc-policy check compliant" in line)
            assert f"--server 127.0.0.1:{port}" in advice
            with urllib.request.urlopen(f"http://127.0.0.1:{ops_port}/metrics", timeout=5) as page:
                assert b"otpc_policy_" in page.read()
        finally:
            running.send_signal(signal.SIGTERM)
        assert running.wait(30) == 0


@pytest.mark.parametrize(
    ("decision", "code", "is_right"),
    [
        (pb.DECISION_ALLOW, "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR", True),
        (pb.DECISION_ALLOW, "CERTIFICATE_EXPIRES_SOON", False),
        (pb.DECISION_DENY, "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR", False),
        (pb.DECISION_UNSPECIFIED, "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR", False),
    ],
)
def test_the_right_verdict_for_the_wrong_reason_is_a_surprise(
    decision: pb.Decision.ValueType, code: str, is_right: bool
) -> None:
    partner = Partner(part=PARTS[0], address="127.0.0.11", port=1, pin="")
    response = pb.CheckEndpointResponse(
        decision=decision, findings=[pb.Finding(code=code, effect=pb.EFFECT_ADVISORY)]
    )
    assert (surprise(partner, response) == "") is is_right
    assert PARTS[0].trusted_by is TrustedBy.ANCHOR
