"""A test that hangs fails by name, and shows where (a plugin for pytest, on top of pytest-timeout).

pytest-timeout raises in the main thread after `timeout` seconds (pyproject.toml) and prints the
stacks of the other threads. Two things are missing for tests like ours. A hanging coroutine is on
no thread's stack, so this adds the stacks of all tasks. And a test that has failed has no time
limit any more, so this sets it anew for what the test still has to take down.
"""

import asyncio
import signal
import sys
import traceback
from collections.abc import Generator, Iterator
from types import FrameType
from typing import Any

import pytest

_SETTINGS = pytest.StashKey[Any]()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> Generator[None, Any, Any]:
    """Let the handler that pytest-timeout has just set print tasks before it raises."""
    result = yield
    item.stash[_SETTINGS] = settings
    raise_failed = signal.getsignal(signal.SIGALRM)
    if settings.method == "signal" and callable(raise_failed):

        def show_and_raise(number: int, frame: FrameType | None) -> None:
            _print_tasks()
            raise_failed(number, frame)

        signal.signal(signal.SIGALRM, show_and_raise)
    return result


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """Set the time limit again: pytest-timeout lifts it for a debugger once a test has failed."""
    if isinstance(node, pytest.Item) and _SETTINGS in node.stash:
        node.ihook.pytest_timeout_set_timer(item=node, settings=node.stash[_SETTINGS])


def _print_tasks() -> None:
    """Print what each task of the running loop awaits, innermost call last."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no loop is running
        return
    for task in tasks:
        print(f"\n{task.get_name()}, most recent call last:", file=sys.stderr)
        stack = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in _frames(task))
        print("".join(stack.format()), end="", file=sys.stderr)


def _frames(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """Walk down what a task awaits. Task.print_stack shows the outermost coroutine alone."""
    awaited: Any = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None:
            yield frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
