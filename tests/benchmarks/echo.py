"""A bare grpc.aio server that answers every call with the same bytes, as a baseline.

Run as `python -m tests.benchmarks.echo FILE`. Cached answers are compared with it.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc

# The service's own method, so that not even the length of the path differs.
METHOD = "/otpc_policy.v1.PolicyCheckService/CheckEndpoint"


async def main(answer: bytes) -> None:
    """Echo until killed."""

    async def behave(_request: bytes, _context: Any) -> bytes:
        return answer

    handler: Any = grpc.unary_unary_rpc_method_handler(behave)
    await serve(METHOD, handler)


async def serve(
    path: str,
    # Without serializers a handler receives and returns bytes; the stubs' types demand them.
    handler: "grpc.RpcMethodHandler[Any, Any]",
    *,
    address: str = "127.0.0.1:0",
    interceptors: Sequence["grpc.aio.ServerInterceptor[Any, Any]"] = (),
) -> None:
    """Serve one method until killed, and announce the address. path: of the method."""
    service, _, method = path.removeprefix("/").rpartition("/")
    server = grpc.aio.server(interceptors=interceptors, options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {method: handler}),)
    )
    port = server.add_insecure_port(address)
    await server.start()
    is_unix = address.startswith("unix:")
    print(f"serving on {address if is_unix else f'127.0.0.1:{port}'}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).read_bytes()))
