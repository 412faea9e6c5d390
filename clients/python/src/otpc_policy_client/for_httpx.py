"""Transports of httpx whose connections are as judged (pip install otpc-policy-client[httpx]).

    with PolicyClient("policy.internal:443") as policy_client:
        with httpx.Client(transport=JudgedTransport(policy_client)) as http:
            http.post("https://partner.example/payments", json=payment)

Only https is spoken, over HTTP/1.1, and no proxy is used. Each connection is opened by connect of
the policy client; a kept connection is not used again once its answer has expired. What connect
raises about policy passes through: TrafficNotPermitted, NotAsJudged, CallError. Errors of the
network are those of httpx. The time-out "connect" of httpx bounds the question, too.
"""

import asyncio
import contextlib
import select
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, Unpack

import httpcore
import httpx

from otpc_policy_client.blocking import PolicyClient
from otpc_policy_client.errors import PolicyClientError
from otpc_policy_client.for_asyncio import AsyncPolicyClient
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.opening import JudgedSocket, JudgedStreams
from otpc_policy_client.questions import CheckFields, with_port

_MAX_CONNECTIONS: Final = 100
_KEEP_S: Final = 5.0


class JudgedTransport(httpx.BaseTransport):
    """A transport for httpx.Client. It does not close the policy client.

    make_context, dangerously_permit_report_only, fields: as of PolicyClient.connect; not port.
    max_connections: at a time. keepalive_expiry_s: how long an idle connection is kept.
    """

    def __init__(
        self,
        policy_client: PolicyClient,
        *,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
        max_connections: int = _MAX_CONNECTIONS,
        keepalive_expiry_s: float = _KEEP_S,
        **fields: Unpack[CheckFields],
    ) -> None:
        def connect(host: str, port: int, timeout: float | None) -> JudgedSocket:
            return policy_client.connect(
                host,
                timeout_s=timeout,
                make_context=make_context,
                dangerously_permit_report_only=dangerously_permit_report_only,
                **with_port(fields, port),
            )

        self._pool = httpcore.ConnectionPool(
            ssl_context=_unused_context(),
            max_connections=max_connections,
            keepalive_expiry=keepalive_expiry_s,
            network_backend=_Backend(connect),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        with _errors_of_httpx():
            response = self._pool.handle_request(_core_request(request))
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_ResponseStream(response.stream),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """End the connections."""
        self._pool.close()


class AsyncJudgedTransport(httpx.AsyncBaseTransport):
    """A transport for httpx.AsyncClient under asyncio. Arguments as of JudgedTransport."""

    def __init__(
        self,
        policy_client: AsyncPolicyClient,
        *,
        make_context: MakeContext = client_context,
        dangerously_permit_report_only: bool = False,
        max_connections: int = _MAX_CONNECTIONS,
        keepalive_expiry_s: float = _KEEP_S,
        **fields: Unpack[CheckFields],
    ) -> None:
        async def connect(host: str, port: int, timeout: float | None) -> JudgedStreams:
            return await policy_client.connect(
                host,
                timeout_s=timeout,
                make_context=make_context,
                dangerously_permit_report_only=dangerously_permit_report_only,
                **with_port(fields, port),
            )

        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_unused_context(),
            max_connections=max_connections,
            keepalive_expiry=keepalive_expiry_s,
            network_backend=_AsyncBackend(connect),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request."""
        with _errors_of_httpx():
            response = await self._pool.handle_async_request(_core_request(request))
        return httpx.Response(
            status_code=response.status,
            headers=response.headers,
            stream=_AsyncResponseStream(response.stream),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """End the connections."""
        await self._pool.aclose()


class _Backend(httpcore.NetworkBackend):
    """Connects as judged. TLS is there from the beginning."""

    def __init__(self, connect: Any) -> None:
        self._connect = connect

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any
    ) -> httpcore.NetworkStream:
        with _connecting():
            return _Stream(self._connect(host, port, timeout))


class _AsyncBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, connect: Any) -> None:
        self._connect = connect

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *_: Any, **__: Any
    ) -> httpcore.AsyncNetworkStream:
        with _connecting():
            return _AsyncStream(await self._connect(host, port, timeout))


class _Stream(httpcore.NetworkStream):
    def __init__(self, connection: JudgedSocket) -> None:
        self._connection = connection
        self._socket = connection.socket

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as(httpcore.ReadTimeout, httpcore.ReadError):
            self._socket.settimeout(timeout)
            return self._socket.recv(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as(httpcore.WriteTimeout, httpcore.WriteError):
            self._socket.settimeout(timeout)
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._connection.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Return itself: the handshake is done, and its leaf compared."""
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # The pool asks before it uses an idle connection again: True, and it is closed.
            return not self._connection.stands or _is_readable(self._socket)
        known = {"ssl_object": self._socket, "socket": self._socket}
        return known.get(info)


class _AsyncStream(httpcore.AsyncNetworkStream):
    def __init__(self, connection: JudgedStreams) -> None:
        self._connection = connection

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _as(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._connection.reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _as(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                self._connection.writer.write(buffer)
                await self._connection.writer.drain()

    async def aclose(self) -> None:
        self._connection.close()
        with contextlib.suppress(OSError):
            await self._connection.writer.wait_closed()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Return itself: the handshake is done, and its leaf compared."""
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return not self._connection.stands or self._connection.reader.at_eof()
        return self._connection.writer.get_extra_info(info)


class _ResponseStream(httpx.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _errors_of_httpx():
            yield from self._stream

    def close(self) -> None:
        self._stream.close()


class _AsyncResponseStream(httpx.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for part in self._stream:
                yield part

    async def aclose(self) -> None:
        await self._stream.aclose()


def _core_request(request: httpx.Request) -> httpcore.Request:
    url = request.url
    if url.scheme != "https":
        raise httpx.UnsupportedProtocol(f"no verdict covers {url.scheme}", request=request)
    return httpcore.Request(
        method=request.method,
        url=httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        ),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _unused_context() -> ssl.SSLContext:
    """Return what the pool sets ALPN on; without one it would read a file of roots."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _is_readable(connection: ssl.SSLSocket) -> bool:
    """Whether an idle connection has something to read, its end among it."""
    if connection.fileno() < 0 or connection.pending():
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


@contextlib.contextmanager
def _as(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except OSError as error:
        raise failure(str(error)) from error


@contextlib.contextmanager
def _connecting() -> Iterator[None]:
    try:
        yield
    except PolicyClientError:
        # Whatever it is: DeadlineExceeded is a TimeoutError, too.
        raise
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(str(error)) from error
    except OSError as error:
        raise httpcore.ConnectError(str(error)) from error


@contextlib.contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise errors of httpcore as those of httpx, which have the same names."""
    try:
        yield
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise _twin(error)(str(error)) from error
    except httpcore.UnsupportedProtocol as error:
        raise httpx.UnsupportedProtocol(str(error)) from error


def _twin(error: Exception) -> type[httpx.TransportError]:
    found = getattr(httpx, type(error).__name__, httpx.TransportError)
    return found if issubclass(found, httpx.TransportError) else httpx.TransportError
