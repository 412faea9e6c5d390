"""serve --check and policy lint --config refuse what serve refuses, in the same words."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.support.certificates import CertificateAuthority
from tests.support.signing import now

pytestmark = pytest.mark.long

AUTHORITY = CertificateAuthority.create()
PARTNER = 'id = "{0}"\nowner = "onboarding@example.com"\nendpoints = ["{0}.example"]\n'

Write = Callable[[Path], str]


def _pair(folder: Path, *, age: timedelta = timedelta()) -> str:
    """Write a certificate and its key; return their settings. age: since it expired."""
    end = now() - age if age else None
    issued = AUTHORITY.issue(not_before=now() - timedelta(days=90), not_after=end)
    (folder / "tls.crt").write_bytes(issued.chain_pem)
    (folder / "tls.key").write_bytes(issued.key_pem)
    (folder / "tls.key").chmod(0o600)
    return 'tls_certificate_file = "tls.crt"\ntls_key_file = "tls.key"\n'


def _no_certificate(folder: Path) -> str:
    settings = _pair(folder)
    (folder / "tls.crt").unlink()
    return settings


def _unreadable_key(folder: Path) -> str:
    settings = _pair(folder)
    (folder / "tls.key").write_text("none")
    return settings


def _another_key(folder: Path) -> str:
    settings = _pair(folder)
    (folder / "tls.key").write_bytes(AUTHORITY.issue().key_pem)
    return settings


def _client_ca_without_certificates(folder: Path) -> str:
    (folder / "ca.pem").write_text("# none\n")
    return _pair(folder) + 'tls_client_ca_file = "ca.pem"\n'


def _bad_policy(folder: Path) -> str:
    (folder / "acme.toml").write_text('name = "acme"\nsurprise = 1\n')
    return 'policy_files = ["acme.toml"]\n'


def _unknown_default_policy(_folder: Path) -> str:
    return 'default_policy = "nonsense"\n'


def _bad_partner(folder: Path) -> str:
    (folder / "partners").mkdir()
    (folder / "partners" / "bad.toml").write_text(PARTNER.format("bad") + "surprise = 1\n")
    return 'partners_dir = "partners"\n'


def _no_anchor(_folder: Path) -> str:
    return '[[trust]]\nhosts = ["a.example"]\nanchor_file = "gone.pem"\nnote = "agreed"\n'


def _no_engine_files(_folder: Path) -> str:
    return (
        'engine_addresses = ["127.0.0.1:1"]\nengine_certificate_file = "engine.crt"\n'
        'engine_key_file = "engine.key"\nengine_ca_file = "engine-ca.pem"\n'
    )


def _audit_file(path: str) -> str:
    return f'[audit]\nsinks = ["file"]\nlog_file = "{path}"\n'


def _audit_file_is_a_folder(folder: Path) -> str:
    (folder / "audit.jsonl").mkdir()
    return _audit_file("audit.jsonl")


def _head_of_audit_file_is_a_folder(folder: Path) -> str:
    (folder / "audit.jsonl.head").mkdir()
    return _audit_file("audit.jsonl")


def _audit_file_is_a_pipe(folder: Path) -> str:
    os.mkfifo(folder / "audit.jsonl", 0o600)
    return _audit_file("audit.jsonl")


def _no_folder_of_audit_file(_folder: Path) -> str:
    return _audit_file("gone/audit.jsonl")


def _several(folder: Path) -> str:
    return _unknown_default_policy(folder) + _another_key(folder)


def _config(folder: Path, write: Write) -> Path:
    settings = write(folder)
    path = folder / "service.toml"
    path.write_text(f'listen = "127.0.0.1:0"\nops_listen = "127.0.0.1:0"\n{settings}')
    return path


@pytest.mark.parametrize(
    "write",
    [
        _no_certificate,
        _unreadable_key,
        _another_key,
        _client_ca_without_certificates,
        _bad_policy,
        _unknown_default_policy,
        _bad_partner,
        _no_anchor,
        _no_engine_files,
        _audit_file_is_a_folder,
        _head_of_audit_file_is_a_folder,
        _audit_file_is_a_pipe,
        _no_folder_of_audit_file,
    ],
)
def test_what_serve_refuses_is_refused_in_the_same_words(
    write: Write, run: Run, tmp_path: Path
) -> None:
    config = _config(tmp_path, write)
    served = run("serve", "--config", config)
    checked = run("serve", "--check", "--config", config)
    linted = run("policy", "lint", "--config", config)
    (refusals,) = [
        line["problems"]
        for line in map(json.loads, served.stderr.splitlines())
        if line["event"] in ("start_refused", "the service does not start")
    ]
    assert (served.status, checked.status, linted.status) == (2, 2, 1)
    assert checked.stderr.splitlines() == [f"otpc-policy: {problem}" for problem in refusals]
    assert linted.stdout.splitlines() == refusals


def test_every_problem_is_reported_at_once(run: Run, tmp_path: Path) -> None:
    done = run("serve", "--check", "--config", _config(tmp_path, _several))
    assert done.status == 2
    assert "is not the key of the first certificate" in done.stderr
    assert "nonsense" in done.stderr


def test_a_wrong_setting_is_refused(run: Run, tmp_path: Path) -> None:
    config = _config(tmp_path, lambda _: "surprise = 1\n")
    for command in (("serve", "--check"), ("policy", "lint")):
        done = run(*command, "--config", config)
        assert done.status == 2
        assert "surprise: unknown setting" in done.stderr


def test_a_service_that_would_start_is_said_to_and_its_ports_are_not_bound(
    run: Run, tmp_path: Path
) -> None:
    config = _config(tmp_path, _pair)
    done = run("serve", "--check", "--config", config)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout == (
        "ok: the service would start; that 127.0.0.1:0 and 127.0.0.1:0 are free was not tried\n"
    )
    linted = run("policy", "lint", "--strict", "--config", config)
    assert (linted.status, linted.stdout) == (0, "")


def test_an_expired_certificate_is_noted_and_refused_by_strict(run: Run, tmp_path: Path) -> None:
    """The service starts with it, so that a late renewal is no outage of its own making."""
    config = _config(tmp_path, lambda folder: _pair(folder, age=timedelta(days=1)))
    checked = run("serve", "--check", "--config", config)
    assert checked.status == 0
    assert "tls.crt: certificate 1 expired at " in checked.stdout
    assert run("policy", "lint", "--config", config).status == 0
    strict = run("policy", "lint", "--strict", "--config", config)
    assert strict.status == 1
    assert strict.stdout.startswith(f"note: tls_certificate_file: {tmp_path}/tls.crt: certificate")


def test_lint_takes_a_configuration_or_paths(run: Run, tmp_path: Path) -> None:
    done = run("policy", "lint", tmp_path, "--config", "service.toml")
    assert done.status == 2
    assert "name no paths" in done.stderr
