"""Which signals end the service, and how."""

import asyncio
import os
import signal

import pytest

from otpc_policy.app.stopping import Stopping, signals_handled


def _asked(stopping: Stopping) -> tuple[bool, bool, bool]:
    return (
        stopping.requested.is_set(),
        stopping.without_delay.is_set(),
        stopping.forced.is_set(),
    )


@pytest.mark.parametrize(
    ("signals", "asked"),
    [
        ([], (False, False, False)),
        ([signal.SIGTERM], (True, False, False)),
        ([signal.SIGINT], (True, True, False)),
        ([signal.SIGTERM, signal.SIGTERM], (True, True, True)),
        ([signal.SIGTERM, signal.SIGINT], (True, True, True)),
        ([signal.SIGINT, signal.SIGINT], (True, True, True)),
    ],
)
async def test_sigterm_delays_the_end_and_a_second_signal_forces_it(
    signals: list[signal.Signals], asked: tuple[bool, bool, bool]
) -> None:
    stopping, reloaded = Stopping(), asyncio.Event()
    with signals_handled(stopping, reloaded.set):
        # Delivered in order, so the reload comes last.
        for number in (*signals, signal.SIGHUP):
            os.kill(os.getpid(), number)
        await asyncio.wait_for(reloaded.wait(), 5)
    assert _asked(stopping) == asked
