"""How the store is reached: bounds, rights, TLS, and rest for one that fails."""

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from otpc_policy.check import Lease, StoreUnavailable
from otpc_policy.fleet.changes import How, Outcome
from otpc_policy.fleet.scripts import GET
from otpc_policy.fleet.server import StoreServer
from otpc_policy.fleet.shared_slots import Members
from tests.fleet.conftest import MakeReplica
from tests.fleet.world import KEY, facts, shared_changes, verdict
from tests.support.certificates import CertificateAuthority
from tests.support.valkey import Valkey, lonely_cluster, valkey

DOCUMENTED = Path(__file__).parents[2] / "docs" / "fleet.md"


@asynccontextmanager
async def silent_server() -> AsyncIterator[str]:
    """Accept connections and say nothing."""
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        for writer in accepted:
            writer.close()


async def test_a_store_that_never_answers_is_left_alone(replica: MakeReplica) -> None:
    async with silent_server() as url:
        one = replica(url, deadline_s=0.02)
        for _ in range(50):
            with pytest.raises(StoreUnavailable):
                await one.shared.get_many([KEY])
        waited = [each for each in one.observed.asked if each == ("get", "unavailable")]
        assert len(waited) == 50
        # It was asked once, since it has never answered; nobody has waited for it since.
        assert one.observed.available == [False]
        one.observed.at += 2
        answers = await asyncio.gather(
            *(one.shared.get_many([KEY]) for _ in range(50)), return_exceptions=True
        )
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_a_crowd_of_this_replica_waits_for_its_places_however_short_the_deadline(
    replica: MakeReplica, server: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otpc_policy.fleet.server.MOST_CONNECTIONS", 2)
    one = replica(deadline_s=0.1)
    await one.shared.get_many([KEY])
    waiting = [asyncio.create_task(one.shared.get_many([KEY])) for _ in range(1_000)]
    # All of them together take longer than the deadline of one.
    await asyncio.sleep(0.1)
    assert not all(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [[None]] * 1_000


async def test_who_waits_for_a_place_learns_that_the_store_has_failed(
    replica: MakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otpc_policy.fleet.server.MOST_CONNECTIONS", 1)
    async with silent_server() as url:
        one = replica(url, deadline_s=0.05)
        asked = (one.shared.get_many([KEY]) for _ in range(20))
        async with asyncio.timeout(1.0):
            answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)


async def test_one_late_answer_does_not_make_it_unavailable(replica: MakeReplica) -> None:
    with valkey() as server:
        one = replica(server.url, deadline_s=0.2)

        async def ask() -> None:
            await one.connection.run(GET, ("a", "b"), 1)

        await ask()
        os.kill(server.pid, signal.SIGSTOP)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await ask()
        assert one.observed.available == [True]
        with pytest.raises(StoreUnavailable):
            await ask()
        assert one.observed.available == [True, False]
        os.kill(server.pid, signal.SIGCONT)
        with pytest.raises(StoreUnavailable, match="within the last second"):
            await ask()
        one.observed.at += 1
        await ask()
        assert one.observed.available == [True, False, True]


async def test_an_error_of_the_server_makes_it_unavailable(replica: MakeReplica) -> None:
    with valkey() as full:
        one = replica(full.url)
        await one.shared.put(KEY, facts())
        assert full.ask("CONFIG", "SET", "maxmemory", "100kb") == b"+OK\r\n"
        with pytest.raises(StoreUnavailable, match="OutOfMemory"):
            await one.shared.put(KEY, facts(1))
        assert one.observed.available == [True, False]


@pytest.mark.parametrize("is_cluster", [False, pytest.param(True, marks=pytest.mark.long)])
async def test_the_rights_that_the_documentation_gives_are_enough(
    replica: MakeReplica, is_cluster: bool
) -> None:
    text = DOCUMENTED.read_text(encoding="utf-8")
    rule = _in_ticks(text[text.index("`ACL SETUSER") :])
    of_clusters = _in_ticks(text[text.index("For a cluster also `") :]) if is_cluster else ""
    with lonely_cluster() if is_cluster else valkey() as server:
        assert server.ask(*rule.split(), *of_clusters.split()).startswith(b"+OK")
        named = {"user": "otpc-policy", "password": "PASSWORD", "is_cluster": is_cluster}
        one = replica(server.url, prefix="otpc", **named)
        lease = await one.leases.acquire(KEY, new_enough_s=1)
        assert isinstance(lease, Lease)
        await one.notices.follow()
        await one.store.put(KEY, facts(), lease=lease)
        assert await one.leases.renew(KEY, lease)
        await one.leases.release(KEY, lease)
        assert await one.shared.get_many([KEY]) == [facts()]
        await one.shared.discard(KEY)
        await one.notices.follow()
        assert await one.store.discard_endpoint(KEY.host, 0) == 1
        changes = shared_changes(one)
        positions, _ = await changes.snapshot()
        assert await changes.publish(verdict(), How.FOUND) is Outcome.PUBLISHED
        assert await changes.publish(verdict(), How.REMOVED) is Outcome.PUBLISHED
        assert len((await changes.read(positions)).changes) == 2
        assert one.observed.available == [True]
        # Others' names are not for it.
        foreign = replica(server.url, prefix="other", **named)
        with pytest.raises(StoreUnavailable, match="Permission"):
            await foreign.shared.get_many([KEY])


def _in_ticks(text: str) -> str:
    return " ".join(text.split("`")[1].split())


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_over_tls_the_server_is_held_to_its_name(
    replica: MakeReplica,
    server: Valkey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_trusted: bool,
) -> None:
    authority = CertificateAuthority.create()
    issued = authority.issue(dns=("localhost",), ips=("127.0.0.1",))
    trusted = authority if is_trusted else CertificateAuthority.create()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(trusted.pem)
    # Whom the system trusts does not matter where the settings name somebody.
    systems = tmp_path / "system.pem"
    systems.write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(systems))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*issued.write(tmp_path, "store"))

    async with tls_in_front_of(server, context) as port:
        one = replica(f"rediss://127.0.0.1:{port}/0", ca_file=str(ca_file))
        if is_trusted:
            await one.shared.put(KEY, facts())
            assert await one.shared.get_many([KEY]) == [facts()]
            pool = one.client.connection_pool
            made = [pool.make_connection() for _ in range(2)]
            contexts = {connection.ssl_context.get() for connection in made}
            assert len(contexts) == 1
        else:
            with pytest.raises(StoreUnavailable):
                await one.shared.get_many([KEY])
        await one.connection.close()


@pytest.mark.long
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_servers_that_a_cluster_names_are_held_to_their_names_too(
    replica: MakeReplica, tmp_path: Path, is_trusted: bool
) -> None:
    authority, other = CertificateAuthority.create(), CertificateAuthority.create()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.pem)
    contexts = []
    for number, issuer in enumerate((authority, authority if is_trusted else other)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued = issuer.issue(dns=("localhost",), ips=("127.0.0.1",))
        context.load_cert_chain(*issued.write(tmp_path, f"store{number}"))
        contexts.append(context)
    with lonely_cluster() as server:
        async with (
            tls_in_front_of(server, contexts[0]) as seed,
            tls_in_front_of(server, contexts[1]) as named,
        ):
            assert server.ask("CONFIG", "SET", "cluster-announce-port", str(named)) == b"+OK\r\n"
            url = f"rediss://127.0.0.1:{seed}"
            one = replica(url, ca_file=str(ca_file), is_cluster=True)
            if is_trusted:
                await one.shared.put(KEY, facts())
                assert await one.shared.get_many([KEY]) == [facts()]
            else:
                with pytest.raises(StoreUnavailable, match="ConnectionError"):
                    await one.shared.get_many([KEY])
            assert one.connection.failure == ("" if is_trusted else f"127.0.0.1:{named}: no answer")
            await one.connection.close()


async def test_a_server_that_is_no_cluster_says_so(replica: MakeReplica, server: Valkey) -> None:
    one = replica(server.url, is_cluster=True)
    with pytest.raises(StoreUnavailable, match="no cluster"):
        await one.shared.get_many([KEY])
    assert one.connection.failure == "it is no cluster"


@pytest.mark.long
async def test_hosts_that_the_cluster_names_need_tls_beyond_this_machine(
    replica: MakeReplica,
) -> None:
    with lonely_cluster("--cluster-announce-ip", "127.0.0.9") as server:
        one = replica(server.url, is_cluster=True, is_permitted=lambda host: host == "127.0.0.1")
        with pytest.raises(StoreUnavailable, match="needs TLS"):
            await one.shared.get_many([KEY])


@asynccontextmanager
async def tls_in_front_of(server: Valkey, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Speak TLS in the place of a server while the context lasts; yield the port."""
    relays: set[asyncio.Future[tuple[None, None]]] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        both = asyncio.gather(_copy(reader, back), _copy(there, writer))
        relays.add(both)
        await both

    async with await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context) as front:
        yield front.sockets[0].getsockname()[1]
        await asyncio.gather(*relays)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_what_one_key_holds_does_not_take_the_store_from_everything_else(
    replica: MakeReplica, server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    one = replica()
    server.ask("SET", one.keyspace.members, "x")
    members = Members(one.connection, keyspace=one.keyspace, replica="ab")
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            await members.join()
        assert await one.shared.get_many([KEY]) == [None]
    assert one.observed.available == [True]
    assert one.observed.asked.count(("members", "unavailable")) == 5
    (record,) = caplog.records
    assert "members" in record.getMessage()


@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancellation_that_the_library_takes_for_itself_is_none_the_less_one(
    replica: MakeReplica, fails: bool
) -> None:
    one = replica()
    server = StoreServer(one.client, observer=one.observed, clock=one.observed.monotonic)
    asked = asyncio.Event()

    async def ask() -> None:
        if asked.is_set():
            await asyncio.sleep(20)
        asked.set()
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            # As asyncio.wait_for does where what it waits for has just ended.
            if fails:
                raise ConnectionError from None

    async def loop() -> None:
        while True:
            with suppress(StoreUnavailable):
                await server.asked("test", ask, within_s=10)
            await asyncio.sleep(0)

    running = asyncio.create_task(loop())
    await asked.wait()
    running.cancel()
    _, still_running = await asyncio.wait({running}, timeout=2)
    assert not still_running
    assert running.cancelled()
