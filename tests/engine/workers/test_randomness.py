"""No two workers send the same random numbers, not even with the same process id.

A server that has seen a client random twice could replay a signature that it recorded.
"""

import os
import subprocess
import sys

import pytest

_CHOOSES_PROCESS_IDS = "/proc/sys/kernel/ns_last_pid"
_PROGRAM = """
import os, sys
from contextlib import suppress
from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.workers.handshake import Hello
from otpc_policy.engine.workers import client_handshake

class Recording:
    sent = b""
    def send(self, content):
        self.sent += content
        return len(content)
    def recv(self, size):
        raise BlockingIOError

def client_random():
    hello = Hello(
        server_name=None, version=TlsVersion.TLS_1_2, cipher_suites=(0xC02F,),
        legacy=sys.argv[1] == "legacy", deadline_s=1, byte_limit=1,
    )
    client, recording = client_handshake._client(hello), Recording()
    client.set_underlying_socket(recording)
    with suppress(BlockingIOError):
        client.do_handshake()
    return recording.sent[15:43].hex()  # without the clock

client_handshake.load_libraries()
seen, wanted = [], (os.getpid() + 9000) % 30000 + 400
for _ in range(100):
    if "stir" in sys.argv:
        client_handshake.stir_randomness()
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(wanted - 1))
    pid = os.fork()
    if not pid:
        print(client_random(), flush=True) if os.getpid() == wanted else None
        os._exit(0)
    os.waitpid(pid, 0)
    seen.append(pid)
    if seen.count(wanted) == 2:
        break
"""


@pytest.mark.skipif(
    not os.access(_CHOOSES_PROCESS_IDS, os.W_OK), reason="may not choose process ids here"
)
@pytest.mark.parametrize(
    ("arguments", "is_repeated"),
    [(["legacy"], True), (["legacy", "stir"], False), (["modern"], False)],
)
def test_a_process_id_that_comes_again_brings_other_numbers(
    *, arguments: list[str], is_repeated: bool
) -> None:
    """The first case shows why the template stirs before each fork."""
    command = [sys.executable, "-c", _PROGRAM, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    first, second = done.stdout.split()
    assert len(first) == 56
    assert (first == second) is is_repeated
