"""A service for the whole session, and another with short deadlines for slow partners."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.running import Service, running_service
from tests.end_to_end.world import World
from tests.support.dns_server import dns_server_in_a_thread


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Everybody the services know."""
    return World.create(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def service(world: World) -> Iterator[Service]:
    """A service with the default limits."""
    # Its name server knows no name, so no name of a test is looked up on the network.
    with (
        dns_server_in_a_thread() as server,
        running_service(world.settings(dns_servers=[server.address])) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def impatient(world: World) -> Iterator[Service]:
    """A service whose connections end after 0.8 s and whose scans end after 6 s."""
    with running_service(
        world.settings(scan={"workers": 1, "connection_deadline_s": 0.8, "scan_deadline_s": 6.0})
    ) as running:
        yield running
