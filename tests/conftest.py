"""What holds for every test."""

from typing import Final

pytest_plugins = ["tests.support.hanging", "tests.support.unit"]

_LONGEST_ID: Final = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a long value by its parameter: some are made anew, and workers must agree on names."""
    return argname if isinstance(val, str | bytes) and len(val) > _LONGEST_ID else None
