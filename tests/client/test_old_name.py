"""The service's distribution keeps the client's old name for one release, and needs no client."""

import importlib
import subprocess
import sys
import warnings
from types import ModuleType

import pytest

import otpc_policy_client
from otpc_policy.v1 import policy_pb2 as service_pb2
from otpc_policy_client import check_request
from otpc_policy_client.testing import allow, serve


def test_the_old_name_warns_and_gives_the_same_names() -> None:
    sys.modules.pop("otpc_policy.client", None)
    with pytest.warns(DeprecationWarning, match="otpc_policy_client"):
        old = importlib.import_module("otpc_policy.client")
    for name in set(old.__all__) - {"PolicyCheckClient", "AsyncPolicyCheckClient"}:
        assert getattr(old, name) is getattr(otpc_policy_client, name)


@pytest.fixture
def old_name() -> ModuleType:
    with warnings.catch_warnings(action="ignore"):
        return importlib.import_module("otpc_policy.client")


async def test_the_old_clients_give_responses_and_keep_none(old_name: ModuleType) -> None:
    requests = [check_request("partner.example"), check_request("other.example")]
    with serve() as server:
        server.rules.set("partner.example", allow())
        with old_name.PolicyCheckClient(server.target) as client:
            answer = client.check("partner.example", timeout_s=5)
            assert old_name.permits_traffic(answer)
            client.check("partner.example", timeout_s=5)
            results = client.check_batch(requests, timeout_s=5)
        async with old_name.AsyncPolicyCheckClient(server.target) as client:
            answer = await client.check(requests[0], timeout_s=5)
            assert answer.decision == service_pb2.DECISION_ALLOW
            results_of_async = await client.check_batch(requests, timeout_s=5)
    for found in (results, results_of_async):
        assert [each.response.decision for each in found] == [
            service_pb2.DECISION_ALLOW,
            service_pb2.DECISION_INDETERMINATE,
        ]
    assert len(server.rules.asked) == 3 + 2 * len(requests)


def test_without_the_client_the_old_name_says_what_to_install() -> None:
    script = """
import sys
sys.modules["otpc_policy_client"] = None
try:
    import otpc_policy.client
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install otpc-policy-client" in done.stdout
