"""A name with two addresses, each of which another engine measures: one verdict over both."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import pytest

from otpc_policy.engines.fake import FakeEngine
from otpc_policy.engines.ports import Report, Target, Terms
from otpc_policy.engines.rendezvous import ranked
from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import ANCHOR, decision_of, summary
from tests.end_to_end.running import PATIENCE_S, Service, request_for, running_service
from tests.end_to_end.world import World
from tests.support.certificates import Issued
from tests.support.dns_server import Name, dns_server_in_a_thread
from tests.support.engine_program import engine_program
from tests.support.loopback import Listener, free_port, own_address, own_listener
from tests.support.relay import relay
from tests.support.servers import TlsOffer, nginx
from tests.support.tcp import Counts
from tests.support.waiting import wait_until

HOST = "several.partner.test"
# Long enough for a look at a scan that is under way.
ROUND_TRIP_S = 0.1


@dataclass(frozen=True, slots=True)
class Pair:
    """A service with two engines, and a host with an address for each of them.

    engines: the process that an address names.
    """

    service: Service
    port: int
    engines: dict[str, "Popen[str]"]

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(self.engines)


@pytest.fixture
def pair(world: World, tmp_path: Path) -> Iterator[Pair]:
    names = [f"unix:{tmp_path}/{number}" for number in (1, 2)]
    addresses = [_address_for(name, names) for name in names]
    config = tmp_path / "engine.toml"
    with ExitStack() as stack:
        server = stack.enter_context(dns_server_in_a_thread())
        server.table[HOST] = Name(a=tuple(addresses))
        config.write_text(f'dns_servers = ["{server.address}"]\n', encoding="utf-8")
        options = ("--config", str(config))
        engines = [
            stack.enter_context(engine_program("--listen", name, *options)) for name in names
        ]
        service = stack.enter_context(running_service(world.settings(engine_addresses=names)))
        wait_until(service.is_ready, 30)
        yield Pair(service, free_port(addresses[0]), dict(zip(addresses, engines, strict=True)))


def _address_for(name: str, names: list[str]) -> str:
    """Return an address that this engine measures."""
    engines = [FakeEngine(name=each, answer=_never) for each in names]
    while True:
        address = own_address()
        if ranked(address, engines)[0].name == name:
            return address


def _never(_target: Target, _terms: Terms) -> Report:
    raise AssertionError("this engine is there for its name")


@contextmanager
def served(pair: Pair, *leaves: tuple[Issued, ...]) -> Iterator[tuple[Counts, ...]]:
    """Run a distant server at each address; yield the connections that each one had."""
    with ExitStack() as stack:
        counts = []
        for address, certificates in zip(pair.addresses, leaves, strict=True):
            near = stack.enter_context(nginx(own_listener(), TlsOffer(certificates=certificates)))
            at = Listener(address, pair.port)
            counts.append(stack.enter_context(relay(at, near, round_trip_s=ROUND_TRIP_S)))
        yield tuple(counts)


def dialled_by(engine: "Popen[str]") -> set[str]:
    """Return the IPv4 addresses to which the process has connections on TCP."""
    held = set()
    for descriptor in Path(f"/proc/{engine.pid}/fd").iterdir():
        try:
            held.add(os.readlink(descriptor))
        except OSError:
            continue  # closed meanwhile
    lines = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    # proc(5): the remote address in hexadecimal, the inode tenth; the byte order is the machine's.
    return {_dotted(each[2]) for each in fields if f"socket:[{each[9]}]" in held}


def _dotted(remote: str) -> str:
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(remote.partition(":")[0])))


def codes_at(response: pb.CheckEndpointResponse, address: str) -> set[str]:
    return {finding.code for finding in response.findings if finding.address == address}


def test_each_address_is_measured_by_its_engine_and_the_worse_one_decides(
    world: World, pair: Pair
) -> None:
    good, bad = pair.addresses
    with served(pair, world.pair(HOST), (world.expired_leaf(HOST),)) as counts:
        question = request_for(HOST, Listener(good, pair.port))
        call = pair.service.stub.CheckEndpoint.future(question, timeout=PATIENCE_S)
        seen: dict[str, set[str]] = {good: set(), bad: set()}

        def both_are_busy() -> bool:
            for address, engine in pair.engines.items():
                seen[address] |= dialled_by(engine)
            return all(seen.values())

        wait_until(both_are_busy)
        response = call.result()
        both_are_busy()
    assert seen == {good: {good}, bad: {bad}}
    assert all(count.connections for count in counts)
    assert decision_of(response) == "DENY", summary(response)
    assert set(response.judged_addresses) == {good, bad}
    assert "CERTIFICATE_EXPIRED" in codes_at(response, bad)
    assert "CERTIFICATE_EXPIRED" not in codes_at(response, good)


@pytest.mark.parametrize("decision", ["ALLOW", "DENY"])
def test_an_engine_that_is_killed_in_mid_scan_changes_no_verdict(
    world: World, pair: Pair, decision: str
) -> None:
    """The other engine measures its address, too."""
    good, other = pair.addresses
    leaves = world.pair(HOST) if decision == "ALLOW" else (world.expired_leaf(HOST),)
    with served(pair, world.pair(HOST), leaves) as counts:
        question = request_for(HOST, Listener(good, pair.port))
        call = pair.service.stub.CheckEndpoint.future(question, timeout=PATIENCE_S)
        wait_until(lambda: all(count.connections >= 5 for count in counts))
        assert not call.done()
        before = counts[1].connections
        pair.engines[other].kill()
        response = call.result()
        assert counts[1].connections > before
    assert decision_of(response) == decision, summary(response)
    assert set(response.judged_addresses) == {good, other}
    if decision == "ALLOW":
        assert {finding.code for finding in response.findings} == {ANCHOR}
    else:
        assert "CERTIFICATE_EXPIRED" in codes_at(response, other)
    assert pair.service.metric('otpc_policy_scans_total{outcome="failed"}') == 0
