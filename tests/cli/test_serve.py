"""otpc-policy serve: one line when ready, one line when it cannot start, and every setting in its
help.
"""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest

from otpc_policy.cli.demo.certificates import DemoAuthority
from tests.cli.conftest import Stage
from tests.cli.running import Run
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

COMMAND = [
    sys.executable,
    "-m",
    "otpc_policy",
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--ops-listen",
    "127.0.0.1:0",
]


def test_the_service_says_where_it_serves_and_ends_with_sigterm() -> None:
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as service:
        try:
            assert service.stdout is not None
            line = service.stdout.readline()
            ready = re.fullmatch(
                r"serving on 127\.0\.0\.1:[0-9]+ \(metrics on"
                r" (http://127\.0\.0\.1:[0-9]+)/metrics\)\n",
                line,
            )
            assert ready, line
            with urllib.request.urlopen(f"{ready[1]}/readyz", timeout=10) as answer:
                assert answer.status == 200
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
        assert service.stdout.read() == ""


@pytest.mark.parametrize(
    "streams",
    ["2>&-", "<&- >&- 2>&-", ">/dev/full", ">/dev/full 2>/dev/full"],
)
def test_the_service_serves_whatever_its_standard_streams_are(streams: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    command = shlex.join([*COMMAND[:-1], address])
    with subprocess.Popen(
        ["sh", "-c", f"exec {command} {streams}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as service:
        try:
            wait_until(lambda: service.poll() is not None or _is_ready(address), within_s=20)
            for number in range(3):
                target = str(Path(f"/proc/{service.pid}/fd/{number}").readlink())
                # Descriptor 2 is a pipe of its own, for what libraries write there.
                expected = "pipe:" if number == 2 else "/dev/"
                assert target.startswith(expected), (number, target)
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0


def _is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


@pytest.mark.parametrize("streams", ["2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize("words", ["engine --listen nonsense", "check"])
def test_a_command_that_cannot_complain_keeps_its_exit_status(words: str, streams: str) -> None:
    """Exit status 1, with which Python ends where it cannot write, means DENY."""
    command = f"{shlex.quote(sys.executable)} -m otpc_policy {words} {streams}"
    assert subprocess.run(["sh", "-c", command], check=False, timeout=30).returncode == 2


def test_a_service_with_tls_is_asked_under_the_given_ca_only(
    run: Run, stage: Stage, tmp_path: Path
) -> None:
    credentials = stage.authority.issue("localhost")
    chain, key, other = tmp_path / "chain.pem", tmp_path / "key.pem", tmp_path / "other.pem"
    chain.write_bytes(credentials.certificate_pem)
    key.touch(mode=0o600)
    key.write_bytes(credentials.key_pem)
    other.write_bytes(DemoAuthority(datetime.now(UTC)).pem)
    environment = {
        **os.environ,
        "OTPC_POLICY_TLS_CERTIFICATE_FILE": str(chain),
        "OTPC_POLICY_TLS_KEY_FILE": str(key),
    }
    with subprocess.Popen(
        COMMAND, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as service:
        try:
            assert service.stdout is not None
            port = re.search(r"127\.0\.0\.1:([0-9]+)", service.stdout.readline())
            assert port
            ask = ("policy", "list", "--server", f"localhost:{port[1]}", "--timeout", "10")
            assert run(*ask, "--server-ca", stage.anchor_file).status == 0
            assert run(*ask, "--server-ca", other).status == 3
            assert run(*ask).status == 3
        finally:
            service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0


def test_ctrl_c_is_no_verdict_and_leaves_no_worker() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [
            sys.executable,
            "-m",
            "otpc_policy",
            "check",
            endpoint,
            "--allow-network",
            "127.0.0.0/8",
        ]
        # Tests that run as a background job of a shell ignore SIGINT, and so would what they start.
        command = ["env", "--default-signal=INT", *command]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as check:
            # The measurement has begun when its first connection arrives.
            silent.settimeout(30)
            connection, _ = silent.accept()
            with connection:
                os.killpg(check.pid, signal.SIGINT)
                output, errors = check.communicate(timeout=30)
    assert (check.returncode, output) == (130, "")
    assert "Traceback" not in errors
    with pytest.raises(ProcessLookupError):
        os.killpg(check.pid, 0)


def test_a_taken_port_is_one_clear_line(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("serve", "--listen", address, "--ops-listen", "127.0.0.1:0")
    assert (done.status, done.stdout) == (2, "")
    assert address in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "lesson"),
    [
        (["--listen", "0.0.0.0:50051"], "needs TLS"),
        (["--listen", "nowhere"], "host:port"),
        (["--allow-network", "10.0.0.1/8"], "10.0.0.1/8"),
        (["--config", "no-such-file.toml"], "no-such-file.toml"),
        (["surplus"], "surplus"),
    ],
)
def test_a_wrong_start_is_told_without_a_traceback(
    run: Run, arguments: list[str], lesson: str
) -> None:
    done = run("serve", "--ops-listen", "127.0.0.1:0", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert lesson in done.stderr
    assert "Traceback" not in done.stderr


def test_every_problem_of_a_configuration_file_has_its_own_line(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "otpc-policy.toml"
    config.write_text('listen = "nowhere"\nsurplus = 1\n')
    done = run("serve", "--config", config)
    assert done.status == 2
    assert len([line for line in done.stderr.splitlines() if line.startswith("otpc-policy: ")]) == 2


def test_help_and_show_settings_name_every_setting_with_variable_and_default(run: Run) -> None:
    from otpc_policy.app.settings import describe_settings

    for done in (run("serve", "--help"), run("serve", "--show-settings")):
        assert done.status == 0
        assert all(setting.variable in done.stdout for setting in describe_settings())
        assert "OTPC_POLICY_LISTEN=127.0.0.1:50051" in done.stdout


def test_help_is_quick_because_nothing_heavy_is_imported() -> None:
    script = (
        "import sys; from otpc_policy.cli import main;"
        "heavy = {'grpc', 'google', 'pydantic', 'cryptography', 'rich'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )


def test_the_version_is_told(run: Run) -> None:
    from otpc_policy import __version__

    assert run("--version").stdout == f"otpc-policy {__version__}\n"


def test_a_reader_that_leaves_early_does_not_change_the_verdict(tmp_path: Path) -> None:
    noise = tmp_path / "noise.der"
    noise.write_bytes(b"0\x03noise")
    read_end, write_end = os.pipe()
    os.close(read_end)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "otpc_policy", "validate", str(noise)],
        stdout=write_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "")
    assert time.monotonic() - started < 30
