"""Measures scripted servers with the real scanner, several concurrently.

Checks what must hold for each: time, connections, and nothing left behind.
"""

import asyncio
import re
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_network
from pathlib import Path

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import AddressFacts, Depth, EndpointFacts, ResolutionStatus, TlsVersion
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.profiles.clients import ClientProfile
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Decision, Verdict
from tests.hostile.claims import Exchange, Truth, exchanges, false_claims, may_be_allowed
from tests.support.loopback import Listener, free_port, own_address
from tests.support.tcp import Behaviour, Counts, counting_servers

HOST = "partner.test"
_STRICT = "otpc-2024-12-strict"
# A worker that is replaced during a test would be seen as something left behind.
_NEVER = 1_000_000
# For servers that waste time, and for servers that are only slow.
HURRIED = ScanLimits(
    workers=1,
    concurrent_scans=48,
    scan_deadline_s=4.0,
    connection_deadline_s=0.8,
    recycle_after_handshakes=_NEVER,
)
PATIENT = ScanLimits(workers=1, recycle_after_handshakes=_NEVER)
# DESIGN, "Limits": at a time to one address.
MOST_OPEN = 20
# Two cores may be shared with a whole test run; what hangs, hangs for ever.
_MARGIN_S = 6.0
# One process has few addresses; a scanner bounds connections for each address, so concurrent scans
# must not share one.
_ADDRESSES = 48
_SUITE = re.compile(r"0x[0-9A-F]{4,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A server and what it truly accepts."""

    name: str
    behaviour: Behaviour
    truth: Truth


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What was measured at one server, and what the server saw."""

    case: Case
    facts: AddressFacts
    counts: Counts
    seen: tuple[Exchange, ...]
    verdict: Verdict

    @property
    def wrong(self) -> list[str]:
        """Return what was claimed and must not be."""
        wrong = false_claims(self.facts, self.case.truth, self.seen)
        if self.verdict.decision is Decision.ALLOW and not may_be_allowed(
            self.case.truth, self.seen
        ):
            wrong.append("it is allowed")
        return wrong

    def suites(self, version: TlsVersion) -> dict[int, str]:
        """Return what is claimed of the suites of a version."""
        return {
            fact.code_point: fact.support.value
            for fact in self.facts.cipher_suites
            if fact.version is version
        }

    def versions(self) -> dict[TlsVersion, str]:
        """Return what is claimed of the versions."""
        return {fact.version: fact.support.value for fact in self.facts.versions}


class Surveyor:
    """A scanner under test.

    trust: holds the root of the servers' certificates. policy: the name of a built-in one.
    """

    def __init__(
        self,
        scanner: SslyzeScanner,
        limits: ScanLimits,
        trust: Trust,
        policy: str = _STRICT,
    ) -> None:
        self._scanner, self._limits, self._trust = scanner, limits, trust
        self._policy = load_builtin_policies().get(policy)

    def under(self, policy: str, trust: Trust) -> "Surveyor":
        """Return the same scanner, judged by another policy."""
        return Surveyor(self._scanner, self._limits, trust, policy)

    async def survey(self, *cases: Case, lanes: int = 8) -> dict[str, Surveyed]:
        """Measure all of them, so many concurrently.

        Fails if a scan takes too long or too many connections, or leaves a socket, a file or a task
        behind.
        """
        assert len({case.name for case in cases}) == len(cases), "each case needs a name of its own"
        addresses = _addresses()[:lanes]
        placed: dict[Listener, Case] = {}
        for number, case in enumerate(cases):
            placed[_unused(addresses[number % lanes], placed)] = case
        # One that is being forked has some of its files already.
        await _comes_empty(self._workers_missing, _MARGIN_S, "workers are missing")
        tasks_before, files_before = asyncio.all_tasks(), _open_files()
        surveyed: dict[str, Surveyed] = {}
        with counting_servers(
            {listener: case.behaviour for listener, case in placed.items()}
        ) as counts:

            async def along(address: str) -> None:
                for listener, case in placed.items():
                    if listener.address == address:
                        surveyed[case.name] = await self._measure(case, listener, counts[listener])

            await asyncio.gather(*(along(address) for address in addresses))
            at_most_s = self._limits.connection_deadline_s + _MARGIN_S
            await _comes_empty(lambda: _connected_to(placed), at_most_s, "sockets are left")
        await _comes_empty(lambda: asyncio.all_tasks() - tasks_before, _MARGIN_S, "tasks are left")
        await _comes_empty(lambda: _open_files() - files_before, _MARGIN_S, "files are left open")
        return {case.name: surveyed[case.name] for case in cases}

    def _workers_missing(self) -> range:
        return range(self._limits.workers - self._scanner.workers_alive)

    async def measure(self, address: str, port: int) -> AddressFacts:
        """Measure one server. Fails if that takes too long."""
        vetted = AddressVetting([ip_network("127.0.0.0/8")]).vet(address)
        assert isinstance(vetted, VettedAddress)
        loop = asyncio.get_running_loop()
        began = loop.time()
        facts = await self._scanner.measure(parse_endpoint(HOST, port), vetted, Depth.STANDARD)
        took_s = loop.time() - began
        assert took_s < self._limits.scan_deadline_s + _MARGIN_S, (
            f"the scan of {address}:{port} took {took_s:.1f} s"
        )
        return facts

    async def verdict_of(self, behaviour: Behaviour) -> Verdict:
        """Measure one scripted server, and judge it."""
        case = Case(name="server", behaviour=behaviour, truth=Truth())
        return (await self.survey(case))[case.name].verdict

    async def judge(self, listener: Listener) -> Verdict:
        """Measure one server that is running already, and judge it."""
        return self.verdict_on(await self.measure(listener.address, listener.port), listener)

    async def _measure(self, case: Case, listener: Listener, counts: Counts) -> Surveyed:
        facts = await self.measure(listener.address, listener.port)
        assert counts.most_open <= MOST_OPEN, f"{case.name}: {counts.most_open} connections at once"
        return Surveyed(
            case=case,
            facts=facts,
            counts=counts,
            seen=tuple(exchanges(counts.transcripts)),
            verdict=self.verdict_on(facts, listener),
        )

    def verdict_on(self, facts: AddressFacts, listener: Listener) -> Verdict:
        """Judge what was measured."""
        endpoint_facts = EndpointFacts(
            host=HOST,
            port=listener.port,
            server_name=HOST,
            depth=Depth.STANDARD,
            resolution=ResolutionStatus.RESOLVED,
            addresses=(facts,),
        )
        return evaluate(endpoint_facts, self._policy, trust=self._trust, now=datetime.now(UTC))


@asynccontextmanager
async def running_surveyor(
    limits: ScanLimits,
    trust: Trust,
    policy: str = _STRICT,
    routers: Sequence[ClientProfile] = (),
) -> AsyncIterator[Surveyor]:
    """Run a scanner while the context lasts."""
    scanner = SslyzeScanner(limits=limits, now=lambda: datetime.now(UTC), routers=routers)
    await scanner.start()
    try:
        yield Surveyor(scanner, limits, trust, policy)
    finally:
        await scanner.stop()


def objection(verdict: Verdict, code: str) -> str:
    """Return what is wrong with a verdict about a server that has a fault; empty if nothing is.

    code: the finding that a denial must rest on.
    """
    if verdict.decision is Decision.INDETERMINATE:
        return ""
    codes = {finding.code for finding in verdict.findings}
    if verdict.decision is Decision.DENY and code in codes:
        return ""
    return f"{verdict.decision.value} without {code}"


def assert_no_false_claim(surveyed: Mapping[str, Surveyed]) -> None:
    """Fail with every claim, of every server, that must not be made."""
    wrong = [f"{name}: {claim}" for name, one in surveyed.items() for claim in _in_short(one.wrong)]
    assert not wrong, "\n".join(wrong)


def _in_short(claims: Iterable[str]) -> list[str]:
    """Say once what is said of many suites."""
    alike: dict[str, list[str]] = {}
    for claim in claims:
        suites = _SUITE.findall(claim)
        alike.setdefault(_SUITE.sub("suites", claim), []).extend(suites)
    return [
        f"{claim} ({len(suites)}: {', '.join(suites[:8])})" if suites else claim
        for claim, suites in alike.items()
    ]


def _unused(address: str, taken: Collection[Listener]) -> Listener:
    """Return a free port that has not been given away already."""
    while (listener := Listener(address, free_port(address))) in taken:
        pass
    return listener


@cache
def _addresses() -> tuple[str, ...]:
    return tuple(own_address() for _ in range(_ADDRESSES))


async def _comes_empty(
    left: Callable[[], Collection[object]], within_s: float, otherwise: str
) -> None:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + within_s
    while left():
        assert loop.time() < ends_at, f"{otherwise}: {left()}"
        await asyncio.sleep(0.01)


def _connected_to(listeners: Iterable[Listener]) -> list[str]:
    """Return the client ends of connections to these listeners that any process holds open.

    Source: proc(5); each is an inode.
    """
    ours = {
        f"{int.from_bytes(socket.inet_aton(one.address), sys.byteorder):08X}:{one.port:04X}"
        for one in listeners
    }
    connections = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [columns[1] for columns in connections if columns[2] in ours and columns[9] != "0"]


def _open_files() -> set[tuple[str, str, int]]:
    """Return the files that this process and its children have open.

    Sockets and such are counted, not distinguished: each worker has its own, and workers change.
    """
    processes = ["self"]
    for children in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError):  # a thread that has ended
            processes += children.read_text().split()
    opened: Counter[tuple[str, str]] = Counter()
    for process in processes:
        with suppress(FileNotFoundError):  # a process that has ended
            for descriptor in Path(f"/proc/{process}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed a moment ago
                    opened[process, str(descriptor.readlink()).partition(":[")[0]] += 1
    return {(*file, number) for file, count in opened.items() for number in range(count)}
