"""A real Prometheus scrapes a real service: alerts fire when something breaks, and resolve.

The rules are those that are deployed, with time running three hundred times as fast: an hour of a
burn rate is twelve seconds, and what has to hold for a minute has to hold for one second.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.monitoring.rules import RULES
from tests.support.loopback import own_listener
from tests.support.prometheus import Prometheus, prometheus, scaled
from tests.support.service_process import ServiceProcess, service_process
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

_TIMES = 300
_ENTRY = 'id = "{0}"\nowner = "onboarding@example.com"\nendpoints = ["{0}.example"]\n'


@pytest.fixture(scope="module")
def partners(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partners")
    (folder / "a.toml").write_text(_ENTRY.format("a"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def service(partners: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("service")
    with service_process(
        folder, OTPC_POLICY_PARTNERS_DIR=str(partners), OTPC_POLICY_RELOAD_POLL_S="0.1"
    ) as service:
        yield service


@pytest.fixture(scope="module")
def monitoring(service: ServiceProcess) -> Iterator[Prometheus]:
    rules = {path.name: scaled(path.read_text(encoding="utf-8"), _TIMES) for path in RULES}
    with prometheus({"otpc-policy": [service.ops_address]}, rules) as running:
        yield running


def test_a_reload_that_fails_fires_and_one_that_succeeds_resolves(
    monitoring: Prometheus, service: ServiceProcess, partners: Path
) -> None:
    alert = ("OtpcPolicyReloadFailed", "warning")
    assert alert not in monitoring.firing()
    (partners / "b.toml").write_text("id = 1\n", encoding="utf-8")
    wait_until(lambda: alert in monitoring.firing())
    (fired,) = monitoring.ask("alerts")["alerts"]
    where = service.ops_address
    assert fired["annotations"]["summary"] == f"{where} refused its policies, partners or trust"
    (partners / "b.toml").write_text(_ENTRY.format("b"), encoding="utf-8")
    wait_until(lambda: alert not in monitoring.firing())


def test_verdicts_that_are_indeterminate_page_until_they_are_determinate_again(
    monitoring: Prometheus, service: ServiceProcess
) -> None:
    page = ("OtpcPolicyIndeterminate", "critical")
    nobody = own_listener()
    unreachable = pb.CheckEndpointRequest(host=nobody.address, port=nobody.port)
    forbidden = pb.CheckEndpointRequest(host="169.254.169.254", port=443)

    def asked(request: pb.CheckEndpointRequest, decision: "pb.Decision.ValueType") -> None:
        assert service.checks.CheckEndpoint(request, timeout=30).decision == decision

    def fires() -> bool:
        asked(unreachable, pb.DECISION_INDETERMINATE)
        return page in monitoring.firing()

    def is_over() -> bool:
        for _ in range(10):
            asked(forbidden, pb.DECISION_DENY)
        return page not in monitoring.firing()

    wait_until(fires, 30)
    wait_until(is_over, 60)
