"""grpc.health.v1, for load balancers and clients that choose by health.

Not the stock servicer: that one writes to a watcher while it holds the lock of all of a service's
watchers, so that a single one that does not read keeps the others, and the end of the service,
waiting for ever (grpcio-health-checking 1.83, _async.py). And its errors carry no ErrorInfo.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.status import HealthServiceUnknown

HEALTH_SERVICE = "grpc.health.v1.Health"

_Status = health_pb2.HealthCheckResponse


class Health:
    """Health of the whole process ("") and of the named services. Begins as NOT_SERVING."""

    def __init__(self, *services: str) -> None:
        self._services = frozenset(("", *services))
        self._status: int = _Status.NOT_SERVING
        self._is_draining = False
        # Set, and replaced, with each change; watchers wait for the one that they found.
        self._changed = asyncio.Event()

    async def set_serving(self, serving: bool) -> None:
        """Announce the state to callers and watchers. Waits for none of them."""
        if not self._is_draining:
            self._announce(_Status.SERVING if serving else _Status.NOT_SERVING)

    async def drain(self) -> None:
        """Announce NOT_SERVING for good. Waits for no watcher."""
        self._is_draining = True
        self._announce(_Status.NOT_SERVING)

    def method_handlers(self) -> Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]:
        """Return the handlers by method name."""
        parse = health_pb2.HealthCheckRequest.FromString
        serialise = _Status.SerializeToString
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, parse, serialise),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, parse, serialise),
        }

    def _announce(self, status: int) -> None:
        self._status = status
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _check(self, request: Any, _context: Context) -> Any:
        if request.service not in self._services:
            raise HealthServiceUnknown
        return _Status(status=self._status)

    async def _watch(self, request: Any, context: Context) -> None:
        """Write the state, and each that follows and differs.

        A service that is unknown may become known (health.proto), so the stream stays open.
        """
        is_known = request.service in self._services
        written: int | None = None
        while True:
            changed = self._changed
            status = self._status if is_known else _Status.SERVICE_UNKNOWN
            if status != written:
                await context.write(_Status(status=status))
                written = status
            await changed.wait()
