"""Landlock: which files can be opened, which TCP ports connected to, which processes reached."""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

from otpc_policy.engine.isolation.kernel import IsolationUnavailable, checked, libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH, _NET_PORT = 1, 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_SOCKET = 1 << 5, 1 << 9
_CONNECT_TCP, _ALL_TCP = 1 << 1, 0b11
_ALL_SCOPES = 0b11


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
    version = libc().syscall(_CREATE_RULESET, None, 0, _ASK_VERSION)
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
    ruleset = checked(
        libc().syscall(_CREATE_RULESET, attributes, len(attributes), 0),
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
            checked(libc().syscall(_ADD_RULE, ruleset, _NET_PORT, rule, 0), "landlock_add_rule")
        checked(libc().syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return  # what cannot be reached cannot be opened either
    try:
        if not path.is_dir():
            rights &= _READ_FILE | _WRITE_FILE | _EXECUTE
        rule = struct.pack("=Qi", rights, descriptor)
        checked(libc().syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0), "landlock_add_rule")
    finally:
        os.close(descriptor)
