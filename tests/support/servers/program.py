"""Servers that are programs: run in the foreground, ready when they accept, ended by id."""

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.servers.offer import openssl_configuration

_START_S = 15.0
_END_S = 5.0


@contextmanager
def program(
    listener: Listener,
    command: Callable[[Path], Sequence[str]],
    environment: Mapping[str, str] | None = None,
    *,
    start_s: float = _START_S,
) -> Iterator[Listener]:
    """Run a server while the context lasts.

    command: receives a fresh directory, in which it may write the configuration, and returns the
    command line. start_s: the longest time to start.
    """
    # Not below pytest's own directory: the paths of nginx's temporary files must stay short.
    with tempfile.TemporaryDirectory(prefix="otpc-server-") as name:
        directory = Path(name)
        arguments = list(command(directory))
        log = directory / "program.log"
        variables = {
            **os.environ,
            **openssl_configuration(directory),
            "HOME": name,
            **(environment or {}),
        }
        with (
            log.open("wb") as output,
            subprocess.Popen(
                arguments,
                cwd=directory,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ) as process,
        ):
            try:
                _wait_until_it_accepts(process, listener, log, start_s)
                yield listener
            finally:
                _end(process)


def _wait_until_it_accepts(
    process: "subprocess.Popen[bytes]", listener: Listener, log: Path, start_s: float
) -> None:
    deadline = time.monotonic() + start_s
    while True:
        try:
            socket.create_connection((listener.address, listener.port), timeout=1.0).close()
        except OSError:
            pass
        else:
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(
                f"{process.args!r} does not accept on {listener}:\n"
                f"{log.read_text(errors='replace')}"
            )
        # Third-party programs do not report readiness; their port is the only sign.
        time.sleep(0.01)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
