"""Clients of the library for single servers, with bounds of their own and one TLS context."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import is_not
from typing import Any, Final

import redis.asyncio
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
)
from redis.backoff import NoBackoff

from otpc_policy.fleet.store import DEADLINE_S

# To one server. Beyond these, whoever asks waits within its deadline.
MOST_CONNECTIONS: Final = 32
# So much longer than its deadline a request may take while this process's loop is held by others.
# What its connections do has that bound alone: whoever asks counts otherwise (fair_timeout).
LATENESS_S: Final = 0.75
# Of the deadline, so that one of three sentinels may be silent.
_SENTINELS_PART: Final = 0.25
PORT: Final = 6379
SENTINELS_PORT: Final = 26_379


class UnexpectedHost(redis.exceptions.ConnectionError):
    """A sentinel has named a host that may not be reached in plain text."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is. host: a name or an address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class _TlsConnection(SSLConnection):
    """Shares one context with all others of a client.

    The library's own would be made for each connection, which holds the event loop for 35 ms, and
    would trust the system's CAs as well as those of ca_file.
    """

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls


class _NamedConnection(SentinelManagedConnection):
    """Leads to where sentinels say, if that may be."""

    def __init__(self, *, is_permitted: Callable[[str], bool], **options: Any) -> None:
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._is_permitted = is_permitted

    async def connect_to(self, address: tuple[str, int]) -> None:
        if not self._is_permitted(address[0]):
            raise UnexpectedHost
        await super().connect_to(address)  # type: ignore[no-untyped-call]


class _NamedTlsConnection(_NamedConnection, _TlsConnection):
    """The same, over TLS."""


class StoreClients:
    """Makes clients, not yet connected, for servers that are reached alike.

    url: redis://host:port/number, or rediss:// for TLS. ca_file: PEM CAs of the servers, and no
    others; by default those of the system. is_permitted: whether a host that is not of the
    settings may be reached. Raises OSError if ca_file cannot be read or used.
    """

    def __init__(
        self,
        url: str,
        *,
        user: str = "",
        password: str = "",
        ca_file: str | None = None,
        deadline_s: float = DEADLINE_S,
        is_permitted: Callable[[str], bool] = lambda _host: True,
    ) -> None:
        named: dict[str, Any] = dict(parse_url(url))
        is_tls = named.pop("connection_class", None) is not None
        named.pop("host", None), named.pop("port", None)
        self._seed = address_of(url)
        self._is_permitted = is_permitted
        self._deadline_s = deadline_s
        self._tls: dict[str, Any] = (
            {"tls": ssl.create_default_context(cafile=ca_file)} if is_tls else {}
        )
        self._login = {"username": user or None, "password": password or None}
        self._named = named

    def of_server(self, address: Address | None = None) -> "redis.asyncio.Redis":
        """Return a client for a server, by default for that of the URL."""
        longest_s = self._deadline_s + LATENESS_S
        return self._client(address or self._seed, longest_s, self._login | self._named)

    def of_primary(
        self,
        name: str,
        sentinels: Sequence[Address],
        *,
        user: str = "",
        password: str = "",
    ) -> "redis.asyncio.Redis":
        """Return a client for whichever server the sentinels call the primary of that name.

        user, password: for the sentinels.
        """
        login = {"username": user or None, "password": password or None}
        deadline_s = self._deadline_s * _SENTINELS_PART
        manager = _Sentinels([])  # type: ignore[no-untyped-call]
        manager.sentinels = [self._client(each, deadline_s, login) for each in sentinels]
        pool = _PrimaryPool(  # type: ignore[no-untyped-call]
            name,
            manager,
            connection_class=_NamedTlsConnection if self._tls else _NamedConnection,
            max_connections=MOST_CONNECTIONS,
            is_permitted=self._is_permitted,
            **self._tls,
            **self._login,
            **self._named,
            **_bounds(self._deadline_s + LATENESS_S),
        )
        return redis.asyncio.Redis(connection_pool=pool)

    def _client(
        self, address: Address, longest_s: float, options: dict[str, Any]
    ) -> "redis.asyncio.Redis":
        kind: type[AbstractConnection] = _TlsConnection if self._tls else Connection
        pool = redis.asyncio.BlockingConnectionPool(
            connection_class=kind,
            host=address.host,
            port=address.port,
            max_connections=MOST_CONNECTIONS,
            timeout=longest_s,
            **self._tls,
            **options,
            **_bounds(longest_s),
        )
        return redis.asyncio.Redis(connection_pool=pool)


class _Sentinels(Sentinel):
    """Asks one sentinel after the other, beginning with whoever answered last.

    The library's own exchanges two places of its list after an answer. Where many ask at once, that
    puts one sentinel in both places: the other is never asked again, and its connections stay open.
    Nor does it go on to the next where one answers what is no answer.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        failures: list[str] = []
        for each in tuple(self.sentinels):
            single = Sentinel([])  # type: ignore[no-untyped-call]
            single.sentinels = [each]
            try:
                address: tuple[str, int] = await single.discover_master(service_name)
            except Exception as error:  # noqa: BLE001  # whatever it answers, the next one is asked
                failures.append(type(error).__name__)
                continue
            self.sentinels.sort(key=partial(is_not, each))
            return address
        raise MasterNotFoundError(", ".join(failures))


class _PrimaryPool(SentinelConnectionPool):
    """Closes the connections to the sentinels as well, which are nobody else's."""

    async def disconnect(self, inuse_connections: bool = True) -> None:
        try:
            await super().disconnect(inuse_connections)
        finally:
            if inuse_connections:
                sentinels = self.sentinel_manager.sentinels
                closing = [each.aclose(close_connection_pool=True) for each in sentinels]
                await asyncio.gather(*closing, return_exceptions=True)


def _bounds(longest_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": longest_s,
        "socket_connect_timeout": longest_s,
        # A command that failed may have been carried out: whoever asked decides what follows.
        "retry": Retry(NoBackoff(), 0),
    }


def address_of(url: str, *, default_port: int = PORT) -> Address:
    """Return where a URL leads."""
    named = parse_url(url)
    return Address(str(named.get("host", "localhost")), int(named.get("port", default_port)))
