"""What gRPC hands to a handler, and handlers that parse and serialise under our own frame.

gRPC would parse a request before it calls an interceptor's handler, and report bytes that it cannot
parse by itself. So handlers get bytes, and what they are made of here does the parsing.
"""

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from otpc_policy.core.errors import FieldViolation, InvalidRequest

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Call: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Parse: TypeAlias = Callable[[bytes], Any]
Serialise: TypeAlias = Callable[[Any], bytes]


def unary_call(
    behaviour: Callable[[Any, Any], Any], parse: Parse | None, serialise: Serialise | None
) -> Call:
    """Return a call from bytes to bytes. It raises InvalidRequest for what cannot be parsed."""
    if parse is None and serialise is None:
        return behaviour

    async def call(request: bytes, context: Context) -> Any:
        response = await behaviour(request if parse is None else _parsed(parse, request), context)
        return response if serialise is None else serialise(response)

    return call


def stream_call(behaviour: Callable[[Any, Any], Any], parse: Parse | None) -> Call:
    """Return a call that writes a stream of messages. It raises InvalidRequest, as unary_call does.

    parse: None where the requests are a stream, too; then gRPC parses them.
    """

    async def call(request: Any, context: Context) -> None:
        result = behaviour(request if parse is None else _parsed(parse, request), context)
        if not isinstance(result, AsyncIterable):
            await result
            return
        # gRPC parses a stream of requests as the iterator advances, so its error appears here.
        try:
            async for message in result:
                await context.write(message)
        except DecodeError:
            raise _malformed() from None

    return call


def _malformed() -> InvalidRequest:
    # A new one each time: an exception keeps the frames of every place that it was raised in.
    return InvalidRequest([FieldViolation("", "the bytes are not a valid message of this method")])


def _parsed(parse: Parse, request: bytes) -> Any:
    try:
        return parse(request)
    except DecodeError:
        raise _malformed() from None
