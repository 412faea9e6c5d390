"""What a process gives up by itself: environment, privileges, resources, life after its parent."""

import ctypes
import os
import resource
import signal
from pathlib import Path

from otpc_policy.engine.isolation.kernel import IsolationUnavailable, failure, libc

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


def forget_environment() -> None:
    """Empty the environment, and the memory in which the kernel passed it to this process.

    Libraries that kept a pointer into it see empty values. Where there is no /proc, what this
    process has replaced or removed by itself stays in that memory.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        # env_start and env_end of proc(5), whose first two fields are cut off.
        start, end = int(fields[47]), int(fields[48])
        texts = [(start, end - start)]
    except OSError:
        texts = _variables()
    os.environ.clear()
    for address, length in texts:
        ctypes.memset(address, 0, length)


def _variables() -> list[tuple[int, int]]:
    """Return where the variables of the C library are, and how long each is."""
    texts = ctypes.POINTER(ctypes.c_void_p).in_dll(libc(), "environ")
    found: list[tuple[int, int]] = []
    while texts and (address := texts[len(found)]) is not None:
        found.append((address, len(ctypes.string_at(address))))
    return found


def forbid_new_privileges() -> None:
    """Have execve never grant privileges. Raises IsolationUnavailable (Linux 3.5)."""
    if libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise IsolationUnavailable(failure("no_new_privs"))


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends.

    It reaches processes that wait for nothing as well: in a loop, or stopped by a signal. Raises
    OSError where the kernel refuses.
    """
    if libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def limit_resources(*, memory_bytes: int, open_files: int, processor_s: int | None = None) -> None:
    """Bound what this process may use; it also never dumps core.

    memory_bytes: its own writable memory (RLIMIT_DATA), not address space that is only reserved.
    processor_s: the kernel kills the process when it has used more.
    """
    _lower(resource.RLIMIT_DATA, memory_bytes)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CORE, 0)
    if processor_s is not None:
        _lower(resource.RLIMIT_CPU, processor_s)


def _lower(kind: int, bound: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(kind, (most, most))
