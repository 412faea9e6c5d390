"""Where the egress proxy is now, and the password for it: both are looked up again and again.

The proxy's name is resolved by the system, because it belongs to the own network, and its address
is the only one that is not vetted.
"""

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine.egress.proxy import EgressProxy, ProxyFault, basic_authorization
from otpc_policy.ops.secret_files import in_words, read_secret

# A front waits half a minute for an engine to start.
_RESOLVE_S: Final = 5.0
_AGAIN_S: Final = 60.0
_AGAIN_AFTER_FAILURE_S: Final = 2.0
_MOST_PASSWORD_BYTES: Final = 4096

_log = structlog.get_logger("otpc_policy.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """host: canonical. password_file: None where the proxy wants no credentials."""

    host: str
    port: int
    user: str = ""
    password_file: Path | None = None


class ProxyAccess:
    """settings: None where there is no proxy. Raises ConfigurationError about the password file."""

    def __init__(self, settings: ProxySettings | None) -> None:
        self._settings = settings
        self._address = ""
        self._authorization = ""
        self._read: tuple[int, int, int] | None = None
        self._keeper: asyncio.Task[None] | None = None
        if settings is not None:
            try:
                self._read_password(settings)
            except (OSError, ValueError) as error:
                problem = f"egress_proxy_password_file: {in_words(error)}"
                raise ConfigurationError([problem]) from None

    @property
    def is_set(self) -> bool:
        """There is to be one."""
        return self._settings is not None

    @property
    def fault(self) -> str:
        """Why connections cannot be made now, for people; "" where nothing is known against it."""
        has_address = self._settings is None or bool(self._address)
        return "" if has_address else "its name cannot be resolved"

    def current(self) -> EgressProxy | None:
        """Return the proxy; None where there is none. Raises ProxyFault while it has no address."""
        if self._settings is None:
            return None
        if not self._address:
            raise ProxyFault("the name of the egress proxy cannot be resolved")
        return EgressProxy(self._address, self._settings.port, self._authorization)

    async def start(self) -> None:
        """Look for the proxy, and go on to do so. Stop it."""
        if self._settings is not None:
            await self._look(self._settings)
            self._keeper = asyncio.create_task(self._keep(self._settings), name="find the proxy")

    async def stop(self) -> None:
        """Look no more."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
            self._keeper = None

    async def _keep(self, settings: ProxySettings) -> None:
        while True:
            await asyncio.sleep(_AGAIN_S if self._address else _AGAIN_AFTER_FAILURE_S)
            try:
                self._read_password(settings)
            except (OSError, ValueError) as error:
                _log.error("the password for the egress proxy is kept", reason=in_words(error))
            await self._look(settings)

    def _read_password(self, settings: ProxySettings) -> None:
        """Read the file if it is another one than before. Raises OSError, ValueError."""
        if settings.password_file is None:
            return
        found = settings.password_file.stat()
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        if stamp != self._read:
            self._authorization = _authorization(settings.user, settings.password_file)
            self._read = stamp

    async def _look(self, settings: ProxySettings) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_RESOLVE_S):
                found = await loop.getaddrinfo(
                    settings.host, settings.port, type=socket.SOCK_STREAM
                )
        except OSError as error:  # TimeoutError is one
            reason = error.strerror or "no answer in time"
            _log.error("the egress proxy cannot be resolved", reason=reason)
            return
        addresses = [str(entry[4][0]) for entry in found]
        if self._address not in addresses:
            self._address = addresses[0]


def _authorization(user: str, file: Path) -> str:
    """Raises OSError, ValueError."""
    content = read_secret(file, what="password", most_bytes=_MOST_PASSWORD_BYTES)
    password = content.rstrip("\r\n")
    if not password or any(ord(one) < 32 for one in password):
        raise ValueError(f"{file}: must hold a password, and nothing else")
    return basic_authorization(user, password)
