"""One real server for the tests of a worker; every test has a prefix of its own."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tests.fleet.world import Replica
from tests.support.valkey import Valkey, valkey

MakeReplica = Callable[..., Replica]


@pytest.fixture(scope="session")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture
async def replica(server: Valkey) -> AsyncIterator[MakeReplica]:
    """Make replicas of one fleet; their connections are closed in the end."""
    made: list[Replica] = []
    prefix = f"test-{uuid.uuid4().hex}"

    def make(url: str | None = None, **options: Any) -> Replica:
        made.append(Replica(url or server.url, options.pop("prefix", prefix), **options))
        return made[-1]

    yield make
    for one in made:
        await one.close()
