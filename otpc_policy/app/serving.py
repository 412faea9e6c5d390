"""Runs the service from start to end: build, listen, serve, drain."""

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Coroutine, Iterator
from secrets import SystemRandom

import structlog

from otpc_policy import __version__
from otpc_policy.app.admission import admission_warnings
from otpc_policy.app.application import Application, build_application, kept_answers
from otpc_policy.app.audit import audit_trail, event_log
from otpc_policy.app.components import front_components
from otpc_policy.app.debug import debug_sections
from otpc_policy.app.draining import Drain
from otpc_policy.app.lifecycle import Lifecycle, Phase
from otpc_policy.app.listen import (
    address_text,
    bind,
    build_server,
    connection_age_grace_s,
    own_credentials,
)
from otpc_policy.app.log_level import LogLevelFile, LogLevelWatch
from otpc_policy.app.preflight import LEAST_OPEN_FILES
from otpc_policy.app.settings import Settings, split_address
from otpc_policy.app.settings.without_effect import without_effect
from otpc_policy.app.stopping import Stopping, signals_handled
from otpc_policy.core.errors import ConfigurationError, StartRefused
from otpc_policy.ops.audit.trail import AuditTrail
from otpc_policy.ops.debug_page import PATH, DebugPage, page_that_is_off
from otpc_policy.ops.http import OperationsServer, PageMaker
from otpc_policy.ops.line_writer import LineWriter
from otpc_policy.ops.logs import logs_configured, set_log_level
from otpc_policy.ops.open_files import open_files_limit
from otpc_policy.ops.own_certificate import OwnCertificate
from otpc_policy.ops.stack_dump import stack_dumps_on_signal
from otpc_policy.rpc.health import Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_admin import PolicyAdminServicer
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.registration import POLICY_CHECK_SERVICE, add_services
from otpc_policy.rpc.verdict_streams import StreamLimits, VerdictStreams
from otpc_policy.rpc.wire_budget import WireBudget

Ready = Callable[[str, str], None]


async def serve(
    settings: Settings,
    *,
    ready: Ready | None = None,
    stop: asyncio.Event | None = None,
    log_writer: LineWriter | None = None,
    level_file: LogLevelFile | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or stop, then drain.

    Only SIGTERM is followed by a lame-duck period. A second signal ends the drain at once. SIGHUP
    reloads. SIGUSR1 logs what every thread and task is doing.

    ready: called once, when both servers accept connections, with the addresses of the gRPC server
    and of the operations server, ports included.
    log_writer: of the log, if the caller has configured that already. level_file: from which the
    log level is read again.
    Raises ConfigurationError before anything is served.
    """
    logs: contextlib.AbstractContextManager[LineWriter] = (
        logs_configured(settings.log_format.value, settings.log_level.value)
        if log_writer is None
        else contextlib.nullcontext(log_writer)
    )
    with logs as writer:
        open_files_limit(at_least=LEAST_OPEN_FILES)
        stopping = Stopping(stop)
        if stop is not None:
            stopping.without_delay.set()
        with _audited(settings, writer) as trail:
            application = build_application(settings, trail=trail, is_replica=True)
            log = structlog.get_logger("otpc_policy.app")
            for warning in admission_warnings(settings):
                log.warning("open_to_callers", reason=warning)
            for setting, reason in without_effect(settings):
                log.warning("setting without effect", setting=setting, reason=reason)

            def log_from(level: str) -> None:
                set_log_level(level)
                for pool in application.pools.values():
                    pool.set_log_level(level)

            level = LogLevelWatch(level_file, settings.log_level, log_from)

            def on_hangup() -> None:
                trail.reopen()
                application.reloader.ask()
                level.ask()

            with signals_handled(stopping, on_hangup), stack_dumps_on_signal():
                following = asyncio.create_task(level.watch(settings.reload_poll_s))
                try:
                    await Service(application).run(ready, stopping)
                finally:
                    following.cancel()


@contextlib.contextmanager
def _audited(settings: Settings, writer: LineWriter) -> Iterator[AuditTrail]:
    """Yield the audit trail, which has the start that is refused as well."""
    trail = audit_trail(settings, writer)
    try:
        yield trail
    except ConfigurationError as error:
        event_log(trail).error("start_refused", problems=error.problems)
        raise StartRefused(error.problems) from None
    finally:
        if lost := trail.close():
            structlog.get_logger("otpc_policy.app").error("audit_lines_lost", lost=lost)


class Service:
    """A single run of the service."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._settings = application.settings
        self._log = structlog.get_logger("otpc_policy.app")
        self._lifecycle = Lifecycle(lambda: application.default_engines.workers_alive)
        self._certificate = OwnCertificate(application.clock.now, also=application.metrics)
        self._operations = OperationsServer(
            application.registry,
            self._lifecycle.probes(),
            components={
                "/readyz": lambda: front_components(application, self._lifecycle, self._certificate)
            },
            pages={PATH: _debug_page(application, self._lifecycle)},
        )
        self._health = Health(POLICY_CHECK_SERVICE)
        self._streams = _verdict_streams(application)
        self._events = application.events
        self._interceptor = CallInterceptor(
            application.metrics,
            access=lambda: application.reloader.current.access,
            with_certificates=self._settings.tls_client_ca_file is not None,
            refusals=application.trail,
            open_calls=self._settings.shares.open_calls,
            tracing=application.tracing,
        )
        self._server = build_server(self._settings, self._interceptor)
        self._drain = Drain(
            server=self._server,
            interceptor=self._interceptor,
            health=self._health,
            lifecycle=self._lifecycle,
            events=self._events,
            end_waiting=application.close,
            end_streams=lambda: None if self._streams is None else self._streams.drain(),
            delay_s=self._settings.drain_delay_s,
            grace_s=self._settings.drain_grace_s,
        )

    async def run(self, ready: Ready | None, stopping: Stopping) -> None:
        """Bind the ports, start the engines, serve until a stop is requested, drain.

        A start that is still under way then is given up.
        Ports and child processes are released, whatever happens.
        """
        try:
            await self._run(ready, stopping)
            self._events.info("stopped")
        finally:
            self._application.trail.close()
            if self._application.tracing is not None:
                self._application.tracing.close()

    async def _run(self, ready: Ready | None, stopping: Stopping) -> None:
        try:
            ops_address = await self._listen_for_operations()
            credentials = own_credentials(
                self._settings, observer=self._certificate, events=self._events
            )
            address = bind(self._server, self._settings.listen, credentials)
            self._application.own_listeners.add(*split_address(address))
            self._add_services()
            async with contextlib.AsyncExitStack() as stack:
                if await _unless(stopping.requested, stack.enter_async_context(self._application)):
                    watch = asyncio.create_task(
                        self._application.reloader.watch(self._settings.reload_poll_s)
                    )
                    try:
                        await self._serve(ready, address, ops_address, stopping.requested)
                    finally:
                        watch.cancel()
                    await self._drain.run(stopping)
        finally:
            await self._server.stop(None)
            await self._operations.stop()

    async def _listen_for_operations(self) -> str:
        host, port = split_address(self._settings.ops_listen)
        try:
            taken = await self._operations.start(host, port)
        except OSError as error:
            reason = error.strerror or "the address cannot be used"
            raise ConfigurationError(
                [f"ops_listen: cannot listen on {self._settings.ops_listen}: {reason}"]
            ) from None
        self._application.own_listeners.add(host, taken)
        return address_text(host, taken)

    def _add_services(self) -> None:
        shares, watching = self._settings.shares, self._application.watching
        servicer = PolicyCheckServicer(
            checks=self._application.checks,
            generation=lambda: self._application.reloader.current,
            clock=self._application.clock,
            counters=self._application.metrics,
            decisions=self._application.trail,
            deadline_reserve_s=self._settings.deadline_reserve_s,
            default_wait_s=self._settings.default_wait_s,
            allow_request_anchors=self._settings.allow_request_anchors,
            wire=WireBudget(shares.answer_bytes, most_of_a_caller=shares.answer_bytes_per_caller),
            max_kept=kept_answers(self._settings),
            watched=None if watching is None else watching.table,
            feed=None if watching is None else watching.feed,
        )
        admin = None
        if self._settings.admin_service:
            admin = PolicyAdminServicer(
                results=self._application.checks,
                reloads=self._application.reloader,
                events=self._events,
            )
        add_services(
            self._server,
            policy_check=servicer,
            policy_admin=admin,
            streams=self._streams,
            health=self._health,
            with_reflection=self._settings.reflection,
        )

    async def _serve(
        self, ready: Ready | None, address: str, ops_address: str, stop: asyncio.Event
    ) -> None:
        await self._server.start()
        # Objects made at the start are never freed. Walking them again would hold up calls for tens
        # of milliseconds.
        gc.collect()
        gc.freeze()
        await self._health.set_serving(True)
        self._lifecycle.phase = Phase.SERVING
        self._events.info(
            "serving",
            version=__version__,
            pid=os.getpid(),
            revision=self._application.reloader.current.revision,
            listen=address,
            ops_listen=ops_address,
            tls=self._settings.tls_certificate_file is not None,
        )
        if ready is not None:
            ready(address, ops_address)
        await stop.wait()


def _verdict_streams(application: Application) -> VerdictStreams | None:
    settings, watching = application.settings, application.watching
    if watching is None:
        return None
    limits = StreamLimits(
        total=settings.watch.streams,
        of_a_caller=settings.watch.streams_per_caller,
        age_s=settings.max_connection_age_s,
        grace_s=connection_age_grace_s(settings),
    )
    return VerdictStreams(
        watching.feed,
        generation=lambda: application.reloader.current,
        counters=watching.metrics,
        refusals=application.metrics,
        limits=limits,
        draw=SystemRandom(),
        monotonic=application.clock.monotonic,
    )


def _debug_page(application: Application, lifecycle: Lifecycle) -> PageMaker:
    if not application.settings.debug_page:
        return page_that_is_off
    return DebugPage(debug_sections(application, lifecycle)).page


async def _unless(stop: asyncio.Event, start: Coroutine[None, None, object]) -> bool:
    """Carry out a start, or give it up as soon as stop is set; tell whether it was carried out."""
    starting, stopping = asyncio.create_task(start), asyncio.create_task(stop.wait())
    tasks = {starting, stopping}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if is_started := starting.done():
            starting.result()
        return is_started
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
