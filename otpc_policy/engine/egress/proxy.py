"""Tunnels through an HTTP proxy (CONNECT, RFC 9110, section 9.3.6).

The proxy is asked for the vetted address, never for the name: a proxy that resolved the name itself
could be led to an address that the guard forbids. Nothing that a proxy says is about the partner. A
refusal to connect is unknown, whatever status it comes with; that the proxy itself cannot be used
is a fault of this service, and no fact at all.
"""

import re
import select
import socket
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from otpc_policy.core.addresses import VettedAddress
from otpc_policy.core.errors import EgressUnavailable
from otpc_policy.engine.egress.hindrance import CannotDial

# Heads of proxies have a few hundred bytes; error pages follow the head and are not read.
_MAX_HEAD_BYTES: Final = 16 * 1024
_PIECE_BYTES: Final = 4096
_END_OF_HEAD: Final = b"\r\n\r\n"
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n")
_OK: Final = range(200, 300)
_AUTHENTICATION_REQUIRED: Final = 407
_MOST_REFUSALS: Final = 8


class ProxyFault(CannotDial, EgressUnavailable):
    """The egress proxy cannot be used at all; the text says what its operator has to know."""


class ProxyRefusal(OSError):
    """The proxy did not connect to this address. Says nothing about the address.

    No ConnectionError: whoever takes those for the partner's doing must not take this.
    """


@dataclass(frozen=True, slots=True)
class EgressProxy:
    """Where the proxy is, an IP literal and a port, and how this service names itself to it.

    The one address that is dialled without being vetted: the operator set it.
    authorization: value of Proxy-Authorization; empty for none.
    """

    address: str
    port: int
    authorization: str = field(default="", repr=False)

    @property
    def family(self) -> socket.AddressFamily:
        """The family of its address."""
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


def basic_authorization(user: str, password: str) -> str:
    """Return the value of Proxy-Authorization. Source: RFC 7617; in UTF-8, as its 2.1 allows."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


class ProxyRoute:
    """The way of all connections of one scan. Counts what the proxy refused, in words."""

    def __init__(self, proxy: EgressProxy) -> None:
        self.proxy = proxy
        self._refusals = Counter[str]()

    def tunnel(self, address: VettedAddress, port: int) -> "Tunnel":
        """Return a tunnel that is to be opened."""
        return Tunnel(self, address, port)

    def count(self, refusal: str) -> None:
        """Take note of a refusal."""
        if refusal in self._refusals or len(self._refusals) < _MOST_REFUSALS:
            self._refusals[refusal] += 1

    def remarks(self) -> Iterator[str]:
        """Yield what the proxy refused."""
        for refusal, times in self._refusals.items():
            yield f"{refusal} ({times} connections)" if times > 1 else refusal


class Tunnel:
    """One CONNECT on a connection to the proxy that does not block."""

    def __init__(self, route: ProxyRoute, address: VettedAddress, port: int) -> None:
        self._route = route
        self._unsent = _request(route.proxy, address, port)
        self._head = b""

    def go_on(self, connection: socket.socket) -> int | None:
        """Do what can be done now; return what to wait for, None once the tunnel is open.

        connection: connected to the proxy. What comes through the tunnel is left in it. Returns
        select.EPOLLIN or select.EPOLLOUT, which are those of poll(2) too. Raises ProxyRefusal,
        ProxyFault.
        """
        try:
            while self._unsent:
                self._unsent = self._unsent[connection.send(self._unsent) :]
        except BlockingIOError:
            return select.EPOLLOUT
        except OSError:
            raise self._refusal("the egress proxy closed the connection") from None
        try:
            while not self._head.endswith(_END_OF_HEAD):
                self._read(connection)
        except BlockingIOError:
            return select.EPOLLIN
        self._judge()
        return None

    def closed(self) -> None:
        """Take note that the tunnel ended before anything was answered in it."""
        self._route.count(
            "the egress proxy, or the server behind it, closed connections without an answer; "
            "through a proxy that is no proof that the server refuses"
        )

    def _read(self, connection: socket.socket) -> None:
        """Read no more than the head. Raises BlockingIOError where there is nothing."""
        try:
            ahead = connection.recv(_PIECE_BYTES, socket.MSG_PEEK)
            # The end of the head may have begun in an earlier piece.
            kept = self._head[-len(_END_OF_HEAD) + 1 :]
            found = (kept + ahead).find(_END_OF_HEAD)
            wanted = len(ahead) if found < 0 else found + len(_END_OF_HEAD) - len(kept)
            piece = connection.recv(wanted) if ahead else b""
        except BlockingIOError:
            raise
        except OSError:
            piece = b""
        if not piece:
            raise self._refusal("the egress proxy closed the connection without an answer")
        self._head += piece
        if len(self._head) > _MAX_HEAD_BYTES:
            raise ProxyFault("what answers at the address of the egress proxy is no HTTP proxy")

    def _judge(self) -> None:
        line = _STATUS_LINE.match(self._head)
        if line is None:
            raise ProxyFault("what answers at the address of the egress proxy is no HTTP proxy")
        status = int(line[1])
        if status == _AUTHENTICATION_REQUIRED:
            raise ProxyFault(
                "the egress proxy does not accept our credentials (status 407): "
                "check egress_proxy_user and egress_proxy_password_file"
            )
        if status not in _OK:
            raise self._refusal(
                f"the egress proxy did not connect to this address (status {status})"
            )

    def _refusal(self, words: str) -> ProxyRefusal:
        self._route.count(words)
        return ProxyRefusal(words)


def _request(proxy: EgressProxy, address: VettedAddress, port: int) -> bytes:
    literal = f"[{address.text}]" if address.family == "IPv6" else address.text
    lines = [f"CONNECT {literal}:{port} HTTP/1.1", f"Host: {literal}:{port}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")
