"""seccomp: which system calls a process may still make. Filters in the kernel's classic BPF."""

import ctypes
import platform
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Final

from otpc_policy.engine.isolation.kernel import IsolationUnavailable, failure, libc
from otpc_policy.engine.isolation.system_calls import (
    ARCHITECTURES,
    CALLS,
    CALLS_ON_OTHERS,
    PRLIMIT,
)

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_RET_ALLOW, _RET_ERRNO, _RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_EPERM, _ENOSYS = 1, 38
_LOAD, _RETURN = 0x20, 0x06
_JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_ANY_BIT = 0x15, 0x35, 0x45
# struct seccomp_data: number, architecture, instruction pointer, six arguments of 64 bits.
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
# Calls of the x32 interface carry this bit and would be compared with the wrong table.
_X32 = 0x40000000
# linux/audit.h.
_AUDITED_AS: Final[Mapping[str, int]] = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_FIONBIO = 0x5421
_CLONE_THREAD = 0x00010000

# Calls that are allowed with this 32-bit value as the argument of that index only. Without an
# address, sendto cannot connect a socket on the way (TCP fast open). Of the requests of ioctl,
# only non-blocking sockets are used.
_EXACT_ARGUMENTS: Final[Mapping[str, tuple[int, int]]] = {"sendto": (4, 0), "ioctl": (1, _FIONBIO)}


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
    if machine not in ARCHITECTURES:
        raise IsolationUnavailable(
            f"no table of system calls for {machine}: they cannot be confined"
        )
    return machine


def _install(bpf: bytes) -> None:
    instructions = ctypes.create_string_buffer(bpf)
    count = (len(instructions) - 1) // 8
    program = struct.pack("@HP", count, ctypes.addressof(instructions))
    if libc().prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0):
        raise IsolationUnavailable(failure("seccomp filter") + ": system calls cannot be confined")


@cache
def _filter(machine: str, allowed: frozenset[str]) -> bytes:
    """Return the BPF program, 8 bytes for each instruction: code, jumps if true and if false, k.

    Cached: see prepare_filter.
    """
    column = ARCHITECTURES.index(machine)
    program = _of_own_table_only(machine)
    for name in sorted(allowed):
        number = CALLS[name][column]
        if number is not None:
            ruling = _ruling(name)
            program += [(_JUMP_IF_EQUAL, 0, len(ruling), number), *ruling]
    program.append((_RETURN, 0, 0, _RET_ERRNO | _EPERM))
    return _packed(program)


def _forbidding_filter(machine: str) -> bytes:
    """Return the BPF program of forbid_calls_on_others."""
    column = ARCHITECTURES.index(machine)
    program = _of_own_table_only(machine)
    for numbers in CALLS_ON_OTHERS.values():
        if (number := numbers[column]) is not None:
            program += [
                (_JUMP_IF_EQUAL, 0, 1, number),
                (_RETURN, 0, 0, _RET_ERRNO | _EPERM),
            ]
    program += [
        # Its first argument is a process; 0 is the caller itself.
        (_JUMP_IF_EQUAL, 0, 3, PRLIMIT[column]),
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
        (_JUMP_IF_EQUAL, 1, 0, _AUDITED_AS[machine]),
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
