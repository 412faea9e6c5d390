"""The compose file is valid, exposes nothing beyond this machine, and starts what exists."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from otpc_policy.app.settings import Settings
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.deploy.rendering import ROOT
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import free_port, own_listener
from tests.support.requirements import require
from tests.support.servers import TlsOffer, nginx
from tests.support.valkey import valkey
from tests.support.waiting import wait_until

FOLDER = ROOT / "deploy/compose"
REPLICAS = ("otpc-policy", "otpc-policy-2")
OURS = (*REPLICAS, "demo")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
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
        for port in service.get("ports", ()):
            assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port), name
    published = [port for service in services().values() for port in service.get("ports", ())]
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
    named = set(compose()["volumes"])
    for service in services().values():
        for volume in service.get("volumes", ()):
            source, _, *mode = volume.split(":")
            if source in named:
                continue
            assert mode == ["ro"]
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


def drawn_key(folder: Path) -> Path:
    """Run what makes the key, as far as a user who is not root may, and return its file."""
    service = services()["fleet-key"]
    (script,) = service["command"]
    (mounted,) = (volume.rpartition(":")[2] for volume in service["volumes"])
    owner = f"{os.getuid()}:{os.getgid()}"
    script = script.replace(mounted, str(folder)).replace("10001:10001", owner)
    subprocess.run([*service["entrypoint"], script], check=True, timeout=20)
    return folder / "key"


def test_the_key_is_drawn_once_and_for_the_service_alone(tmp_path: Path) -> None:
    first = drawn_key(tmp_path)
    text = first.read_text(encoding="ascii")
    assert re.fullmatch(r"[0-9a-f]{64}", text)
    assert first.stat().st_mode & 0o777 == 0o600
    assert drawn_key(tmp_path).read_text(encoding="ascii") == text
    assert "chown 10001:10001" in services()["fleet-key"]["command"][0]


def test_replicas_read_the_key_and_the_store_that_there_are() -> None:
    for name in REPLICAS:
        service = services()[name]
        environment = service["environment"]
        assert environment["OTPC_POLICY_FLEET__URL"] == "redis://valkey:6379"
        volume, folder, mode = service["volumes"][0].split(":")
        assert environment["OTPC_POLICY_FLEET__KEY_FILE"] == f"{folder}/key"
        assert (volume in compose()["volumes"], mode) == (True, "ro")
        assert set(service["depends_on"]) <= set(services())
    command = services()["valkey"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "volatile-lru", "docs/fleet.md"
    assert "ports" not in services()["valkey"]


@contextmanager
def replica(name: str, **changed: str) -> Iterator[tuple[Any, int]]:
    """Run the command of a replica with its environment; yield a stub, and its operations port."""
    grpc_port, ops_port = free_port("127.0.0.1"), free_port("127.0.0.1")
    ports = {"0.0.0.0:50051": f"127.0.0.1:{grpc_port}", "0.0.0.0:9464": f"127.0.0.1:{ops_port}"}
    words = " ".join(services()[name]["command"])
    for old, new in ports.items():
        words = words.replace(old, new)
    clean = {key: value for key, value in os.environ.items() if "OTPC" not in key}
    environment = {**clean, **services()[name]["environment"], **changed}
    command = [sys.executable, "-m", "otpc_policy", *words.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), "it did not start"
            with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
                yield rpc.PolicyCheckServiceStub(channel), ops_port  # type: ignore[no-untyped-call]
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.long
def test_what_one_replica_measures_the_other_answers_from(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(authority.pem)
    keys = tmp_path / "fleet"
    keys.mkdir()
    pair = tuple(authority.issue(dns=("p.partner.test",), key=key) for key in ("ec256", "rsa2048"))
    with ExitStack() as stack:
        store = stack.enter_context(valkey())
        partner = stack.enter_context(nginx(own_listener(), TlsOffer(certificates=pair)))
        changed = {
            "OTPC_POLICY_FLEET__URL": store.url,
            "OTPC_POLICY_FLEET__KEY_FILE": str(drawn_key(keys)),
            "OTPC_POLICY_ALLOW_NETWORKS": "127.0.0.0/8",
            "OTPC_POLICY_ENGINES": "1",
            "OTPC_POLICY_DRAIN_DELAY_S": "0",
            "OTPC_POLICY_STATIC_HOSTS": json.dumps({"p.partner.test": partner.address}),
            "OTPC_POLICY_TRUST": json.dumps(
                [{"hosts": ["p.partner.test"], "anchor_file": str(anchor), "note": "test"}]
            ),
        }
        stubs = []
        for name in REPLICAS:
            stub, ops_port = stack.enter_context(replica(name, **changed))
            wait_until(lambda port=ops_port: follows(port))  # type: ignore[misc]
            stubs.append(stub)
        request = pb.CheckEndpointRequest(host="p.partner.test", port=partner.port)
        first, second = (stub.CheckEndpoint(request, timeout=60) for stub in stubs)
    assert (first.decision, second.decision) == (pb.DECISION_ALLOW, pb.DECISION_ALLOW)
    assert first.result_info.source == pb.RESULT_SOURCE_MEASURED
    assert second.result_info.source == pb.RESULT_SOURCE_CACHE


def follows(ops_port: int) -> bool:
    """Whether a replica uses the store."""
    with urllib.request.urlopen(f"http://127.0.0.1:{ops_port}/readyz?verbose", timeout=5) as page:
        return "[+]store" in page.read().decode()
