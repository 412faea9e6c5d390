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
interfaces of the kernel (linux/seccomp.h, linux/landlock.h, linux/prctl.h, system_calls.py).
"""

from otpc_policy.engine.isolation.kernel import Isolation, IsolationUnavailable, attempt
from otpc_policy.engine.isolation.landlock import confine_files
from otpc_policy.engine.isolation.process import (
    end_with_parent,
    forbid_new_privileges,
    forget_environment,
    limit_resources,
)
from otpc_policy.engine.isolation.seccomp import (
    confine_syscalls,
    forbid_calls_on_others,
    prepare_filter,
)
from otpc_policy.engine.isolation.system_calls import HANDSHAKE_CALLS, SCANNER_CALLS

__all__ = [
    "HANDSHAKE_CALLS",
    "SCANNER_CALLS",
    "Isolation",
    "IsolationUnavailable",
    "attempt",
    "confine_files",
    "confine_syscalls",
    "end_with_parent",
    "forbid_calls_on_others",
    "forbid_new_privileges",
    "forget_environment",
    "limit_resources",
    "prepare_filter",
]
