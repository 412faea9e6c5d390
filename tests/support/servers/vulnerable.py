"""A real server behind a front that is vulnerable where a client provokes it: Heartbleed, CCS injection.

No server that anybody can install has these bugs any more. The front relays whole records, so that every honest handshake is the real
server's, and answers as the bug would where the provoking record comes: behind the server's flight, before the client's keys.
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
# A record with 32 bytes of what the client asked to be given back (RFC 6520 4), as a server with CVE-2014-0160 sends it.
LEAK = bytes([_HEARTBEAT, 3, 3, 0, 35, 2, 0, 32]) + b"\x01" * 32
# The server has tried to decrypt with keys that nobody agreed on: bad_record_mac (CVE-2014-0224).
BAD_RECORD_MAC = bytes([_ALERT, 3, 3, 0, 2, 2, 20])

Provoked = Callable[[socket.socket], None]


def heartbleed_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Answer heartbeats with memory."""
    return provoked_front(listener, target, _HEARTBEAT, lambda client: client.sendall(LEAK))


def ccs_injection_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Accept ChangeCipherSpec before keys are agreed."""
    return provoked_front(listener, target, _CHANGE_CIPHER_SPEC, lambda client: client.sendall(BAD_RECORD_MAC))


def closing_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Close on an early ChangeCipherSpec, without an alert, as some servers do."""
    return provoked_front(listener, target, _CHANGE_CIPHER_SPEC, lambda client: None)


def silent_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Say nothing on an early ChangeCipherSpec and wait."""
    return provoked_front(listener, target, _CHANGE_CIPHER_SPEC, _wait)


def compressing_front(listener: Listener, target: Listener) -> AbstractContextManager[Listener]:
    """Choose DEFLATE (RFC 3749) where it is offered, and go no further: no TLS library that anybody can install compresses any more."""
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


def provoked_front(listener: Listener, target: Listener, provocation: int, provoked: Provoked) -> AbstractContextManager[Listener]:
    """Relay to the target, and have it provoked by the first record of this type that comes before the client's keys."""

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
    """Relay records up to ServerHelloDone; return whether there is one. Other versions and refusals have none."""
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
        for one in readable:
            received = one.recv(65536)
            if not received:
                return
            peers[one].sendall(received)
        if not readable:
            return


def _wait(client: socket.socket) -> None:
    while client.recv(65536):
        pass
