"""What a process may still do once it has started: the only binding to the kernel's means of isolation.

A process that reads bytes of hostile servers with a library written in C is taken to be lost to them some day. So it gives up what it does not
need before it reads the first byte. Nothing here can be undone, and children inherit it.

- `forbid_new_privileges`: execve never gains rights, nobody of the same user may trace the process, it ends with its parent, it dumps no core.
- `limit_resources`: memory, open files and processor time.
- `confine_files` (Landlock, Linux 5.13): only the named folders and files can be opened.
- `confine_syscalls` (seccomp, an allow-list): everything else fails with EPERM.

Where the kernel lacks one of them the function raises IsolationUnavailable: whoever starts the process says so loudly, or refuses to start.
The calls are made through the C library by number, because no binding is well kept; the numbers are the kernel's stable interface
(arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h, linux/seccomp.h, linux/landlock.h).
"""

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 4, 38, 22
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW, _RET_ERRNO, _RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM = 1
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
# struct seccomp_data: the number of the call, then the architecture.
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE = 0, 4
# Calls of the x32 interface bear this bit; the numbers below it would be checked against the wrong table.
_X32 = 0x40000000
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_VERSION_ASKED, _LANDLOCK_PATH_BENEATH = 1, 1
# Every right to files of version 1: execute, write, read, list, remove, and make of every kind.
_ALL_FILE_RIGHTS = (1 << 13) - 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class IsolationUnavailable(Exception):
    """The kernel, or this architecture, lacks a means of isolation. The text says which, for the operator."""


def _numbers(x86_64: int | None, aarch64: int | None) -> Mapping[str, int | None]:
    return {"x86_64": x86_64, "aarch64": aarch64}


_CALLS: Mapping[str, Mapping[str, int | None]] = {
    "read": _numbers(0, 63),
    "write": _numbers(1, 64),
    "open": _numbers(2, None),
    "openat": _numbers(257, 56),
    "stat": _numbers(4, None),
    "readlink": _numbers(89, None),
    "getdents64": _numbers(217, 61),
    "close": _numbers(3, 57),
    "fstat": _numbers(5, 80),
    "newfstatat": _numbers(262, 79),
    "poll": _numbers(7, None),
    "ppoll": _numbers(271, 73),
    "lseek": _numbers(8, 62),
    "mmap": _numbers(9, 222),
    "mprotect": _numbers(10, 226),
    "munmap": _numbers(11, 215),
    "brk": _numbers(12, 214),
    "rt_sigaction": _numbers(13, 134),
    "rt_sigprocmask": _numbers(14, 135),
    "rt_sigreturn": _numbers(15, 139),
    "ioctl": _numbers(16, 29),
    "readv": _numbers(19, 65),
    "writev": _numbers(20, 66),
    "select": _numbers(23, None),
    "pselect6": _numbers(270, 72),
    "sched_yield": _numbers(24, 124),
    "mremap": _numbers(25, 216),
    "madvise": _numbers(28, 233),
    "dup": _numbers(32, 23),
    "nanosleep": _numbers(35, 101),
    "getpid": _numbers(39, 172),
    "socket": _numbers(41, 198),
    "connect": _numbers(42, 203),
    "sendto": _numbers(44, 206),
    "recvfrom": _numbers(45, 207),
    "sendmsg": _numbers(46, 211),
    "recvmsg": _numbers(47, 212),
    "shutdown": _numbers(48, 210),
    "bind": _numbers(49, 200),
    "getsockname": _numbers(51, 204),
    "getpeername": _numbers(52, 205),
    "socketpair": _numbers(53, 199),
    "setsockopt": _numbers(54, 208),
    "getsockopt": _numbers(55, 209),
    "clone": _numbers(56, 220),
    "clone3": _numbers(435, 435),
    "exit": _numbers(60, 93),
    "exit_group": _numbers(231, 94),
    "uname": _numbers(63, 160),
    "fcntl": _numbers(72, 25),
    "gettimeofday": _numbers(96, 169),
    "getrusage": _numbers(98, 165),
    "getuid": _numbers(102, 174),
    "geteuid": _numbers(107, 175),
    "getgid": _numbers(104, 176),
    "getegid": _numbers(108, 177),
    "gettid": _numbers(186, 178),
    "sigaltstack": _numbers(131, 132),
    "futex": _numbers(202, 98),
    "sched_getaffinity": _numbers(204, 123),
    "restart_syscall": _numbers(219, 128),
    "clock_gettime": _numbers(228, 113),
    "clock_getres": _numbers(229, 114),
    "clock_nanosleep": _numbers(230, 115),
    "epoll_wait": _numbers(232, None),
    "epoll_pwait": _numbers(281, 22),
    "epoll_ctl": _numbers(233, 21),
    "epoll_create1": _numbers(291, 20),
    "tgkill": _numbers(234, 131),
    "set_robust_list": _numbers(273, 99),
    "eventfd2": _numbers(290, 19),
    "pipe2": _numbers(293, 59),
    "getrandom": _numbers(318, 278),
    "membarrier": _numbers(324, 283),
    "rseq": _numbers(334, 293),
}
# A loop that waits on descriptors that it has, and what the interpreter and its allocator do meanwhile.
_LOOP = frozenset(
    {
        *("read", "write", "close", "fstat", "poll", "ppoll", "lseek", "mmap", "mprotect", "munmap", "brk", "rt_sigaction", "rt_sigprocmask"),
        *("rt_sigreturn", "ioctl", "readv", "writev", "select", "pselect6", "sched_yield", "mremap", "madvise", "nanosleep", "getpid"),
        *("sendto", "recvfrom", "sendmsg", "recvmsg", "shutdown", "getsockname", "getpeername", "setsockopt", "getsockopt", "exit", "exit_group"),
        *("fcntl", "gettimeofday", "getrusage", "getuid", "geteuid", "getgid", "getegid", "gettid", "sigaltstack", "futex", "sched_getaffinity"),
        *("restart_syscall", "clock_gettime", "clock_getres", "clock_nanosleep", "epoll_wait", "epoll_pwait", "epoll_ctl", "epoll_create1"),
        *("tgkill", "set_robust_list", "eventfd2", "getrandom", "membarrier", "rseq", "uname", "dup"),
    }
)
# For a process that opens connections and reads what it has not loaded yet, and starts threads, but no other program.
_SCANNER = _LOOP | frozenset(
    {"socket", "connect", "bind", "socketpair", "open", "openat", "stat", "newfstatat", "readlink", "getdents64", "clone", "clone3", "pipe2"}
)

HANDSHAKE_CALLS: frozenset[str] = _LOOP
SCANNER_CALLS: frozenset[str] = _SCANNER


def forbid_new_privileges() -> None:
    """End with the parent, dump nothing, be traced by nobody, and never gain a right by execve."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    _prctl(_PR_SET_DUMPABLE, 0, "PR_SET_DUMPABLE")
    end_with_parent()


def end_with_parent() -> None:
    """Be killed when the thread that started this process ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, "PR_SET_PDEATHSIG")


def limit_resources(*, memory_bytes: int, open_files: int, processor_s: int) -> None:
    """Bound the address space, the open files and the processor time of this process; whoever passes the last is killed."""
    _lower(resource.RLIMIT_AS, memory_bytes)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CPU, processor_s)
    _lower(resource.RLIMIT_CORE, 0)


def confine_files(readable: Iterable[Path]) -> None:
    """Let nothing be opened but what lies below these folders, or is one of these files, and that for reading alone.

    Open descriptors go on working. Paths that do not exist are passed over. Needs no_new_privs. Raises IsolationUnavailable.
    """
    version = _libc().syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION_ASKED)
    if version < 1:
        raise IsolationUnavailable("the kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK): files cannot be confined")
    ruleset = _checked(_libc().syscall(_LANDLOCK_CREATE_RULESET, struct.pack("=Q", _ALL_FILE_RIGHTS), 8, 0), "landlock_create_ruleset")
    try:
        for path in readable:
            _allow_reading(ruleset, path)
        _checked(_libc().syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def confine_syscalls(allowed: Iterable[str]) -> None:
    """Let every other system call fail with EPERM. Needs no_new_privs. Raises IsolationUnavailable.

    allowed: names, such as HANDSHAKE_CALLS. A call of another architecture's table ends the process.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise IsolationUnavailable(f"no table of system calls for {machine}: they cannot be confined")
    numbers = sorted(number for name in allowed if (number := _CALLS[name][machine]) is not None)
    program = _filter(_ARCHITECTURES[machine], numbers)
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *one) for one in program))
    described = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    if _libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, described, 0, 0):
        raise IsolationUnavailable(f"the kernel takes no seccomp filter ({os.strerror(ctypes.get_errno())}): system calls cannot be confined")


def _filter(architecture: int, numbers: Iterable[int]) -> list[tuple[int, int, int, int]]:
    """Return the program: code, jump if true, jump if false, and operand of each instruction."""
    program = [
        (_LOAD, 0, 0, _OFFSET_ARCHITECTURE),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
        (_LOAD, 0, 0, _OFFSET_NUMBER),
        (_JUMP_IF_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _RET_KILL_PROCESS),
    ]
    for number in numbers:
        program += [(_JUMP_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _RET_ALLOW)]
    return [*program, (_RETURN, 0, 0, _RET_ERRNO | _EPERM)]


def _allow_reading(ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = _READ_FILE | _READ_FOLDER if path.is_dir() else _READ_FILE
        rule = struct.pack("=Qi", rights, descriptor)
        _checked(_libc().syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_PATH_BENEATH, rule, 0), "landlock_add_rule")
    finally:
        os.close(descriptor)


def _lower(kind: int, bound: int) -> None:
    _, hard = resource.getrlimit(kind)
    most = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
    resource.setrlimit(kind, (most, most))


def _prctl(option: int, argument: int, name: str) -> None:
    if _libc().prctl(option, argument, 0, 0, 0):
        raise IsolationUnavailable(f"prctl {name}: {os.strerror(ctypes.get_errno())}")


def _checked(result: int, name: str) -> int:
    if result < 0:
        raise IsolationUnavailable(f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
