"""What every thread and task is doing, as log lines, when SIGUSR1 asks for it.

The signal's handler only wakes a thread, which looks and logs. So a program whose event loop hangs
in Python code can still be asked, and no handler waits for a lock that the code it has interrupted
holds. What hangs in C without giving up the interpreter's lock answers when it is done.

Bounded, however much there is: tasks that wait at the same place are one line with their number,
and each line, the number of lines and the number of tasks looked at have limits. An engine's lines
pass through its front, which takes 200 at a time of 8 KiB each.
"""

import asyncio
import contextlib
import logging
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, Final

import structlog

SIGNAL: Final = signal.SIGUSR1
_MOST_TASKS: Final = 20_000
_MOST_LINES: Final = 80
_MOST_FRAMES: Final = 40
_MOST_NAMES: Final = 3
_STACK_CHARACTERS: Final = 4_096
_NAME_CHARACTERS: Final = 80

_Place = tuple[CodeType, int]
_Stack = tuple[_Place, ...]


@dataclass(slots=True)
class _Tasks:
    """Tasks that wait at the same place. names: of the first ones."""

    number: int = 0
    names: list[str] = field(default_factory=list)


@contextlib.contextmanager
def stack_dumps_on_signal() -> Iterator[None]:
    """Have SIGUSR1 log stacks while the context lasts, those of this event loop's tasks included.

    Call it on the loop. Does nothing outside the main thread, which alone can handle signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    # The one queue that may be put into from a signal's handler.
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    thread = threading.Thread(target=_answer, args=(asked, loop), name="stack dump", daemon=True)
    thread.start()
    former = signal.signal(SIGNAL, lambda _number, _frame: asked.put(True))
    try:
        yield
    finally:
        signal.signal(SIGNAL, former)
        asked.put(False)


def _answer(asked: "queue.SimpleQueue[bool]", loop: asyncio.AbstractEventLoop) -> None:
    while asked.get():
        # Whoever asks again before the answer has got it.
        while not asked.empty():
            if not asked.get():
                return
        dump_stacks(loop)


def dump_stacks(loop: asyncio.AbstractEventLoop) -> None:
    """Log the stack of every thread but this one, and of every task of a loop."""
    log = structlog.get_logger("otpc_policy.process")
    # Whoever asks wants to read it, whatever else is logged. Nothing is wrong, though.
    emit = log.warning if logging.getLogger().isEnabledFor(logging.WARNING) else log.error
    stacks = [*_threads(), *_tasks(loop)]
    for fields in stacks[:_MOST_LINES]:
        emit("stack_dump", **fields)
    emit("stack_dump_ended", stacks=len(stacks), left_out=max(0, len(stacks) - _MOST_LINES))


def _threads() -> Iterator[dict[str, Any]]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    own = threading.get_ident()
    for ident, frame in sys._current_frames().items():
        if ident != own:
            yield {
                "thread": names.get(ident, f"not of Python's: {ident}")[:_NAME_CHARACTERS],
                "stack": _text(_of_thread(frame)),
            }


def _tasks(loop: asyncio.AbstractEventLoop) -> Iterator[dict[str, Any]]:
    """Yield each place where tasks wait, the one with most of them first."""
    try:
        tasks = list(asyncio.all_tasks(loop))
    except RuntimeError:  # tasks came and went while they were listed, again and again
        yield {"tasks": 0, "names": [], "stack": "the tasks cannot be listed now"}
        return
    places: dict[_Stack, _Tasks] = {}
    for task in tasks[:_MOST_TASKS]:
        found = places.setdefault(_of_task(task), _Tasks())
        found.number += 1
        if len(found.names) < _MOST_NAMES:
            found.names.append(task.get_name()[:_NAME_CHARACTERS])
    for stack, found in sorted(places.items(), key=lambda each: -each[1].number):
        yield {"tasks": found.number, "names": found.names, "stack": _text(stack)}
    if len(tasks) > _MOST_TASKS:
        left_out = len(tasks) - _MOST_TASKS
        yield {"tasks": left_out, "names": [], "stack": "not looked at"}


def _of_thread(frame: FrameType | None) -> _Stack:
    """Return the innermost frames, the outermost of them first."""
    places: list[_Place] = []
    while frame is not None and len(places) < _MOST_FRAMES:
        places.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return tuple(reversed(places))


def _of_task(task: "asyncio.Task[Any]") -> _Stack:
    """Return where a task waits: its coroutine, and what each awaits in turn."""
    places: list[_Place] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(places) < _MOST_FRAMES:
        frame = _attribute(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is None:
            break
        places.append((frame.f_code, frame.f_lineno))
        awaited = _attribute(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    return tuple(places)


def _attribute(awaited: Any, *names: str) -> Any:
    """Return the first of these attributes that there is: of a coroutine, generator, or other."""
    return next((getattr(awaited, name) for name in names if hasattr(awaited, name)), None)


def _text(stack: _Stack) -> str:
    """Return a line for each frame; of a long text, the end, which is where it hangs."""
    lines = [f"{code.co_filename}:{line} in {code.co_qualname}" for code, line in stack]
    return "\n".join(lines)[-_STACK_CHARACTERS:] or "no frame"
