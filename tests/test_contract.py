"""Generated code is that of the proto files, and the proto files keep the style of protos."""

import importlib.resources
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor import EnumDescriptor
from grpc_tools import protoc  # type: ignore[import-untyped]

from otpc_policy.measurement.v1 import measurement_pb2
from otpc_policy.v1 import policy_pb2 as pb

CHECKOUT = Path(__file__).parents[1]
PROTOS = CHECKOUT / "protos"
# Folders under otpc_policy, each with the name of its proto file.
PACKAGES = {"v1": "policy", "measurement/v1": "measurement"}
GENERATED = [
    f"otpc_policy/{folder}/{name}_pb2{ending}"
    for folder, name in PACKAGES.items()
    for ending in (".py", ".pyi", "_grpc.py")
] + [f"clients/python/src/otpc_policy_client/v1/policy_pb2{ending}" for ending in (".py", ".pyi")]
DESCRIPTORS = (pb.DESCRIPTOR, measurement_pb2.DESCRIPTOR)
ENUMS = [enum for descriptor in DESCRIPTORS for enum in descriptor.enum_types_by_name.values()]


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("generated")
    subprocess.run(
        [sys.executable, str(PROTOS / "generate.py"), "--output", str(output)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return output


@pytest.mark.parametrize("name", GENERATED)
def test_generated_code_is_what_the_proto_file_yields(regenerated: Path, name: str) -> None:
    assert (regenerated / name).read_bytes() == (CHECKOUT / name).read_bytes(), "run `make proto`"


def test_nothing_else_is_generated(regenerated: Path) -> None:
    assert sorted(
        str(path.relative_to(regenerated)) for path in regenerated.rglob("*.py*")
    ) == sorted(GENERATED)


@pytest.mark.parametrize(("folder", "name"), PACKAGES.items())
def test_buf_lint_passes_with_standard_and_comments(tmp_path: Path, folder: str, name: str) -> None:
    image = tmp_path / "image.binpb"
    googleapis = Path(str(importlib.resources.files("google.rpc") / "status.proto")).parents[2]
    proto = f"otpc_policy/{folder}/{name}.proto"
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    arguments = [
        "protoc",
        f"-I{PROTOS}",
        f"-I{googleapis}",
        f"-I{well_known}",
        "--include_imports",
        "--include_source_info",
        "-o",
        str(image),
        proto,
    ]
    assert protoc.main(arguments) == 0
    buf = Path(sys.executable).parent / "buf"
    config = json.dumps({"version": "v2", "lint": {"use": ["STANDARD", "COMMENTS"]}})
    done = subprocess.run(
        [str(buf), "lint", str(image), "--path", proto, "--config", config],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_folder_equals_the_package_so_that_imports_are_absolute() -> None:
    assert [descriptor.package for descriptor in DESCRIPTORS] == [
        "otpc_policy.v1",
        "otpc_policy.measurement.v1",
    ]
    assert re.search(
        r"^from otpc_policy\.v1 import policy_pb2",
        (CHECKOUT / "otpc_policy/v1/policy_pb2_grpc.py").read_text(),
        re.MULTILINE,
    )


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: str(enum.full_name))
def test_the_unset_value_of_every_enum_permits_nothing(enum: EnumDescriptor) -> None:
    assert enum.values_by_number[0].name.endswith("_UNSPECIFIED")


@pytest.mark.parametrize(
    ("name", "number"), [("DECISION_ALLOW", 1), ("DECISION_DENY", 2), ("DECISION_INDETERMINATE", 3)]
)
def test_decision_numbers_are_fixed(name: str, number: int) -> None:
    assert pb.Decision.Value(name) == number
