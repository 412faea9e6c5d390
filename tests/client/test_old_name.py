"""The service's distribution keeps the client's old name for one release, and needs no client."""

import importlib
import subprocess
import sys

import pytest

import otpc_policy_client


def test_the_old_name_warns_and_gives_the_same_names() -> None:
    sys.modules.pop("otpc_policy.client", None)
    with pytest.warns(DeprecationWarning, match="otpc_policy_client"):
        old = importlib.import_module("otpc_policy.client")
    for name in old.__all__:
        assert getattr(old, name) is getattr(otpc_policy_client, name)


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
