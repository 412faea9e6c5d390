"""The world of the end-to-end tests, for a service that measures elsewhere."""

from tests.end_to_end.conftest import world

__all__ = ["world"]
