"""A caller that speaks gRPC by hand, frame by frame, and may keep silent where no library would."""

import socket
import struct
from types import TracebackType
from typing import Final, Self

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, RESET, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _END_HEADERS = 1, 4
_INITIAL_WINDOW_SIZE: Final = 4


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Source: RFC 9113 4.1."""
    head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags])
    return head + struct.pack(">I", stream) + payload


def _literal(name: str, value: str) -> bytes:
    """Return a header without indexing; name and value below 127 bytes. Source: RFC 7541 6.2.2."""
    texts = (name.encode(), value.encode())
    return b"\0" + b"".join(bytes([len(text)]) + text for text in texts)


class RawCaller:
    """A connection. window: bytes that the server may send on a stream; 0 holds up every answer."""

    def __init__(self, address: str, *, window: int = 0) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        settings = struct.pack(">HI", _INITIAL_WINDOW_SIZE, window)
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, settings))
        self._next_stream = 1
        self._received = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave, with whatever is open."""
        self._socket.close()

    def open(self, path: str, request: bytes | None) -> None:
        """Open a stream and send a request. None: the head of the call alone."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost"}
        head |= {"content-type": "application/grpc", "te": "trailers"}
        headers = b"".join(_literal(name, value) for name, value in head.items())
        frames = _frame(_HEADERS, _END_HEADERS, stream, headers)
        if request is not None:
            body = b"\0" + struct.pack(">I", len(request)) + request
            frames += _frame(_DATA, _END_STREAM, stream, body)
        self._socket.sendall(frames)

    def received(self) -> bytes:
        """Return all that has come so far."""
        self._socket.setblocking(False)
        try:
            while received := self._socket.recv(65_536):
                self._received += received
        except BlockingIOError:
            pass
        finally:
            self._socket.settimeout(10)
        return self._received

    def ended(self) -> int:
        """Return how many streams the server has ended so far, in whatever way."""
        received = self.received()
        ended, at = set[int](), 0
        while at + 9 <= len(received):
            length = int.from_bytes(received[at : at + 3], "big")
            kind, flags = received[at + 3], received[at + 4]
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            if kind == RESET or (kind in (_DATA, _HEADERS) and flags & _END_STREAM):
                ended.add(stream)
            at += 9 + length
        return len(ended)
