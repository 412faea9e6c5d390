"""Write the generated code of every proto file; `make proto` calls it.

It needs the pinned packages of the development set.

The service gets what protoc writes. The client (clients/python) gets the same messages under a file
name and a package of their own: protobuf keeps every message of a process in one pool, and refuses
a second file of one name that differs. A client beside a service of another release, or beside
stubs that somebody else generated, could not be loaded otherwise. On the wire nothing differs:
names of packages are not sent, and the client names the service as the contract does.

What it gets of them is the descriptor, and the calls that generated code has made with it since
protobuf 3.20. protoc's own output would add a check that refuses every runtime older than protoc,
protobuf 6 among them; descriptors have no such bound.
"""

import argparse
import importlib.resources
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
CONTRACT = "otpc_policy/v1/policy.proto"
# Below this file's folder or the output: where the client's packages begin.
CLIENT = "clients/python/src"
CLIENT_PACKAGE = "otpc_policy_client.v1"
CLIENT_PROTO = f"{CLIENT_PACKAGE.replace('.', '/')}/policy.proto"
_LINE = 96


def protoc_arguments(output: Path) -> list[str]:
    """Return the command line of protoc.

    The plugin for type stubs comes from the environment of this interpreter, never from PATH.
    """
    stub_plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    return [
        "protoc",
        *_include(PROTOS),
        f"--plugin=protoc-gen-mypy={stub_plugin}",
        f"--python_out={output}",
        f"--mypy_out={output}",
        f"--grpc_python_out={output}",
        *sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto")),
    ]


def write_client(output: Path) -> int:
    """Write the client's messages below a folder; return the exit status of protoc."""
    with tempfile.TemporaryDirectory() as folder:
        renamed = Path(folder, CLIENT_PROTO)
        renamed.parent.mkdir(parents=True)
        contract = (PROTOS / CONTRACT).read_text(encoding="utf-8")
        line = "package otpc_policy.v1;"
        if contract.count(line) != 1:
            raise SystemExit(f"{CONTRACT} does not have the line {line!r} once")
        text = contract.replace(line, f"package {CLIENT_PACKAGE};")
        renamed.write_text(text, encoding="utf-8")
        descriptors = Path(folder, "descriptors.binpb")
        output.mkdir(parents=True, exist_ok=True)
        status = protoc.main(
            [
                "protoc",
                *_include(Path(folder)),
                f"--plugin=protoc-gen-mypy={Path(sys.executable).parent / 'protoc-gen-mypy'}",
                f"--mypy_out={output}",
                f"--descriptor_set_out={descriptors}",
                CLIENT_PROTO,
            ]
        )
        if status:
            return int(status)
        found = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    (file,) = found.file
    module = output / CLIENT_PROTO.replace(".proto", "_pb2.py")
    module.write_text(_module_of(file), encoding="utf-8")
    return 0


def _include(first: Path) -> Sequence[str]:
    """Return options for protoc: where files that are imported lie."""
    status = Path(str(importlib.resources.files("google.rpc") / "status.proto"))
    return (
        f"--proto_path={first}",
        f"--proto_path={importlib.resources.files('grpc_tools') / '_proto'}",
        f"--proto_path={status.parents[2]}",
    )


def _module_of(file: descriptor_pb2.FileDescriptorProto) -> str:
    """Return a module that has the messages and enums of a file."""
    imported = [
        f"import {each.removesuffix('.proto').replace('/', '.')}_pb2  # noqa: F401"
        for each in file.dependency
    ]
    serialised = file.SerializeToString(deterministic=True)
    lines = [
        f"    {serialised[start : start + _LINE // 4]!r}"
        for start in range(0, len(serialised), _LINE // 4)
    ]
    return "\n".join(
        [
            f'"""Messages of {CONTRACT}, written by protos/generate.py. Do not edit."""',
            "",
            *imported,
            "",
            "from google.protobuf import descriptor_pool",
            "from google.protobuf.internal import builder",
            "",
            "DESCRIPTOR = descriptor_pool.Default().AddSerializedFile(",
            *lines,
            ")",
            "",
            "builder.BuildMessageAndEnumDescriptors(DESCRIPTOR, globals())",
            "builder.BuildTopDescriptorsAndMessages(DESCRIPTOR, __name__, globals())",
            "",
        ]
    )


def main() -> int:
    """Return the exit status of protoc."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--output",
        type=Path,
        default=PROTOS.parent,
        help="folder that gets the packages (default: this checkout)",
    )
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    return int(protoc.main(protoc_arguments(output))) or write_client(output / CLIENT)


if __name__ == "__main__":
    sys.exit(main())
