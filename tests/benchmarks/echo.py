"""A bare grpc.aio server that answers every call with the same bytes, as a baseline.

Run as `python -m tests.benchmarks.echo FILE`. Cached answers are compared with it.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc

# The service's own method, so that not even the length of the path differs.
METHOD = "/otpc_policy.v1.PolicyCheckService/CheckEndpoint"


async def main(answer: bytes) -> None:
    """Echo until killed."""

    async def behave(_request: bytes, _context: Any) -> bytes:
        return answer

    await serve(behave)


async def serve(
    behave: Callable[[bytes, Any], Awaitable[bytes]],
    *,
    interceptors: Sequence["grpc.aio.ServerInterceptor[Any, Any]"] = (),
) -> None:
    """Serve METHOD until killed, and announce the address. behave: from bytes to bytes."""
    service, _, method = METHOD.removeprefix("/").rpartition("/")
    server = grpc.aio.server(interceptors=interceptors, options=(("grpc.so_reuseport", 0),))
    # Without serializers the handler receives and returns bytes; the stubs' types demand them.
    handler: Any = grpc.unary_unary_rpc_method_handler(behave)
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"serving on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes()))
