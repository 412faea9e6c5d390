"""Health (grpc.health.v1): the stock servicer, with an answer to unknown services that carries ErrorInfo like every other error."""

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
        self._servicer = stock.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in the stubs only
        self._announced = False

    async def set_serving(self, serving: bool) -> None:
        """Announce the state to callers and watchers."""
        self._announced = True
        status = (
            health_pb2.HealthCheckResponse.SERVING
            if serving
            else health_pb2.HealthCheckResponse.NOT_SERVING
        )
        for service in self._services:
            await self._servicer.set(service, status)

    async def drain(self) -> None:
        """Announce NOT_SERVING for good."""
        await self._begin()
        await self._servicer.enter_graceful_shutdown()

    def method_handlers(self) -> Mapping[str, "grpc.RpcMethodHandler[Any, Any]"]:
        """Return the handlers by method name."""
        parse, serialise = (
            health_pb2.HealthCheckRequest.FromString,
            health_pb2.HealthCheckResponse.SerializeToString,
        )
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
        """The stock servicer begins with "" as SERVING and with no other name: nothing is to count as serving before it is announced."""
        if not self._announced:
            await self.set_serving(False)
