"""grpc.health.v1: the stock servicer, but errors carry ErrorInfo as all others do."""

from collections.abc import Mapping
from typing import Any

import grpc
from grpc_health.v1 import health as stock
from grpc_health.v1 import health_pb2

from otpc_policy.rpc.interceptors.calls import Context
from otpc_policy.rpc.status import HealthServiceUnknown

HEALTH_SERVICE = "grpc.health.v1.Health"


class Health:
    """Health of the whole process ("") and of the named services. Begins as NOT_SERVING."""

    def __init__(self, *services: str) -> None:
        self._services = ("", *services)
        # Missing in the stubs only.
        self._servicer = stock.aio.HealthServicer()  # type: ignore[attr-defined]
        self._announced = False

    async def set_serving(self, serving: bool) -> None:
        """Announce the state to callers and watchers."""
        self._announced = True
        response = health_pb2.HealthCheckResponse
        status = response.SERVING if serving else response.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, status)

    async def drain(self) -> None:
        """Announce NOT_SERVING for good."""
        await self._begin()
        await self._servicer.enter_graceful_shutdown()

    def method_handlers(self) -> Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]:
        """Return the handlers by method name."""
        parse = health_pb2.HealthCheckRequest.FromString
        serialise = health_pb2.HealthCheckResponse.SerializeToString
        return {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, parse, serialise),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, parse, serialise),
        }

    async def _check(self, request: Any, context: Context) -> Any:
        if request.service not in self._services:
            raise HealthServiceUnknown
        await self._begin()
        return await self._servicer.Check(request, context)

    async def _watch(self, request: Any, context: Context) -> None:
        await self._begin()
        await self._servicer.Watch(request, context)

    async def _begin(self) -> None:
        """Announce NOT_SERVING unless a state was announced.

        The stock servicer begins with "" as SERVING and knows no other name.
        """
        if not self._announced:
            await self.set_serving(False)
