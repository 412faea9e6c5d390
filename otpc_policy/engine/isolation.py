"""What a process may still do once it has started: the only binding to the kernel's isolation.

A process that reads bytes of hostile servers with a library written in C is assumed to be taken
over some day. So it gives up what it does not need before it reads the first byte. Nothing here
can be undone, and children inherit all of it but the resource limits' counters.

- `forbid_new_privileges`: execve never grants privileges.
- `end_with_parent`: the kernel kills the process when its parent ends.
- `limit_resources`: memory, open files, processor time, core dumps.
- `confine_files` (Landlock, Linux 5.13): only named files and folders can be opened. A process
  in it can neither trace nor read a process outside of it, /proc/PID/mem included. From Linux 6.7
  it limits TCP ports too, and from 6.12 signals and abstract Unix sockets.
- `confine_syscalls` (seccomp): an allow-list; everything else fails with EPERM.
- `forbid_calls_on_others` (seccomp): for a process that needs too many calls for such a list.
  Landlock stops neither changes to a file's mode, owner, times and attributes nor limits and
  priorities set on another process of the same user.

Where the kernel lacks Landlock or seccomp, the function raises IsolationUnavailable; the
program that starts the process reports that or refuses to start. The calls are made through the
C library by number, because none of the bindings is well maintained. The numbers are stable
interfaces of the kernel (arch/x86/entry/syscalls/syscall_64.tbl,
include/uapi/asm-generic/unistd.h, linux/seccomp.h, linux/landlock.h, linux/prctl.h).
"""

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

Isolation = Literal["prefer", "require", "off"]

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW, _RET_ERRNO, _RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _RETURN = 0x20, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_ANY_BIT = 0x15, 0x35, 0x45
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
# Calls of the x32 interface carry this bit and would be compared with the wrong table.
_X32 = 0x40000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH, _NET_PORT = 1, 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_SOCKET = 1 << 5, 1 << 9
_CONNECT_TCP, _ALL_TCP = 1 << 1, 0b11
_ALL_SCOPES = 0b11
_ARCHITECTURES: Final[Mapping[str, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_FIONBIO = 0x5421
_CLONE_THREAD = 0x00010000

# By architecture: x86_64, aarch64. None: the architecture has no such call.
_CALLS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "poll": (7, None),
    "ppoll": (271, 73),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "ioctl": (16, 29),
    "select": (23, None),
    "pselect6": (270, 72),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "socket": (41, 198),
    "connect": (42, 203),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "shutdown": (48, 210),
    "getsockname": (51, 204),
    "getpeername": (52, 205),
    "setsockopt": (54, 208),
    "getsockopt": (55, 209),
    "clone": (56, 220),
    "clone3": (435, 435),
    "exit": (60, 93),
    "exit_group": (231, 94),
    "gettimeofday": (96, 169),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "gettid": (186, 178),
    "sigaltstack": (131, 132),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "epoll_ctl": (233, 21),
    "epoll_create1": (291, 20),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "rseq": (334, 293),
}
# Calls that reach beyond a process and its open descriptors, and that measuring never needs: file
# metadata, other processes, namespaces, and interfaces of the kernel with a wide surface.
_CALLS_ON_OTHERS: Final[Mapping[str, tuple[int | None, int | None]]] = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
_PRLIMIT: Final = (302, 261)
_OPENING: Final = frozenset({"socket", "connect", "clone", "clone3", "set_robust_list"})

# Waits on descriptors that it was given, and whatever the interpreter does meanwhile.
HANDSHAKE_CALLS: Final[frozenset[str]] = frozenset(_CALLS) - _OPENING
# The same for a process that also opens connections and starts threads, but no other process.
SCANNER_CALLS: Final[frozenset[str]] = frozenset(_CALLS)

# Calls that are allowed with this 32-bit value as the argument of that index only. Without an
# address, sendto cannot connect a socket on the way (TCP fast open). Of the requests of ioctl,
# only non-blocking sockets are used.
_EXACT_ARGUMENTS: Final[Mapping[str, tuple[int, int]]] = {"sendto": (4, 0), "ioctl": (1, _FIONBIO)}


class IsolationUnavailable(Exception):
    """The kernel, or this architecture, lacks a means of isolation.

    The text names it, for the operator.
    """


def forget_environment() -> None:
    """Empty the environment, and the memory in which the kernel passed it to this process.

    Libraries that kept a pointer into it see empty values.
    """
    os.environ.clear()
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    # env_start and env_end of proc(5), whose first two fields are cut off.
    start, end = int(fields[47]), int(fields[48])
    ctypes.memset(start, 0, end - start)


def forbid_new_privileges() -> None:
    """Have execve never grant privileges. Raises IsolationUnavailable (Linux 3.5)."""
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise IsolationUnavailable(_failure("no_new_privs"))


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends.

    It reaches processes that wait for nothing as well: in a loop, or stopped by a signal. Raises
    OSError where the kernel refuses.
    """
    if _libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0):
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


def confine_files(
    *,
    readable: Iterable[Path] = (),
    writable: Iterable[Path] = (),
    executable: Iterable[Path] = (),
    sockets_in: Path | None = None,
    tcp_ports: Iterable[int] | None = None,
) -> None:
    """Let nothing be opened but what is below these paths, or is one of them.

    Open descriptors keep working. Paths that do not exist are skipped. writable, executable: may
    be read too. sockets_in: a folder in which Unix sockets may be created and files removed.
    tcp_ports: the only ones that can be connected to, and none can be bound, where the kernel can
    do that (Linux 6.7); None for no limit. Applies to this thread and to what it starts, so call it
    before there are others. Needs no_new_privs. Raises IsolationUnavailable.
    """
    version = _libc().syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
    if version < 1:
        raise IsolationUnavailable(
            "the kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK, in the lsm= list):"
            " files cannot be confined"
        )
    # Version 2 added the right to move files between folders, 3 to truncate, 5 ioctl of devices.
    files = (1 << (13 if version < 2 else 14 if version < 3 else 15 if version < 5 else 16)) - 1
    has_ports = version >= 4 and tcp_ports is not None
    attributes = struct.pack("=Q", files)
    if version >= 4:
        attributes += struct.pack("=Q", _ALL_TCP if has_ports else 0)
    if version >= 6:
        attributes += struct.pack("=Q", _ALL_SCOPES)
    ruleset = _checked(
        _libc().syscall(_CREATE_RULESET, attributes, len(attributes), 0),
        "landlock_create_ruleset",
    )
    try:
        for path in readable:
            _allow(ruleset, path, _READ_FILE | _READ_FOLDER)
        for path in writable:
            _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
        for path in executable:
            _allow(ruleset, path, _READ_FILE | _READ_FOLDER | _EXECUTE)
        if sockets_in is not None:
            _allow(ruleset, sockets_in, _MAKE_SOCKET | _REMOVE_FILE)
        for port in (tcp_ports or ()) if has_ports else ():
            rule = struct.pack("=QQ", _CONNECT_TCP, port)
            _checked(_libc().syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0), "landlock_add_rule")
        _checked(_libc().syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def confine_syscalls(allowed: Iterable[str]) -> None:
    """Let every other system call fail with EPERM, for this thread and what it starts.

    allowed: names, such as HANDSHAKE_CALLS. A call of another architecture's table ends the
    process. Needs no_new_privs. Raises IsolationUnavailable.
    """
    _install(_filter(_machine(), frozenset(allowed)))


def prepare_filter(allowed: Iterable[str]) -> None:
    """Build the filter of confine_syscalls ahead, for the processes that are forked from this one.

    Raises IsolationUnavailable.
    """
    _filter(_machine(), frozenset(allowed))


def forbid_calls_on_others() -> None:
    """Let system calls on what is not this process's own fail with EPERM; all others are allowed.

    That is: file metadata, memory, limits and priorities of other processes, namespaces. For this
    thread and what it starts. Needs no_new_privs. Raises IsolationUnavailable.
    """
    _install(_forbidding_filter(_machine()))


def _machine() -> str:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise IsolationUnavailable(
            f"no table of system calls for {machine}: they cannot be confined"
        )
    return machine


def _install(bpf: bytes) -> None:
    instructions = ctypes.create_string_buffer(bpf)
    count = (len(instructions) - 1) // 8
    program = struct.pack("@HP", count, ctypes.addressof(instructions))
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0):
        raise IsolationUnavailable(_failure("seccomp filter") + ": system calls cannot be confined")


def attempt(isolation: Isolation, *steps: Callable[[], None]) -> tuple[str, ...]:
    """Take each step unless isolation is off; return what the kernel lacks for those that failed.

    The program that started this process decides what follows.
    """
    missing = []
    for step in steps if isolation != "off" else ():
        try:
            step()
        except IsolationUnavailable as lacking:
            missing.append(str(lacking))
    return tuple(missing)


@cache
def _filter(machine: str, allowed: frozenset[str]) -> bytes:
    """Return the BPF program, 8 bytes for each instruction: code, jumps if true and if false, k.

    Cached: see prepare_filter.
    """
    column = list(_ARCHITECTURES).index(machine)
    program = _of_own_table_only(machine)
    for name in sorted(allowed):
        number = _CALLS[name][column]
        if number is not None:
            ruling = _ruling(name)
            program += [(_JUMP_IF_EQUAL, 0, len(ruling), number), *ruling]
    program.append((_RETURN, 0, 0, _RET_ERRNO | _EPERM))
    return _packed(program)


def _forbidding_filter(machine: str) -> bytes:
    """Return the BPF program of forbid_calls_on_others."""
    column = list(_ARCHITECTURES).index(machine)
    program = _of_own_table_only(machine)
    for numbers in _CALLS_ON_OTHERS.values():
        if (number := numbers[column]) is not None:
            program += [
                (_JUMP_IF_EQUAL, 0, 1, number),
                (_RETURN, 0, 0, _RET_ERRNO | _EPERM),
            ]
    program += [
        # Its first argument is a process; 0 is the caller itself.
        (_JUMP_IF_EQUAL, 0, 3, _PRLIMIT[column]),
        (_LOAD, 0, 0, _OFFSET_ARGUMENTS),
        (_JUMP_IF_EQUAL, 1, 0, 0),
        (_RETURN, 0, 0, _RET_ERRNO | _EPERM),
        (_RETURN, 0, 0, _RET_ALLOW),
    ]
    return _packed(program)


def _of_own_table_only(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the begin of a program: it ends a process that calls by another table's numbers."""
    return [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
    ]


def _packed(program: Iterable[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _ruling(name: str) -> list[tuple[int, int, int, int]]:
    """Return what is done about an allowed call; the last instructions return."""
    if name == "clone3":
        # Its flags are in memory, which a filter cannot read. The C library then uses clone.
        return [(_RETURN, 0, 0, _RET_ERRNO | _ENOSYS)]
    if name == "clone":
        # Threads only: a process that forks could leave something behind when it is killed.
        return [
            (_LOAD, 0, 0, _OFFSET_ARGUMENTS),
            (_JUMP_IF_ANY_BIT, 0, 1, _CLONE_THREAD),
            (_RETURN, 0, 0, _RET_ALLOW),
            (_RETURN, 0, 0, _RET_ERRNO | _EPERM),
        ]
    if name in _EXACT_ARGUMENTS:
        index, value = _EXACT_ARGUMENTS[name]
        # Both architectures are little-endian.
        lower = _OFFSET_ARGUMENTS + 8 * index
        return [
            (_LOAD, 0, 0, lower),
            (_JUMP_IF_EQUAL, 0, 3, value),
            (_LOAD, 0, 0, lower + 4),
            (_JUMP_IF_EQUAL, 0, 1, 0),
            (_RETURN, 0, 0, _RET_ALLOW),
            (_RETURN, 0, 0, _RET_ERRNO | _EPERM),
        ]
    return [(_RETURN, 0, 0, _RET_ALLOW)]


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what cannot be reached cannot be opened either
    try:
        if not path.is_dir():
            rights &= _READ_FILE | _WRITE_FILE | _EXECUTE
        rule = struct.pack("=Qi", rights, descriptor)
        _checked(_libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), "landlock_add_rule")
    finally:
        os.close(descriptor)


def _lower(kind: int, bound: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(kind, (most, most))


def _checked(result: int, name: str) -> int:
    if result < 0:
        raise IsolationUnavailable(_failure(name))
    return result


def _failure(name: str) -> str:
    return f"{name}: {os.strerror(ctypes.get_errno())}"


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
