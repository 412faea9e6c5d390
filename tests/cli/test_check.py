"""otpc-policy check, against real servers, with the engine of the process and with a running
service.
"""

import socket
import ssl
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse

from otpc_policy.v1 import policy_pb2 as pb
from tests.cli.conftest import Stage
from tests.cli.running import Run

LOOPBACK = ("--allow-network", "127.0.0.0/8")


def test_a_compliant_partner_under_a_given_anchor_is_allowed(run: Run, stage: Stage) -> None:
    partner = stage.partners["compliant"]
    done = run(
        "check",
        stage.endpoint("compliant"),
        *LOOPBACK,
        "--server-name",
        partner.part.host,
        "--trust-anchor",
        stage.anchor_file,
    )
    assert (done.status, done.codes) == (0, ["CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"])
    response = Parse(done.stdout, pb.CheckEndpointResponse())
    assert list(response.judged_addresses) == [partner.address]
    accepted = {
        fact.openssl_name
        for fact in response.observation.addresses[0].cipher_suites
        if fact.support == pb.SUPPORT_YES
    }
    assert {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256"} <= accepted


def test_an_anchor_of_the_command_line_speaks_for_the_checked_host_only(
    run: Run, stage: Stage
) -> None:
    done = run("check", stage.endpoint("compliant"), *LOOPBACK, "--trust-anchor", stage.anchor_file)
    assert done.status == 1
    assert "CERTIFICATE_NAME_MISMATCH" in done.codes


def test_a_table_says_the_verdict_and_the_reason(run: Run, stage: Stage) -> None:
    host = stage.partners["weak"].part.host
    done = run(
        "check",
        stage.endpoint("weak"),
        *LOOPBACK,
        "--server-name",
        host,
        "--trust-anchor",
        stage.anchor_file,
        "--format",
        "table",
    )
    assert done.status == 1
    for part in (
        "DENY",
        stage.endpoint("weak"),
        "otpc-2024-12",
        "TLS_VERSION_BELOW_MINIMUM",
        "CIPHER_SUITE_NONE_REQUIRED",
        "offered: TLS 1.2, TLS 1.1, TLS 1.0",
        "ssl_ciphers",
    ):
        assert part in done.stdout
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize("form", ["digits", "colons", "pem", "der"])
def test_a_pin_allows_exactly_that_certificate(
    run: Run, stage: Stage, tmp_path: Path, form: str
) -> None:
    partner = stage.partners["self-signed-trusted"]
    pem = ssl.get_server_certificate((partner.address, partner.port))
    (tmp_path / "leaf.pem").write_text(pem)
    (tmp_path / "leaf.der").write_bytes(ssl.PEM_cert_to_DER_cert(pem))
    colons = ":".join(partner.pin[index : index + 2] for index in range(0, 64, 2)).upper()
    pin = {
        "digits": partner.pin,
        "colons": colons,
        "pem": tmp_path / "leaf.pem",
        "der": tmp_path / "leaf.der",
    }[form]
    done = run(
        "check",
        stage.endpoint("self-signed-trusted"),
        *LOOPBACK,
        "--server-name",
        partner.part.host,
        "--trust-pin",
        pin,
    )
    assert (done.status, done.codes) == (0, ["CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"])


def test_loopback_stays_forbidden_unless_it_is_opened(run: Run, stage: Stage) -> None:
    done = run("check", stage.endpoint("compliant"))
    assert (done.status, done.codes) == (1, ["TARGET_ADDRESS_FORBIDDEN"])


def test_a_refused_connection_is_indeterminate(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = run("check", f"127.0.0.1:{port}", *LOOPBACK)
    assert (done.status, done.codes) == (3, ["TARGET_UNREACHABLE"])


def test_a_seed_is_shown_and_repeats_a_measurement(run: Run, stage: Stage) -> None:
    endpoint, seed = stage.endpoint("compliant"), "00112233445566778899aabbccddeeff"
    first, again = (run("check", endpoint, *LOOPBACK, "--seed", seed) for _ in range(2))
    observed = [
        Parse(one.stdout, pb.CheckEndpointResponse()).observation.addresses[0]
        for one in (first, again)
    ]
    assert [one.seed for one in observed] == [seed, seed]
    offered = [sorted(step.offered for step in one.trace) for one in observed]
    assert offered[0] == offered[1]
    assert any("made up" in text for text in offered[0])


@pytest.mark.parametrize("seed", ["", "0123", "z" * 32, "0" * 33, "00112233-4455-6677"])
def test_what_is_no_seed_is_refused(run: Run, seed: str) -> None:
    done = run("check", "127.0.0.1:1", *LOOPBACK, "--seed", seed)
    assert done.status == 2
    assert "32 hexadecimal digits" in done.stderr


def test_an_answer_that_takes_too_long_is_indeterminate(run: Run, stage: Stage) -> None:
    done = run("check", stage.endpoint("compliant"), *LOOPBACK, "--timeout", "0.001")
    assert (done.status, done.codes) == (3, ["CHECK_IN_PROGRESS"])


def test_a_running_service_is_asked_with_the_same_answer(
    run: Run, stage: Stage, service: str
) -> None:
    partner = stage.partners["compliant"]
    done = run("check", f"https://{partner.part.host}:{partner.port}/otp", "--server", service)
    assert (done.status, done.codes) == (0, ["CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"])
    assert done.json["canonicalEndpoint"] == f"{partner.part.host}:{partner.port}"
    strict = run(
        "check",
        f"{partner.part.host}:{partner.port}",
        "--server",
        service,
        "--policy",
        "otpc-2024-12-strict",
    )
    assert strict.status == 1


def test_a_leaf_that_was_not_measured_is_not_allowed(run: Run, stage: Stage, service: str) -> None:
    partner = stage.partners["self-signed-trusted"]
    here = [
        stage.endpoint("self-signed-trusted"),
        *LOOPBACK,
        "--server-name",
        partner.part.host,
        "--trust-pin",
        partner.pin,
    ]
    there = [f"{partner.part.host}:{partner.port}", "--server", service]
    for where in (here, there):
        met = run("check", *where, "--observed-leaf", partner.pin)
        assert (met.status, met.codes) == (0, ["CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"])
        other = run("check", *where, "--observed-leaf", "ab" * 32)
        assert other.status == 3
        assert "OBSERVED_LEAF_NOT_JUDGED" in other.codes


def test_a_policy_that_does_not_exist_is_a_mistake_of_the_caller(
    run: Run, stage: Stage, service: str
) -> None:
    for where in (["--server", service], list(LOOPBACK)):
        done = run("check", stage.endpoint("compliant"), "--policy", "nonsense", *where)
        assert (done.status, done.stdout) == (2, "")
        assert "policy" in done.stderr


def test_a_service_that_cannot_be_reached_has_judged_nothing(run: Run) -> None:
    done = run("check", "pay.partner.test", "--server", "127.0.0.1:1", "--timeout", "5")
    assert (done.status, done.stdout) == (3, "")
    assert "nobody listens at 127.0.0.1:1" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "lesson"),
    [
        ([], "Missing argument"),
        (["http://pay.partner.test"], "no transport security"),
        (["pay.partner.test:99999"], "not a TCP port"),
        (["2001:db8::1"], "needs brackets"),
        (["pay.partner.test", "--server", "localhost"], "lacks the port"),
        (["pay.partner.test", "--server-ca", "ca.pem"], "needs --server"),
        (
            [
                "pay.partner.test",
                "--server",
                "localhost:1",
                "--server-ca",
                "ca.pem",
                "--dangerously-plaintext",
            ],
            "contradict each other",
        ),
        (
            ["pay.partner.test", "--server", "localhost:1", "--allow-network", "10.0.0.0/8"],
            "judges by its own configuration",
        ),
        (
            [
                "pay.partner.test",
                "--server",
                "localhost:1",
                "--trust-pin",
                "0" * 64,
                "--trust-anchor",
                "ca.pem",
            ],
            "--trust-anchor, --trust-pin",
        ),
        (["pay.partner.test", "--allow-network", "everything"], "must be a network"),
        (["pay.partner.test", "--trust-pin", "no-such-file"], "neither a file nor a SHA-256"),
        (["pay.partner.test", "--observed-leaf", "ab"], "neither a file nor a SHA-256"),
        (["pay.partner.test", "--trust-anchor", "no-such-file"], "No such file"),
        (
            ["pay.partner.test", "--server", "localhost:1", "--server-ca", "no-such-file"],
            "No such file",
        ),
        (["pay.partner.test", "--depth", "deepest"], "deepest"),
        (["pay.partner.test", "--timeout", "0"], "timeout"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_teaches(
    run: Run, arguments: list[str], lesson: str
) -> None:
    done = run("check", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert lesson in done.stderr
    assert "Traceback" not in done.stderr


def test_a_leaf_is_no_anchor(run: Run, stage: Stage, tmp_path: Path) -> None:
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(stage.authority.issue("pay.partner.test").certificate_pem)
    done = run("check", "pay.partner.test", "--trust-anchor", leaf)
    assert done.status == 2
    assert "not a CA certificate" in done.stderr


def test_a_partner_that_ended_its_certificate_is_denied_for_that(run: Run, stage: Stage) -> None:
    partner = stage.partners["expired"]
    done = run(
        "check",
        stage.endpoint("expired"),
        *LOOPBACK,
        "--server-name",
        partner.part.host,
        "--trust-anchor",
        stage.anchor_file,
    )
    assert done.status == 1
    assert "CERTIFICATE_EXPIRED" in done.codes
