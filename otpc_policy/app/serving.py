"""Runs the service from start to end: build, listen, serve, drain."""

import asyncio
import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator

import structlog

from otpc_policy.app.application import Application, build_application
from otpc_policy.app.lifecycle import Lifecycle, Phase
from otpc_policy.app.listen import address_text, bind, build_server
from otpc_policy.app.settings import Settings, split_address
from otpc_policy.app.settings.without_effect import without_effect
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.credentials import server_credentials
from otpc_policy.ops.decision_log import DecisionLog
from otpc_policy.ops.http import OperationsServer
from otpc_policy.ops.logs import logs_configured
from otpc_policy.ops.open_files import open_files_limit
from otpc_policy.rpc.health import HEALTH_SERVICE, Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_admin import PolicyAdminServicer
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.registration import POLICY_CHECK_SERVICE, add_services
from otpc_policy.rpc.wire_budget import WireBudget

# At rest it takes 25 with two engines; the others are for callers.
_LEAST_OPEN_FILES = 64
# Late calls are held until none has arrived for this long. A caller that sends one call after the
# other sends the next within milliseconds, on a busy machine within tens.
_NONE_ARRIVES_S = 0.1
# Callers that do not wait for answers never pause; for them waiting longer would change nothing.
_LONGEST_HOLD_S = 0.5
# GOAWAY reaches callers within a round trip; this is one around the world, with some to spare.
_GOAWAY_S = 0.25
# The interceptor finishes with a call before gRPC has sent the response; this is enough time to
# send it, on loopback and over a slow network.
_LAST_ANSWERS_S = 0.25
# For the calls that are abandoned to end, and for their last answers.
_GIVEN_UP_S = 1.0

Ready = Callable[[str, str], None]


async def serve(
    settings: Settings, *, ready: Ready | None = None, stop: asyncio.Event | None = None
) -> None:
    """Serve until SIGTERM, SIGINT or stop, then drain.

    A second signal ends the drain at once. SIGHUP reloads.

    ready: called once, when both servers accept connections, with the addresses of the gRPC server
    and of the operations server, ports included.
    Raises ConfigurationError before anything is served.
    """
    with logs_configured(settings.log_format.value, settings.log_level.value):
        open_files_limit(at_least=_LEAST_OPEN_FILES)
        stop = stop if stop is not None else asyncio.Event()
        force_stop = asyncio.Event()
        application = build_application(settings)
        for setting, reason in without_effect(settings):
            structlog.get_logger("otpc_policy.app").warning(
                "setting without effect", setting=setting, reason=reason
            )
        with _signals(stop, force_stop, application.reloader.ask):
            await Service(application).run(ready, stop, force_stop)


class Service:
    """A single run of the service."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._settings = application.settings
        self._log = structlog.get_logger("otpc_policy.app")
        self._lifecycle = Lifecycle(lambda: application.engines.workers_alive)
        self._operations = OperationsServer(application.registry, self._lifecycle.probes())
        self._health = Health(POLICY_CHECK_SERVICE)
        self._interceptor = CallInterceptor(application.metrics)
        self._decisions = DecisionLog(sys.stderr.write)
        application.metrics.watch_decision_log(lambda: self._decisions.dropped)
        self._server = build_server(self._settings, self._interceptor)

    async def run(
        self, ready: Ready | None, stop: asyncio.Event, force_stop: asyncio.Event
    ) -> None:
        """Bind the ports, start the engines, serve until stop, drain until force_stop.

        A start that is still under way at stop is given up.
        Ports and child processes are released, whatever happens.
        """
        try:
            ops_address = await self._listen_for_operations()
            settings = self._settings
            credentials = server_credentials(
                settings.tls_certificate_file, settings.tls_key_file, settings.tls_client_ca_file
            )
            address = bind(self._server, settings.listen, credentials)
            self._add_services()
            async with contextlib.AsyncExitStack() as stack:
                if await _unless(stop, stack.enter_async_context(self._application)):
                    watch = asyncio.create_task(
                        self._application.reloader.watch(self._settings.reload_poll_s)
                    )
                    try:
                        await self._serve(ready, address, ops_address, stop)
                    finally:
                        watch.cancel()
                    await self._drain(force_stop)
        finally:
            await self._server.stop(None)
            self._decisions.close()
            await self._operations.stop()
        self._log.info("stopped")

    async def _listen_for_operations(self) -> str:
        host, port = split_address(self._settings.ops_listen)
        try:
            taken = await self._operations.start(host, port)
        except OSError as error:
            reason = error.strerror or "the address cannot be used"
            raise ConfigurationError(
                [f"ops_listen: cannot listen on {self._settings.ops_listen}: {reason}"]
            ) from None
        return address_text(host, taken)

    def _add_services(self) -> None:
        shares = self._settings.shares
        servicer = PolicyCheckServicer(
            checks=self._application.checks,
            generation=lambda: self._application.reloader.current,
            clock=self._application.clock,
            counters=self._application.metrics,
            decisions=self._decisions,
            deadline_reserve_s=self._settings.deadline_reserve_s,
            default_wait_s=self._settings.default_wait_s,
            allow_request_anchors=self._settings.allow_request_anchors,
            wire=WireBudget(shares.answer_bytes, most_of_a_caller=shares.answer_bytes_per_caller),
        )
        admin = None
        if self._settings.admin_service:
            callers = frozenset(self._settings.admin_callers)
            admin = PolicyAdminServicer(
                results=self._application.checks,
                reloads=self._application.reloader,
                callers=callers,
            )
        add_services(
            self._server,
            policy_check=servicer,
            policy_admin=admin,
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
        self._log.info(
            "serving",
            listen=address,
            ops_listen=ops_address,
            tls=self._settings.tls_certificate_file is not None,
        )
        if ready is not None:
            ready(address, ops_address)
        await stop.wait()

    async def _drain(self, force_stop: asyncio.Event) -> None:
        """Report NOT_SERVING, refuse new calls and finish those in flight.

        Whoever is not answered gets a status that clients retry, with details; but callers that do
        not pause may meet the instant at which gRPC stops, and get its bare CANCELLED.
        Streams that watch health do not hold up the drain.
        """
        self._lifecycle.phase = Phase.DRAINING
        self._log.info("draining", calls=self._interceptor.in_flight)
        grace_s = self._settings.drain_grace_s
        loop = asyncio.get_running_loop()
        until_s = loop.time() + grace_s
        await self._health.drain()
        late = self._interceptor.refuse_new_calls(still_answered=(HEALTH_SERVICE,))
        await _first_of(
            late.wait_until_none_arrives(_NONE_ARRIVES_S),
            force_stop.wait(),
            timeout_s=min(_LONGEST_HOLD_S, grace_s),
        )
        # Sends GOAWAY at once and then waits for every stream, watches included; the calls that
        # matter are waited for below.
        closing = asyncio.create_task(self._server.stop(grace_s + _LONGEST_HOLD_S + _GIVEN_UP_S))
        releasing = loop.call_later(_GOAWAY_S, late.release)
        await _first_of(
            closing,
            self._interceptor.wait_until_quiet(_LAST_ANSWERS_S),
            force_stop.wait(),
            timeout_s=until_s - loop.time(),
        )
        releasing.cancel()
        late.release()
        if self._interceptor.in_flight:
            await self._abandon_calls(closing)
        else:
            await self._server.stop(None)
            await closing

    async def _abandon_calls(self, closing: "asyncio.Task[None]") -> None:
        """End what calls wait for, so that their callers are told to go elsewhere.

        closing: the stop of the server. A call that goes on all the same is cut off.
        """
        self._log.warning("calls abandoned", calls=self._interceptor.in_flight)
        ending = asyncio.create_task(self._application.close())
        await _first_of(
            closing, self._interceptor.wait_until_quiet(_LAST_ANSWERS_S), timeout_s=_GIVEN_UP_S
        )
        await self._server.stop(None)
        await closing
        await ending


async def _first_of(*awaited: Awaitable[object], timeout_s: float) -> None:
    """Wait until one of several ends, or for the time; those that this has begun are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in awaited]
    try:
        await asyncio.wait(tasks, timeout=max(0.0, timeout_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task, given in zip(tasks, awaited, strict=True):
            if task is not given:
                task.cancel()


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


@contextlib.contextmanager
def _signals(
    stop: asyncio.Event, force_stop: asyncio.Event, reload: Callable[[], None]
) -> Iterator[None]:
    """Map SIGTERM and SIGINT to stop, a second signal to force_stop, and SIGHUP to a reload.

    Does nothing outside the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_stop_signal() -> None:
        (force_stop if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    chosen = {signal.SIGTERM: on_stop_signal, signal.SIGINT: on_stop_signal, signal.SIGHUP: reload}
    for number, handler in chosen.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in chosen:
            loop.remove_signal_handler(number)
