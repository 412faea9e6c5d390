"""The process that handshake workers are forked from, one for each target.

It imports everything once and reads nothing of any server. The scanner sends it one end of a
channel on its standard input; it forks, and answers with a descriptor of the new process (a
pidfd), which cannot come to mean another process as a process id can. It ends, and its workers
with it, when its standard input does.
"""

import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from typing import cast

from otpc_policy.engine import isolation
from otpc_policy.engine.isolation import Isolation
from otpc_policy.engine.workers.client_handshake import load_libraries, stir_randomness
from otpc_policy.engine.workers.messages import FORK, READY
from otpc_policy.engine.workers.worker import serve


def _serve(control: socket.socket, level: Isolation, missing: tuple[str, ...]) -> None:
    """Fork whenever the scanner asks, until it is gone.

    missing: what the kernel lacks for isolation.
    """
    own_pid = os.getpid()
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, len(FORK), 1)
        if request != FORK:
            return
        # Before each fork, so that no two workers begin with the same random numbers.
        stir_randomness()
        # Until it has a pidfd, a worker that ends is not reaped, so its process id stays its own.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        pid = os.fork()
        if not pid:
            _become_worker(descriptors[0], own_pid, level, missing)
        os.close(descriptors[0])
        process = os.pidfd_open(pid)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        try:
            socket.send_fds(control, [str(pid).encode()], [process])
        finally:
            os.close(process)


def _reap(*_: object) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_worker(
    descriptor: int, parent: int, level: Isolation, missing: tuple[str, ...]
) -> None:
    """Serve one target in the forked process, and end it."""
    try:
        isolation.end_with_parent()
        if os.getppid() != parent:
            return
        # The other standard descriptors lead nowhere: no line in the log is a worker's.
        channel = socket.socket(fileno=os.dup2(descriptor, 0))
        os.dup2(1, 2)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        serve(channel, level, missing)
    finally:
        os._exit(0)


def main() -> None:
    """Serve until standard input ends. Argument: the level of isolation."""
    isolation.end_with_parent()
    level = cast(Isolation, sys.argv[1])
    control = socket.socket(fileno=os.dup(0))
    load_libraries()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    missing = isolation.attempt(
        level, isolation.forbid_new_privileges, lambda: isolation.confine_files(tcp_ports=())
    )
    # Where there is no filter, each worker finds that out by itself, and tells it.
    isolation.attempt(level, lambda: isolation.prepare_filter(isolation.HANDSHAKE_CALLS))
    # What is there now stays; the collector of a worker need not walk it, and so copy it.
    gc.collect()
    gc.disable()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _reap)
    with suppress(OSError):  # the scanner is gone
        control.send(READY)
        _serve(control, level, missing)
    # The scanner has killed its workers.
    with suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()
