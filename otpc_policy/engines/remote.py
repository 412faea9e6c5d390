"""Engines of others, reached over mutual TLS: found by name, watched, let go when they leave.

An engine is known by its address, which is the same on every front: so all fronts send a target to
the same one. A `dns:///` name stands for all addresses that it has, and is asked again and again.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import grpc
import structlog

from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engines.client import EngineClient, channel_options, keepalive_options
from otpc_policy.engines.credentials import EngineCredentials
from otpc_policy.engines.ports import Engine
from otpc_policy.engines.remote_engine import RemoteEngine

DNS: Final = "dns:///"
UNIX: Final = "unix:"

# How often names are asked again, and files looked at.
_LOOK_S: Final = 10.0
_LOOK_UP_S: Final = 5.0
# What is measured at an engine that leaves may end there.
_LEAVE_S: Final = 120.0

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host as "address:port". Raises OSError, TimeoutError."""
    async with asyncio.timeout(_LOOK_UP_S):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(one[4][0]) for one in found})
    return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in addresses]


class RemoteFleet:
    """The engines at some addresses: "unix:/path", "host:port" or "dns:///host:port".

    credentials: None for Unix sockets, and for TCP in plain text. perspective: as of EngineClient.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        credentials: EngineCredentials | None,
        vetting: AddressVetting,
        now: Callable[[], datetime],
        look_up: LookUp = look_up,
        perspective: str = "",
    ) -> None:
        self._perspective = perspective
        self._addresses, self._credentials = tuple(addresses), credentials
        self._vetting, self._now, self._look_up = vetting, now, look_up
        self._engines: dict[str, RemoteEngine] = {}
        # Connections with new credentials, which take the place of the others once they are up.
        self._successors: dict[str, RemoteEngine] = {}
        self._found: dict[str, tuple[str, ...]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._stamp: object = None
        self._channel_credentials: grpc.ChannelCredentials | None = None
        self._looking: asyncio.Task[None] | None = None
        self._changed: Callable[[], None] = lambda: None
        self._log = structlog.get_logger("otpc_policy.engines")

    @property
    def engines(self) -> Sequence[Engine]:
        """All that are known now."""
        return tuple(self._engines.values())

    async def start(self, changed: Callable[[], None]) -> None:
        """Find the engines, up or not. Raises ConfigurationError for files that cannot be read."""
        self._changed = changed
        if self._credentials is not None:
            # The stamp first: a file that is replaced meanwhile is then read again.
            self._stamp = self._credentials.stamp()
            self._channel_credentials = self._credentials.read()
        await self._look()
        self._looking = asyncio.create_task(self._keep_looking())

    async def stop(self) -> None:
        """Close every channel."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        remaining = (*self._engines.values(), *self._successors.values())
        await asyncio.gather(*(engine.stop(0.0) for engine in remaining))
        self._engines, self._successors = {}, {}

    def set_log_level(self, level: str) -> None:
        """Do nothing: engines elsewhere have settings of their own."""

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self._read_credentials_again()
            await self._look()

    async def _look(self) -> None:
        """Ask every name, and take in or let go what has come or gone."""
        for address in self._addresses:
            if not address.startswith(DNS):
                self._found[address] = (address,)
                continue
            host, _, port = address.removeprefix(DNS).rpartition(":")
            try:
                found = await self._look_up(host.strip("[]"), int(port))
                self._found[address] = tuple(found)
            except (OSError, TimeoutError) as error:
                # Whoever was there is there still, for all that is known.
                self._log.warning("engines not found", address=address, reason=str(error))
        self._settle()

    def _settle(self) -> None:
        names = self._server_names()
        for name in [name for name in self._engines if name not in names]:
            self._let_go(self._engines.pop(name))
            self._let_go(self._successors.pop(name, None))
        for name in [name for name in names if name not in self._engines]:
            self._engines[name] = self._engine(name, names[name], self._changed)
        self._changed()

    def _server_names(self) -> dict[str, str]:
        """Return the engines that there are, and the name that each must prove."""
        return {
            name: _server_name(address) for address in self._found for name in self._found[address]
        }

    def _engine(self, name: str, server_name: str, changed: Callable[[], None]) -> RemoteEngine:
        channel = self._channel(name, server_name)
        client = EngineClient(
            channel, vetting=self._vetting, now=self._now, perspective=self._perspective
        )
        return RemoteEngine(name, channel, client, changed)

    def _let_go(self, engine: RemoteEngine | None) -> None:
        if engine is None:
            return
        engine.leave()
        leaving = asyncio.create_task(engine.stop(_LEAVE_S))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    def _renew(self) -> None:
        """Connect to every engine with the credentials as they are now.

        Each connection that there is serves until the new one is up: so nobody waits for it, and
        files that the engine refuses, or that do not belong together, end nothing.
        """
        for name, server_name in self._server_names().items():
            if name.startswith(UNIX) or name not in self._engines:
                continue
            self._let_go(self._successors.pop(name, None))
            self._successors[name] = self._engine(name, server_name, partial(self._succeed, name))

    def _succeed(self, name: str) -> None:
        """Put a connection with new credentials in the place of the old one, if it is up."""
        successor = self._successors.get(name)
        if successor is not None and successor.is_up:
            former, self._engines[name] = self._engines[name], self._successors.pop(name)
            self._let_go(former)
        self._changed()

    def _channel(self, name: str, server_name: str) -> grpc.aio.Channel:
        options: list[tuple[str, int | str]] = [*channel_options()]
        if name.startswith(UNIX):
            return grpc.aio.insecure_channel(name, options=options)
        options += keepalive_options()
        if self._channel_credentials is None:
            return grpc.aio.insecure_channel(name, options=options)
        if server_name:
            options.append(("grpc.ssl_target_name_override", server_name))
        return grpc.aio.secure_channel(name, self._channel_credentials, options=options)

    def _read_credentials_again(self) -> None:
        """Connect anew where the files have changed and can be read."""
        if self._credentials is None:
            return
        stamp = self._credentials.stamp()
        if stamp == self._stamp:
            return
        try:
            self._channel_credentials = self._credentials.read()
        except ConfigurationError as error:
            self._log.error("engine credentials refused", reason=str(error))
            return
        self._stamp = stamp
        self._renew()


def _server_name(address: str) -> str:
    """Return the name that a certificate must be for; empty for that of the address itself."""
    return address.removeprefix(DNS).rpartition(":")[0] if address.startswith(DNS) else ""
