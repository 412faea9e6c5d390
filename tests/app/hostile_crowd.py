"""Three callers ask for hostile targets while a fourth asks for good ones.

    python -m tests.app.hostile_crowd --hostile 200 --good 50

Tarpits, drips, servers that reset and servers that send garbage. The fourth caller's answers may
take twice as long as without the others, and afterwards no process, task, file or memory may be
left. Exit status 0: so it was.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import psutil  # type: ignore[import-untyped]
from cryptography import x509

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.support.certificates import CertificateAuthority
from tests.support.hostile.behaviours import drip, garbage, reset, stall
from tests.support.loopback import Listener, free_port
from tests.support.mutual_tls import OWN_CONNECTION, MutualTls
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import ServiceProcess, service_process
from tests.support.tcp import counting_servers
from tests.support.waiting import wait_until

HOSTILE_CALLERS: Final = 3
# The fourth caller has so many questions open at a time.
_AT_ONCE: Final = 4
_PATIENCE_S: Final = 120.0
_WARM_UP: Final = 3
TIMES: Final = 2.0
"""How much longer an answer may take under load, beyond FLOOR_S."""
FLOOR_S: Final = 1.0
"""What two processors that others use as well may add to an answer."""
LEFT_MIB: Final = 8.0
"""Allocators keep some of what was freed; 200 hostile targets that leak 50 KiB each exceed it."""
_ROLES: Final = """
[[role]]
name = "all"
rpcs = ["CheckEndpoint", "BatchCheckEndpoints", "ValidateCertificate", "GetPolicy"]
hosts = ["*"]
policies = ["*"]
refresh = true
[[caller]]
identities = ["*"]
roles = ["all"]
[[role]]
name = "deployment"
rpcs = ["ReloadPolicies"]
[[caller]]
identities = ["deployment.callers.test"]
roles = ["deployment"]
"""


@dataclass(frozen=True, slots=True)
class Answers:
    """How long answers took, in seconds. took_s: the whole; each_s: each of them."""

    took_s: float
    each_s: Sequence[float]

    def __str__(self) -> str:
        return (
            f"{len(self.each_s)} in {self.took_s:.2f} s, "
            f"median {statistics.median(self.each_s):.2f} s, slowest {max(self.each_s):.2f} s"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the service holds in all its processes.

    files: open ones, by program and kind. memory: in bytes, by program.
    """

    processes: int
    tasks: int
    files: Counter[str]
    memory: Counter[str]

    @property
    def memory_mib(self) -> float:
        """Of all processes."""
        return self.memory.total() / 2**20

    def __str__(self) -> str:
        by_program = ", ".join(f"{kind} {used / 2**20:.0f}" for kind, used in self.memory.items())
        return (
            f"{self.processes} processes, {self.tasks} tasks, {self.files.total()} files, "
            f"{self.memory_mib:.0f} MiB ({by_program})"
        )


class Crowd:
    """A running service, hostile targets and good ones."""

    def __init__(
        self,
        service: ServiceProcess,
        tls: MutualTls,
        *,
        hostile_ports: Sequence[int],
        port: int,
        chain_pem: bytes,
    ) -> None:
        self._service, self._tls = service, tls
        self._hostile_ports, self._port = hostile_ports, port
        self._chain_pem = chain_pem.decode()
        self._credentials = dict[str, grpc.ChannelCredentials]()

    def good(self, hosts: Sequence[str]) -> Answers:
        """Have hosts checked that were never checked before, by the fourth caller."""
        with self._caller("fourth") as stub, ThreadPoolExecutor(_AT_ONCE) as pool:

            def ask(host: str) -> float:
                began_s = time.monotonic()
                asked = pb.CheckEndpointRequest(host=host, port=self._port)
                response = stub.CheckEndpoint(asked, timeout=_PATIENCE_S)
                assert response.decision == pb.DECISION_ALLOW, response
                return time.monotonic() - began_s

            began_s = time.monotonic()
            each_s = list(pool.map(ask, hosts))
            return Answers(time.monotonic() - began_s, each_s)

    @contextmanager
    def hostile(self, number: int) -> Iterator[list["grpc.Future[Any]"]]:
        """Have so many targets asked for by three callers, who leave at the end."""
        with ExitStack() as stack:
            stubs = [
                stack.enter_context(self._caller(f"hostile{caller}"))
                for caller in range(HOSTILE_CALLERS)
            ]
            ports = self._hostile_ports
            calls = [
                stubs[target % HOSTILE_CALLERS].CheckEndpoint.future(
                    pb.CheckEndpointRequest(
                        host=f"h{target}.test",
                        port=ports[target % len(ports)],
                        freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH),
                    ),
                    timeout=_PATIENCE_S,
                )
                for target in range(number)
            ]
            wait_until(lambda: self._connections() > HOSTILE_CALLERS)
            yield calls
            for call in calls:
                call.cancel()

    def wait_until_idle(self) -> None:
        """Return when no hostile target is being measured, and none waits for it."""
        queue = 'otpc_policy_scan_queue_length{perspective="default"}'
        wait_until(lambda: self._service.metric(queue) == self._connections() == 0, 60)

    def _connections(self) -> int:
        """Return how many connections to hostile targets are open."""
        found = 0
        for process in self._service.family():
            with suppress(psutil.Error):
                for connection in psutil.Process(int(process.name)).net_connections("tcp4"):
                    found += bool(connection.raddr) and connection.raddr.port in self._hostile_ports
        return found

    def held(self) -> Held:
        """Return what the service holds now."""
        processes = self._processes()
        files, memory = Counter[str](), Counter[str]()
        for process, kind in processes.items():
            with suppress(OSError, psutil.Error):
                for file in (process / "fd").iterdir():
                    # A socket is "socket:[NUMBER]".
                    files[f"{kind} {os.readlink(file).partition('[')[0]}"] += 1
                memory[kind] += psutil.Process(int(process.name)).memory_full_info().uss
        tasks = "otpc_policy_event_loop_tasks"
        return Held(
            processes=len(processes),
            tasks=sum(
                int(self._service.metric(f'{tasks}{{program="{program}"}}'))
                for program in ("front", "engines")
            ),
            files=files,
            memory=memory,
        )

    def memory_mib(self) -> dict[str, float]:
        """Return the unique set size of every process, by name and id.

        What processes share is left out: it moves from one to another as workers come and go.
        """
        found: dict[str, float] = {}
        for process, kind in self._processes().items():
            with suppress(psutil.Error):
                memory = psutil.Process(int(process.name)).memory_full_info()
                found[f"{kind} {process.name}"] = memory.uss / 2**20
        return found

    def errors(self) -> list[str]:
        """Return what the service has logged as errors."""
        lines = self._service.log_lines()
        return [json.dumps(line) for line in lines if line["level"] == "error"]

    def _processes(self) -> dict[Path, str]:
        """Return every process by its folder in /proc, with the program that it runs."""
        found = dict.fromkeys(self._service.family(), "below an engine")
        found |= dict.fromkeys(self._service.engines(), "engine")
        return found | {Path(f"/proc/{self._service.process.pid}"): "front"}

    def batch(self, hosts: Sequence[str]) -> None:
        """Have hosts checked as one batch."""
        with self._caller("batches") as stub:
            requests = [pb.CheckEndpointRequest(host=host, port=self._port) for host in hosts]
            asked = pb.BatchCheckEndpointsRequest(requests=requests)
            answer = stub.BatchCheckEndpoints(asked, timeout=_PATIENCE_S)
            for result in answer.results:
                assert result.response.decision == pb.DECISION_ALLOW, result

    def other_questions(self, number: int) -> None:
        """Ask so many times for a policy and for the verdict on a certificate."""
        with self._caller("onboarding") as stub:
            for _ in range(number):
                stub.GetPolicy(pb.GetPolicyRequest(), timeout=_PATIENCE_S)
                asked = pb.ValidateCertificateRequest(
                    pem_bundle=self._chain_pem, server_name="g1.good.test"
                )
                answer = stub.ValidateCertificate(asked, timeout=_PATIENCE_S)
                assert answer.decision == pb.DECISION_ALLOW, answer

    def reload(self) -> None:
        """Have policies, partners and roles read again."""
        with self._caller("deployment", policy_pb2_grpc.PolicyAdminServiceStub) as stub:
            stub.ReloadPolicies(pb.ReloadPoliciesRequest(), timeout=_PATIENCE_S)

    def refused(self, number: int) -> None:
        """Make so many calls that no role permits."""
        with self._caller("refused") as stub:
            for _ in range(number):
                call = stub.ListPolicies.future(pb.ListPoliciesRequest(), timeout=_PATIENCE_S)
                assert call.code() is grpc.StatusCode.PERMISSION_DENIED, call

    @contextmanager
    def _caller(
        self,
        name: str,
        stub: Callable[[grpc.Channel], Any] = policy_pb2_grpc.PolicyCheckServiceStub,
    ) -> Iterator[Any]:
        # Callers present the certificate that they have, not a new one each time.
        if name not in self._credentials:
            names = (x509.DNSName(f"{name}.callers.test"),)
            self._credentials[name] = self._tls.credentials(names)
        credentials = self._credentials[name]
        port = self._service.address.rpartition(":")[2]
        with grpc.secure_channel(f"localhost:{port}", credentials, options=OWN_CONNECTION) as own:
            yield stub(own)


@contextmanager
def hostile_crowd(*, hostile: int, good: int) -> Iterator[Crowd]:
    """Run a service with so many hostile and good targets; each has an address of its own."""
    authority = CertificateAuthority.create()
    leaves = tuple(authority.issue(dns=("*.good.test",), key=key) for key in ("ec256", "rsa2048"))
    listeners = [Listener("0.0.0.0", free_port("0.0.0.0")) for _ in range(5)]
    mine, *theirs = listeners
    addresses = {
        f"h{number}.test": f"127.252.{number // 250}.{1 + number % 250}"
        for number in range(hostile)
    } | {
        f"g{number}.good.test": f"127.251.{number // 250}.{1 + number % 250}"
        for number in range(good)
    }
    with ExitStack() as stack:
        stack.enter_context(nginx(mine, TlsOffer(certificates=leaves)))
        stack.enter_context(
            counting_servers(dict(zip(theirs, (stall, drip(), reset, garbage), strict=True)))
        )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="t-")))
        anchor = folder / "anchor.pem"
        anchor.write_bytes(authority.pem)
        tls = MutualTls(folder, _ROLES)
        settings = {
            "STATIC_HOSTS": json.dumps(addresses),
            "TRUST": json.dumps([{"hosts": ["*.good.test"], "anchor_file": str(anchor)}]),
            "CACHE_ENTRIES": "20",
            "MINIMUM_REFRESH_INTERVAL_S": "0",
            "ADMIN_SERVICE": "true",
        }
        variables = {f"OTPC_POLICY_{name}": value for name, value in settings.items()}
        service = stack.enter_context(service_process(folder, **tls.settings, **variables))
        yield Crowd(
            service,
            tls,
            hostile_ports=[one.port for one in theirs],
            port=mine.port,
            chain_pem=leaves[0].chain_pem,
        )


def run(crowd: Crowd, *, hostile: int, good: int, rounds: int) -> list[str]:
    """Run; print the figures, return what is wrong. The crowd has 3 * good good targets."""
    hosts = [f"g{number}.good.test" for number in range(3 * good)]
    # What is loaded and kept at first use is no leak: engines reach their size in the third round.
    for _ in range(_WARM_UP):
        with crowd.hostile(hostile):
            crowd.good(hosts[:good])
        crowd.wait_until_idle()
    before = crowd.held()
    unloaded = crowd.good(hosts[good : 2 * good])
    print(f"unloaded: {unloaded}\n          {before}")
    wrong = []
    for _ in range(rounds):
        with crowd.hostile(hostile):
            loaded = crowd.good(hosts[2 * good :])
        crowd.wait_until_idle()
        after = _settled(crowd, before)
        print(f"loaded:   {loaded}\n          {after}", flush=True)
        wrong += _slower(unloaded, loaded) + _left(before, after)
    return wrong


def _settled(crowd: Crowd, before: Held) -> Held:
    """Return what is held once nothing is left, or after half a minute: the least of each."""
    after = crowd.held()
    give_up_at = time.monotonic() + 30
    while _left(before, after) and time.monotonic() < give_up_at:
        time.sleep(0.5)
        now = crowd.held()
        after = Held(
            processes=min(after.processes, now.processes),
            tasks=min(after.tasks, now.tasks),
            files=after.files & now.files,
            memory=after.memory & now.memory,
        )
    return after


def _slower(unloaded: Answers, loaded: Answers) -> list[str]:
    slower = []
    if loaded.took_s > TIMES * unloaded.took_s + FLOOR_S:
        slower.append(f"all took {loaded.took_s:.2f} s, without load {unloaded.took_s:.2f} s")
    if max(loaded.each_s) > TIMES * max(unloaded.each_s) + FLOOR_S:
        slower.append(f"one took {max(loaded.each_s):.2f} s, unloaded {max(unloaded.each_s):.2f} s")
    return slower


def _left(before: Held, after: Held) -> list[str]:
    left = []
    if after.processes > before.processes:
        left.append(f"{after.processes - before.processes} processes are left")
    if after.tasks > before.tasks:
        left.append(f"{after.tasks - before.tasks} tasks are left")
    for kind, number in (after.files - before.files).items():
        left.append(f"{number} files are left: {kind}")
    if after.memory_mib > before.memory_mib + LEFT_MIB:
        left.append(f"{after.memory_mib - before.memory_mib:.0f} MiB are left")
    return left


def main() -> int:
    """Run with so many targets; print the figures and what is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--hostile", type=int, default=200, help="(%(default)s)")
    parser.add_argument("--good", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    options = parser.parse_args()
    with hostile_crowd(hostile=options.hostile, good=3 * options.good) as crowd:
        wrong = run(crowd, hostile=options.hostile, good=options.good, rounds=options.rounds)
    for line in wrong:
        print(f"WRONG {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
