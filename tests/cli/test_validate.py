"""otpc-policy validate: chains from files and stdin, in this process and by a running service."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from tests.cli.conftest import Stage
from tests.cli.running import Run

HOST = "compliant.partner.test"


@pytest.fixture
def leaf(stage: Stage, tmp_path: Path) -> Path:
    path = tmp_path / "leaf.pem"
    path.write_bytes(stage.authority.issue(HOST).certificate_pem)
    return path


def test_a_chain_under_an_anchor_of_the_request_is_allowed(
    run: Run, stage: Stage, leaf: Path
) -> None:
    done = run("validate", leaf, "--name", HOST, "--anchor", stage.anchor_file)
    assert done.status == 0
    assert "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR" in done.codes
    assert done.json["certificates"][0]["subjectAltNames"] == [HOST]


def test_der_and_stdin_are_read_too(run: Run, stage: Stage, tmp_path: Path, leaf: Path) -> None:
    der = tmp_path / "leaf.der"
    der.write_bytes(
        stage.authority.issue(HOST).certificate.public_bytes(serialization.Encoding.DER)
    )
    assert run("validate", der, "--name", HOST, "--anchor", stage.anchor_file).status == 0
    assert (
        run(
            "validate", "-", "--name", HOST, "--anchor", stage.anchor_file, stdin=leaf.read_bytes()
        ).status
        == 0
    )


def test_without_a_name_nothing_is_allowed(run: Run, stage: Stage, leaf: Path) -> None:
    done = run("validate", leaf, "--anchor", stage.anchor_file)
    assert done.status == 3
    assert "CERTIFICATE_NAME_NOT_CHECKED" in done.codes


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("2001-01-01", "CERTIFICATE_NOT_YET_VALID"),
        ("2199-01-01T00:00:00+02:00", "CERTIFICATE_EXPIRED"),
    ],
)
def test_the_instant_of_judging_can_be_chosen(
    run: Run, stage: Stage, leaf: Path, at: str, code: str
) -> None:
    done = run("validate", leaf, "--name", HOST, "--anchor", stage.anchor_file, "--at", at)
    assert done.status == 1
    assert code in done.codes


def test_the_table_shows_verdict_and_certificate(run: Run, stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "old.pem"
    path.write_bytes(stage.authority.issue(HOST, ended=timedelta(days=3)).certificate_pem)
    done = run("validate", path, "--name", HOST, "--anchor", stage.anchor_file, "--format", "table")
    assert done.status == 1
    for part in ("DENY", "CERTIFICATE_EXPIRED", "CN=compliant.partner.test", "ended 3 days ago"):
        assert part in done.stdout


def test_a_service_judges_by_its_own_trust(
    run: Run, stage: Stage, service: str, leaf: Path
) -> None:
    assert run("validate", leaf, "--name", HOST, "--server", service).status == 0
    assert (
        run("validate", leaf, "--name", "elsewhere.partner.test", "--server", service).status == 1
    )
    refused = run(
        "validate", leaf, "--name", HOST, "--anchor", stage.anchor_file, "--server", service
    )
    assert (refused.status, refused.stdout) == (2, "")
    assert "allow_request_anchors is off" in refused.stderr


def test_a_private_key_is_refused(run: Run, stage: Stage, tmp_path: Path) -> None:
    credentials = stage.authority.issue(HOST)
    path = tmp_path / "both.pem"
    path.write_bytes(credentials.certificate_pem + credentials.key_pem)
    done = run("validate", path, "--name", HOST)
    assert (done.status, done.stdout) == (2, "")
    assert "private key" in done.stderr


@pytest.mark.parametrize(
    ("content", "lesson"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA", "END line"),
        (b"x" * 1_100_000, "larger than"),
    ],
)
def test_a_file_that_can_hold_no_chain_is_refused(
    run: Run, tmp_path: Path, content: bytes, lesson: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    done = run("validate", path)
    assert (done.status, done.stdout) == (2, "")
    assert lesson in done.stderr


def test_bytes_that_are_no_certificate_are_denied(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "noise.der"
    path.write_bytes(b"0\x82\x01\x00 noise")
    done = run("validate", path, "--name", HOST)
    assert done.status == 1
    assert "CERTIFICATE_MALFORMED" in done.codes


@pytest.mark.parametrize(
    ("arguments", "lesson"),
    [
        (["no-such-file.pem"], "No such file"),
        (["/"], "Is a directory"),
        (["-", "--at", "tomorrow"], "is not a time"),
        (["-", "--name", "127.1"], "ends in a number"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_teaches(
    run: Run, leaf: Path, arguments: list[str], lesson: str
) -> None:
    done = run("validate", *arguments, stdin=leaf.read_bytes())
    assert (done.status, done.stdout) == (2, "")
    assert lesson in done.stderr
