"""SIGUSR1 logs what threads and tasks are doing, within bounds."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from structlog.testing import capture_logs

from otpc_policy.ops.stack_dump import dump_stacks, stack_dumps_on_signal


async def _waits_here(gate: asyncio.Event) -> None:
    await gate.wait()


@contextmanager
def _waiting_thread(name: str) -> Iterator[None]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name=name)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


async def test_tasks_that_wait_at_one_place_are_one_entry_and_threads_have_their_names() -> None:
    gate = asyncio.Event()
    tasks = [asyncio.create_task(_waits_here(gate), name=f"n{n}") for n in range(500)]
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    with capture_logs() as logged, _waiting_thread("the other"):
        await asyncio.to_thread(dump_stacks, loop)
    gate.set()
    await asyncio.gather(*tasks)
    assert {line["event"] for line in logged} == {"stack_dump", "stack_dump_ended"}
    (waiting,) = [line for line in logged if "_waits_here" in line.get("stack", "")]
    assert (waiting["tasks"], len(waiting["names"])) == (500, 3)
    assert waiting["stack"].splitlines()[-1].endswith("in Event.wait")
    assert "the other" in {line.get("thread") for line in logged}
    assert logged[-1]["left_out"] == 0


async def test_however_many_places_there_are_the_lines_are_few_and_short() -> None:
    gate = asyncio.Event()

    async def nested(depth: int) -> None:
        if depth:
            await nested(depth - 1)
        else:
            await gate.wait()

    def at_a_place_of_its_own(number: int) -> Any:
        scope: dict[str, Any] = {}
        source = "\n" * number + "async def wait(gate):\n await gate.wait()\n"
        exec(source, scope)
        return scope["wait"](gate)

    tasks = [asyncio.create_task(at_a_place_of_its_own(n), name="x" * 1_000) for n in range(200)]
    tasks += [asyncio.create_task(nested(300))]
    await asyncio.sleep(0)
    with capture_logs() as logged:
        await asyncio.to_thread(dump_stacks, asyncio.get_running_loop())
    gate.set()
    await asyncio.gather(*tasks)
    assert len(logged) == 81
    assert logged[-1]["left_out"] == logged[-1]["stacks"] - 80 > 100
    assert all(len(json.dumps(line)) < 8_192 for line in logged)


async def test_the_former_handler_is_back_after_the_context() -> None:
    former = signal.getsignal(signal.SIGUSR1)
    with stack_dumps_on_signal():
        assert signal.getsignal(signal.SIGUSR1) is not former
    assert signal.getsignal(signal.SIGUSR1) is former


_HANGING = """
import asyncio, os, signal, sys, time
from otpc_policy.ops.logs import logs_configured
from otpc_policy.ops.stack_dump import stack_dumps_on_signal

def hangs_in_python():
    print("hangs", flush=True)
    end = time.monotonic() + 60
    while time.monotonic() < end and not done:
        pass

done = []
signal.signal(signal.SIGUSR2, lambda *_: done.append(1))

async def main():
    with stack_dumps_on_signal():
        hangs_in_python()

with logs_configured("json", "error", owns_standard_error=True):
    asyncio.run(main())
"""


def test_a_program_whose_event_loop_hangs_in_python_answers_even_at_the_level_error() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HANGING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        assert program.stdout.readline() == "hangs\n"
        os.kill(program.pid, signal.SIGUSR1)
        lines: list[dict[str, Any]] = []
        while not lines or lines[-1]["event"] != "stack_dump_ended":
            lines.append(json.loads(program.stderr.readline()))
        program.send_signal(signal.SIGUSR2)
        assert program.wait(30) == 0
    (main,) = [line for line in lines if line.get("thread") == "MainThread"]
    assert main["stack"].splitlines()[-1].endswith("in hangs_in_python")
    assert all(line["level"] == "error" and line["time"].endswith("Z") for line in lines)
