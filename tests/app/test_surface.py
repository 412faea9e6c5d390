"""What an operator sees and does while the commands run: pages, stack dumps, the log level."""

import json
import os
import re
import signal
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.app.commands import SERVE, Command, command, ops_address, page
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, s_server
from tests.support.service_process import descendants
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

ENGINE = ("engine", "--listen", "127.0.0.1:0", "--dangerously-listen-without-tls")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _engines(serving: Command) -> list[int]:
    """Return the process ids of the engines that are there now."""
    return [
        int(each.name)
        for each in descendants(Path("/proc") / str(serving.pid))
        if b"otpc_policy.engine\0" in (each / "cmdline").read_bytes()
    ]


def test_the_pages_of_a_service_show_its_components_and_the_debug_page_is_off(
    tmp_path: Path,
) -> None:
    with command(tmp_path, "serve") as serving:
        ops = ops_address(serving)
        wait_until(lambda: page(ops, "/readyz")[0] == 200)
        assert page(ops, "/readyz") == (200, "ok\n")
        status, text = page(ops, "/readyz?verbose")
        assert status == 200
        assert text.splitlines() == [
            "[+]lifecycle ok",
            "[+]engines ok",
            "[+]engine engine-0 ok",
            "[+]configuration ok",
            "[+]audit stderr ok",
            "readyz check passed",
        ]
        status, text = page(ops, "/debug")
        assert (status, "debug_page" in text) == (404, True)


def test_the_debug_page_tells_of_engines_and_a_lost_one_is_a_restart(tmp_path: Path) -> None:
    config = (*SERVE, "debug_page = true")
    with command(tmp_path, "serve", config=config) as serving:
        ops = ops_address(serving)

        def engine() -> dict[str, Any]:
            section = json.loads(page(ops, "/debug?section=engines")[1])["engines"]
            (only,) = section["engines"]
            assert isinstance(only, dict)
            return only

        wait_until(lambda: engine()["up"])
        before = engine()
        assert before["pid"] in [
            int(each.name) for each in descendants(Path("/proc") / str(serving.pid))
        ]
        assert (before["restarts"], before["breaker"]["failed_targets"]) == (0, 0)
        os.kill(before["pid"], signal.SIGKILL)
        wait_until(lambda: engine()["restarts"] == 1 and engine()["up"])
        assert engine()["pid"] != before["pid"]
        whole = json.loads(page(ops, "/debug")[1])
        assert list(whole) == [
            "process",
            "configuration",
            "flights",
            "queues",
            "engines",
            "cache",
        ]
        assert whole["configuration"]["debug_page"] is True
        assert whole["cache"]["entries"] == 0
        assert not serving.lines("open_to_callers")


def test_the_debug_page_shows_measurements_under_way_and_what_is_cached(tmp_path: Path) -> None:
    config = (*SERVE, "debug_page = true", 'static_hosts = {"partner.test" = "127.0.0.1"}')
    offer = TlsOffer(certificates=(CertificateAuthority.create().issue(),))
    with (
        command(tmp_path, "serve", config=config) as serving,
        grpc.insecure_channel(serving.announced.split()[2]) as channel,
        socket.socket() as silent,
        s_server(own_listener(), offer) as partner,
    ):
        ops = ops_address(serving)
        checks = rpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        port = silent.getsockname()[1]
        request = pb.CheckEndpointRequest(host="127.0.0.1", port=port)
        calls = [checks.CheckEndpoint.future(request, timeout=60) for _ in range(3)]
        silent.accept()[0].close()

        def section(name: str, query: str = "") -> dict[str, Any]:
            found = json.loads(page(ops, f"/debug?section={name}{query}")[1])[name]
            assert isinstance(found, dict)
            return found

        wait_until(lambda: section("flights")["oldest"][0]["waiters"] == 3)
        flights = section("flights")
        assert flights["total"] == 1
        assert flights["oldest"][0]["port"] == port
        assert flights["oldest"][0]["age_s"] > 0
        queues = section("queues")
        assert queues["measurements_by_address"] == {"127.0.0.1": 1}
        (queue,) = queues["by_engine"]
        assert queue["measuring"] == {"interactive": 1, "refresh": 0, "watch": 0}
        assert queue["callers"] == 1
        measured = pb.CheckEndpointRequest(host="partner.test", port=partner.port)
        answer = checks.CheckEndpoint(measured, timeout=60)
        cache = section("cache")
        assert (cache["entries"], cache["hosts"][0]["host"]) == (1, "partner.test")
        of_host = section("cache", "&host=PARTNER.test")
        (entry,) = of_host["newest"]
        assert (entry["port"], of_host["entries_of_host"]) == (partner.port, 1)
        ends_at = datetime.fromisoformat(entry["expires_at"])
        assert answer.result_info.expire_time.ToDatetime(UTC) == ends_at
        assert section("cache", "&host=other.test")["newest"] == []
        assert "error" in section("cache", "&host=..")
        for call in calls:
            call.cancel()


def test_sigusr1_logs_the_stacks_of_a_service_and_of_each_engine_that_is_asked(
    tmp_path: Path,
) -> None:
    with command(tmp_path, "serve") as serving:
        serving.process.send_signal(signal.SIGUSR1)
        serving.wait_for("stack_dump_ended")
        stacks = [line["stack"] for line in serving.lines("stack_dump")]
        assert any("Service.run" in stack for stack in stacks)
        assert "MainThread" in {line.get("thread") for line in serving.lines("stack_dump")}
        wait_until(lambda: bool(page(ops_address(serving), "/readyz")[0] == 200))
        (engine,) = _engines(serving)
        os.kill(engine, signal.SIGUSR1)
        serving.wait_for("stack_dump_ended", source="engine-0", pid=engine)
        of_engine = serving.lines("stack_dump", source="engine-0")
        assert any("run_engine" in line["stack"] for line in of_engine)
        # Asked again, it answers again, and goes on.
        serving.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: len(serving.lines("stack_dump_ended")) == 3)
        assert page(ops_address(serving), "/readyz") == (200, "ok\n")


@pytest.mark.parametrize("is_asked", [True, False], ids=["SIGHUP", "by looking"])
def test_the_log_level_follows_the_configuration_file_and_engines_follow_the_service(
    tmp_path: Path, *, is_asked: bool
) -> None:
    poll = "reload_poll_s = 0" if is_asked else "reload_poll_s = 0.1"
    with command(tmp_path, "serve", config=(*SERVE, poll)) as serving:
        ops = ops_address(serving)
        wait_until(lambda: page(ops, "/readyz")[0] == 200)

        def change(*lines: str) -> None:
            serving.configure(*SERVE, poll, *lines)
            if is_asked:
                serving.process.send_signal(signal.SIGHUP)

        change('log_level = "debug"')
        changed = serving.wait_for("log_level_changed", log_level="debug")
        assert (changed["former"], changed["level"]) == ("info", "warning")
        if is_asked:
            # An engine that is started later has the level as well, and says what gRPC says then.
            (engine,) = _engines(serving)
            os.kill(engine, signal.SIGKILL)
            serving.wait_for("engine ended")
            wait_until(lambda: page(ops, "/readyz")[0] == 200)
            wait_until(lambda: bool(serving.lines(source="engine-0", level="debug")))
        change('log_level = "shout"')
        kept = serving.wait_for("log_level_kept")
        assert kept["level"] == "error"
        assert "'shout' is none of debug, info, warning, error" in kept["problems"][0]
        change('log_level = "debug"', "drain_grace_s = 7", "scan.workers = 3")
        waiting = serving.wait_for("settings_wait_for_the_next_start")
        assert waiting["settings"] == ["drain_grace_s", "scan"]
        change('log_level = "error"')
        serving.wait_for("log_level_changed", log_level="error")
        # An engine that runs follows, too: else it would say so as a warning, which is not logged.
        (engine,) = _engines(serving)

        def answers_as_an_error() -> bool:
            os.kill(engine, signal.SIGUSR1)
            return bool(serving.lines("stack_dump_ended", source="engine-0", level="error"))

        wait_until(answers_as_an_error)


def test_the_environment_takes_precedence_over_the_file_at_run_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from otpc_policy.app.log_level import LogLevelFile

    path = tmp_path / "service.toml"
    path.write_text('log_level = "error"\n')
    monkeypatch.setenv("OTPC_POLICY_CONFIG", str(path))
    found = LogLevelFile.of(None)
    assert found is not None
    assert (found.path, found.is_overridden) == (path, False)
    monkeypatch.setenv("OTPC_POLICY_LOG_LEVEL", "info")
    overridden = LogLevelFile.of(str(path))
    assert overridden is not None
    assert overridden.is_overridden
    monkeypatch.delenv("OTPC_POLICY_CONFIG")
    assert LogLevelFile.of(None) is None


def test_an_engine_apart_has_pages_stack_dumps_and_a_log_level_of_its_own(tmp_path: Path) -> None:
    config = ("debug_page = true", "scan.workers = 1", "reload_poll_s = 0")
    port = _free_port()
    options = (*ENGINE, "--ops-listen", f"127.0.0.1:{port}")
    with command(tmp_path, *options, config=config) as engine:
        ops = f"127.0.0.1:{port}"
        wait_until(lambda: page(ops, "/readyz")[0] == 200)
        lines = page(ops, "/readyz?verbose")[1].splitlines()
        assert lines[:2] == ["[+]lifecycle ok", "[+]workers ok"]
        assert re.match(r"\[[+-]\]isolation ", lines[2])
        debug = json.loads(page(ops, "/debug")[1])
        assert list(debug) == ["process", "configuration", "measurements", "addresses"]
        assert debug["measurements"]["workers_alive"] == 1
        assert debug["configuration"]["scan"]["workers"] == 1
        engine.process.send_signal(signal.SIGUSR1)
        engine.wait_for("stack_dump_ended")
        assert any("run_engine" in line["stack"] for line in engine.lines("stack_dump"))
        # The file is replaced, and read from within the sandbox.
        engine.configure(*config, 'log_level = "debug"')
        engine.process.send_signal(signal.SIGHUP)
        engine.wait_for("log_level_changed", log_level="debug")
        engine.configure(*config, 'log_level = "info"', "no toml")
        engine.process.send_signal(signal.SIGHUP)
        engine.wait_for("log_level_kept")
        assert page(ops, "/readyz") == (200, "ok\n")
