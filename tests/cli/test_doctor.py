"""otpc-policy doctor as a command: what it prints, and its exit status."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import CertificateAuthority
from tests.support.dns_server import Name, Says, always, dns_server_in_a_thread
from tests.support.loopback import free_port, own_address
from tests.support.signing import now

pytestmark = pytest.mark.long

AUTHORITY = CertificateAuthority.create()
LOCAL = 'listen = "127.0.0.1:0"\nops_listen = "127.0.0.1:0"\nengines = 1\ndns_timeout_s = 0.5\n'


def _doctor(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTPC_POLICY_")
    }
    return subprocess.run(
        [sys.executable, "-m", "otpc_policy", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env=environment,
    )


class Examined:
    """A run with --json on a configuration."""

    def __init__(self, folder: Path, settings: str, *arguments: str) -> None:
        config = folder / "service.toml"
        config.write_text(settings)
        done = _doctor("--config", str(config), "--json", "--timeout", "1", *arguments)
        assert done.stdout, done.stderr
        self.status = done.returncode
        self.whole: dict[str, Any] = json.loads(done.stdout)

    def of(self, check: str) -> list[dict[str, Any]]:
        return [each for each in self.whole["checks"] if each["check"] == check]

    def statuses(self, check: str) -> list[str]:
        return [each["status"] for each in self.of(check)]


def test_a_sound_machine_with_a_service_is_said_to_be_sound(tmp_path: Path) -> None:
    end = now() + timedelta(days=60)
    issued = AUTHORITY.issue(not_before=now() - timedelta(days=30), not_after=end)
    certificate, key = issued.write(tmp_path, "tls")
    with dns_server_in_a_thread() as dns:
        config = tmp_path / "service.toml"
        config.write_text(
            f'{LOCAL}tls_certificate_file = "{certificate}"\ntls_key_file = "{key}"\n'
            f'dns_servers = ["{dns.address}"]\n'
        )
        done = _doctor("--config", str(config))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    for start in ("ok      settings", "ok      certificate", "ok      secrets", "ok      catalog"):
        assert any(line.startswith(start) for line in lines), start
    assert f"{dns.address}: otpc-policy-doctor.invalid is NXDOMAIN" in done.stdout
    assert any(line.startswith("ok      engines          1 of 1 up") for line in lines)
    assert any(line.startswith("skipped clock") for line in lines)
    assert any(line.startswith("ok      iana registries") for line in lines)
    assert not any(line.startswith("failed") for line in lines)


def _expired(folder: Path) -> str:
    end = now() - timedelta(days=1)
    issued = AUTHORITY.issue(not_before=now() - timedelta(days=90), not_after=end)
    certificate, key = issued.write(folder, "tls")
    return f'tls_certificate_file = "{certificate}"\ntls_key_file = "{key}"\n'


def _open_key(folder: Path) -> str:
    settings = _expired(folder)
    (folder / "tls.key").chmod(0o644)
    return settings


def _group_key(folder: Path) -> str:
    settings = _expired(folder)
    (folder / "tls.key").chmod(0o640)
    return settings


def _bad_policy(folder: Path) -> str:
    (folder / "acme.toml").write_text('name = "acme"\nsurprise = 1\n')
    return 'policy_files = ["acme.toml"]\n'


def _no_audit_folder(_folder: Path) -> str:
    return '[audit]\nsinks = ["file"]\nlog_file = "nowhere/audit.log"\n'


def _no_proxy(_folder: Path) -> str:
    address = own_address()
    return f'egress_proxy = "http://{address}:{free_port(address)}"\n'


def _no_collector(_folder: Path) -> str:
    address = own_address()
    port = free_port(address)
    return f'[audit]\nsinks = ["otlp"]\notlp_endpoint = "http://{address}:{port}/v1/logs"\n'


def test_engines_of_every_perspective_are_examined(tmp_path: Path) -> None:
    far = f'[perspectives.us-east]\nengine_addresses = ["unix:{tmp_path}/nobody"]\n'
    examined = Examined(tmp_path, f'perspective = "eu-west"\n{LOCAL}{far}')
    messages = [each["message"] for each in examined.of("engines")]
    assert [message.partition(":")[0] for message in messages] == ["from eu-west", "from us-east"]
    assert examined.statuses("engines") == ["ok", "failed"]
    assert examined.of("dns")[1]["message"].startswith("from us-east: ")
    assert examined.status == 1


def _no_hook(folder: Path) -> str:
    key = folder / "hook-key"
    key.write_text("whsec_" + "A" * 40)
    key.chmod(0o600)
    address = own_address()
    url = f"http://{address}:{free_port(address)}/"
    return f'[webhook]\nurl = "{url}"\nkey_file = "{key}"\n[watch]\npartners = true\n'


def _short_hook_key(folder: Path) -> str:
    written = _no_hook(folder)
    (folder / "hook-key").write_text("whsec_AAAA")
    return written


def _no_engines(_folder: Path) -> str:
    address = own_address()
    port = free_port(address)
    return f'engine_addresses = ["{address}:{port}"]\ndangerously_use_engines_without_tls = true\n'


@pytest.mark.parametrize(
    ("write", "check", "status", "words"),
    [
        (_expired, "certificate", "failed", "expired at"),
        (_open_key, "secrets", "failed", "every user may read"),
        (_group_key, "secrets", "warning", "its group may read it"),
        (_bad_policy, "catalog", "failed", "acme.toml:2: surprise"),
        (_no_audit_folder, "audit", "failed", "nowhere"),
        (_no_proxy, "egress proxy", "failed", "refused"),
        (_no_collector, "audit collector", "warning", "refused"),
        (_no_hook, "webhook", "failed", "refused"),
        (_short_hook_key, "webhook files", "failed", "24 to 64 bytes in base64"),
        (_no_engines, "engines", "failed", "0 of 1 up"),
    ],
)
def test_what_is_wrong_is_found_with_its_remedy(
    tmp_path: Path, write: Callable[[Path], str], check: str, status: str, words: str
) -> None:
    with dns_server_in_a_thread() as dns:
        local = f'{LOCAL}dns_servers = ["{dns.address}"]\n'
        found = Examined(tmp_path, local + write(tmp_path))
    results = [each for each in found.of(check) if each["status"] == status]
    assert any(words in each["message"] for each in results), results
    assert all(each["remedy"] for each in results)
    statuses = {each["status"] for each in found.whole["checks"]}
    assert found.status == (1 if "failed" in statuses else 0)
    assert found.whole["status"] == ("failed" if "failed" in statuses else "warning")
    # One thing that is wrong keeps nothing else from being looked at.
    for other in ("mozilla roots", "engines", "dns", "egress", "clock"):
        assert found.of(other), other


@pytest.mark.parametrize(("says", "status"), [(Says.SILENCE, "failed"), (Says.SERVFAIL, "warning")])
def test_name_servers_that_do_not_answer_are_found(tmp_path: Path, says: Says, status: str) -> None:
    table = {"otpc-policy-doctor.invalid": always(says), "a.test": Name(a=("127.0.0.1",))}
    with dns_server_in_a_thread(table) as dns:
        local = f'{LOCAL}dns_servers = ["{dns.address}"]\n'
        assert Examined(tmp_path, local).statuses("dns") == [status]
        named = Examined(tmp_path, local + 'allow_networks = ["127.0.0.0/8"]\n', "--name", "a.test")
    (result,) = named.of("dns")
    assert (result["status"], "a.test is 127.0.0.1" in result["message"]) == ("ok", True)


def test_wrong_settings_and_a_wrong_command_line_end_it(tmp_path: Path) -> None:
    config = tmp_path / "service.toml"
    config.write_text("surprise = 1\n")
    done = _doctor("--config", str(config))
    assert done.returncode == 2
    assert "service.toml:1: surprise: unknown setting" in done.stderr
    for wrong in (("--https-peer", "https://a.example"), ("--name", "a..b"), ("--timeout", "0")):
        assert _doctor(*wrong).returncode == 2


def test_the_clock_is_compared_only_with_whom_the_caller_names(tmp_path: Path) -> None:
    address = own_address()
    found = Examined(tmp_path, LOCAL, "--https-peer", f"{address}:{free_port(address)}")
    (result,) = found.of("clock")
    assert (result["status"], address in result["message"]) == ("warning", True)
