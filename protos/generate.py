"""Write the generated code of every proto file; `make proto` calls it.

It needs the pinned packages of the development set.
"""

import argparse
import importlib.resources
import sys
from pathlib import Path

from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent


def protoc_arguments(output: Path) -> list[str]:
    """Return the command line of protoc.

    The plugin for type stubs comes from the environment of this interpreter, never from PATH.
    """
    status = Path(str(importlib.resources.files("google.rpc") / "status.proto"))
    stub_plugin = Path(sys.executable).parent / "protoc-gen-mypy"
    return [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={importlib.resources.files('grpc_tools') / '_proto'}",
        f"--proto_path={status.parents[2]}",
        f"--plugin=protoc-gen-mypy={stub_plugin}",
        f"--python_out={output}",
        f"--mypy_out={output}",
        f"--grpc_python_out={output}",
        *sorted(str(path.relative_to(PROTOS)) for path in PROTOS.rglob("*.proto")),
    ]


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
    return int(protoc.main(protoc_arguments(output)))


if __name__ == "__main__":
    sys.exit(main())
