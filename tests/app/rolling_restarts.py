"""Two replicas that are ended and started again in turn while callers call without end.

    python -m tests.app.rolling_restarts --rounds 20 --language python --language node

Callers retry UNAVAILABLE by the retry policy of their gRPC library, and nothing else. No call may
fail. In each round one replica gets SIGTERM, has to end with status 0, and is started again.
Exit status 0: so it was.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from otpc_policy.v1 import policy_pb2 as pb
from tests.support.loopback import free_port
from tests.support.service_process import ServiceProcess, service_process
from tests.support.waiting import wait_until

CALLERS: Final = Path(__file__).parent / "callers"
CHANNELS: Final = 12
CALLERS_A_CHANNEL: Final = 3
# A replica that is back has answered so many calls of each language before the other is ended.
SETTLED_CALLS: Final = 20 * CHANNELS
RETRY_UNAVAILABLE: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    # grpc-go knew this form first.
    "loadBalancingPolicy": "round_robin",
    "methodConfig": [
        {
            "name": [{"service": pb.DESCRIPTOR.services_by_name["PolicyCheckService"].full_name}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
# Where make puts grpc-js.
NODE_MODULES: Final = Path(sys.prefix) / "node" / "node_modules"
GRPC_JS: Final = NODE_MODULES / "@grpc" / "grpc-js"
# Where Debian's golang-google-grpc-dev puts grpc-go.
GO_PATH: Final = Path("/usr/share/gocode")

Command = Sequence[str | Path]


def for_python(_folder: Path) -> Command:
    """Return the command of callers over grpc.aio."""
    return (sys.executable, "-m", "tests.app.callers.for_python")


def for_node(folder: Path) -> Command:
    """Return the command of callers over grpc-js. folder: for a copy, beside its packages."""
    program = folder / "for_node.mjs"
    shutil.copy(CALLERS / "node" / program.name, program)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return ("node", program)


def for_go(folder: Path) -> Command:
    """Return the command of callers over grpc-go, which it builds. folder: for the program."""
    program = folder / "for_go"
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GO_PATH)}
    environment["GOCACHE"] = str(folder / "cache")
    source = CALLERS / "go" / "for_go.go"
    subprocess.run(["go", "build", "-o", program, source], check=True, env=environment)
    return (program,)


LANGUAGES: Final[Mapping[str, Callable[[Path], Command]]] = {
    "python": for_python,
    "node": for_node,
    "go": for_go,
}


def missing_for(language: str) -> str:
    """Return what this machine lacks to call from a language; empty if nothing."""
    if language == "node":
        if shutil.which("node") is None:
            return "node is not installed"
        return "" if GRPC_JS.exists() else "grpc-js is not installed; make .venv/.node does it"
    if language == "go":
        if shutil.which("go") is None:
            return "go is not installed"
        has_grpc = (GO_PATH / "src/google.golang.org/grpc").exists()
        return "" if has_grpc else "golang-google-grpc-dev is not installed"
    return ""


class Replica:
    """A service at an address that stays, whatever process is there."""

    def __init__(self, folder: Path, number: int) -> None:
        self.address = f"127.0.0.1:{free_port('127.0.0.1')}"
        self._folder, self._number, self._life = folder, number, 0
        self._stack = ExitStack()
        self._service: ServiceProcess | None = None

    def start(self) -> None:
        """Start a service here and wait until it serves."""
        self._life += 1
        folder = self._folder / f"{self._number}-{self._life}"
        folder.mkdir()
        settings = {
            "LISTEN": self.address,
            "DRAIN_DELAY_S": "0.5",
            "ENGINES": "1",
            "SCAN__WORKERS": "1",
            "LOG_LEVEL": "error",
        }
        variables = {f"OTPC_POLICY_{name}": value for name, value in settings.items()}
        self._service = self._stack.enter_context(service_process(folder, **variables))

    def end(self) -> None:
        """End the service by SIGTERM. It must drain, end with status 0, and leave nothing."""
        self._stack.close()

    def wait_for_callers(self, calls: int) -> None:
        """Return when the service has answered so many calls since it was started."""
        assert self._service is not None
        service = self._service
        name = pb.DESCRIPTOR.services_by_name["PolicyCheckService"].full_name
        method = f'grpc_method="ListPolicies",grpc_service="{name}",grpc_type="unary"'
        series = f'grpc_server_handled_total{{grpc_code="OK",{method}}}'
        wait_until(lambda: service.metric(series) >= calls, 60)


class RollingRestarts:
    """Both replicas, and the callers of each language as processes."""

    def __init__(self, folder: Path, languages: Sequence[str]) -> None:
        self._replicas = [Replica(folder, number) for number in range(2)]
        self._settled = SETTLED_CALLS * len(languages)
        self._round = 0
        for replica in self._replicas:
            replica.start()
        orders = json.dumps(self._orders())
        self._callers: dict[str, subprocess.Popen[str]] = {}
        for language in languages:
            own_folder = folder / language
            own_folder.mkdir()
            self._callers[language] = subprocess.Popen(
                [*LANGUAGES[language](own_folder), orders],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "GRPC_VERBOSITY": "NONE", "GRPC_GO_RETRY": "on"},
            )

    def restart_next(self) -> None:
        """End the replica whose turn it is, and start it again, once both have their callers."""
        for replica in self._replicas:
            replica.wait_for_callers(self._settled)
        replica = self._replicas[self._round % len(self._replicas)]
        self._round += 1
        replica.end()
        replica.start()

    def outcomes(self) -> dict[str, Counter[str]]:
        """End the callers. Return the number of each outcome, by language."""
        outcomes = {}
        for language, process in self._callers.items():
            output, _ = process.communicate("", timeout=60)
            assert process.returncode == 0, (language, output)
            outcomes[language] = Counter(json.loads(output))
        return outcomes

    def stop(self) -> None:
        """Leave nothing running."""
        for process in self._callers.values():
            if process.poll() is None:
                process.kill()
            process.communicate()
        for replica in self._replicas:
            replica.end()

    def _orders(self) -> dict[str, Any]:
        return {
            "targets": [replica.address for replica in self._replicas],
            "channels": CHANNELS,
            "callers": CALLERS_A_CHANNEL,
            "method": "/otpc_policy.v1.PolicyCheckService/ListPolicies",
            "request": pb.ListPoliciesRequest(page_size=1).SerializeToString().hex(),
            "timeout_s": 20,
            "keepalive_ms": 10_000,
            "reconnect_ms": 100,
            "service_config": RETRY_UNAVAILABLE,
        }


@contextmanager
def rolling_restarts(languages: Sequence[str]) -> Iterator[RollingRestarts]:
    """Run two replicas and their callers; at the end nothing is left of them."""
    with tempfile.TemporaryDirectory(prefix="t-") as folder:
        restarts = RollingRestarts(Path(folder), languages)
        try:
            yield restarts
        finally:
            restarts.stop()


def main() -> int:
    """Run the rounds; print what became of the calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="(%(default)s)")
    parser.add_argument("--language", action="append", choices=tuple(LANGUAGES), default=None)
    options = parser.parse_args()
    languages = options.language or [one for one in LANGUAGES if not missing_for(one)]
    with rolling_restarts(languages) as restarts:
        for number in range(options.rounds):
            restarts.restart_next()
            print(f"drain {number + 1} of {options.rounds}", flush=True)
        outcomes = restarts.outcomes()
    for language, counted in outcomes.items():
        print(f"{language}: {dict(counted)}")
    return 0 if all(set(counted) == {"answered"} for counted in outcomes.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
