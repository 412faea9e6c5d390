"""What a confined process can still do is tried from inside, in processes of its own."""

import os
import subprocess
import sys
from pathlib import Path

CONFINED = """
import os, socket, sys
from pathlib import Path
from otpc_policy.engine import isolation
{prepare}
def tried(name, work):
    try:
        work()
    except OSError as error:
        print(name, "errno", error.errno)
    except Exception as error:
        print(name, type(error).__name__)
    else:
        print(name, "worked")
{attempts}
"""


def run(prepare: str, attempts: str) -> tuple[int, dict[str, str]]:
    """Return the exit status of a process that confines itself, and what came of each attempt."""
    done = subprocess.run([sys.executable, "-c", CONFINED.format(prepare=prepare, attempts=attempts)], capture_output=True, text=True, timeout=30, check=False)
    lines = (line.split(" ", 1) for line in done.stdout.splitlines())
    return done.returncode, dict(lines)


ATTEMPTS = """
tried("open", lambda: open("/etc/hostname"))
tried("socket", lambda: socket.socket())
tried("connect", lambda: kept.connect(("127.0.0.1", 1)))
tried("execve", lambda: os.execv("/bin/true", ["true"]))
tried("fork", os.fork)
tried("kill", lambda: os.kill(os.getppid(), 0))
tried("ptrace", lambda: open("/proc/%d/mem" % os.getppid(), "rb"))
tried("pipe", lambda: (os.write(w, b"x"), os.read(r, 1)))
"""
BEFORE = "kept = socket.socket(); r, w = os.pipe(); isolation.forbid_new_privileges(); "


def test_a_handshake_worker_opens_connects_and_starts_nothing() -> None:
    status, outcomes = run(BEFORE + "isolation.confine_syscalls(isolation.HANDSHAKE_CALLS)", ATTEMPTS)
    forbidden = dict.fromkeys(("open", "socket", "connect", "execve", "fork", "kill", "ptrace"), "errno 1")
    assert (status, outcomes) == (0, {**forbidden, "pipe": "worked"})


def test_a_scanner_connects_and_starts_no_program() -> None:
    status, outcomes = run(BEFORE + "isolation.confine_syscalls(isolation.SCANNER_CALLS)", ATTEMPTS)
    assert status == 0
    assert (outcomes["socket"], outcomes["connect"], outcomes["execve"]) == ("worked", "errno 111", "errno 1")


def test_only_named_folders_can_be_read_and_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "file").write_text("x")
    (tmp_path / "closed").write_text("x")
    single = tmp_path / "single"
    single.write_text("x")
    prepare = BEFORE + f"isolation.confine_files([Path({str(tmp_path / 'open')!r}), Path({str(single)!r}), Path({str(tmp_path / 'absent')!r})])"
    attempts = f"""
tried("within", lambda: open({str(tmp_path / "open" / "file")!r}).read())
tried("single", lambda: open({str(single)!r}).read())
tried("outside", lambda: open({str(tmp_path / "closed")!r}))
tried("writing", lambda: open({str(tmp_path / "open" / "new")!r}, "w"))
tried("environment", lambda: open("/proc/%d/environ" % os.getppid(), "rb").read(1))
"""
    status, outcomes = run(prepare, attempts)
    assert status == 0
    assert outcomes == {"within": "worked", "single": "worked", "outside": "errno 13", "writing": "errno 13", "environment": "errno 13"}


def test_memory_files_and_processor_time_are_bounded() -> None:
    prepare = "isolation.limit_resources(memory_bytes=256 * 2**20, open_files=16, processor_s=1)"
    attempts = """
tried("memory", lambda: bytearray(512 * 2**20))
tried("files", lambda: [os.dup(0) for _ in range(32)])
sys.stdout.flush()
while True:
    pass
"""
    status, outcomes = run(prepare, attempts)
    assert outcomes == {"memory": "MemoryError", "files": "errno 24"}
    assert status < 0, "a process that passes its processor time goes on"


def test_a_process_ends_with_its_parent() -> None:
    child = "import sys, time; from otpc_policy.engine import isolation; isolation.end_with_parent(); print('ready', flush=True); time.sleep(30)"
    parent = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, timeout=30, check=True)
    pid = int(done.stdout)
    assert is_gone(pid)


def is_gone(pid: int) -> bool:
    """Return whether a process ends within a while; one that nobody has waited for counts as ended."""
    for _ in range(100_000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        os.sched_yield()
    return False
