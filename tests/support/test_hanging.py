"""A test that hangs is reported by name and with the place, and the tests after it run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HANGING = """
import asyncio
import threading

import pytest


async def deep_inside():
    await asyncio.Event().wait()


async def test_coroutine():
    await asyncio.create_task(deep_inside())


async def test_task_that_will_not_be_cancelled():
    while True:
        try:
            await deep_inside()
        except asyncio.CancelledError:
            pass


def test_thread():
    threading.Event().wait()


@pytest.fixture
def stuck():
    yield
    threading.Event().wait()


def test_taken_down_after_a_failure(stuck):
    assert False


def test_next():
    pass
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_hanging_test_fails_by_name_and_the_next_one_runs(tmp_path: Path, workers: str) -> None:
    (tmp_path / "test_some.py").write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.hanging", "-n", workers, "-rA"]
    options = ["timeout=0.5", "timeout_method=signal", "asyncio_mode=auto"]
    done = subprocess.run(
        [*command, *(f"--override-ini={option}" for option in options), str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    outcomes = re.findall(r"^([A-Z]+) \S*test_some\.py::(\w+)", done.stdout, re.MULTILINE)
    assert set(outcomes) == {
        ("FAILED", "test_coroutine"),
        ("FAILED", "test_task_that_will_not_be_cancelled"),
        ("ERROR", "test_task_that_will_not_be_cancelled"),
        ("FAILED", "test_thread"),
        ("FAILED", "test_taken_down_after_a_failure"),
        ("ERROR", "test_taken_down_after_a_failure"),
        ("PASSED", "test_next"),
    }, done.stdout + done.stderr
    assert ", in deep_inside" in done.stdout
