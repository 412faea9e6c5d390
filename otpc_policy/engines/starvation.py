"""Whether a process has no processor to run on: then it is silent for no fault of its own.

On a machine with far more to do than processors, a sound process may be silent for seconds, and to
replace it would cost the machine even more. The kernel counts, for each thread, how long it ran and
how long it was ready and waited for a processor (schedstat, see proc_pid_schedstat(5)). A process
that was stopped, sleeps or hangs in a call waits for none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NS: Final = 1e-9
# More of a period than any process waits for on a machine that is merely busy.
_WAITED_PART: Final = 0.5
# Processor time in which a process that does not hang says something: its loop is held for 50 ms
# at a time.
_RAN_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scheduled:
    """Seconds since a thread began: those that it ran, and those that it was ready and waited."""

    ran_s: float = 0.0
    waited_s: float = 0.0


def scheduled(pid: int) -> Scheduled:
    """Return the times of the main thread of a process; zero where the kernel does not tell."""
    try:
        ran_ns, waited_ns, *_ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
        return Scheduled(int(ran_ns) * _NS, int(waited_ns) * _NS)
    except (OSError, ValueError):
        return Scheduled()


class Starvation:
    """Tells whether a process was starved of processor time since it was last heard."""

    def __init__(self, times: Callable[[], Scheduled]) -> None:
        self._times = times
        self._heard = self._looked = times()

    def heard(self) -> None:
        """Note that the process has said something."""
        self._heard = self._looked = self._times()

    def explains(self, silent_s: float) -> bool:
        """Whether that is why nothing was heard for silent_s seconds, from the last call to now."""
        now, before = self._times(), self._looked
        self._looked = now
        has_waited = now.waited_s - before.waited_s >= _WAITED_PART * silent_s > 0
        return has_waited and now.ran_s - self._heard.ran_s < _RAN_S
