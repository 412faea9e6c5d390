"""Whether the process is starting, serving or draining, and its health probes."""

from collections.abc import Callable, Mapping
from enum import Enum


class Phase(Enum):
    """Phases of a process, in order."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Lifecycle:
    """The phase of this process. workers_alive: how many workers can measure now."""

    def __init__(self, workers_alive: Callable[[], int]) -> None:
        self._workers_alive = workers_alive
        self.phase = Phase.STARTING

    def probes(self) -> Mapping[str, Callable[[], str]]:
        """Return the probes by path; each returns "" if healthy, or the reason why not."""
        return {
            "/livez": lambda: "",
            "/readyz": self._why_not_ready,
            "/startupz": self._why_not_started,
        }

    def _why_not_ready(self) -> str:
        if self.phase is not Phase.SERVING:
            return str(self.phase.value)
        return "" if self._workers_alive() else "no worker is alive"

    def _why_not_started(self) -> str:
        return "starting" if self.phase is Phase.STARTING else ""
