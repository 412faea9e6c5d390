"""The process of a DEEP scan ends when nobody needs it, and uses sslyze's command names."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sslyze.plugins.scan_commands import ScanCommand, ScanCommandsRepository

from otpc_policy.core.facts import ClientAuth, DeepCommand, TlsVersion
from otpc_policy.engine.workers.deep_claims import _CLAIMS
from otpc_policy.engine.workers.deep_messages import DeepTask, encode_task
from otpc_policy.engine.workers.messages import frame
from tests.support.hostile import stall
from tests.support.loopback import Listener, own_listener, vetted
from tests.support.tcp import Connection, counting_server

# Covered elsewhere: the chain by the STANDARD measurement, HTTP by a request of our own.
# Resumption is not judged.
LEFT_OUT = {ScanCommand.CERTIFICATE_INFO, ScanCommand.HTTP_HEADERS, ScanCommand.SESSION_RESUMPTION}


def task(at: Listener, *, deadline_s: float) -> DeepTask:
    return DeepTask(
        address=vetted(at.address),
        port=at.port,
        server_name="partner.test",
        commands=tuple(DeepCommand),
        cipher_suites=((TlsVersion.TLS_1_2, ("ECDHE-RSA-AES128-GCM-SHA256",)),),
        client_auth=ClientAuth.NONE,
        connections=2,
        deadline_s=deadline_s,
        connection_deadline_s=60,
        connection_bytes=100_000,
    )


@contextmanager
def held_by_a_server(
    deadline_s: float,
) -> Iterator[tuple["subprocess.Popen[bytes]", threading.Event]]:
    """Run the process against a server that accepts and sends nothing; the event: it waits."""
    arrived = threading.Event()

    async def announce(connection: Connection) -> None:
        arrived.set()
        await stall(connection)

    command = (sys.executable, "-P", "-m", "otpc_policy.engine.workers.deep_worker", "require")
    with (
        counting_server(own_listener(), announce) as counts,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process,
    ):
        try:
            assert process.stdin is not None
            process.stdin.write(frame(encode_task(task(counts.listener, deadline_s=deadline_s))))
            process.stdin.flush()
            yield process, arrived
        finally:
            process.kill()


def test_it_ends_with_its_parent() -> None:
    with held_by_a_server(60) as (process, arrived):
        assert arrived.wait(20)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(10) == 1


def test_it_ends_at_its_deadline_though_nobody_kills_it() -> None:
    with held_by_a_server(0.5) as (process, _arrived):
        assert process.wait(20) == 1


def test_every_command_is_one_of_sslyze_and_none_is_forgotten() -> None:
    assert {ScanCommand(command.value) for command in DeepCommand} == set(ScanCommand) - LEFT_OUT


def test_every_claim_is_a_field_of_its_result() -> None:
    """sslyze's results change between versions; a missing field must fail here, not in a scan."""
    for command, field in _CLAIMS.items():
        implementation = ScanCommandsRepository.get_implementation_cls(ScanCommand(command.value))
        result = implementation.result_for_completed_scan_jobs.__annotations__["return"]
        assert field in result.__dataclass_fields__, command
