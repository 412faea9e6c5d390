"""A front and an engine run as the chart starts them, and leave within the grace of their pods."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from otpc_policy.cli.demo.certificates import self_signed
from otpc_policy.cli.demo.partners import PartnerServer, compliant_context
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.deploy.mounting import ENGINE_HOST, Cluster
from tests.deploy.rendering import Resource, by_name, pod_of, resources
from tests.support.callers import caller_certificate
from tests.support.loopback import free_port
from tests.support.signing import now
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

PARTNER = "partner.test"


@contextmanager
def container(
    found: Sequence[Resource], role: str, configuration: Path, ports: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """Run the command of a role's pod until SIGTERM; it has to end well within the pod's grace.

    ports: what stands in its arguments, and what takes the place of that here.
    """
    pod = pod_of(by_name(found, "Deployment", f"otpc-policy-{role}"))
    arguments = " ".join(pod["containers"][0]["args"])
    for old, new in {
        "/etc/otpc-policy/config/otpc-policy.toml": str(configuration),
        **ports,
    }.items():
        arguments = arguments.replace(old, new)
    environment = {name: value for name, value in os.environ.items() if "OTPC" not in name}
    command = [sys.executable, "-m", "otpc_policy", *arguments.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline(), "it did not start"
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(pod["terminationGracePeriodSeconds"]) == 0
        finally:
            process.kill()


def status(port: int, path: str) -> int:
    with contextlib.suppress(OSError):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
    return 0


def test_front_and_engine_of_the_chart_judge_a_partner_and_drain(tmp_path: Path) -> None:
    front_port, engine_port, front_ops, engine_ops = (free_port("127.0.0.1") for _ in range(4))
    partner = self_signed(PARTNER, now())
    with PartnerServer("127.0.0.1", context=compliant_context([partner], tmp_path)) as server:
        entry = f'id = "local"\nowner = "x"\nendpoints = ["{PARTNER}:{server.port}"]\n'
        values = {
            "allowNetworks": ["127.0.0.0/8"],
            "front": {"drain": {"delaySeconds": 3}},
            "engine": {"settings": {"static_hosts": {PARTNER: ["127.0.0.1"]}}},
            "partners": {"files": {"local.toml": entry}},
        }
        (tmp_path / "values.json").write_text(json.dumps(values), encoding="utf-8")
        found = resources("cert-manager", "--values", str(tmp_path / "values.json"))
        cluster = Cluster(tmp_path / "pods", found)
        front = cluster.configuration(
            "front",
            **{
                f"{ENGINE_HOST}:50052": f"localhost:{engine_port}",
                "0.0.0.0:50051": f"127.0.0.1:{front_port}",
                "0.0.0.0:9464": f"127.0.0.1:{front_ops}",
            },
        )
        engine = cluster.configuration("engine")
        ports = {
            "0.0.0.0:50052": f"127.0.0.1:{engine_port}",
            "0.0.0.0:9464": f"127.0.0.1:{engine_ops}",
        }
        with container(found, "front", front, {}) as process:
            # Without engines it is up, alive, and not ready.
            probes = ("/startupz", "/livez", "/readyz")
            assert [status(front_ops, path) for path in probes] == [200, 200, 503]
            with container(found, "engine", engine, ports):
                assert [status(engine_ops, path) for path in probes] == [200, 200, 200]
                wait_until(lambda: status(front_ops, "/readyz") == 200, 30)
                with calls(cluster, front_port) as checks:
                    answer = checks.CheckEndpoint(
                        pb.CheckEndpointRequest(host=PARTNER, port=server.port), timeout=30
                    )
                    assert answer.decision == pb.DECISION_DENY
                    assert "CERTIFICATE_UNTRUSTED" in {each.code for each in answer.findings}
                    process.send_signal(signal.SIGTERM)
                    # The lame duck: not ready, and it serves.
                    wait_until(lambda: status(front_ops, "/readyz") == 503, 30)
                    again = checks.CheckEndpoint(
                        pb.CheckEndpointRequest(host=PARTNER, port=server.port), timeout=30
                    )
                    assert again.decision == pb.DECISION_DENY
                assert process.wait(30) == 0


@contextmanager
def calls(cluster: Cluster, port: int) -> Iterator[rpc.PolicyCheckServiceStub]:
    """Yield a stub of a caller that the roles of the values know."""
    names = [x509.DNSName("a.routers.example.org")]
    issued = caller_certificate(cluster.callers, names)
    credentials = grpc.ssl_channel_credentials(
        cluster.servers.pem, issued.key_pem, issued.chain_pem
    )
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        yield rpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]  # generated without annotations
