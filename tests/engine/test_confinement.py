"""What the engine gives up when it starts, tried from inside and looked at from outside."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from otpc_policy.app.settings import Settings
from tests.engine.test_isolation import run
from tests.engine.test_process import order

_PREPARE = """
import json
from otpc_policy.engine import confinement
from otpc_policy.engine.configuration import configuration_from
from otpc_policy.engine.listening import EngineTls
order = json.loads({order!r})
folder = Path({folder!r})
names = ("certificate_file", "key_file", "client_ca_file")
tls = EngineTls(**{{name: folder / "tls" / name for name in names}})
print("missing", confinement.confine(configuration_from(order["settings"]), order["listen"], tls))
"""


def test_an_engine_reads_only_its_own_files(tmp_path: Path) -> None:
    for name in ("tls", "run", "others"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("x")
    (tmp_path / "tls" / "key_file").write_text("x")
    prepare = _PREPARE.format(
        order=order(tmp_path / "run" / "engine").decode(), folder=str(tmp_path)
    )
    attempts = """
import subprocess
tried("rotated", lambda: open(folder / "tls" / "file"))
tried("hosts", lambda: open("/etc/hosts"))
tried("import", lambda: __import__("otpc_policy.engine.facts.deep_facts"))
tried("null", lambda: open("/dev/null", "w"))
tried("worker", lambda: subprocess.run([sys.executable, "-c", ""], check=True, env={}))
tried("socket", lambda: socket.socket(socket.AF_UNIX).bind(str(folder / "run" / "engine")))
tried("others", lambda: open(folder / "others" / "file"))
tried("passwords", lambda: open("/etc/passwd"))
tried("home", lambda: os.listdir("/home"))
tried("root", lambda: os.listdir("/"))
tried("temporary", lambda: open("/tmp/new", "w"))
tried("own", lambda: open(folder / "run" / "new", "w"))
tried("shell", lambda: os.posix_spawn("/bin/sh", ["sh", "-c", ""], {}))
tried("parent", lambda: open("/proc/%d/mem" % os.getppid(), "rb"))
"""
    status, outcomes = run(prepare, attempts)
    assert status == 0
    if outcomes.pop("missing") != "()":
        pytest.skip("the kernel lacks Landlock")
    allowed = {name for name, outcome in outcomes.items() if outcome == "worked"}
    assert allowed == {"rotated", "hosts", "import", "null", "worker", "socket"}, outcomes


def test_an_engine_changes_no_file_and_no_process_of_its_user(tmp_path: Path) -> None:
    """The front is such a process, and its keys are such files."""
    for name in ("tls", "run"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    prepare = _PREPARE.format(
        order=order(tmp_path / "run" / "engine").decode(), folder=str(tmp_path)
    )
    attempts = """
import resource, subprocess
other, secret = os.getppid(), folder / "secret"
limits = resource.getrlimit(resource.RLIMIT_CPU)
tried("mode", lambda: secret.chmod(0o666))
tried("times", lambda: os.utime(secret))
tried("owner", lambda: os.chown(secret, os.getuid(), os.getgid()))
tried("attribute", lambda: os.setxattr(secret, "user.x", b"1"))
tried("limits-of-another", lambda: resource.prlimit(other, resource.RLIMIT_CPU, limits))
tried("processors-of-another", lambda: os.sched_setaffinity(other, os.sched_getaffinity(0)))
tried("priority-of-another", lambda: os.setpriority(os.PRIO_PROCESS, other, 0))
tried("namespaces", lambda: system_call({"x86_64": 272, "aarch64": 97}[machine], 0x10000000))
tried("rings", lambda: system_call(425, 1, 0))
tried("own-limits", lambda: resource.setrlimit(resource.RLIMIT_CPU, limits))
tried("worker", lambda: subprocess.run([sys.executable, "-c", ""], check=True, env={}))
"""
    status, outcomes = run(prepare, attempts)
    assert status == 0
    if outcomes.pop("missing") != "()":
        pytest.skip("the kernel lacks Landlock or seccomp")
    allowed = {name for name, outcome in outcomes.items() if outcome == "worked"}
    assert allowed == {"own-limits", "worker"}, outcomes
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_start_that_requires_what_is_lacking_fails() -> None:
    asked = order(Path("/tmp/x")).decode()
    prepare = f"""
import json
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine import confinement
from otpc_policy.engine.configuration import configuration_from
order = json.loads({asked!r})
def lacking(**_):
    raise isolation.IsolationUnavailable("lacking")
isolation.confine_files = lacking
for level in ("prefer", "off", "require"):
    order["settings"]["scan"]["isolation"] = level
    try:
        print(level, confinement.confine(configuration_from(order["settings"]), "unix:/tmp/x"))
    except ConfigurationError as error:
        print(level, error)
"""
    assert run(prepare, "")[1] == {
        "prefer": "('lacking',)",
        "off": "()",
        "require": "scan.isolation: required, but lacking",
    }


def test_an_engine_keeps_neither_environment_nor_descriptors(tmp_path: Path) -> None:
    kept = os.open("/etc/hostname", os.O_RDONLY)
    command = (sys.executable, "-P", "-m", "otpc_policy.engine")
    environment = {"SECRET": "do not keep this"}
    required = Settings(allow_networks=["127.0.0.0/8"], scan={"workers": 1, "isolation": "require"})
    engine = subprocess.Popen(
        command, stdin=-1, stdout=-1, env=environment, pass_fds=(kept,), cwd=tmp_path
    )
    os.close(kept)
    with engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        engine.stdin.write(order(tmp_path / "engine", required))
        engine.stdin.flush()
        assert engine.stdout.readline() == b"ready\n"
        process = Path(f"/proc/{engine.pid}")
        assert not (process / "environ").read_bytes().strip(b"\0")
        files = [os.readlink(one) for one in (process / "fd").iterdir()]
        assert "/etc/hostname" not in files
        status = (process / "status").read_text()
        assert "NoNewPrivs:\t1" in status
        workers = (process / "task" / str(engine.pid) / "children").read_text().split()
        assert workers
        for worker in workers:
            assert not Path(f"/proc/{worker}/environ").read_bytes()
        engine.stdin.close()
        assert engine.wait(10) == 0


def test_the_setting_reaches_the_engine() -> None:
    settings = json.loads(order(Path("/tmp/x")))["settings"]
    assert settings["scan"]["isolation"] == "prefer"
