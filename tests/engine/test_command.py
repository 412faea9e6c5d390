"""otpc-policy engine: an engine apart from its fronts, over TCP with mutual TLS."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from otpc_policy.core.errors import TargetForbidden
from otpc_policy.engines.status import error_of
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.v1 import measurement_pb2_grpc as rpc
from tests.engine.partners import server, stall
from tests.engine.serving import start
from tests.support.certificates import CertificateAuthority, Issued

COMMAND = (sys.executable, "-m", "otpc_policy", "engine")


@asynccontextmanager
async def running(*options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Run an engine; yield its process and its address."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        assert line.startswith("measuring on "), line
        yield process, line.split()[-1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


def refused(*options: str) -> str:
    done = subprocess.run(
        [*COMMAND, *options], check=False, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    return done.stderr


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return CertificateAuthority.create("Engines")


@pytest.fixture(scope="module")
def own(authority: CertificateAuthority) -> Issued:
    return authority.issue(dns=("localhost",))


def tls_options(folder: Path, authority: CertificateAuthority, own: Issued) -> list[str]:
    certificate, key = own.write(folder, "engine")
    client_ca = folder / "fronts.pem"
    client_ca.write_bytes(authority.pem)
    return [
        *("--listen", "127.0.0.1:0", "--allow-network", "127.0.0.0/8"),
        *("--tls-certificate", str(certificate), "--tls-key", str(key)),
        *("--tls-client-ca", str(client_ca)),
    ]


def channel(address: str, ca: bytes, caller: Issued | None) -> grpc.aio.Channel:
    pair = (None, None) if caller is None else (caller.key_pem, caller.chain_pem)
    credentials = grpc.ssl_channel_credentials(ca, *pair)
    options = (("grpc.ssl_target_name_override", "localhost"),)
    return grpc.aio.secure_channel(address, credentials, options=options)


async def state(open_channel: grpc.aio.Channel) -> Any:
    stub = rpc.MeasurementServiceStub(open_channel)  # type: ignore[no-untyped-call]
    async for one in stub.WatchStatus(pb.WatchStatusRequest(), timeout=10):
        return one
    return None


async def test_a_front_with_a_certificate_may_use_it_and_nobody_else(
    tmp_path: Path, authority: CertificateAuthority, own: Issued
) -> None:
    front = authority.issue(dns=("front.test",), extended_key_usage=("client_auth",))
    foreign = CertificateAuthority.create("Others").issue(
        dns=("front.test",), extended_key_usage=("client_auth",)
    )
    async with running(*tls_options(tmp_path, authority, own)) as (_process, address):
        async with channel(address, authority.pem, front) as known:
            assert (await state(known)).workers_alive == 2
        for caller in (None, foreign):
            async with channel(address, authority.pem, caller) as unknown:
                with pytest.raises(grpc.aio.AioRpcError) as raised:
                    await state(unknown)
                assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(address) as plain:
            with pytest.raises(grpc.aio.AioRpcError):
                await state(plain)


async def test_plain_tcp_only_by_a_dangerous_switch_with_health_and_probes(tmp_path: Path) -> None:
    options = ("--listen", "127.0.0.1:0", "--dangerously-listen-without-tls")
    with_pages = (*options, "--ops-listen", "127.0.0.1:0")
    async with (
        running(*with_pages) as (_process, address),
        grpc.aio.insecure_channel(address) as plain,
    ):
        stub = health_pb2_grpc.HealthStub(plain)
        for name in ("", "otpc_policy.measurement.v1.MeasurementService"):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert (await state(plain)).concurrent_scans == 32


@pytest.mark.parametrize(
    "options",
    [
        ("--listen", "127.0.0.1:0"),
        ("--listen", "0.0.0.0:0"),
        ("--listen", "127.0.0.1:0", "--tls-client-ca", "/etc/hosts"),
    ],
)
def test_tcp_needs_mutual_tls(options: tuple[str, ...]) -> None:
    assert "TLS" in refused(*options)


def test_what_cannot_be_listened_on_is_said(tmp_path: Path) -> None:
    assert "absolute path" in refused("--listen", "unix:relative")
    assert "absolute path" in refused("--listen", f"unix:/{'x' * 200}")
    assert "cannot listen on" in refused("--listen", f"unix:{tmp_path}/missing/engine")
    assert "host:port" in refused("--listen", "unix:/x", "--ops-listen", "nonsense")


@pytest.mark.parametrize("in_haste", [False, True])
async def test_sigterm_lets_a_measurement_end_and_a_second_one_does_not(
    tmp_path: Path, in_haste: bool
) -> None:
    arrived = asyncio.Event()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await stall(reader, writer)

    listen = ("--listen", f"unix:{tmp_path}/engine", "--allow-network", "127.0.0.0/8")
    async with (
        server(keep_silent) as port,
        running(*listen) as (process, address),
        grpc.aio.insecure_channel(address) as open_channel,
    ):
        stub = rpc.MeasurementServiceStub(open_channel)  # type: ignore[no-untyped-call]
        call = stub.Measure()
        request = start(port=port)
        request.start.scan_deadline.seconds = 20 if in_haste else 2
        await call.write(request)
        await arrived.wait()
        watch = stub.WatchStatus(pb.WatchStatusRequest())
        assert not (await watch.read()).draining
        process.send_signal(signal.SIGTERM)
        if in_haste:
            while not (await watch.read()).draining:
                pass
            process.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError):
                await call.read()
        else:
            assert (await call.read()).WhichOneof("update") == "final_report"
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_socket_on_which_another_engine_listens_is_not_taken_from_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "engine"
    async with running("--listen", f"unix:{path}"):
        inode = path.stat().st_ino
        assert "another engine listens there" in refused("--listen", f"unix:{path}")
        assert path.stat().st_ino == inode
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with running("--listen", f"unix:{path}"):
        pass


async def test_an_engine_measures_neither_of_its_own_ports() -> None:
    options = ("--listen", "0.0.0.0:0", "--dangerously-listen-without-tls")
    with_pages = (*options, "--ops-listen", "127.0.0.1:0", "--allow-network", "127.0.0.0/8")
    async with (
        running(*with_pages) as (_process, address),
        grpc.aio.insecure_channel(address.replace("0.0.0.0", "127.0.0.1")) as plain,
    ):
        stub = rpc.MeasurementServiceStub(plain)  # type: ignore[no-untyped-call]
        call = stub.Measure()
        port = int(address.rpartition(":")[2])
        await call.write(start(address="127.0.0.9", port=port))
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await call.read()
        assert raised.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        error = error_of(raised.value)
        assert isinstance(error, TargetForbidden)
