"""One server of the store: asked within a bound, or left alone for a second once it has failed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import redis.asyncio
import redis.exceptions
from redis.exceptions import NoScriptError, ResponseError

from otpc_policy.check import StoreUnavailable
from otpc_policy.fair_timeout import fair_timeout
from otpc_policy.fleet.clients import LATENESS_S, MOST_CONNECTIONS
from otpc_policy.fleet.scripts import Script
from otpc_policy.fleet.store import StoreObserver

_logger = logging.getLogger(__name__)

# One of a crowd may be late. Several in a row are not.
_TIMEOUTS_OF_A_FAILURE: Final = 3
# How long a server that has failed is left alone.
_REST_S: Final = 1.0
_RESTS: Final = "the store has failed within the last second"
# For a place. A thousand checks that begin at one instant are through in half of it.
_QUEUE_S: Final = 5.0

# How a server begins to say that what is kept under a key is not what the script takes it for.
_OF_CONTENT: Final = ("WRONGTYPE ", "user_script:")

T = TypeVar("T")


class UnexpectedAnswer(Exception):
    """The server has answered what no server of ours can have."""


class StoreServer:
    """Asks one server.

    An error, or three timeouts one after the other, make it unavailable for a second; then one
    caller tries. What one key holds at fault is that question's failure alone: else whoever can
    write one key takes the whole store from everybody. redirects: errors by which a server says
    that others are to be asked; they are answers, and given back as such. name: for the log.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        observer: StoreObserver,
        clock: Callable[[], float],
        redirects: tuple[type[ResponseError], ...] = (),
        name: str = "",
    ) -> None:
        self._client = client
        self._observer = observer
        self._monotonic = clock
        self._redirects = redirects
        self._name = name
        self._available: bool | None = None
        self._not_before = 0.0
        self._is_trying = False
        self._timeouts = 0
        self._told_of: set[str] = set()
        # Waiting here is this replica's crowd, and says nothing of the server.
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    @property
    def has_failed(self) -> bool:
        """It did not answer when it was last asked."""
        return self._available is False

    @property
    def is_resting(self) -> bool:
        """It has failed within the last second, or is being tried."""
        return self.has_failed and (self._monotonic() < self._not_before or self._is_trying)

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int],
        *,
        within_s: float,
        is_asking: bool = False,
    ) -> Any:
        """Return what a script returns, or a redirect. Raises StoreUnavailable.

        within_s: once it is its turn. is_asking: the keys are on their way to this server.
        """

        client: Any = self._client

        async def evaluate(command: str, text: str) -> Any:
            rest = (len(keys), *keys, *arguments)
            if not is_asking:
                return await client.execute_command(command, text, *rest)
            # Whatever is asked by one connection in one go, nobody else's command comes between.
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("ASKING")
                pipeline.execute_command(command, text, *rest)
                return (await pipeline.execute())[1]

        async def ask() -> Any:
            try:
                try:
                    answer = await evaluate("EVALSHA", script.sha)
                except NoScriptError:
                    answer = await evaluate("EVAL", script.text)
            except self._redirects as redirect:
                return redirect
            if not script.is_answer(answer, len(keys)):
                raise UnexpectedAnswer
            return answer

        return await self.asked(script.name, ask, within_s=within_s)

    async def poll(
        self, script: Script, calls: Sequence[tuple[str, ...]], *, within_s: float
    ) -> tuple[Any, Sequence[Any]]:
        """Return the time, and what a script returns for each call, redirects among it.

        Raises StoreUnavailable.
        """

        async def piped(command: str, name: str) -> Sequence[Any]:
            async with self._client.pipeline(transaction=False) as pipeline:
                pipeline.execute_command("TIME")
                for call in calls:
                    pipeline.execute_command(command, name, 1, *call)
                return await pipeline.execute(raise_on_error=False)

        async def ask() -> tuple[Any, Sequence[Any]]:
            answers = await piped("EVALSHA", script.sha)
            if any(isinstance(answer, NoScriptError) for answer in answers):
                answers = await piped("EVAL", script.text)
            time, *rest = answers
            for answer in answers:
                if isinstance(answer, Exception) and not isinstance(answer, self._redirects):
                    raise answer
            if not all(isinstance(one, Exception) or script.is_answer(one, 1) for one in rest):
                raise UnexpectedAnswer
            return time, rest

        return await self.asked(script.name, ask, within_s=within_s)

    async def command(
        self, read: Callable[[Any], T], *words: str, operation: str, within_s: float
    ) -> T:
        """Return the answer to a command as read. read: raises whatever it likes for nonsense.

        Raises StoreUnavailable.
        """
        client: Any = self._client

        async def ask() -> T:
            return read(await client.execute_command(*words))

        return await self.asked(operation, ask, within_s=within_s)

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose(close_connection_pool=True)

    async def asked(self, operation: str, ask: Callable[[], Awaitable[T]], *, within_s: float) -> T:
        """Return what asking returns, if the server may be asked and answers in time.

        Raises StoreUnavailable.
        """
        task = asyncio.current_task()
        cancelling = 0 if task is None else task.cancelling()
        try:
            return await self._asked(operation, ask, within_s=within_s)
        finally:
            # The library sends within asyncio.wait_for, which before Python 3.12 takes a
            # cancellation for itself that comes as it ends: a loop would never end then.
            if task is not None and task.cancelling() > cancelling:
                raise asyncio.CancelledError

    async def _asked(
        self, operation: str, ask: Callable[[], Awaitable[T]], *, within_s: float
    ) -> T:
        began, is_failing = self._monotonic(), self.has_failed
        if self.is_resting:
            self._observer.store_asked(operation, "unavailable", 0.0)
            raise StoreUnavailable(_RESTS)
        self._is_trying = is_failing
        try:
            async with self._place():
                if self.has_failed and not is_failing:
                    raise StoreUnavailable(_RESTS)
                answer = await self._answer(operation, ask, within_s=within_s)
        except StoreUnavailable:
            self._observer.store_asked(operation, "unavailable", self._monotonic() - began)
            raise
        finally:
            if is_failing:
                self._is_trying = False
        self._observer.store_asked(operation, "ok", self._monotonic() - began)
        self._succeed()
        return answer

    async def _answer(
        self, operation: str, ask: Callable[[], Awaitable[T]], *, within_s: float
    ) -> T:
        """Return the answer, now that it is its turn. Raises StoreUnavailable."""
        timeouts = self._timeouts
        try:
            async with fair_timeout(within_s, longest_s=within_s + LATENESS_S):
                return await ask()
        except Exception as error:  # also what the parser raises for what is no protocol at all
            if _is_of_content(error):
                self._tell_of(operation)
                self._succeed()
            else:
                self._fail(error, timeouts)
            raise StoreUnavailable(f"the store failed: {type(error).__name__}") from error

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """Wait for a place among what is asked at once. Raises StoreUnavailable."""
        try:
            async with asyncio.timeout(_QUEUE_S):
                await self._places.acquire()
        except TimeoutError:
            raise StoreUnavailable("too much is asked of the store at once") from None
        try:
            yield
        finally:
            self._places.release()

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
            kind = type(error).__name__
            _logger.warning("the fleet's store is unavailable%s: %s", self._name, kind)
            self._available = False
            self._observer.store_available(False)

    def _tell_of(self, operation: str) -> None:
        """Log once that what the store holds is in the way of an operation."""
        if operation not in self._told_of:
            self._told_of.add(operation)
            _logger.warning(
                "what the fleet's store%s holds for %s is not what any replica writes there",
                self._name,
                operation,
            )

    def _succeed(self) -> None:
        self._timeouts = 0
        if self._available is False:
            _logger.info("the fleet's store is available again%s", self._name)
        if self._available is not True:
            self._available = True
            self._observer.store_available(True)


def _is_of_content(error: Exception) -> bool:
    """Whether a server has answered, and what one key holds is in the way."""
    return type(error) is ResponseError and str(error).startswith(_OF_CONTENT)
