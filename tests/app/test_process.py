"""The service as a process of its own, with real workers: what it serves, and a clean end."""

import json
import signal
import socket
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from otpc_policy.v1 import policy_pb2 as pb
from tests.app.losses import losing
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, s_server
from tests.support.service_process import service_process
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]


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
        with service_process(
            tmp_path, OTPC_POLICY_TRUST=trust, OTPC_POLICY_STATIC_HOSTS=hosts
        ) as service:
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
            assert service.metric('otpc_policy_scan_workers{perspective="default"}') == 2
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
        with service_process(
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
        with service_process(
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
            assert call.exception().code() is grpc.StatusCode.UNAVAILABLE
            held.close()


def test_sighup_reloads_and_what_cannot_be_used_is_logged_with_file_and_line(
    tmp_path: Path,
) -> None:
    partners = tmp_path / "partners"
    partners.mkdir()
    entry = 'id = "{0}"\nowner = "onboarding@example.com"\nendpoints = ["{0}.example"]\n'
    (partners / "a.toml").write_text(entry.format("a"))
    with service_process(
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
    sign: signal.Signals,
) -> None:
    with losing(seed=1) as losses:
        losses.round(sign, "engines")
