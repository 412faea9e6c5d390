"""What holds for every test."""

import gc
from collections.abc import Generator
from typing import Final

import pytest
import structlog

pytest_plugins = ["tests.support.hanging", "tests.support.unit"]

_LONGEST_ID: Final = 60


def pytest_configure() -> None:
    """Print tracebacks of log lines as Python does: structlog's own take three seconds of CPU."""
    plain = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    former = structlog.get_config()["processors"]
    structlog.configure(processors=[*former[:-1], plain])


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value by its parameter: some are made anew, and workers must agree on names."""
    return argname if isinstance(val, str | bytes) and len(val) > _LONGEST_ID else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from walking all tests again and again: a tenth of the CPU."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
