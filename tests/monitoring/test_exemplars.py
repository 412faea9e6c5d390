"""From a bucket of a latency to the call that was in it: exemplars, as Prometheus keeps them."""

import time
import urllib.request
from collections.abc import Iterable

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from otpc_policy.v1 import policy_pb2 as pb
from tests.monitoring.conftest import Monitored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("monitored")]

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "an-id-that-a-caller-chose.internal"
FORBIDDEN = pb.CheckEndpointRequest(host="169.254.169.254", port=443)
CALL = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-request-id", SECRET))


def _openmetrics(monitored: Monitored) -> str:
    request = urllib.request.Request(
        f"http://{monitored.service.ops_address}/metrics",
        headers={"Accept": "application/openmetrics-text;version=1.0.0"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def _exemplars(monitored: Monitored, query: str) -> Iterable[dict[str, str]]:
    now = time.time()
    found = monitored.prometheus.ask(
        "query_exemplars", query=query, start=str(now - 600), end=str(now + 60)
    )
    return [each["labels"] for series in found for each in series["exemplars"]]


def test_prometheus_has_the_trace_and_the_check_of_a_verdict(monitored: Monitored) -> None:
    answer = monitored.service.checks.CheckEndpoint(FORBIDDEN, timeout=30, metadata=CALL)
    wanted = {"trace_id": TRACE, "check_id": answer.result_info.check_id}
    wait_until(lambda: wanted in _exemplars(monitored, "otpc_policy_decision_seconds_bucket"), 20)
    calls = 'grpc_server_handling_seconds_bucket{grpc_method="CheckEndpoint"}'
    wait_until(lambda: {"trace_id": TRACE} in _exemplars(monitored, calls), 20)


def test_openmetrics_is_read_by_its_own_parser_and_has_nothing_that_a_caller_chose(
    monitored: Monitored,
) -> None:
    monitored.service.checks.CheckEndpoint(FORBIDDEN, timeout=30, metadata=CALL)
    text = _openmetrics(monitored)
    families = list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
    assert {family.name for family in families} >= {"otpc_policy_decisions", "process_open_fds"}
    assert SECRET not in text
    kept = [
        sample.exemplar.labels
        for family in families
        for sample in family.samples
        if sample.exemplar
    ]
    assert kept
    assert all(labels.keys() <= {"trace_id", "check_id"} for labels in kept)
    # OpenMetrics 1.0: no more than 128 characters.
    assert all(sum(map(len, (*labels, *labels.values()))) <= 128 for labels in kept)
