"""How a program is made to send its hello, and what tells its version.

A program is a command that is run once for each hello, or a gateway that connects to its upstream
when it is asked.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

from otpc_policy.engine.profiles.recorded_clients import ClientKind
from tests.recording.listener import NAME
from tests.support.loopback import Listener, own_listener
from tests.support.servers.offer import openssl_configuration
from tests.support.servers.program import program as running

_WITHIN_S = 30.0
_PLACES = os.pathsep.join(
    (str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin")
)
RECORDED = "recorded from the program itself"

# Connects once.
Connect = Callable[[], None]


class NotInstalled(Exception):
    """The program is not on this machine. The text names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProgram:
    """One client.

    command: as it is written down, with HOST and PORT. version_of: what tells its version.
    connecting: makes it ready to connect to a listener. source: see RecordedClient.
    """

    name: str
    program: str
    command: str
    version_of: Callable[[], str]
    connecting: Callable[[Listener], AbstractContextManager[Connect]]
    kind: ClientKind = ClientKind.CURRENT
    source: str = RECORDED


def find(name: str) -> str:
    path = shutil.which(name, path=_PLACES)
    if path is None:
        raise NotInstalled(name)
    return path


def printed(*command: str, pattern: str = r".*") -> Callable[[], str]:
    """Return what a command prints about its version: the first match of a pattern."""

    def version_of() -> str:
        done = subprocess.run(
            [find(command[0]), *command[1:]],
            capture_output=True,
            timeout=_WITHIN_S,
            check=False,
            text=True,
        )
        found = re.search(pattern, done.stdout + done.stderr)
        return " ".join((found[0] if found else "unknown").split())

    return version_of


def package(name: str, library: str) -> Callable[[], str]:
    def version_of() -> str:
        try:
            return f"{name} {version(name)}, {library}"
        except PackageNotFoundError:
            raise NotInstalled(name) from None

    return version_of


def command(
    name: str,
    command: str,
    *,
    program: str,
    version_of: Callable[[], str],
    kind: ClientKind = ClientKind.CURRENT,
    is_any_level: bool = False,
    source: str = RECORDED,
) -> ClientProgram:
    """Return a client that is one command, run once for each hello.

    is_any_level: OpenSSL's security level is lowered, as for old versions.
    """

    def connecting(listener: Listener) -> AbstractContextManager[Connect]:
        written = command.replace("HOST", NAME).replace("PORT", str(listener.port))
        path, *arguments = shlex.split(written)
        path = sys.executable if path == "python" else find(path)

        def connect() -> None:
            with (
                TemporaryDirectory(prefix="otpc-client-") as directory,
                suppress(subprocess.TimeoutExpired),
            ):
                variables = openssl_configuration(Path(directory)) if is_any_level else {}
                subprocess.run(
                    [path, *arguments],
                    input=b"",
                    capture_output=True,
                    timeout=_WITHIN_S,
                    check=False,
                    env={**os.environ, **variables},
                )

        return nullcontext(connect)

    return ClientProgram(
        name=name,
        program=program,
        command=command,
        version_of=version_of,
        connecting=connecting,
        kind=kind,
        source=source,
    )


def gateway(
    name: str,
    command: str,
    *,
    program: str,
    version_of: Callable[[], str],
    configuration: Callable[[Listener, Listener, Path], Sequence[str]],
) -> ClientProgram:
    """Return a client that is a server: it connects when it is asked.

    configuration: of its own listener, its upstream, and a directory to write in; returns the
    command line.
    """

    @contextmanager
    def connecting(listener: Listener) -> Iterator[Connect]:
        front = own_listener()
        with running(front, lambda directory: configuration(front, listener, directory)):

            def connect() -> None:
                with suppress(OSError), urlopen(f"http://{front}/", timeout=_WITHIN_S) as answer:
                    answer.read()

            yield connect

    return ClientProgram(
        name=name, program=program, command=command, version_of=version_of, connecting=connecting
    )
