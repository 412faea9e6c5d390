"""Engines of others, reached over mutual TLS: found by name, watched, let go when they leave.

An engine is known by its address, which is the same on every front: so all fronts send a target to
the same one. A `dns:///` name stands for all addresses that it has, and is asked again and again.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc
import structlog

from otpc_policy.core.addresses import AddressVetting, Resolution
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import AddressFacts
from otpc_policy.engines.client import EngineClient, channel_options, keepalive_options
from otpc_policy.engines.errors import EngineLost
from otpc_policy.engines.heartbeats import Silence
from otpc_policy.engines.ports import Engine, EngineState, Report, Target, Terms
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.ops.credentials import unusable

DNS: Final = "dns:///"
UNIX: Final = "unix:"

# How often names are asked again, and files looked at.
_LOOK_S: Final = 10.0
_LOOK_UP_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
# One that lied is left alone for so long: it cannot be killed from here.
_CONDEMNED_S: Final = 30.0
# What is measured at an engine that leaves may end there.
_LEAVE_S: Final = 120.0

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCredentials:
    """Files in PEM: the front's certificate and key, and the CAs of engines."""

    certificate_file: Path
    key_file: Path
    ca_file: Path

    def stamp(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when a file does. Raises OSError."""
        found = (path.stat() for path in (self.certificate_file, self.key_file, self.ca_file))
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)

    def read(self) -> grpc.ChannelCredentials:
        """Return what the files hold.

        Raises ConfigurationError if one cannot be read, or the key is not that of the certificate:
        no connection could be made with such a pair, and a rotation writes one file at a time.
        """
        contents = {}
        for setting, path in (
            ("engine_ca_file", self.ca_file),
            ("engine_key_file", self.key_file),
            ("engine_certificate_file", self.certificate_file),
        ):
            try:
                contents[path] = path.read_bytes()
            except OSError as error:
                reason = error.strerror or "cannot be read"
                raise ConfigurationError([f"{setting}: {path}: {reason}"]) from None
        problems = unusable(
            contents,
            certificate_file=self.certificate_file,
            key_file=self.key_file,
            ca_file=self.ca_file,
        )
        if problems:
            raise ConfigurationError(problems)
        return grpc.ssl_channel_credentials(
            contents[self.ca_file], contents[self.key_file], contents[self.certificate_file]
        )


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host as "address:port". Raises OSError, TimeoutError."""
    async with asyncio.timeout(_LOOK_UP_S):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = sorted({str(one[4][0]) for one in found})
    return [f"[{one}]:{port}" if ":" in one else f"{one}:{port}" for one in addresses]


class RemoteFleet:
    """The engines at some addresses: "unix:/path", "host:port" or "dns:///host:port".

    credentials: None for Unix sockets, and for TCP in plain text.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        credentials: EngineCredentials | None,
        vetting: AddressVetting,
        now: Callable[[], datetime],
        look_up: LookUp = look_up,
    ) -> None:
        self._addresses, self._credentials = tuple(addresses), credentials
        self._vetting, self._now, self._look_up = vetting, now, look_up
        self._engines: dict[str, RemoteEngine] = {}
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
            with contextlib.suppress(OSError):  # read says which file it is
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
        await asyncio.gather(*(one.stop(0.0) for one in self._engines.values()))
        self._engines = {}

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
        names = {
            name: _server_name(address) for address in self._found for name in self._found[address]
        }
        for name in [name for name in self._engines if name not in names]:
            self._let_go(name)
        for name in [name for name in names if name not in self._engines]:
            channel = self._channel(name, names[name])
            client = EngineClient(channel, vetting=self._vetting, now=self._now)
            self._engines[name] = RemoteEngine(name, channel, client, self._changed)
        self._changed()

    def _let_go(self, name: str) -> None:
        engine = self._engines.pop(name)
        engine.leave()
        leaving = asyncio.create_task(engine.stop(_LEAVE_S))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

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
        """Begin every connection anew where the files have changed and can be read."""
        if self._credentials is None:
            return
        try:
            stamp = self._credentials.stamp()
            if stamp == self._stamp:
                return
            self._channel_credentials = self._credentials.read()
        except (OSError, ConfigurationError) as error:
            self._log.error("engine credentials refused", reason=str(error))
            return
        self._stamp = stamp
        for name in list(self._engines):
            self._let_go(name)


class RemoteEngine:
    """One engine at the end of a channel, which it watches until it is stopped."""

    def __init__(
        self,
        name: str,
        channel: grpc.aio.Channel,
        client: EngineClient,
        changed: Callable[[], None],
    ) -> None:
        self._name, self._channel, self._client, self._changed = name, channel, client, changed
        self._silence = Silence(client)
        self._is_watched = self._is_leaving = False
        self._condemned_until_s = 0.0
        self._under_way = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._log = structlog.get_logger("otpc_policy.engines")
        self._watching = asyncio.create_task(self._watch())

    @property
    def name(self) -> str:
        """See ports.Engine."""
        return self._name

    @property
    def is_up(self) -> bool:
        """See ports.Engine."""
        is_sound = self._is_watched and self._silence.is_short
        return is_sound and not (self._client.state.is_draining or self._is_leaving)

    @property
    def state(self) -> EngineState:
        """See ports.Engine."""
        state = self._client.state
        return state if self._is_watched else replace(state, queued=0, workers_alive=0)

    async def measure(
        self, target: Target, terms: Terms, *, left_standard_part: Callable[[], None]
    ) -> Report:
        """See ports.Engine."""
        self._under_way += 1
        self._is_idle.clear()
        try:
            return await self._client.measure(target, terms, left_standard_part=left_standard_part)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_idle.set()

    async def partial(self, target: Target) -> AddressFacts | None:
        """See ports.Engine."""
        return await self._client.partial(target)

    async def resolve(self, host: str, *, fresh: bool, within_s: float) -> Resolution:
        """See ports.Engine."""
        return await self._client.resolve(host, fresh=fresh, within_s=within_s)

    async def answers(self, *, within_s: float) -> bool:
        """See ports.Engine."""
        return await self._client.answers(within_s=within_s)

    def condemn(self, why: str) -> None:
        """See ports.Engine. It is left alone for a while, and what it measures is given up."""
        self._log.error("engine lied", engine=self.name, reason=why)
        self._condemned_until_s = asyncio.get_running_loop().time() + _CONDEMNED_S
        self._is_watched = False
        self._client.give_up()
        self._watching.cancel()
        self._watching = asyncio.create_task(self._watch())
        self._changed()

    def leave(self) -> None:
        """Take no more measurements: whoever waits for a turn here goes elsewhere."""
        self._is_leaving = True

    async def stop(self, within_s: float) -> None:
        """Close the channel, when nothing is measured any more or after within_s."""
        try:
            async with asyncio.timeout(within_s):
                await self._is_idle.wait()
        except TimeoutError:
            pass
        finally:
            self._watching.cancel()
            await asyncio.wait({self._watching})
            await self._channel.close(None)

    async def _watch(self) -> None:
        """Keep watching, whatever the engine does."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        while True:
            await asyncio.sleep(max(0.0, self._condemned_until_s - loop.time()))
            why = await self._watch_once()
            was_watched, self._is_watched = self._is_watched, False
            if was_watched:
                self._log.warning("engine lost", engine=self.name, reason=why)
            self._changed()
            pause_s = _FIRST_PAUSE_S if was_watched else 2 * pause_s
            await asyncio.sleep(min(pause_s, _LONGEST_PAUSE_S))

    async def _watch_once(self) -> str:
        """Watch until it ends, and return why."""
        watching = asyncio.create_task(self._client.watch(self._reported))
        try:
            while not (await asyncio.wait({watching}, timeout=self._silence.next_look_s))[0]:
                self._silence.look()
                if self._silence.is_over_long:
                    self._client.give_up()
                    return "it is silent"
            await watching
        except EngineLied as lie:
            self._client.give_up()
            self._condemned_until_s = asyncio.get_running_loop().time() + _CONDEMNED_S
            return f"it lied: {lie}"
        except EngineLost as lost:
            return str(lost)
        finally:
            watching.cancel()
            await asyncio.wait({watching})
        return "it reports nothing more"

    def _reported(self) -> None:
        self._is_watched = True
        self._changed()


def _server_name(address: str) -> str:
    """Return the name that a certificate must be for; empty for that of the address itself."""
    return address.removeprefix(DNS).rpartition(":")[0] if address.startswith(DNS) else ""


def needs_tls(addresses: Iterable[str]) -> bool:
    """Some address is reached over TCP."""
    return any(not address.startswith(UNIX) for address in addresses)
