"""What the client imports, and that it loads together with any service."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import otpc_policy
import otpc_policy_client

CLIENT = Path(otpc_policy_client.__file__).parent
ALLOWED = sys.stdlib_module_names | {"google", "grpc", "otpc_policy_client"}
# Each is installed by whoever uses that module, and imported by nothing else.
EXTRA = {"for_httpx.py": {"httpx", "httpcore"}, "for_aiohttp.py": {"aiohttp"}}
CHECKOUT = Path(__file__).parents[2]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


def test_the_client_imports_grpc_protobuf_and_google_rpc_only() -> None:
    for path in sorted(CLIENT.rglob("*.py")):
        names = imported(path)
        roots = {name.partition(".")[0] for name in names}
        assert roots <= ALLOWED | EXTRA.get(path.name, set()), path
        google = {name for name in names if name.startswith("google")}
        assert all(name.startswith(("google.protobuf", "google.rpc")) for name in google), path


def test_the_client_is_released_with_the_service_under_its_own_licence() -> None:
    project = tomllib.loads((CHECKOUT / "clients/python/pyproject.toml").read_text())["project"]
    assert otpc_policy_client.__version__ == otpc_policy.__version__
    assert project["license"] == "Apache-2.0"
    assert {each.partition(">")[0] for each in project["dependencies"]} == {
        "grpcio",
        "protobuf",
        "googleapis-common-protos",
    }
    assert (CLIENT / "py.typed").is_file()


def loaded(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def test_service_and_client_load_in_one_process_in_either_order() -> None:
    names = ["otpc_policy.v1.policy_pb2", "otpc_policy_client.v1.policy_pb2"]
    for first, second in (names, names[::-1]):
        assert loaded(f"import {first}, {second}\nprint('both')") == "both\n"


def test_the_client_loads_beside_the_contract_of_another_release() -> None:
    """protobuf refuses two files of one name that differ, as the service's own would be."""
    script = """
from google.protobuf import descriptor_pb2, descriptor_pool
from otpc_policy_client.v1 import policy_pb2
other = descriptor_pb2.FileDescriptorProto(
    name="otpc_policy/v1/policy.proto", package="otpc_policy.v1", syntax="proto3")
other.message_type.add(name="CheckEndpointRequest").field.add(
    name="host_of_a_later_release", number=1, type=9, label=1)
descriptor_pool.Default().Add(other)
import otpc_policy_client
print(otpc_policy_client.check_request("a.example").host)
"""
    assert loaded(script) == "a.example\n"


def test_importing_the_client_imports_no_http_client() -> None:
    script = """
import sys
import otpc_policy_client, otpc_policy_client.testing
print(sorted({name.partition(".")[0] for name in sys.modules} & {"httpx", "httpcore", "aiohttp"}))
"""
    assert loaded(script) == "[]\n"
