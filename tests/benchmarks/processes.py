"""Processes that the benchmarks run, and their CPU time and memory, children included."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_ANNOUNCEMENT = "serving on "


def print_load() -> None:
    """Say what else the machine does: figures of a busy one mean little."""
    averages = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    print(f"load on this machine: {averages} on {os.cpu_count()} cores", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Running:
    """A serving process. address: "host:port"."""

    process: "psutil.Process"
    address: str
    pipes: "subprocess.Popen[str]"

    @property
    def port(self) -> int:
        """The port it serves on."""
        return int(self.address.rpartition(":")[2])

    def cpu_s(self) -> float:
        """Return the CPU seconds so far of the process and its children."""
        return self.own_cpu_s() + self.children_cpu_s()

    def own_cpu_s(self) -> float:
        """Return the CPU seconds so far of the process alone."""
        return cpu_s(self.process)

    def children_cpu_s(self) -> float:
        """Return the CPU seconds of all descendants, running or ended.

        The kernel counts ended processes in hundredths of a second, at the process that waited for
        them: take a mean.
        """
        living = self.process.children(recursive=True)
        times = [process.cpu_times() for process in (self.process, *living)]
        ended = sum(float(each.children_user + each.children_system) for each in times)
        return sum(map(cpu_s, living)) + ended

    def memory_bytes(self) -> int:
        """Return the proportional set size of the process and its children."""
        return sum(
            int(process.memory_full_info().pss)
            for process in (self.process, *self.process.children(recursive=True))
        )

    def ask(self) -> str:
        """Send an empty line, and return the response line."""
        assert self.pipes.stdout is not None
        self.tell("")
        return self.pipes.stdout.readline()

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self.pipes.stdin is not None
        self.pipes.stdin.write(line + "\n")
        self.pipes.stdin.flush()


def cpu_s(process: "psutil.Process") -> float:
    """Return the CPU seconds of the threads of one process.

    From the scheduler's count in nanoseconds; process accounting counts hundredths of a second,
    which is more than half a check.
    """
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


@contextmanager
def announced(*module_and_arguments: str, folder: Path | None = None) -> Iterator[Running]:
    """Run `python -m …` until the context ends. folder: where modules are looked for first.

    It must print a line "serving on ADDRESS …" when it is ready.
    """
    with (
        # Decisions and logs go to a file: a pipe that nobody reads would block.
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", *module_and_arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_quiet(),
            cwd=folder,
        ) as process,
    ):
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            if not line.startswith(_ANNOUNCEMENT):
                log.seek(0)
                output = log.read().decode(errors="replace")
                raise SystemExit(f"{module_and_arguments[0]} did not start: {line}{output}")
            yield Running(
                psutil.Process(process.pid), line.removeprefix(_ANNOUNCEMENT).split()[0], process
            )
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def service(
    directory: Path, configuration: Sequence[str], *, source: Path | None = None
) -> Iterator[Running]:
    """Run otpc-policy on free ports. configuration: lines of its TOML file.

    source: the folder of another copy of the package.
    """
    path = directory / "otpc-policy.toml"
    path.write_text("\n".join(configuration))
    with announced(
        "otpc_policy",
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
        "--config",
        str(path),
        folder=source,
    ) as running:
        yield running


def room_for(questions: int, *, targets: int = 2_000) -> Sequence[str]:
    """Return settings under which one caller may have so many questions waiting, and targets.

    The last table is [scan], to which lines may be added.
    """
    return (
        "[shares]",
        f"scans_per_caller = {questions}",
        f"targets_per_hour = {targets}",
        "[scan]",
        # One caller may hold two thirds of the queue.
        f"queue_limit = {2 * questions}",
    )


def _quiet() -> dict[str, str]:
    """Return the environment without the settings of otpc-policy."""
    return {
        name: value for name, value in os.environ.items() if not name.startswith("OTPC_POLICY_")
    }
