"""The service as a process of its own, with real workers: what it serves, and a clean end."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.relay import relay
from tests.support.servers import TlsOffer, nginx, s_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("service process")

_PROGRAM = """
import asyncio
from otpc_policy.app.serving import serve
from otpc_policy.app.settings import Settings
asyncio.run(serve(Settings(), ready=lambda *both: print(*both, flush=True)))
"""


class ServiceProcess:
    """A running service. address, ops_address: where it answers."""

    def __init__(self, process: "subprocess.Popen[str]", errors: Path) -> None:
        self.process = process
        self._errors = errors
        assert process.stdout is not None
        words = process.stdout.readline().split()
        if len(words) != 2:
            process.kill()
            pytest.fail(f"the service did not start: {errors.read_text(encoding='utf-8')}")
        self.address, self.ops_address = words
        self.channel = grpc.insecure_channel(self.address)
        self.checks = rpc.PolicyCheckServiceStub(self.channel)  # type: ignore[no-untyped-call]  # generated without annotations

    def metric(self, series: str) -> float:
        with urllib.request.urlopen(f"http://{self.ops_address}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        return float(
            next(line for line in lines if line.startswith(series + " ")).rpartition(" ")[2]
        )

    def log_lines(self) -> list[dict[str, object]]:
        lines: list[dict[str, object]] = [
            json.loads(line) for line in self._errors.read_text(encoding="utf-8").splitlines()
        ]
        return lines

    def engines(self) -> list[Path]:
        """Return the running engines."""
        return _children(Path("/proc") / str(self.process.pid))

    def family(self) -> list[Path]:
        """Return the engines, the templates of their workers, and the workers."""
        found: list[Path] = []
        processes = self.engines()
        while processes:
            found += processes
            processes = [child for process in processes for child in _children(process)]
        return found


def _children(process: Path) -> list[Path]:
    tasks = (process / "task").iterdir()
    numbers = [number for task in tasks for number in (task / "children").read_text().split()]
    return [Path("/proc") / number for number in numbers]


@contextmanager
def _service(folder: Path, **variables: str) -> Iterator[ServiceProcess]:
    config = folder / "service.toml"
    config.write_text(
        'listen = "127.0.0.1:0"\nops_listen = "127.0.0.1:0"\nallow_networks = ["127.0.0.0/8"]\n',
        encoding="utf-8",
    )
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OTPC_POLICY_")
    }
    environment |= {"OTPC_POLICY_CONFIG": str(config), **variables}
    errors = folder / "errors"
    with errors.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env=environment,
        )
    with process:
        service = ServiceProcess(process, errors)
        family = service.family()
        try:
            yield service
        finally:
            service.channel.close()
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()
        assert process.returncode == 0, errors.read_text(encoding="utf-8")
        wait_until(lambda: not [process for process in family if process.exists()])


def test_a_real_partner_is_checked_over_grpc_and_everything_around_it_answers(
    tmp_path: Path,
) -> None:
    authority = CertificateAuthority.create()
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(authority.pem)
    trust = json.dumps(
        [{"hosts": ["partner.test"], "anchor_file": str(anchor), "note": "test partner"}]
    )
    offer = TlsOffer(certificates=(authority.issue(), authority.issue(key="rsa2048")))
    with s_server(own_listener(), offer) as partner:
        hosts = json.dumps({"partner.test": partner.address})
        with _service(tmp_path, OTPC_POLICY_TRUST=trust, OTPC_POLICY_STATIC_HOSTS=hosts) as service:
            request = pb.CheckEndpointRequest(host="partner.test", port=partner.port)
            measured = service.checks.CheckEndpoint(request, timeout=30)
            assert (measured.decision, measured.result_info.source) == (
                pb.DECISION_ALLOW,
                pb.RESULT_SOURCE_MEASURED,
            ), measured
            assert (
                service.checks.CheckEndpoint(request, timeout=30).result_info.source
                == pb.RESULT_SOURCE_CACHE
            )

            health = health_pb2_grpc.HealthStub(service.channel)
            for name in ("", "otpc_policy.v1.PolicyCheckService"):
                assert (
                    health.Check(health_pb2.HealthCheckRequest(service=name)).status
                    == health_pb2.HealthCheckResponse.SERVING
                )
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            (listed,) = reflection_pb2_grpc.ServerReflectionStub(
                service.channel
            ).ServerReflectionInfo(iter([ask]))
            assert "otpc_policy.v1.PolicyCheckService" in {
                service.name for service in listed.list_services_response.service
            }

            assert (
                service.metric('otpc_policy_decisions_total{decision="ALLOW",rpc="CheckEndpoint"}')
                == 2
            )
            assert service.metric('otpc_policy_scans_total{outcome="complete"}') == 1
            assert (
                service.metric('otpc_policy_cache_requests_total{result="hit",tier="memory"}') == 1
            )
            assert service.metric("otpc_policy_scan_workers") == 2
            service_name = "otpc_policy.v1.PolicyCheckService"
            unary = f'grpc_method="CheckEndpoint",grpc_service="{service_name}",grpc_type="unary"'
            assert service.metric(f'grpc_server_handled_total{{grpc_code="OK",{unary}}}') == 2
        decisions = [line for line in service.log_lines() if line["event"] == "decision"]
        assert [line["decision"] for line in decisions] == ["ALLOW", "ALLOW"]
        assert [line["event"] for line in service.log_lines() if line["event"] != "decision"] == [
            "serving",
            "draining",
            "stopped",
        ]


def test_sigterm_lets_a_call_in_flight_end_and_reaps_every_process(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        with _service(
            tmp_path,
            OTPC_POLICY_SCAN__CONNECTION_DEADLINE_S="1",
            OTPC_POLICY_SCAN__SCAN_DEADLINE_S="3",
        ) as service:
            assert len(service.family()) >= 4
            request = pb.CheckEndpointRequest(host="127.0.0.1", port=silent.getsockname()[1])
            call = service.checks.CheckEndpoint.future(request, timeout=30)
            silent.settimeout(15)
            held, _ = silent.accept()
            service.process.send_signal(signal.SIGTERM)
            assert call.result().decision == pb.DECISION_INDETERMINATE
            held.close()
            assert service.process.wait(15) == 0


def test_a_second_signal_ends_the_drain_at_once(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        with _service(
            tmp_path,
            OTPC_POLICY_SCAN__CONNECTION_DEADLINE_S="60",
            OTPC_POLICY_SCAN__SCAN_DEADLINE_S="60",
        ) as service:
            call = service.checks.CheckEndpoint.future(
                pb.CheckEndpointRequest(host="127.0.0.1", port=silent.getsockname()[1]), timeout=60
            )
            silent.settimeout(15)
            held, _ = silent.accept()
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: any(line["event"] == "draining" for line in service.log_lines()))
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(10) == 0
            assert call.exception().code() in {
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.CANCELLED,
            }
            held.close()


def test_sighup_reloads_and_what_cannot_be_used_is_logged_with_file_and_line(
    tmp_path: Path,
) -> None:
    partners = tmp_path / "partners"
    partners.mkdir()
    entry = 'id = "{0}"\nowner = "onboarding@example.com"\nendpoints = ["{0}.example"]\n'
    (partners / "a.toml").write_text(entry.format("a"))
    with _service(
        tmp_path, OTPC_POLICY_PARTNERS_DIR=str(partners), OTPC_POLICY_RELOAD_POLL_S="0"
    ) as service:
        assert service.metric("otpc_policy_partners") == 1
        (partners / "b.toml").write_text(entry.format("b"))
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.metric("otpc_policy_partners") == 2)
        (partners / "b.toml").write_text("\nid = 1\n")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: service.metric("otpc_policy_config_last_reload_successful") == 0)
        assert service.metric("otpc_policy_partners") == 2
        with urllib.request.urlopen(f"http://{service.ops_address}/readyz", timeout=5) as answer:
            assert answer.status == 200
        (refused,) = (
            line for line in service.log_lines() if line["event"] == "configuration_refused"
        )
        problems = refused["problems"]
        assert isinstance(problems, list)
        assert f"{partners}/b.toml:2: id: must be text" in problems


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=lambda sign: sign.name)
def test_engines_that_are_lost_in_the_middle_of_a_check_fail_no_caller(
    tmp_path: Path, sign: signal.Signals
) -> None:
    authority = CertificateAuthority.create()
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(authority.pem)
    trust = json.dumps([{"hosts": ["partner.test"], "anchor_file": str(anchor)}])
    offer = TlsOffer(certificates=(authority.issue(), authority.issue(key="rsa2048")))
    with (
        nginx(own_listener(), offer) as near,
        relay(own_listener(), near, round_trip_s=0.05) as counts,
    ):
        at = counts.listener
        hosts = json.dumps({"partner.test": at.address})
        with _service(tmp_path, OTPC_POLICY_TRUST=trust, OTPC_POLICY_STATIC_HOSTS=hosts) as service:
            request = pb.CheckEndpointRequest(host="partner.test", port=at.port)
            calls = [service.checks.CheckEndpoint.future(request, timeout=30) for _ in range(5)]
            wait_until(lambda: counts.connections >= 10)
            lost = service.family()
            for engine in service.engines():
                os.kill(int(engine.name), sign)
            assert {call.result().decision for call in calls} == {pb.DECISION_ALLOW}
            wait_until(lambda: not [process for process in lost if process.exists()])
            wait_until(lambda: service.metric("otpc_policy_scan_workers") == 2)
            assert service.metric('otpc_policy_scans_total{outcome="failed"}') == 0
        events = {line["event"] for line in service.log_lines()}
        assert events >= {"engine lost", "engine ended"}
