"""A template whose workers behave until they are asked something, and then lie.

Run as a program in place of otpc_policy.engine.workers.template. Arguments: which lie, and the
level of isolation, which it ignores.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

from otpc_policy.engine.workers.handshake import HandshakeEnding, HandshakeOutcome, Target
from otpc_policy.engine.workers.messages import (
    FORK,
    READY,
    decode_request,
    encode_ready,
    encode_statement,
    frame,
)

LIES = (
    "million-entry-chain",
    "million-entry-chain-within-the-limit",
    "nan",
    "nested",
    "another-target",
    "another-address",
    "endless-message",
    "endless-messages",
    "endless-answers",
    "forged-refusal",
)


def said(lie: str, number: int, target: Target) -> Iterator[bytes]:
    """Yield what is sent, a piece at a time."""
    honest = HandshakeOutcome(ending=HandshakeEnding.CLOSED, connected=True)
    fields: dict[str, Any] = json.loads(encode_statement(number, target, honest))
    outcome = fields["outcome"]
    match lie:
        case "million-entry-chain":
            outcome.update(chain=["AAAA"] * 1_000_000, key_proven=True, ending="COMPLETED")
        case "million-entry-chain-within-the-limit":
            outcome.update(chain=[""] * 100_000, key_proven=True, ending="COMPLETED")
        case "nan":
            outcome["duration_s"] = float("nan")
        case "nested":
            yield frame(b'{"number":' + b"[" * 100_000)
        case "another-target":
            fields["target"]["server_name"] = "other.test"
        case "another-address":
            fields["target"]["address"] = "169.254.169.254"
        case "endless-message":
            yield (2**32 - 1).to_bytes(4, "big")
            while True:
                yield bytes(65_536)
        case "endless-messages":
            while True:
                yield frame(json.dumps({**fields, "number": 77}).encode()) * 100
        case "endless-answers":
            while True:
                yield frame(json.dumps(fields).encode()) * 100
        case "forged-refusal":
            outcome.update(ending="REFUSED", connected=False)
    yield frame(json.dumps(fields).encode())


def work(channel: socket.socket, lie: str) -> None:
    channel.sendall(frame(encode_ready(())))
    request, _, _, _ = socket.recv_fds(channel, 65_536, 1)
    number, target, _ = decode_request(request[4:])
    for piece in said(lie, number, target):
        channel.sendall(piece)
    while channel.recv(65_536):
        pass


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    control = socket.socket(fileno=os.dup(0))
    control.send(READY)
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, len(FORK), 1)
        if not request:
            return
        pid = os.fork()
        if not pid:
            control.close()
            with contextlib.suppress(OSError):
                work(socket.socket(fileno=descriptors[0]), sys.argv[1])
            os._exit(0)
        os.close(descriptors[0])
        process = os.pidfd_open(pid)
        socket.send_fds(control, [str(pid).encode()], [process])
        os.close(process)


if __name__ == "__main__":
    main()
