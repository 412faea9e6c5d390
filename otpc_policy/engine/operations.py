"""How a separate engine is watched: gRPC health, and a port for metrics and probes.

An engine that a front has started needs neither: its front watches it.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine.metrics import EngineMetrics
from otpc_policy.engine.service.ports import EngineScanner
from otpc_policy.measurement.methods import SERVICE
from otpc_policy.ops.components import Component
from otpc_policy.ops.debug_page import PATH, page_that_is_off
from otpc_policy.ops.http import OperationsServer, PageMaker
from otpc_policy.ops.own_certificate import OwnCertificate

_STARTING, _SERVING, _DRAINING = "starting", "", "draining"


class Operations:
    """Health of the process ("") and of MeasurementService; /metrics and probes.

    lacking: what the kernel lacks for its isolation. debug: the page /debug.
    Implements LookUpObserver.
    """

    def __init__(
        self,
        server: grpc.aio.Server,
        scanner: EngineScanner,
        *,
        lacking: Sequence[str] = (),
        debug: PageMaker = page_that_is_off,
    ) -> None:
        self._scanner, self._lacking = scanner, lacking
        self.certificate = OwnCertificate(lambda: datetime.now(UTC))
        self._proxy_fault: Callable[[], str] | None = None
        self._phase = _STARTING
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in the stubs only
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self._metrics = EngineMetrics(scanner)
        probes = {
            "/livez": lambda: "",
            "/readyz": self._why_not_ready,
            "/startupz": lambda: _STARTING if self._phase == _STARTING else "",
        }
        self._pages = OperationsServer(
            self._metrics.registry,
            probes,
            components={"/readyz": self._components},
            pages={PATH: debug},
        )

    def dns_looked_up(self, result: str) -> None:
        """Count a name that was looked up."""
        self._metrics.dns_looked_up(result)

    def dns_fell_back(self) -> None:
        """Count a name whose earlier addresses stood in."""
        self._metrics.dns_fell_back()

    def watch_dns(self, outstanding: Callable[[], float]) -> None:
        """Read the number of questions to name servers whenever it is scraped."""
        self._metrics.watch_dns(outstanding)

    def watch_proxy(self, fault: Callable[[], str]) -> None:
        """Show the proxy among the components. fault: "" while it has an address."""
        self._proxy_fault = fault

    async def listen(self, host: str, port: int) -> int:
        """Serve the pages, and return the port. Raises ConfigurationError."""
        try:
            return await self._pages.start(host, port)
        except OSError as error:
            reason = error.strerror or "the address cannot be used"
            text = f"--ops-listen: cannot listen on {host}:{port}: {reason}"
            raise ConfigurationError([text]) from None

    async def serving(self) -> None:
        """Announce that the engine measures."""
        self._phase = _SERVING
        await self._announce(health_pb2.HealthCheckResponse.SERVING)

    async def draining(self) -> None:
        """Announce that it takes no more."""
        self._phase = _DRAINING
        await self._announce(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self) -> None:
        """Close the port."""
        await self._pages.stop()

    async def _announce(self, status: "health_pb2.HealthCheckResponse.ServingStatus") -> None:
        for name in ("", SERVICE):
            await self._health.set(name, status)

    def _components(self) -> Iterator[Component]:
        yield Component("lifecycle", self._phase)
        has_workers = self._scanner.workers_alive > 0
        yield Component("workers", "" if has_workers else "no worker is alive")
        yield Component("isolation", "; ".join(self._lacking), is_required=False)
        if self.certificate.is_loaded:
            yield Component("certificate", self.certificate.failure, is_required=False)
        if self._proxy_fault is not None:
            yield Component("egress proxy", self._proxy_fault(), is_required=False)

    def _why_not_ready(self) -> str:
        if self._phase != _SERVING:
            return self._phase
        return "" if self._scanner.workers_alive else "no worker is alive"
