"""The process of one DEEP scan: runs sslyze's scan commands, reports each as it ends, and ends.

It decides nothing. The task comes on stdin, reports go to stdout (see deep_messages); it ends when
stdin does, or at the task's deadline. Before the first connection it gives up everything but
threads and connections to the task's port: no file can be opened and no process started.

What sslyze does, stated once:
- Its Scanner tests connectivity first, and that can hang for ever; it also grows about 1 MB a run
  (sslyze#603). So the jobs of the commands are run here without it, for a server whose versions and
  suites are known already, in a process that serves one scan.
- Heartbleed, CCS injection and EMS are not tested at all if the server has TLS 1.3: sslyze reports
  "not vulnerable" instead. So those commands are given TLS 1.2 and below only. And they send no
  SNI, which reaches another host: here they do.
- Resets, silence and closes often count as "not vulnerable". So every connection is recorded, for
  the parent to judge.
- The method in which its connections open their socket is private (_do_pre_handshake); that is
  another reason to pin sslyze to one version.
- It resolves the host name unless an address is given, and retries connections by default.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, cast

from cryptography.hazmat.backends import default_backend
from nassl._nassl import OpenSSLError
from nassl.legacy_ssl_client import LegacySslClient
from nassl.ssl_client import (
    BaseSslClient,
    ClientCertificateRequested,
    OpenSslFileTypeEnum,
    OpenSslVerifyEnum,
    OpenSslVersionEnum,
    SslClient,
)
from sslyze.plugins.plugin_base import ScanJob, ScanJobResult
from sslyze.plugins.scan_commands import ScanCommand, ScanCommandsRepository
from sslyze.server_connectivity import (
    ClientAuthRequirementEnum,
    ServerConnectivityInfo,
    ServerTlsProbingResult,
    TlsVersionEnum,
)
from sslyze.server_setting import ServerNetworkConfiguration, ServerNetworkLocation

from otpc_policy.core.facts import ClientAuth, DeepCommand, Support, TlsVersion
from otpc_policy.engine import isolation
from otpc_policy.engine.client_certificates import ClientCredentials
from otpc_policy.engine.egress.proxy import ProxyRoute
from otpc_policy.engine.isolation import Isolation
from otpc_policy.engine.survey.absence import CLOSES
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.workers.client_handshake import load_libraries
from otpc_policy.engine.workers.deep_claims import (
    claim_of_job,
    claim_of_result,
    is_about_suites,
    part_name,
)
from otpc_policy.engine.workers.deep_messages import (
    DeepTask,
    Part,
    Report,
    decode_task,
    encode_report,
)
from otpc_policy.engine.workers.messages import LENGTH_BYTES, frame
from otpc_policy.engine.workers.recorded_socket import RecordedConnection, RecordedSocket

# Eight connections take some 30 MiB beyond the imports; a stack of 8 MiB counts for each thread.
_MEMORY_BYTES: Final = 768 * 2**20
_OPEN_FILES: Final = 256
_PROCESSOR_S: Final = 120

_CLIENT_AUTHS = {
    ClientAuth.REQUESTED: ClientAuthRequirementEnum.OPTIONAL,
    ClientAuth.REQUIRED: ClientAuthRequirementEnum.REQUIRED,
}
_REPEATED = (
    DeepCommand.HEARTBLEED,
    DeepCommand.OPENSSL_CCS_INJECTION,
    DeepCommand.SESSION_RENEGOTIATION,
)
# Commands that use the highest version; the others are about TLS 1.2 and below.
_ANY_VERSION = (DeepCommand.ELLIPTIC_CURVES, DeepCommand.TLS_1_3_EARLY_DATA)


class _Server(ServerConnectivityInfo):
    """A server whose connections are guarded, recorded and always name it."""

    task: DeepTask
    of_thread: Any

    def get_preconfigured_tls_connection(self, *arguments: Any, **options: Any) -> Any:
        """Return sslyze's connection, with our socket under it."""
        options["should_enable_server_name_indication"] = self.task.server_name is not None
        connection: Any = super().get_preconfigured_tls_connection(*arguments, **options)
        client = connection.ssl_client
        recorded = RecordedConnection(self._new_socket())
        shake: Callable[[], None] = client.do_handshake

        def open_socket() -> None:
            # The time of a connection begins here, not when sslyze prepared it.
            recorded.socket = self._new_socket()
            self.of_thread.connections.append(recorded)
            client.set_underlying_socket(recorded.socket)

        def do_handshake() -> None:
            again = recorded.completed
            try:
                shake()
            except Exception as error:
                if again:
                    recorded.renegotiation_error = f"{type(error).__name__}: {error}"
                raise
            recorded.completed = True

        connection._do_pre_handshake = open_socket
        client.do_handshake = do_handshake
        return connection

    def _new_socket(self) -> RecordedSocket:
        task = self.task
        return RecordedSocket(
            task.address,
            task.port,
            deadline_s=task.connection_deadline_s,
            byte_limit=task.connection_bytes,
            route=None if task.proxy is None else ProxyRoute(task.proxy),
        )


class _Scan:
    """Runs the commands of one task."""

    def __init__(self, task: DeepTask, report: Callable[[Report], None]) -> None:
        self._task, self._report = task, report
        self._of_thread = threading.local()
        self._threads = ThreadPoolExecutor(max_workers=task.connections)
        # By command: consecutive jobs that met silence. Some servers never answer hellos of a
        # version; one command must not take all the time.
        self._silent_jobs: dict[DeepCommand, int] = {}
        self._patience = 2 * task.connections
        known = sorted(task.cipher_suites)
        self._highest = self._server(known[-1:])
        self._older = self._server(
            [accepted for accepted in known if accepted[0] <= TlsVersion.TLS_1_2][-1:]
        )

    def run(self) -> None:
        """Run and report everything between two controls; a failed first control ends the run."""
        control = self._control()
        self._report(control)
        if not control.completed:
            return
        started = [
            (command, server, self._start(command, server)) for command, server in self._runnable()
        ]
        for command, server, jobs in started:
            self._report(self._reported(command, server, [job.result() for job in jobs]))
        self._report(self._control())

    def _server(self, known: Sequence[tuple[TlsVersion, tuple[str, ...]]]) -> _Server | None:
        if not known:
            return None
        task, ((version, names),) = self._task, known
        modern = version is TlsVersion.TLS_1_2
        server = _Server(
            ServerNetworkLocation(
                hostname=task.server_name or task.address.text,
                port=task.port,
                ip_address=task.address.text,
            ),
            ServerNetworkConfiguration(
                tls_server_name_indication=task.server_name or "",
                network_timeout=5,
                network_max_retries=1,
            ),
            ServerTlsProbingResult(
                highest_tls_version_supported=TlsVersionEnum[version.name],
                # Security level 0: weak keys must be seen, not refused by us. The old library has
                # no levels.
                cipher_suite_supported=":".join([*names, *(["@SECLEVEL=0"] if modern else [])]),
                client_auth_requirement=_CLIENT_AUTHS.get(
                    task.client_auth, ClientAuthRequirementEnum.DISABLED
                ),
                supports_ecdh_key_exchange=version is TlsVersion.TLS_1_3
                or any("ECDH" in name for name in names),
            ),
        )
        # The dataclass is frozen, which this subclass of it is not meant to change.
        object.__setattr__(server, "task", task)
        object.__setattr__(server, "of_thread", self._of_thread)
        return server

    def _runnable(self) -> Iterator[tuple[DeepCommand, _Server]]:
        """Yield the commands, vulnerabilities first, each with the server as it shall see it."""
        for command in DeepCommand:
            server = (
                self._highest
                if is_about_suites(command) or command in _ANY_VERSION
                else self._older
            )
            if command in self._task.commands and server is not None:
                yield command, server

    def _start(
        self, command: DeepCommand, server: _Server
    ) -> "list[Future[tuple[Part, ScanJobResult]]]":
        implementation = ScanCommandsRepository.get_implementation_cls(ScanCommand(command.value))
        jobs = implementation.scan_jobs_for_scan_command(server)
        run = self._run_repeatedly if command in _REPEATED else self._run
        return [self._threads.submit(run, command, job, number) for number, job in enumerate(jobs)]

    def _run(self, command: DeepCommand, job: ScanJob, number: int) -> tuple[Part, ScanJobResult]:
        if self._silent_jobs.get(command, 0) >= self._patience:
            part = Part(
                name=part_name(command, job.function_arguments, number),
                claim=Support.UNKNOWN,
                said=("not asked: the server no longer answers",),
            )
            return part, ScanJobResult(_return_value=None, _exception=TimeoutError())
        connections: list[RecordedConnection] = []
        self._of_thread.connections = connections
        value: Any = None
        error: Exception | None = None
        try:
            value = job.function_to_call(*job.function_arguments)
        except Exception as raised:  # noqa: BLE001 - whatever a plugin meets is the outcome of its job
            error = raised
        for connection in connections:
            connection.socket.close()
        refusals = [
            connection.renegotiation_error
            for connection in connections
            if connection.renegotiation_error
        ]
        claim, said = (
            (Support.UNKNOWN, [f"{type(error).__name__}: {error}"])
            if error is not None
            else claim_of_job(command, value)
        )
        # Of a suite that a version does not have there was nothing to send.
        endings = {
            connection.socket.ending
            for connection in connections
            if connection.socket.sent or connection.socket.ending is not Ending.ANSWERED
        }
        if endings:
            self._silent_jobs[command] = (
                self._silent_jobs.get(command, 0) + 1 if endings == {Ending.TIMED_OUT} else 0
            )
        traces = tuple(connection.trace() for connection in connections)
        part = Part(
            name=part_name(command, job.function_arguments, number),
            claim=claim,
            said=(*said, *refusals),
            traces=traces,
        )
        return part, ScanJobResult(_return_value=value, _exception=error)

    def _run_repeatedly(
        self, command: DeepCommand, job: ScanJob, number: int
    ) -> tuple[Part, ScanJobResult]:
        """Run a job again, alternating with controls, if it ended in a close."""
        part, result = self._run(command, job, number)
        claim, traces = part.claim, list(part.traces)
        while (
            len(traces) < 2 * CLOSES - 1
            and traces[-1:]
            and traces[-1].flight.hello_done
            and traces[-1].ending in (Ending.CLOSED, Ending.RESET)
        ):
            control = self._control()
            again, _ = self._run(command, job, number)
            traces += [*control.traces, *again.traces]
            if not control.completed or again.claim is not Support.NO:
                claim = again.claim
                break
        return Part(name=part.name, claim=claim, said=part.said, traces=tuple(traces)), result

    def _control(self) -> Report:
        """Complete a known good handshake, or reach a demand for a client certificate."""
        server = self._older or self._highest
        connections: list[RecordedConnection] = []
        self._of_thread.connections = connections
        good = False
        try:
            if server is not None:
                server.get_preconfigured_tls_connection().connect(should_retry_connection=False)
                good = True
        except ClientCertificateRequested:
            good = True
        except Exception:  # noqa: BLE001 - a control that fails is an answer
            good = False
        for connection in connections:
            connection.socket.close()
        traces = tuple(connection.trace() for connection in connections)
        return Report(
            command=None,
            completed=good,
            claim=Support.UNKNOWN,
            parts=(Part(name="control", claim=Support.UNKNOWN, traces=traces),),
        )

    def _reported(
        self, command: DeepCommand, server: _Server, ended: Iterable[tuple[Part, ScanJobResult]]
    ) -> Report:
        parts, results = zip(*ended, strict=True)
        implementation = ScanCommandsRepository.get_implementation_cls(ScanCommand(command.value))
        try:
            result: Any = implementation.result_for_completed_scan_jobs(server, list(results))
        except Exception as error:  # noqa: BLE001 - sslyze passes on here what its jobs raised
            return Report(
                command=command,
                completed=False,
                claim=Support.UNKNOWN,
                said=type(error).__name__,
                parts=parts,
            )
        claim, said = claim_of_result(command, result)
        return Report(command=command, completed=True, claim=claim, said=said, parts=parts)


def _present(credentials: ClientCredentials) -> None:
    """Have every connection present the certificate, though no file can be opened by then.

    nassl reads both files anew for each connection, into a context of its own; here the contexts
    are made beforehand, and shared. A library that cannot use the key presents nothing.
    """
    contexts: dict[tuple[Any, OpenSslVersionEnum], Any] = {}
    for library in (SslClient, LegacySslClient):
        module: Any = library._NASSL_MODULE
        with credentials.as_files() as (chain, key), suppress(OpenSSLError):
            for version in OpenSslVersionEnum:
                with suppress(NotImplementedError, ValueError):  # a version that the library lacks
                    context = module.SSL_CTX(version.value)
                    context.set_verify(OpenSslVerifyEnum.NONE.value)
                    context.use_certificate_chain_file(chain)
                    context.use_PrivateKey_file(key, OpenSslFileTypeEnum.PEM.value)
                    contexts[module, version] = context
    as_before = BaseSslClient._init_client_authentication

    def use_context(client: Any, *arguments: Any) -> None:
        context = contexts.get((client._NASSL_MODULE, client._ssl_version))
        if context is None:
            as_before(client, *arguments)
        else:
            client._ssl_ctx = context

    BaseSslClient._init_client_authentication = use_context  # type: ignore[method-assign, assignment]


def _end_with(waited_for: Callable[[], object]) -> None:
    """End the process, in the middle of anything, once this returns."""

    def end() -> None:
        waited_for()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()


def _confine(level: Isolation, port: int) -> None:
    """Give up what the commands do not need; exit where the setting demands more than there is.

    The start of the program has reported what the kernel lacks.
    """
    isolation.limit_resources(
        memory_bytes=_MEMORY_BYTES, open_files=_OPEN_FILES, processor_s=_PROCESSOR_S
    )
    missing = isolation.attempt(
        level,
        isolation.forbid_new_privileges,
        lambda: isolation.confine_files(tcp_ports=(port,)),
        lambda: isolation.confine_syscalls(isolation.SCANNER_CALLS),
    )
    if missing and level == "require":
        os._exit(1)


def main() -> None:
    """Carry out the one task on stdin. Argument: the level of isolation."""
    isolation.end_with_parent()
    # Nothing that a library prints may get between the reports, or into the log.
    own_stdout = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (1, 2):
        os.dup2(nowhere, standard)
    requests = sys.stdin.buffer
    task = decode_task(requests.read(int.from_bytes(requests.read(LENGTH_BYTES), "big")))

    def send_report(report: Report) -> None:
        own_stdout.write(frame(encode_report(report, task.target)))
        own_stdout.flush()

    # What is loaded late by itself is loaded while files can still be opened.
    load_libraries()
    default_backend()
    if task.credentials is not None:
        _present(task.credentials)
    scan = _Scan(task, send_report)
    _confine(cast(Isolation, sys.argv[1]), task.port if task.proxy is None else task.proxy.port)
    _end_with(requests.read)
    # The parent kills at the deadline; should it be gone, nothing is left behind either.
    _end_with(lambda: time.sleep(task.deadline_s))
    scan.run()
    os._exit(0)


if __name__ == "__main__":
    main()
