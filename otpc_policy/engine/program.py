"""The composition root of the engine: builds scanner, resolver and service; listens, drains."""

import asyncio
import contextlib
import gc
import random
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog

from otpc_policy.core.addresses import AddressVetting
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine.client_certificates import ClientCertificates
from otpc_policy.engine.configuration import EngineConfiguration
from otpc_policy.engine.confinement import NAMES
from otpc_policy.engine.contradictions import hear
from otpc_policy.engine.deep_scan import DeepScanner
from otpc_policy.engine.egress.proxy_access import ProxyAccess
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.listening import UNIX, EngineTls, bind, server_options
from otpc_policy.engine.replaced_files import until_replaced
from otpc_policy.engine.resolving import RemainingTimeResolver, Uncounted, egress_resolver
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.engine.service.servicer import MeasurementServicer
from otpc_policy.ops.logs import logs_configured
from otpc_policy.ops.open_files import open_files_limit
from otpc_policy.ops.own_listeners import OwnListeners

if TYPE_CHECKING:
    from otpc_policy.engine.operations import Operations

# A final report has left before the server stops; a slow network fits in this.
_LAST_REPORTS_S: Final = 0.25
# At rest it takes 30, and half a dozen for each worker that is being made ready.
_OTHER_FILES: Final = 64
# Engines of one front end so many seconds apart at most; a successor is up in one.
_APART_S: Final = 8.0

_log = structlog.get_logger("otpc_policy.engine")


class Stopping:
    """How an engine ends. soon: drain, then end. now: end without waiting for anything.

    is_abandoned: the front is gone. is_to_be_replaced: another process must take its place.
    """

    def __init__(self) -> None:
        self.soon = asyncio.Event()
        self.now = asyncio.Event()
        self.is_abandoned = self.is_to_be_replaced = False

    def abandon(self) -> None:
        """End at once: the front is gone, or wants nothing more."""
        self.is_abandoned = True
        self.now.set()
        self.soon.set()

    def ask(self) -> None:
        """Begin to drain; asked again, end at once."""
        if self.soon.is_set():
            self.now.set()
        self.soon.set()


async def run_engine(
    configuration: EngineConfiguration,
    listen: str,
    *,
    stopping: Stopping,
    ready: Callable[[str], None],
    tls: EngineTls | None = None,
    ops_listen: tuple[str, int] | None = None,
    has_logs: bool = False,
    lacking: Sequence[str] = (),
    debug_settings: Mapping[str, Any] | None = None,
) -> None:
    """Serve measurements until stopping, then drain. Leaves no process behind.

    listen: as listening.bind. tls: None for a Unix socket, or for plain text over TCP. ops_listen:
    host and port of the operations port, if there is to be one. ready: is called once with the
    address, when the engine answers. has_logs: the caller has configured logs already. lacking:
    what the kernel lacks for isolation. debug_settings: without secrets, for the page /debug; None
    where that is off. Raises ConfigurationError before anything is served.
    """
    with (
        contextlib.nullcontext()
        if has_logs
        else logs_configured(configuration.log_format, configuration.log_level)
    ):
        _check_open_files(configuration.scan)
        proxy = ProxyAccess(configuration.egress_proxy)
        scanner = _scanner(configuration, proxy)
        server = grpc.aio.server(options=server_options())
        is_of_a_front = listen.startswith(UNIX) and ops_listen is None
        operations = (
            None if is_of_a_front else _operations(server, scanner, lacking, debug_settings)
        )
        vetting = AddressVetting(
            configuration.allow_networks, nat64_prefixes=configuration.nat64_prefixes
        )
        own_listeners = OwnListeners(
            configuration.own_listeners, nat64_prefixes=configuration.nat64_prefixes
        )
        resolver = egress_resolver(configuration, vetting, operations or Uncounted())
        servicer = MeasurementServicer(
            scanner=scanner,
            resolver=RemainingTimeResolver(resolver),
            vetting=vetting,
            concurrent_scans=configuration.scan.concurrent_scans,
            own_listeners=own_listeners,
            proxy=proxy.current,
            perspective=configuration.perspective,
        )
        servicer.add_to(server)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(scanner.stop)
            stack.push_async_callback(resolver.close)
            # Calls end before the scanner does: what a scan loses by that must not be reported.
            stack.push_async_callback(_stop, server, stopping)
            address = bind(server, listen, _credentials(tls, operations))
            if not listen.startswith(UNIX):
                own_listeners.add(*_host_and_port(address))
            if operations is not None:
                operations.watch_dns(lambda: resolver.outstanding)
                if proxy.is_set:
                    operations.watch_proxy(lambda: proxy.fault)
                stack.push_async_callback(operations.stop)
                if ops_listen is not None:
                    taken = await operations.listen(*ops_listen)
                    own_listeners.add(ops_listen[0], taken)
            stack.push_async_callback(proxy.stop)
            await proxy.start()
            await scanner.start()
            await server.start()
            # What the start has made stays for good: the collector need not walk it again.
            gc.collect()
            gc.freeze()
            if operations is not None:
                await operations.serving()
                _log.info("measuring", listen=address, tls=tls is not None)
            replaced = asyncio.create_task(
                _end_where_names_are_replaced(stopping, has_others=operations is None)
            )
            stack.callback(replaced.cancel)
            ready(address)
            await stopping.soon.wait()
            if operations is not None:
                await operations.draining()
                _log.info("draining", measurements=servicer.under_way)
            await _drain(servicer, stopping, configuration.drain_grace_s)


async def _end_where_names_are_replaced(stopping: Stopping, *, has_others: bool) -> None:
    """Have the engine end once it may not read what names mean any more. See replaced_files.

    has_others: its front has other engines, which end for the same reason and should not do so all
    at once; and it starts another in its place at once, so nothing is drained.
    """
    path = await until_replaced(NAMES)
    if has_others:
        await asyncio.sleep(random.uniform(0.0, _APART_S))  # noqa: S311  # no secret
    _log.warning("a file was replaced and cannot be read; a new engine can", file=str(path))
    stopping.is_to_be_replaced = True
    stopping.ask()
    if has_others:
        stopping.ask()


def _check_open_files(limits: ScanLimits) -> None:
    """Raise ConfigurationError if not a single scan could be carried out; warn if not all could."""
    of_all_scans = limits.concurrent_scans * limits.connections_per_address
    wanted = _OTHER_FILES + limits.concurrent_scans + of_all_scans
    allowed = open_files_limit(at_least=_OTHER_FILES + limits.connections_per_address)
    if allowed < wanted:
        _log.warning(
            "too few files may be open for scan.concurrent_scans and scan.connections_per_address; "
            "some measurements will fail",
            allowed=allowed,
            wanted=wanted,
        )


def _scanner(configuration: EngineConfiguration, proxy: ProxyAccess) -> SslyzeScanner:
    return SslyzeScanner(
        limits=configuration.scan,
        now=lambda: datetime.now(UTC),
        deep=DeepScanner(configuration.scan, contradicted=hear),
        routers=configuration.client_profiles,
        certificates=ClientCertificates(configuration.client_certificates),
        proxy=proxy.current,
    )


def _operations(
    server: grpc.aio.Server,
    scanner: SslyzeScanner,
    lacking: Sequence[str],
    debug_settings: Mapping[str, Any] | None,
) -> "Operations":
    # An engine that a front has started needs none of it, and starts without it.
    from otpc_policy.engine.debug import debug_sections  # noqa: PLC0415
    from otpc_policy.engine.operations import Operations  # noqa: PLC0415
    from otpc_policy.ops.debug_page import DebugPage  # noqa: PLC0415

    if debug_settings is None:
        return Operations(server, scanner, lacking=lacking)
    page = DebugPage(debug_sections(scanner, debug_settings)).page
    return Operations(server, scanner, lacking=lacking, debug=page)


def _host_and_port(address: str) -> tuple[str, int]:
    """Return the host of "host:port", IPv6 without brackets, and the port."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _stop(server: grpc.aio.Server, stopping: Stopping) -> None:
    """Cancel every call; not where the front is gone, whose gRPC would write lines about it."""
    if not stopping.is_abandoned:
        await server.stop(None)


async def _drain(servicer: MeasurementServicer, stopping: Stopping, grace_s: float) -> None:
    drain = asyncio.create_task(servicer.drain(grace_s))
    force_stop = asyncio.create_task(stopping.now.wait())
    await asyncio.wait({drain, force_stop}, return_when=asyncio.FIRST_COMPLETED)
    if drain.done():
        await asyncio.sleep(_LAST_REPORTS_S)
    elif servicer.under_way:
        _log.warning("measurements abandoned", measurements=servicer.under_way)
    for task in (drain, force_stop):
        task.cancel()


def _credentials(
    tls: EngineTls | None, operations: "Operations | None"
) -> grpc.ServerCredentials | None:
    if tls is None:
        return None
    # cryptography, for the check of the files, is not needed by an engine on a Unix socket.
    from otpc_policy.ops.credentials import server_credentials  # noqa: PLC0415

    credentials = server_credentials(
        tls.certificate_file,
        tls.key_file,
        tls.client_ca_file,
        observer=None if operations is None else operations.certificate,
    )
    if credentials is None:
        raise ConfigurationError(["an engine over TCP needs a certificate"])
    return credentials


@contextlib.contextmanager
def stopped_by_signals(stopping: Stopping) -> Iterator[None]:
    """Drain at SIGTERM and SIGINT; a second one ends the drain at once."""
    loop = asyncio.get_running_loop()
    chosen = (signal.SIGTERM, signal.SIGINT)
    for number in chosen:
        loop.add_signal_handler(number, stopping.ask)
    try:
        yield
    finally:
        for number in chosen:
            loop.remove_signal_handler(number)
