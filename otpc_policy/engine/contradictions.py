"""Which contradictions belong to which measurement. The scanner reports them as they are found."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Every measurement runs in its own task, so each has its own list here.
_heard: ContextVar[list[str] | None] = ContextVar("contradictions", default=None)


def hear(subject: str) -> None:
    """Take down a contradiction in the measurement that this task carries out."""
    subjects = _heard.get()
    if subjects is not None:
        subjects.append(subject)


@contextmanager
def heard_in_tasks_begun_here() -> Iterator[list[str]]:
    """Yield the list that fills as the tasks that are begun in this context hear of some."""
    subjects: list[str] = []
    token = _heard.set(subjects)
    try:
        yield subjects
    finally:
        _heard.reset(token)
