"""An engine that lies: a server of the contract that says whatever a test has it say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import grpc

from otpc_policy.measurement.codec import encode_facts
from otpc_policy.measurement.methods import SERVICE
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from tests.support.facts import make_address

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
# Answers a measurement whose first message has been read.
Lie = Callable[[pb.Target, Context], Awaitable[None]]
Lookup = Callable[[pb.ResolveRequest], bytes]


def truth(target: pb.Target, **overrides: Any) -> pb.MeasureResponse:
    """What an honest engine would end with."""
    facts = encode_facts(make_address(**overrides))
    return pb.MeasureResponse(
        probe_revision="1", target=target, final_report=pb.FinalReport(facts=facts)
    )


@asynccontextmanager
async def lying_engine(
    folder: Path,
    lie: Lie,
    lookup: Lookup | None = None,
    *,
    queued: int = 0,
    fetches: Sequence[bytes] | None = None,
) -> AsyncIterator[str]:
    """Serve lies over a Unix socket; yield its address. Its state is that of a sound engine.

    queued: the length of the queue that it reports. fetches: what it answers to FetchCrl; None for
    an engine of an older release, which does not know the method.
    """

    async def measure(_requests: Any, context: Context) -> None:
        first: Any = await context.read()
        await lie(pb.MeasureRequest.FromString(first).start.target, context)

    async def watch_status(_request: bytes, context: Context) -> None:
        state = pb.WatchStatusResponse(workers_alive=1, concurrent_scans=8, queued=queued)
        while True:
            await context.write(state.SerializeToString())
            await asyncio.sleep(1)

    async def resolve(request: bytes, _context: Context) -> bytes:
        if lookup is None:
            raise NotImplementedError
        return lookup(pb.ResolveRequest.FromString(request))

    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Measure": grpc.stream_stream_rpc_method_handler(measure),
        "WatchStatus": grpc.unary_stream_rpc_method_handler(watch_status),
        "Resolve": grpc.unary_unary_rpc_method_handler(resolve),
    }
    if fetches is not None:

        async def fetch_crl(_request: bytes, context: Context) -> None:
            for message in fetches:
                await context.write(message)

        handlers["FetchCrl"] = grpc.unary_stream_rpc_method_handler(fetch_crl)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    address = f"unix:{folder}/liar"
    server.add_insecure_port(address)
    await server.start()
    try:
        yield address
    finally:
        await server.stop(None)
