"""The client in environments of its own, with the oldest and the newest releases that it says it
works with.

    python -m tests.client.environments

`make test-client` runs it. Each environment has what `constraints-client-*.txt` pins and the
client, and nothing of the service. There it must bring nothing more, satisfy its own ranges, and
pass the tests that both clients share; and the router of its README must pay a partner that a real
service in this environment allows.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from supply.pins import normalised

CHECKOUT = Path(__file__).parents[2]
CLIENT = CHECKOUT / "clients" / "python"
ENVIRONMENTS = ("oldest", "newest")
# typing-extensions is grpcio's own, since 1.76.
BROUGHT = {"otpc-policy-client", "grpcio", "protobuf", "googleapis-common-protos"}
PERMITTED = BROUGHT | {"typing-extensions", "pip", "setuptools"}
SHARED_TESTS = ("test_parity.py", "test_decisions.py", "test_watching.py")
_TIMEOUT_S = 300


def run(*command: str | Path, **environment: str) -> str:
    """Return what a command prints. Raises CalledProcessError with what it printed before it."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=CHECKOUT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        print(done.stdout, flush=True)
        raise subprocess.CalledProcessError(done.returncode, command[0])
    return done.stdout


def pip(python: Path | str, *arguments: str | Path) -> str:
    """Run pip in an environment."""
    return run(python, "-m", "pip", "--disable-pip-version-check", *arguments)


def make(folder: Path, name: str, wheel: Path) -> Path:
    """Return the interpreter of a new environment that has the client."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pinned = CHECKOUT / f"constraints-client-{name}.txt"
    pip(python, "install", "--quiet", "--require-hashes", "--requirement", pinned)
    pip(python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    pip(python, "check")
    listed = json.loads(pip(python, "list", "--format", "json"))
    installed = {normalised(each["name"]) for each in listed}
    if not BROUGHT <= installed <= PERMITTED:
        raise SystemExit(f"{name}: {sorted(installed)} are installed")
    return python


def examine(name: str, python: Path) -> None:
    """Run the shared tests in an environment, and its router against a service of ours."""
    test_tools = CHECKOUT / "constraints-client-test.txt"
    router = CHECKOUT / "tests" / "end_to_end" / "test_router_example.py"
    paid = run(
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", router,
        OTPC_CLIENT_PYTHON=str(python),
    )  # fmt: skip
    print(f"{name}, router: {paid.strip().splitlines()[-1]}", flush=True)
    pip(python, "install", "--quiet", "--require-hashes", "--requirement", test_tools)
    tests = [CHECKOUT / "tests" / "client" / each for each in SHARED_TESTS]
    options = ["-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull]
    shared = run(python, "-m", "pytest", *options, "--rootdir", CHECKOUT, *tests)
    print(f"{name}, tests: {shared.strip().splitlines()[-1]}", flush=True)


def main(names: Sequence[str] = ENVIRONMENTS) -> int:
    """Return 0; whatever fails raises."""
    with tempfile.TemporaryDirectory(prefix="otpc-client-") as folder:
        options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        # A copy: pip would build in the source's folder, and take what an earlier build left there.
        source = Path(folder, "source")
        leftovers = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
        shutil.copytree(CLIENT, source, ignore=leftovers)
        pip(sys.executable, "wheel", *options, "--wheel-dir", folder, source)
        (wheel,) = Path(folder).glob("*.whl")
        # Half of the time is pip's, which waits for the registry.
        with ThreadPoolExecutor(len(names)) as threads:
            for done in [
                threads.submit(
                    lambda each: examine(each, make(Path(folder, each), each, wheel)), name
                )
                for name in names
            ]:
                done.result()
    return 0


if __name__ == "__main__":
    sys.exit(main())
