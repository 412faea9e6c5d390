"""Build the wheel of a commit, so that whoever builds it again gets the same bytes.

    python -m supply.wheel [--output dist] [--twice]

The files are those of HEAD, not of the work tree: what is not committed is not built, and nothing
left from an earlier build is. Times in the wheel are that of the commit (SOURCE_DATE_EPOCH), modes
do not depend on the umask, and the build backend is the pinned one of this environment.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commit_time(root: Path = ROOT) -> str:
    """Return when HEAD was committed, in seconds since 1970."""
    return _git(root, "log", "-1", "--format=%ct").decode("ascii").strip()


def build(output: Path, *, root: Path = ROOT) -> Path:
    """Build the wheel of HEAD into a folder and return it. Raises CalledProcessError."""
    output.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": commit_time(root), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        source, built = Path(folder, "source"), Path(folder, "built")
        archive = _git(root, "-c", "tar.umask=0022", "archive", "--format=tar", "HEAD")
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(source, filter="data")
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-cache-dir"]
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "wheel",
                *options,
                "--wheel-dir",
                str(built),
                str(source),
            ],
            env=environment,
            umask=0o022,
            check=True,
        )
        (wheel,) = built.glob("*.whl")
        return Path(shutil.copy(wheel, output))


def sha256(path: Path) -> str:
    """Return a file's hash as hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when the wheel has been built, and twice the same if asked to."""
    parser = argparse.ArgumentParser(prog="python -m supply.wheel")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--twice", action="store_true", help="build again elsewhere and compare")
    options = parser.parse_args(arguments)
    wheel = build(options.output)
    digest = sha256(wheel)
    print(f"{digest}  {wheel.name}")
    if options.twice:
        with tempfile.TemporaryDirectory() as folder:
            again = sha256(build(Path(folder)))
        if again != digest:
            print(f"a second build differs: {again}", file=sys.stderr)
            return 1
        print("a second build is the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
