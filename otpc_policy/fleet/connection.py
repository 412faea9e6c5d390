"""Asks the store within a bound, or not at all: what fails once is not asked again for a second."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, Final, Protocol

import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError

from otpc_policy.check import StoreUnavailable
from otpc_policy.fleet.scripts import Script

_logger = logging.getLogger(__name__)

# A round trip in one data centre takes a hundredth of this. Callers wait for it.
DEADLINE_S: Final = 0.25
# An event loop with a crowd to serve may be late for one answer. It is not for several in a row.
_TIMEOUTS_OF_A_FAILURE: Final = 3
# How long a store that has failed is left alone.
_REST_S: Final = 1.0
# Beyond these, whoever asks waits within its deadline.
_MOST_CONNECTIONS: Final = 32


class StoreObserver(Protocol):
    """Learns how the store does, for metrics.

    store_asked: result is "ok" or "unavailable"; operation is the name of a script, or "poll".
    """

    def store_asked(self, operation: str, result: str, seconds: float) -> None: ...
    def store_available(self, is_available: bool) -> None: ...


class _UnexpectedAnswer(Exception):
    """The server has answered what the script cannot have returned."""


class StoreConnection:
    """Runs scripts on a Valkey or Redis server. close() it in the end.

    An error, or three timeouts one after the other, make the store unavailable for a second; then
    one caller tries.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        observer: StoreObserver,
        clock: Callable[[], float] = monotonic,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._client = client
        self._observer = observer
        self._monotonic = clock
        self._deadline_s = deadline_s
        self._available: bool | None = None
        self._not_before = 0.0
        self._is_trying = False
        self._timeouts = 0
        self._why_unusable = ""
        # Waiting here is this replica's crowd, and says nothing of the store.
        self._places = asyncio.Semaphore(_MOST_CONNECTIONS)

    @property
    def failure(self) -> str:
        """Why it is not used, for people; "" if it is, or has not been asked yet."""
        return self._why_unusable or ("it does not answer" if self._available is False else "")

    async def run(self, script: Script, keys: Sequence[str], *arguments: str | bytes | int) -> Any:
        """Return what a script returns. keys: all of one shard. Raises StoreUnavailable."""

        async def ask() -> Any:
            rest: Any = (len(keys), *keys, *arguments)
            try:
                answer = await self._client.evalsha(script.sha, *rest)
            except NoScriptError:
                answer = await self._client.eval(script.text, *rest)
            if not script.is_answer(answer, len(keys)):
                raise _UnexpectedAnswer
            return answer

        if self._why_unusable:
            raise StoreUnavailable(self._why_unusable)
        return await self._asked(script.name, ask)

    async def poll(self, script: Script, calls: Sequence[tuple[str, ...]]) -> Sequence[Any]:
        """Return the time, and what a script returns for each key and its arguments.

        All are asked in one round trip, whether or not other scripts may run. Raises
        StoreUnavailable.
        """

        async def piped(command: str, name: str) -> Sequence[Any]:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("TIME")
                for call in calls:
                    pipeline.execute_command(command, name, 1, *call)
                return await pipeline.execute()

        async def ask() -> Sequence[Any]:
            try:
                answers = await piped("EVALSHA", script.sha)
            except NoScriptError:
                answers = await piped("EVAL", script.text)
            if not all(script.is_answer(answer, 1) for answer in answers[1:]):
                raise _UnexpectedAnswer
            return answers

        answers: Sequence[Any] = await self._asked(script.name, ask)
        return answers

    def use_not(self, why: str) -> None:
        """Have scripts fail from now on, for a reason; "" lets them run again."""
        self._why_unusable = why

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose(close_connection_pool=True)

    async def _asked(self, operation: str, ask: Callable[[], Any]) -> Any:
        began = self._monotonic()
        is_failing = self._available is False
        if is_failing and (began < self._not_before or self._is_trying):
            self._observer.store_asked(operation, "unavailable", 0.0)
            raise StoreUnavailable("the store has failed within the last second")
        self._is_trying = is_failing
        was_asked, timeouts = False, self._timeouts
        try:
            async with asyncio.timeout(self._deadline_s), self._places:
                was_asked = True
                answer = await ask()
        except Exception as error:  # also what the parser raises for what is no protocol at all
            if was_asked:
                self._fail(error, timeouts)
            self._observer.store_asked(operation, "unavailable", self._monotonic() - began)
            raise StoreUnavailable(f"the store failed: {type(error).__name__}") from error
        finally:
            if is_failing:
                self._is_trying = False
        self._observer.store_asked(operation, "ok", self._monotonic() - began)
        self._succeed()
        return answer

    def _fail(self, error: Exception, timeouts: int) -> None:
        """Take note of an error. timeouts: how many there were when it was asked."""
        if isinstance(error, TimeoutError | redis.exceptions.TimeoutError):
            if self._available and self._timeouts != timeouts:
                return  # one of a crowd that waited together
            self._timeouts += 1
            if self._available and self._timeouts < _TIMEOUTS_OF_A_FAILURE:
                return
        self._not_before = self._monotonic() + _REST_S
        if self._available is not False:
            # Its text may name whatever the server likes; the kind of error says what to look for.
            _logger.warning("the fleet's store is unavailable: %s", type(error).__name__)
            self._available = False
            self._observer.store_available(False)

    def _succeed(self) -> None:
        self._timeouts = 0
        if self._available is False:
            _logger.info("the fleet's store is available again")
        if self._available is not True:
            self._available = True
            self._observer.store_available(True)


class _TlsConnection(SSLConnection):
    """Shares one context with all others of a client.

    The library's own would be made for each connection, which holds the event loop for 35 ms, and
    would trust the system's CAs as well as those of ca_file.
    """

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls


def store_client(
    url: str,
    *,
    user: str = "",
    password: str = "",
    ca_file: str | None = None,
    deadline_s: float = DEADLINE_S,
) -> "redis.asyncio.Redis":
    """Return a client for redis://host:port/number or rediss:// (TLS), not yet connected.

    ca_file: PEM CAs of the server, and no others; by default those of the system. Raises OSError
    if it cannot be read or used.
    """
    options: dict[str, Any] = dict(parse_url(url))
    if options.pop("connection_class", None) is not None:
        tls = ssl.create_default_context(cafile=ca_file)
        options |= {"connection_class": _TlsConnection, "tls": tls}
    pool = redis.asyncio.BlockingConnectionPool(
        username=user or None,
        password=password or None,
        max_connections=_MOST_CONNECTIONS,
        timeout=deadline_s,
        socket_timeout=deadline_s,
        socket_connect_timeout=deadline_s,
        # A command that failed may have been carried out: whoever asked decides what follows.
        retry=Retry(NoBackoff(), 0),
        **options,
    )
    return redis.asyncio.Redis(connection_pool=pool)
