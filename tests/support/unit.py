"""`pytest --unit`, which is `make unit`: every test that is fast and stays in its process.

A test belongs to it unless its module or folder is listed in OUTSIDE. So the list of what is left
out is short and checked: a path that does not exist ends the run, and a test that is not listed
fails as soon as it opens a connection, binds a port, asks DNS or starts a process. The run fails,
too, when it takes more CPU than its budget; time on the clock would follow the machine's load.

Tests of hypothesis search: a hundred examples each take a third of the CPU of all others. They are
left to `make test`.

gRPC opens its sockets in C, where nobody can see it. Tests of servicers use it over loopback or
Unix sockets within their process, and are unit tests; so Unix sockets are not looked at.
"""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

OUTSIDE = (
    # They open connections or start programs.
    "tests/app",
    "tests/benchmarks",
    "tests/catalog/test_signatures.py",
    "tests/chains/test_chains.py",
    "tests/client/test_boundary.py",
    "tests/client/test_connecting.py",
    "tests/client/test_fakes.py",
    "tests/client/test_http.py",
    "tests/client/test_old_name.py",
    "tests/client/test_parity.py",
    "tests/cli/test_asking_a_service.py",
    "tests/cli/test_audit.py",
    "tests/cli/test_check.py",
    "tests/cli/test_demo.py",
    "tests/cli/test_demo_partners.py",
    "tests/cli/test_doctor.py",
    "tests/cli/test_files_given.py",
    "tests/cli/test_partner_check.py",
    "tests/cli/test_policy.py",
    "tests/cli/test_preflight.py",
    "tests/cli/test_probe.py",
    "tests/cli/test_policy_diff.py",
    "tests/cli/test_policy_tests.py",
    "tests/cli/test_serve.py",
    "tests/cli/test_validate.py",
    "tests/core/test_boundary.py",
    "tests/deploy",
    "tests/differential",
    "tests/end_to_end",
    "tests/engine/test_client_certificates.py",
    "tests/engine/test_command.py",
    "tests/engine/test_dialler.py",
    "tests/engine/test_dns.py",
    "tests/engine/test_http_download.py",
    "tests/engine/test_operations.py",
    "tests/engine/test_process.py",
    "tests/engine/test_proxy.py",
    "tests/engine/test_replaced_files.py",
    "tests/engine/test_resolver.py",
    "tests/engine/test_resolving.py",
    "tests/engines/test_child.py",
    "tests/engines/test_fetch_crl.py",
    "tests/engines/test_lies.py",
    "tests/engines/test_mute_engine.py",
    "tests/engines/test_orphans.py",
    "tests/engines/test_starvation.py",
    "tests/fleet",
    "tests/front",
    "tests/fuzz",
    "tests/monitoring/test_alerting.py",
    "tests/monitoring/test_dashboard.py",
    "tests/monitoring/test_exemplars.py",
    "tests/monitoring/test_rules.py",
    "tests/monitoring/test_runbooks.py",
    "tests/ops/test_http.py",
    "tests/ops/test_metrics.py",
    "tests/ops/test_open_files.py",
    "tests/ops/test_otlp_sink.py",
    "tests/ops/test_own_listeners.py",
    "tests/ops/test_routes.py",
    "tests/ops/test_tracing.py",
    "tests/ops/test_stack_dump.py",
    "tests/ops/test_standard_error.py",
    "tests/hostile",
    "tests/engine/workers/test_client_handshake.py",
    "tests/engine/test_deep_scan.py",
    "tests/engine/workers/test_deep_worker.py",
    "tests/engine/probes/test_http_probe.py",
    "tests/engine/profiles/test_hybrid_flights.py",
    "tests/engine/transport/test_prober.py",
    "tests/engine/test_groups.py",
    "tests/engine/test_scanner.py",
    "tests/engine/test_seed.py",
    "tests/engine/workers",
    "tests/engine/test_confinement.py",
    "tests/engine/test_isolation.py",
    "tests/pki/test_certificate_files.py",
    "tests/pki/test_constraint_tables.py",
    "tests/pki/test_trust_failure.py",
    "tests/support/test_hanging.py",
    "tests/support/test_hostile.py",
    "tests/support/test_hostile_tls.py",
    "tests/support/test_servers.py",
    "tests/support/test_unit.py",
    "tests/simulation/test_store.py",
    "tests/supply/test_mutations.py",
    "tests/supply/test_security.py",
    "tests/supply/test_wheel.py",
    "tests/test_contract.py",
    "tests/tls/test_client_hello_bytes.py",
    # They wait for whole seconds of somebody else's clock.
    "tests/ops/test_logs.py",
    "tests/rpc/interceptors/test_request_size.py",
    # Slow: thousands of certificates, of surveys of hostile servers and of random histories.
    "tests/chains/test_pkits.py",
    "tests/check/test_observed_leaf.py",
    "tests/engine/profiles/test_cast_is_a_cover.py",
    "tests/engine/profiles/test_length_parity.py",
    "tests/engine/survey/test_group_survey.py",
    "tests/engine/survey/test_survey_hostile.py",
    "tests/engine/survey/test_survey_random.py",
    "tests/engines/test_heartbeats.py",
    "tests/engines/test_remote.py",
    "tests/pki/test_constraints.py",
    "tests/pki/test_mutations.py",
    "tests/pki/test_reading.py",
    "tests/pki/test_root_clones.py",
    "tests/pki/test_second_opinion.py",
    "tests/pki/test_too_complex.py",
    "tests/rpc/test_hostile_certificates.py",
    "tests/rpc/test_repeated_answers.py",
    "tests/tls/test_fuzz.py",
    # Five hundred simulated runs take as much as all others.
    "tests/simulation",
)

_FORBIDDEN_EVENTS = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "socket.bind",
        "socket.connect",
        "socket.getaddrinfo",
        "socket.sendto",
        "subprocess.Popen",
    }
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--unit", action="store_true", help="only tests that are quick and pure")
    parser.addoption(
        "--unit-budget",
        type=float,
        default=60.0,  # 30 s on two cores
        metavar="SECONDS",
        help="CPU that a run with --unit may take in all its processes",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("--unit"):
        return
    missing = [path for path in OUTSIDE if not (config.rootpath / path).exists()]
    if missing:
        raise pytest.UsageError(f"tests/support/unit.py lists what is not there: {missing}")
    config.pluginmanager.register(_UnitRun(config))


class _UnitRun:
    """One run: limits on tests in each worker, the time budget in the main process."""

    def __init__(self, config: pytest.Config) -> None:
        self._outside = frozenset(config.rootpath / path for path in OUTSIDE)
        self._budget_s: float = config.getoption("--unit-budget")
        self._in_test = False
        self._spent_s = 0.0
        sys.addaudithook(self._audit)

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path in self._outside else None

    # Last: hypothesis marks its tests in this hook.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        searches = [item for item in items if item.get_closest_marker("hypothesis")]
        config.hook.pytest_deselected(items=searches)
        items[:] = [item for item in items if not item.get_closest_marker("hypothesis")]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Any:
        self._in_test = True
        try:
            return (yield)
        finally:
            self._in_test = False

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        # The address of a Unix socket is its path.
        is_unix = event == "socket.connect" and isinstance(arguments[1], str | bytes)
        if self._in_test and event in _FORBIDDEN_EVENTS and not is_unix:
            pytest.fail(f"{event} in a unit test; list its module in tests/support/unit.py")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._spent_s += time.process_time()
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["spent_s"] = self._spent_s
        elif self._spent_s > self._budget_s and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the time that an xdist worker took."""
        self._spent_s += getattr(node, "workeroutput", {}).get("spent_s", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        line = f"unit tests: {self._spent_s:.1f} s of CPU; {self._budget_s:g} s are allowed"
        terminalreporter.write_line(line, red=self._spent_s > self._budget_s)
