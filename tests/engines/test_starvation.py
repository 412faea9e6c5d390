"""A process that has no processor to run on is told from one that hangs."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psutil  # type: ignore[import-untyped]
import pytest

from otpc_policy.engines.starvation import Scheduled, Starvation, scheduled
from tests.support.waiting import wait_until

_SPIN = "while True: pass"


@pytest.mark.parametrize(
    ("ran_s", "waited_s", "silent_s", "expected"),
    [
        (0.1, 0.9, 1.0, True),
        (0.1, 0.5, 1.0, True),
        (0.1, 0.4, 1.0, False),  # it slept, or was stopped
        (0.0, 0.0, 1.0, False),
        (0.6, 0.9, 1.0, False),  # it ran long enough to say something
        (0.0, 0.0, 0.0, False),
        (0.1, 0.9, float("inf"), False),
    ],
)
def test_waiting_for_a_processor_explains_silence_and_running_does_not(
    ran_s: float, waited_s: float, silent_s: float, expected: bool
) -> None:
    times = Scheduled(5, 7)
    starvation = Starvation(lambda: times)
    times = Scheduled(5 + ran_s, 7 + waited_s)
    assert starvation.explains(silent_s) is expected


def test_a_process_that_hangs_on_a_busy_machine_is_not_excused_for_ever() -> None:
    times = Scheduled()
    starvation = Starvation(lambda: times)
    explained = []
    for _ in range(8):
        times = Scheduled(times.ran_s + 0.1, times.waited_s + 0.9)
        explained.append(starvation.explains(1.0))
    assert explained == [True] * 4 + [False] * 4
    starvation.heard()
    times = replace(times, waited_s=times.waited_s + 0.9)
    assert starvation.explains(1.0)


def test_of_a_process_that_does_not_exist_nothing_is_known() -> None:
    assert scheduled(2**22 + 1) == Scheduled()


@contextmanager
def _spinning(processor: int) -> Iterator[int]:
    """A process that wants a processor, and only this one, all the time."""
    with subprocess.Popen([sys.executable, "-c", _SPIN]) as process:
        try:
            os.sched_setaffinity(process.pid, {processor})
            yield process.pid
        finally:
            process.kill()


def test_what_the_kernel_tells_of_processes_that_compete_and_of_one_that_is_stopped() -> None:
    with ExitStack() as stack:
        processor = min(os.sched_getaffinity(0))
        pids = [stack.enter_context(_spinning(processor)) for _ in range(3)]
        wait_until(lambda: all(scheduled(pid).waited_s > 0.2 for pid in pids), 30)
        assert all(scheduled(pid).ran_s > 0 for pid in pids)
        stopped = pids[0]
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: psutil.Process(stopped).status() == psutil.STATUS_STOPPED, 30)
        before, other = scheduled(stopped), scheduled(pids[1])
        wait_until(lambda: scheduled(pids[1]).waited_s > other.waited_s + 0.1, 30)
        assert scheduled(stopped) == before
