"""What a confined process can still do is tried from inside, in processes of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

CONFINED = """
import ctypes, os, signal, socket, sys, threading
from pathlib import Path
from otpc_policy.engine import isolation

def system_call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "system call")

def tried(name, attempt):
    try:
        attempt()
    except OSError as error:
        print(name, "errno", error.errno)
    except Exception as error:
        print(name, type(error).__name__)
    else:
        print(name, "worked")

machine = os.uname().machine
kept, other = socket.socket(), socket.socket()
listener = socket.create_server(("127.0.0.1", 0))
port = listener.getsockname()[1]
ours, theirs = socket.socketpair()
isolation.forbid_new_privileges()
{prepare}
{attempts}
"""


def run(prepare: str, attempts: str) -> tuple[int, dict[str, str]]:
    """Return the exit status of a process that confines itself, and the result of each attempt."""
    program = CONFINED.format(prepare=prepare, attempts=attempts)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    return done.returncode, dict(lines)


ATTEMPTS = """
tried("open", lambda: open("/etc/hostname"))
tried("list", lambda: os.listdir("/"))
tried("socket", socket.socket)
tried("connect", lambda: kept.connect(("127.0.0.1", port)))
tried("bind", lambda: kept.bind(("127.0.0.1", 0)))
tried("fastopen", lambda: kept.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", port)))
tried("execve", lambda: os.execv("/bin/true", ["true"]))
tried("fork", os.fork)
tried("kill", lambda: os.kill(os.getppid(), 0))
tried("memory", lambda: open("/proc/%d/mem" % os.getppid(), "rb"))
tried("environment", lambda: open("/proc/%d/environ" % os.getppid(), "rb"))
tried("pidfd", lambda: os.pidfd_open(os.getppid()))
if machine == "x86_64":
    tried("ptrace", lambda: system_call(101, 16, os.getppid(), 0, 0))
    tried("process_vm_readv", lambda: system_call(310, os.getppid(), 0, 0, 0, 0, 0))
tried("pair", lambda: (ours.send(b"x"), theirs.recv(1)))
"""
FORBIDDEN = (
    *("open", "list", "bind", "execve", "fork", "kill", "memory", "environment", "pidfd"),
    *("ptrace", "process_vm_readv", "fastopen"),
)


def test_a_handshake_worker_opens_connects_reads_and_starts_nothing() -> None:
    status, outcomes = run(
        "isolation.confine_syscalls(isolation.HANDSHAKE_CALLS)",
        ATTEMPTS + 'tried("thread", threading.Thread(target=print).start)',
    )
    assert status == 0
    assert outcomes.pop("pair") == "worked"
    assert outcomes.pop("thread") in ("RuntimeError", "errno 1")
    assert {"socket", "connect", *FORBIDDEN} - {"ptrace", "process_vm_readv"} <= set(outcomes)
    assert set(outcomes.values()) == {"errno 1"}


def test_a_scanner_connects_and_starts_threads_and_nothing_else() -> None:
    status, outcomes = run(
        "isolation.confine_syscalls(isolation.SCANNER_CALLS)",
        ATTEMPTS + 'tried("thread", threading.Thread(target=lambda: None).start)',
    )
    assert status == 0
    allowed = {name for name, outcome in outcomes.items() if outcome == "worked"}
    assert allowed == {"socket", "connect", "thread", "pair"}
    assert {outcomes[name] for name in outcomes.keys() - allowed} == {"errno 1"}


def test_only_named_paths_can_be_read_and_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "file").write_text("x")
    (tmp_path / "closed").write_text("x")
    single = tmp_path / "single"
    single.write_text("x")
    attempts = f"""
here = Path({str(tmp_path)!r})
tried("within", lambda: open(here / "open" / "file").read())
tried("single", lambda: open(here / "single").read())
tried("outside", lambda: open(here / "closed"))
tried("list", lambda: os.listdir(here))
tried("writing", lambda: open(here / "open" / "new", "w"))
tried("truncating", lambda: os.truncate(here / "open" / "file", 0))
tried("removing", lambda: os.unlink(here / "open" / "file"))
tried("executing", lambda: os.execv("/bin/true", ["true"]))
tried("environment", lambda: open("/proc/%d/environ" % os.getppid(), "rb").read(1))
tried("memory", lambda: open("/proc/%d/mem" % os.getppid(), "rb").read(1))
"""
    names = ("open", "single", "absent")
    paths = ", ".join(f"Path({str(tmp_path / name)!r})" for name in names)
    status, outcomes = run(f"isolation.confine_files(readable=[{paths}])", attempts)
    assert status == 0
    assert (outcomes.pop("within"), outcomes.pop("single")) == ("worked", "worked")
    assert outcomes.pop("truncating") == "errno 13" or kernel_is_below(6, 2)
    assert set(outcomes.values()) == {"errno 13"}


def test_programs_and_sockets_are_allowed_where_they_are_named(tmp_path: Path) -> None:
    prepare = f"""
here = Path({str(tmp_path)!r})
stale = here / "stale"
stale.write_text("x")
program = Path(os.path.realpath("/bin/true"))
isolation.confine_files(
    readable=[Path("/usr"), Path("/lib"), Path("/etc/ld.so.cache")],
    executable=[program, Path("/lib64"), Path("/usr/lib"), Path("/lib")],
    sockets_in=here,
)
"""
    attempts = """
tried("socket", lambda: socket.socket(socket.AF_UNIX).bind(str(here / "socket")))
tried("removing", stale.unlink)
tried("file", lambda: open(here / "file", "w"))
tried("folder", lambda: os.mkdir(here / "folder"))
tried("program", lambda: os.posix_spawn(program, ["true"], {}))
tried("other", lambda: os.posix_spawn(sys.executable, ["python"], {}))
"""
    status, outcomes = run(prepare, attempts)
    assert status == 0
    allowed = {name for name, outcome in outcomes.items() if outcome == "worked"}
    assert allowed == {"socket", "removing", "program"}


def test_a_process_may_be_limited_to_one_port() -> None:
    if kernel_is_below(6, 7):
        return
    prepare = """
second = socket.create_server(("127.0.0.1", 0))
isolation.confine_files(tcp_ports=[port])
"""
    attempts = """
tried("named", lambda: kept.connect(("127.0.0.1", port)))
tried("other", lambda: other.connect(("127.0.0.1", second.getsockname()[1])))
tried("bind", lambda: other.bind(("127.0.0.1", 0)))
"""
    assert run(prepare, attempts) == (
        0,
        {"named": "worked", "other": "errno 13", "bind": "errno 13"},
    )


def test_memory_files_and_processor_time_are_bounded() -> None:
    prepare = "isolation.limit_resources(memory_bytes=2**28, open_files=16, processor_s=1)"
    attempts = """
tried("memory", lambda: bytearray(2**29))
tried("files", lambda: [os.dup(0) for _ in range(32)])
sys.stdout.flush()
while True:
    pass
"""
    status, outcomes = run(prepare, attempts)
    assert outcomes == {"memory": "MemoryError", "files": "errno 24"}
    assert status < 0, "a process that passes its processor time goes on"


def test_what_is_missing_is_collected_and_nothing_is_attempted_when_it_is_off() -> None:
    prepare = """
def lacking():
    raise isolation.IsolationUnavailable("lacking")
print("prefer", isolation.attempt("prefer", lacking, isolation.forbid_new_privileges, lacking))
print("off", isolation.attempt("off", lacking))
"""
    assert run(prepare, "") == (0, {"prefer": "('lacking', 'lacking')", "off": "()"})


def test_a_process_ends_with_its_parent() -> None:
    child = (
        "import time; from otpc_policy.engine import isolation; isolation.end_with_parent();"
        " print('ready', flush=True); time.sleep(30)"
    )
    parent = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""
    command = [sys.executable, "-c", parent]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    give_up_at = time.monotonic() + 10
    while is_running(int(done.stdout)):
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """Return whether a process is there; one that nobody has waited for is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def kernel_is_below(*version: int) -> bool:
    release = os.uname().release.split(".")
    return tuple(int(part) for part in release[:2]) < version


def test_an_environment_is_forgotten_where_there_is_no_proc() -> None:
    program = """
from pathlib import Path
from otpc_policy.engine import isolation
read = Path.read_text
def missing(path, **options):
    if path.parts[:2] == ("/", "proc"):
        raise FileNotFoundError(path)
    return read(path, **options)
Path.read_text = missing
isolation.forget_environment()
print(Path("/proc/self/environ").read_bytes().strip(b"\\0"))
"""
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(
        command, env={"SECRET": "do not keep this"}, check=True, capture_output=True, text=True
    )
    assert done.stdout == "b''\n"


def test_what_the_kernel_offers_is_told_by_means() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "otpc_policy.engine.isolation"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lacking = json.loads(done.stdout)
    assert list(lacking) == ["no_new_privs", "landlock", "seccomp"]
    # Wherever the tests above pass, nothing is lacking.
    assert not any(lacking.values()), lacking
