"""The servicer: admission and drain, resolving, fetching, and the heartbeat that fronts watch."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import grpc

from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.errors import (
    FieldViolation,
    InvalidRequest,
    Overloaded,
    ServiceUnavailable,
)
from otpc_policy.engine.egress.http_download import download
from otpc_policy.engine.egress.proxy import EgressProxy
from otpc_policy.engine.service.measuring import Measurement
from otpc_policy.engine.service.ports import EngineResolver, EngineScanner
from otpc_policy.engine.service.pulse import Pulse
from otpc_policy.engine.service.status import END_OF_STREAM, Context, guarded
from otpc_policy.measurement.fetch_codec import decode_fetch_request, encode_fetch_end
from otpc_policy.measurement.methods import SERVICE
from otpc_policy.measurement.resolution_codec import encode_resolution
from otpc_policy.measurement.revision import PROBE_REVISION
from otpc_policy.measurement.target_codec import decode_host
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.ops.own_listeners import OwnListeners

# A fetch holds a connection and a piece of 64 KiB. Fronts space theirs out.
_MAX_FETCHES: Final = 16
_RETRY_FETCH: Final = timedelta(seconds=10)


class MeasurementServicer:
    """Answers the methods. It takes and returns serialised messages.

    vetting: the guard of this engine; every address that a front names passes it again.
    own_listeners: never measured or fetched from. proxy: as of SslyzeScanner.
    concurrent_scans: what the scanner carries out at a time, for fronts to know. perspective: where
    this engine measures from, which every answer says; empty if nobody has told it.
    """

    def __init__(
        self,
        *,
        scanner: EngineScanner,
        resolver: EngineResolver,
        vetting: AddressVetting,
        concurrent_scans: int,
        own_listeners: OwnListeners | None = None,
        proxy: Callable[[], EgressProxy | None] = lambda: None,
        perspective: str = "",
    ) -> None:
        self._perspective = perspective
        self._proxy = proxy
        self._scanner, self._resolver, self._vetting = scanner, resolver, vetting
        self._concurrent_scans = concurrent_scans
        self._own_listeners = OwnListeners() if own_listeners is None else own_listeners
        self._under_way = self._fetches = 0
        self._pulse = Pulse(lambda: self._under_way > 0)
        self._is_draining = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    @property
    def under_way(self) -> int:
        """Measurements that are carried out or wait."""
        return self._under_way

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register the methods."""
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Resolve": grpc.unary_unary_rpc_method_handler(guarded(self._resolve)),
            "Measure": grpc.stream_stream_rpc_method_handler(guarded(self._measure)),
            "FetchCrl": grpc.unary_stream_rpc_method_handler(guarded(self._fetch_crl)),
            "WatchStatus": grpc.unary_stream_rpc_method_handler(guarded(self._watch_status)),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def drain(self, grace_s: float) -> None:
        """Take no more, tell every front, and wait for measurements under way or for grace_s."""
        self._is_draining.set()
        self._pulse.beat()
        try:
            async with asyncio.timeout(grace_s):
                await self._is_idle.wait()
        except TimeoutError:
            pass

    async def _resolve(self, request: bytes, _context: Context) -> bytes:
        self._admit()
        asked = pb.ResolveRequest.FromString(request)
        host = decode_host(asked.host)
        found = await self._resolver.resolve(host, fresh=asked.fresh)
        response = encode_resolution(host, found)
        response.perspective = self._perspective
        return response.SerializeToString()

    async def _measure(self, _requests: Any, context: Context) -> None:
        self._admit()
        first: Any = await context.read()
        request = (
            pb.MeasureRequest() if first is END_OF_STREAM else pb.MeasureRequest.FromString(first)
        )
        if request.WhichOneof("message") != "start":
            raise InvalidRequest([FieldViolation("start", "must be the first message")])
        measurement = Measurement(
            self._scanner,
            request.start,
            vetting=self._vetting,
            own_listeners=self._own_listeners,
            perspective=self._perspective,
        )
        self._under_way += 1
        self._pulse.quicken()
        self._is_idle.clear()
        try:
            await measurement.run(context)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._is_idle.set()

    async def _fetch_crl(self, request: bytes, context: Context) -> None:
        self._admit()
        asked = decode_fetch_request(pb.FetchCrlRequest.FromString(request))
        if self._fetches >= _MAX_FETCHES:
            raise Overloaded(_RETRY_FETCH)

        writes = _WholeWrites(context)

        async def take(piece: bytes) -> None:
            await writes.write(pb.FetchCrlResponse(chunk=piece).SerializeToString())

        self._fetches += 1
        try:
            outcome = await download(
                asked.url,
                resolve=self._resolver.resolve,
                is_own_listener=self._own_listeners.has,
                max_bytes=asked.max_bytes,
                deadline_s=asked.deadline_s,
                proxy=self._proxy(),
                take=take,
            )
        finally:
            self._fetches -= 1
        await writes.write(encode_fetch_end(outcome).SerializeToString())

    async def _watch_status(self, _request: bytes, context: Context) -> None:
        self._admit()
        while True:
            # A drain that begins while this is written is reported by the next one.
            is_last = self._is_draining.is_set()
            await context.write(self._status())
            if is_last:
                return
            # A drain that began meanwhile has beaten already.
            if not self._is_draining.is_set():
                await self._pulse.wait()

    def _status(self) -> bytes:
        return pb.WatchStatusResponse(
            probe_revision=PROBE_REVISION,
            queued=self._scanner.queued,
            workers_alive=self._scanner.workers_alive,
            concurrent_scans=self._concurrent_scans,
            draining=self._is_draining.is_set(),
            tasks=len(asyncio.all_tasks()),
            perspective=self._perspective,
        ).SerializeToString()

    def _admit(self) -> None:
        if self._is_draining.is_set():
            raise ServiceUnavailable("the engine is draining")


class _WholeWrites:
    """Writes of a call, one at a time, although who writes may be cut off at a deadline.

    gRPC goes on with a write whose caller was cancelled, and refuses the next one meanwhile
    (grpcio 1.83: GRPC_CALL_ERROR_TOO_MANY_OPERATIONS).
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._last: asyncio.Future[None] | None = None

    async def write(self, message: bytes) -> None:
        """Write a message after the one before. A cancellation leaves it to be written."""
        if self._last is not None:
            await asyncio.shield(self._last)
        self._last = asyncio.ensure_future(self._context.write(message))
        # The call may be over, and nobody there to hear how its last write ended.
        self._last.add_done_callback(lambda write: write.cancelled() or write.exception())
        await asyncio.shield(self._last)
