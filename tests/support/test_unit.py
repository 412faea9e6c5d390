"""`make unit` stays pure and quick: a test that does not belong there fails and names the list."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

QUICK = "def test_quick(): pass"
CONNECTS = """
import socket
def test_connects():
    with socket.socket() as client:
        client.connect(("127.0.0.1", 1))
"""
STARTS = """
import subprocess
def test_starts():
    subprocess.run(["true"])
"""
SEARCHES = """
import hypothesis
@hypothesis.given(hypothesis.strategies.integers())
def test_searches(number): assert number != number
"""
ASKS_IN_A_THREAD = """
import socket, threading
def test_asks():
    thread = threading.Thread(target=socket.getaddrinfo, args=("127.0.0.1", 1))
    thread.start()
    thread.join()
"""


def unit_run(folder: Path, source: str, *options: str) -> tuple[int, str]:
    (folder / "test_some.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.unit", "--unit"]
    paths = [f"--config-file={ROOT / 'pyproject.toml'}", f"--rootdir={ROOT}", str(folder)]
    done = subprocess.run(
        [*command, *paths, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("source", "event"),
    [
        (CONNECTS, "socket.connect"),
        (STARTS, "subprocess.Popen"),
        (ASKS_IN_A_THREAD, "socket.getaddrinfo"),
    ],
)
def test_a_test_that_leaves_its_process_fails(tmp_path: Path, source: str, event: str) -> None:
    code, output = unit_run(tmp_path, source)
    assert (
        code,
        f"{event} in a unit test; list its module in tests/support/unit.py" in output,
    ) == (
        pytest.ExitCode.TESTS_FAILED,
        True,
    ), output


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(("budget_s", "code"), [("60", 0), ("0.01", 1)])
def test_a_run_that_takes_more_than_its_budget_fails(
    tmp_path: Path, workers: str, budget_s: str, code: int
) -> None:
    ended, output = unit_run(tmp_path, QUICK, "-n", workers, f"--unit-budget={budget_s}")
    assert (ended, "1 passed" in output) == (code, True), output


def test_a_listed_module_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    code, output = unit_run(tmp_path, QUICK, f"--rootdir={tmp_path}")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "lists what is not there" in output


def test_searches_are_left_to_the_other_runs(tmp_path: Path) -> None:
    code, output = unit_run(tmp_path, QUICK + SEARCHES)
    assert (code, "1 passed, 1 deselected" in output) == (0, True), output
