"""Engines of others: found by address and name, over mutual TLS, watched, and let go."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import Depth
from otpc_policy.engine.listening import server_options
from otpc_policy.engine.service.servicer import MeasurementServicer
from otpc_policy.engines import heartbeats, remote
from otpc_policy.engines.credentials import EngineCredentials
from otpc_policy.engines.errors import EngineLost
from otpc_policy.engines.ports import Target, Terms
from otpc_policy.engines.remote import RemoteFleet
from tests.engine.serving import VETTING, World, served, vetted
from tests.support.certificates import CertificateAuthority, Issued

TARGET = Target(parse_endpoint("partner.test"), vetted("127.0.0.1"), Depth.STANDARD)
TERMS = Terms(scan_deadline_s=20, deep_deadline_s=60)


@dataclass
class Names:
    """DNS of a test: a name's addresses, which it may change."""

    addresses: list[str] = field(default_factory=list)
    error: Exception | None = None

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        assert host == "engines.test"
        if self.error is not None:
            raise self.error
        return [f"{one}:{port}" for one in self.addresses]


@asynccontextmanager
async def fleet_at(*addresses: str, **settings: Any) -> AsyncIterator[RemoteFleet]:
    chosen = {"credentials": None, "vetting": VETTING, "now": lambda: datetime.now(UTC)}
    fleet = RemoteFleet(addresses, **{**chosen, **settings})
    await fleet.start(lambda: None)
    try:
        yield fleet
    finally:
        await fleet.stop()
        assert fleet.engines == ()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what changes is at the other end of a channel
            await asyncio.sleep(0.01)


async def test_engines_are_up_when_they_report_and_down_when_they_drain(tmp_path: Path) -> None:
    addresses = f"unix:{tmp_path}/engine", f"unix:{tmp_path}/nobody"
    async with served(World(), tmp_path) as service, fleet_at(*addresses) as fleet:
        there, nowhere = fleet.engines
        await until(lambda: there.is_up)
        assert not nowhere.is_up
        assert (there.state.workers_alive, there.state.concurrent_scans) == (2, 32)
        await service.servicer.drain(1.0)
        await until(lambda: not there.is_up)


async def test_an_engine_that_comes_back_is_up_again(tmp_path: Path) -> None:
    async with fleet_at(f"unix:{tmp_path}/engine") as fleet:
        (engine,) = fleet.engines
        for _ in range(2):
            async with served(World(), tmp_path):
                await until(lambda: engine.is_up)
            await until(lambda: not engine.is_up)


async def test_what_is_no_engine_may_become_one(tmp_path: Path) -> None:
    """A port that a deployment gave to something else, or a proxy that knows no engine yet."""
    address = f"unix:{tmp_path}/engine"
    other = grpc.aio.server()
    other.add_insecure_port(address)
    await other.start()
    with structlog.testing.capture_logs() as lines:
        async with fleet_at(address) as fleet:
            (engine,) = fleet.engines
            await until(lambda: bool(lines))
            await other.stop(None)
            async with served(World(), tmp_path):
                await until(lambda: engine.is_up)
    assert lines[0]["event"] == "engine not found"
    assert "does not know the method" in lines[0]["reason"]


async def test_what_a_silent_engine_measures_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process, or one beyond a broken network, closes no connection."""
    monkeypatch.setattr(heartbeats, "HEARTBEAT_S", 0.05)
    world = World()
    async with served(world, tmp_path), fleet_at(f"unix:{tmp_path}/engine") as fleet:
        (engine,) = fleet.engines
        await until(lambda: engine.is_up)
        # Its heart beats every second, which is far too slow for a front that looks so often.
        with pytest.raises(EngineLost):
            await engine.measure(TARGET, TERMS, left_standard_part=lambda: None)
        await until(lambda: world.was_cancelled)


# -- names ---------------------------------------------------------------------------------------


async def test_a_name_stands_for_all_its_addresses_and_they_may_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_LOOK_S", 0.02)
    names = Names(["192.0.2.1", "192.0.2.2"])
    async with fleet_at("dns:///engines.test:50061", look_up=names.look_up) as fleet:
        assert known(fleet) == {"192.0.2.1:50061", "192.0.2.2:50061"}
        kept = next(one for one in fleet.engines if one.name == "192.0.2.2:50061")
        names.addresses = ["192.0.2.2", "192.0.2.3"]
        await until(lambda: known(fleet) == {"192.0.2.2:50061", "192.0.2.3:50061"})
        assert kept in fleet.engines
        names.error = OSError("nobody answers")
        await asyncio.sleep(0.1)
        assert known(fleet) == {"192.0.2.2:50061", "192.0.2.3:50061"}


def known(fleet: RemoteFleet) -> set[str]:
    return {one.name for one in fleet.engines}


async def test_names_that_nobody_answers_at_the_start_are_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(remote, "_LOOK_S", 0.02)
    names = Names(["192.0.2.1"], error=TimeoutError())
    async with fleet_at("dns:///engines.test:1", look_up=names.look_up) as fleet:
        assert known(fleet) == set()
        names.error = None
        await until(lambda: known(fleet) == {"192.0.2.1:1"})


async def test_an_engine_that_leaves_may_end_what_it_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_LOOK_S", 0.02)
    world = World()
    address = f"unix:{tmp_path}/engine"
    names = Names()

    async def look_up(host: str, port: int) -> Sequence[str]:
        await names.look_up(host, port)
        return names.addresses

    names.addresses = [address]
    async with served(world, tmp_path), fleet_at("dns:///engines.test:1", look_up=look_up) as fleet:
        (engine,) = fleet.engines
        await until(lambda: engine.is_up)
        measurement = asyncio.create_task(
            engine.measure(TARGET, TERMS, left_standard_part=lambda: None)
        )
        await world.begun.wait()
        names.addresses = []
        await until(lambda: fleet.engines == ())
        assert not engine.is_up, "who waits for a turn must go elsewhere"
        world.gate.set()
        assert (await measurement).facts.address == "127.0.0.1"


async def test_an_engine_at_another_place_is_never_up(tmp_path: Path) -> None:
    """Whoever wired it up wrongly would have partners judged from the wrong place."""
    address = f"unix:{tmp_path}/engine"
    for named, asked_for, is_up in (
        ("eu-west", "eu-west", True),
        ("", "eu-west", True),
        ("eu-west", "", True),
        ("us-east", "eu-west", False),
        ("eu-west-1", "eu-west", False),
    ):
        with structlog.testing.capture_logs() as lines:
            async with (
                served(World(perspective=named), tmp_path),
                fleet_at(address, perspective=asked_for) as fleet,
            ):
                (engine,) = fleet.engines
                if is_up:
                    await until(lambda one=engine: one.is_up)  # type: ignore[misc]
                    assert engine.state.perspective == named
                else:
                    await until(lambda found=lines: bool(found))  # type: ignore[misc]
                    assert not engine.is_up
                    assert "perspective: another one than eu-west" in lines[0]["reason"]


# -- TLS -----------------------------------------------------------------------------------------


def write(folder: Path, ca: CertificateAuthority, front: Issued) -> EngineCredentials:
    certificate, key = front.write(folder, "front")
    ca_file = folder / "engines.pem"
    ca_file.write_bytes(ca.pem)
    return EngineCredentials(certificate_file=certificate, key_file=key, ca_file=ca_file)


@asynccontextmanager
async def tls_engine(own: Issued, clients: CertificateAuthority) -> AsyncIterator[int]:
    """An engine over mutual TLS; yield its port."""
    servicer = MeasurementServicer(
        scanner=World(), resolver=World(), vetting=VETTING, concurrent_scans=4
    )
    server = grpc.aio.server(options=server_options())
    servicer.add_to(server)
    credentials = grpc.ssl_server_credentials(
        [(own.key_pem, own.chain_pem)], root_certificates=clients.pem, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_both_sides_prove_who_they_are_and_a_name_is_that_of_its_engines(
    tmp_path: Path,
) -> None:
    authority, others = (CertificateAuthority.create(name) for name in ("Ours", "Others"))
    front = authority.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    names = Names(["127.0.0.1"])
    for own, is_up in (
        (authority.issue(dns=("engines.test",)), True),
        (authority.issue(dns=("other.test",)), False),
        (others.issue(dns=("engines.test",)), False),
    ):
        async with (
            tls_engine(own, authority) as port,
            fleet_at(
                f"dns:///engines.test:{port}",
                credentials=write(tmp_path, authority, front),
                look_up=names.look_up,
            ) as fleet,
        ):
            (engine,) = fleet.engines
            if is_up:
                await until(lambda one=engine: one.is_up)  # type: ignore[misc]
            else:
                await asyncio.sleep(0.5)
                assert not engine.is_up


async def test_a_connection_serves_until_one_with_the_new_certificate_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for the new one, and a certificate that engines refuse ends nothing."""
    monkeypatch.setattr(remote, "_LOOK_S", 0.05)
    ours, others = (CertificateAuthority.create(name) for name in ("Ours", "Others"))
    wrong = others.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    first, second = (
        ours.issue(dns=("front.test",), extended_key_usage=("client_auth",)) for _ in range(2)
    )
    async with tls_engine(ours.issue(dns=("localhost",)), ours) as port:
        credentials = write(tmp_path, ours, first)
        async with fleet_at(f"localhost:{port}", credentials=credentials) as fleet:
            (former,) = fleet.engines
            await until(lambda: former.is_up)
            credentials.certificate_file.write_bytes(wrong.chain_pem)
            await asyncio.sleep(0.3)
            write(tmp_path, ours, wrong)
            await asyncio.sleep(0.5)
            assert fleet.engines == (former,)
            assert former.is_up
            write(tmp_path, ours, second)
            await until(lambda: fleet.engines != (former,))
            (successor,) = fleet.engines
            assert successor.is_up
            assert successor.name == former.name


async def test_a_certificate_that_rotates_is_used_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_LOOK_S", 0.05)
    ours, others = (CertificateAuthority.create(name) for name in ("Ours", "Others"))
    wrong = others.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    right = ours.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    async with tls_engine(ours.issue(dns=("localhost",)), ours) as port:
        credentials = write(tmp_path, ours, wrong)
        async with fleet_at(f"localhost:{port}", credentials=credentials) as fleet:
            await asyncio.sleep(0.5)
            assert not any(one.is_up for one in fleet.engines)
            write(tmp_path, ours, right)
            await until(lambda: any(one.is_up for one in fleet.engines))
            credentials.key_file.unlink()
            await asyncio.sleep(0.2)
            assert any(one.is_up for one in fleet.engines)


async def test_half_of_a_new_pair_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rotation writes one file at a time, and the front may look in between."""
    monkeypatch.setattr(remote, "_LOOK_S", 0.02)
    authority = CertificateAuthority.create("Ours")
    front, new = (
        authority.issue(dns=("front.test",), extended_key_usage=("client_auth",)) for _ in range(2)
    )
    async with tls_engine(authority.issue(dns=("localhost",)), authority) as port:
        credentials = write(tmp_path, authority, front)
        async with fleet_at(f"localhost:{port}", credentials=credentials) as fleet:
            (former,) = fleet.engines
            await until(lambda: former.is_up)
            credentials.certificate_file.write_bytes(new.chain_pem)
            await asyncio.sleep(0.2)
            assert fleet.engines == (former,)
            assert former.is_up
            credentials.key_file.write_bytes(new.key_pem)
            await until(lambda: former not in fleet.engines)
            await until(lambda: any(one.is_up for one in fleet.engines))


async def test_files_that_cannot_be_read_are_a_problem_of_the_configuration(tmp_path: Path) -> None:
    missing = EngineCredentials(
        certificate_file=tmp_path / "a", key_file=tmp_path / "b", ca_file=tmp_path / "c"
    )
    fleet = RemoteFleet(
        ["localhost:1"], credentials=missing, vetting=VETTING, now=lambda: datetime.now(UTC)
    )
    with pytest.raises(ConfigurationError, match=r"engine_ca_file: .*/c: No such file"):
        await fleet.start(lambda: None)


async def test_a_key_of_another_certificate_is_a_problem_of_the_configuration(
    tmp_path: Path,
) -> None:
    authority = CertificateAuthority.create("Ours")
    credentials = write(tmp_path, authority, authority.issue(dns=("front.test",)))
    credentials.key_file.write_bytes(authority.issue(dns=("front.test",)).key_pem)
    fleet = RemoteFleet(
        ["localhost:1"], credentials=credentials, vetting=VETTING, now=lambda: datetime.now(UTC)
    )
    with pytest.raises(ConfigurationError, match=r"front\.key: is not the key of the first"):
        await fleet.start(lambda: None)


async def test_a_key_that_every_user_may_read_is_a_problem_of_the_configuration(
    tmp_path: Path,
) -> None:
    authority = CertificateAuthority.create("Ours")
    credentials = write(tmp_path, authority, authority.issue(dns=("front.test",)))
    credentials.key_file.chmod(0o644)
    fleet = RemoteFleet(
        ["localhost:1"], credentials=credentials, vetting=VETTING, now=lambda: datetime.now(UTC)
    )
    with pytest.raises(ConfigurationError, match=r"engine_key_file: .*every user may read"):
        await fleet.start(lambda: None)
