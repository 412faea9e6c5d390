"""A real server behind a relay that simulates vulnerabilities: Heartbleed, CCS injection.

No server that can be installed today has these bugs. The relay forwards whole records, so honest
handshakes are the real server's. When the exploit's record arrives, after the server's flight and
before the client's keys, it responds as the bug would.
"""

import select
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from otpc_policy.tls.clear_flight import offers_compression
from tests.support.loopback import Listener
from tests.support.servers.threaded import threaded_server

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE, _HEARTBEAT = 20, 21, 22, 24
_SERVER_HELLO_DONE = b"\x0e\0\0\0"
# A heartbeat response with 32 bytes of memory (RFC 6520 4), as sent by a server with CVE-2014-0160.
LEAK = bytes([_HEARTBEAT, 3, 3, 0, 35, 2, 0, 32]) + b"\x01" * 32
# The server tried to decrypt with keys that were never agreed: bad_record_mac (CVE-2014-0224).
BAD_RECORD_MAC = bytes([_ALERT, 3, 3, 0, 2, 2, 20])

Provoked = Callable[[socket.socket], None]


def heartbleed_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Answer heartbeats with memory."""
    return provoked_front(listener, target, _HEARTBEAT, lambda client: client.sendall(LEAK))


def ccs_injection_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Accept ChangeCipherSpec before keys are agreed."""
    return provoked_front(
        listener, target, _CHANGE_CIPHER_SPEC, lambda client: client.sendall(BAD_RECORD_MAC)
    )


def closing_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Close on an early ChangeCipherSpec, without an alert, as some servers do."""
    return provoked_front(listener, target, _CHANGE_CIPHER_SPEC, lambda client: None)


def silent_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Ignore an early ChangeCipherSpec and wait."""
    return provoked_front(listener, target, _CHANGE_CIPHER_SPEC, _wait)


def compressing_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Choose DEFLATE (RFC 3749) if it is offered, and stop there.

    No TLS library that can be installed today supports compression.
    """
    body = b"\3\3" + bytes(32) + b"\0" + b"\xc0\x2f" + b"\1"
    message = b"\2" + len(body).to_bytes(3, "big") + body
    chosen = bytes([_HANDSHAKE, 3, 3]) + len(message).to_bytes(2, "big") + message

    def answer(client: socket.socket) -> None:
        hello = next(_records(client), b"")
        if offers_compression(hello):
            client.sendall(chosen)
            _wait(client)
            return
        with socket.create_connection((target.address, target.port), timeout=5) as server:
            server.sendall(hello)
            _pump(client, server)

    return threaded_server(listener, answer)


def provoked_front(
    listener: Listener, target: Listener, provocation: int, provoked: Provoked
) -> AbstractContextManager[Listener]:
    """Relay to the target; react to the first record of this type before the client's keys."""

    def answer(client: socket.socket) -> None:
        with socket.create_connection((target.address, target.port), timeout=5) as server:
            hello = next(records := _records(client))
            server.sendall(hello)
            flight = _relay_flight(server, client)
            if flight:
                following = next(records, b"")
                if following[:1] == bytes([provocation]):
                    provoked(client)
                    return
                server.sendall(following)
            _pump(client, server)

    return threaded_server(listener, answer)


def _records(sender: socket.socket) -> Iterator[bytes]:
    while len(head := _exactly(sender, 5)) == 5:
        yield head + _exactly(sender, int.from_bytes(head[3:5], "big"))


def _exactly(sender: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (more := sender.recv(size - len(received))):
        received += more
    return received


def _relay_flight(server: socket.socket, client: socket.socket) -> bool:
    """Relay records up to ServerHelloDone, and return whether it came.

    It does not in other versions or after a refusal.
    """
    for record in _records(server):
        client.sendall(record)
        if record[0] != _HANDSHAKE:
            return False
        if record.endswith(_SERVER_HELLO_DONE):
            return True
    return False


def _pump(client: socket.socket, server: socket.socket) -> None:
    """Relay both ways until one side ends."""
    peers = {client: server, server: client}
    while True:
        readable, _, _ = select.select(list(peers), [], [], 5)
        for source in readable:
            received = source.recv(65536)
            if not received:
                return
            peers[source].sendall(received)
        if not readable:
            return


def _wait(client: socket.socket) -> None:
    while client.recv(65536):
        pass
