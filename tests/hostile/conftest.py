"""Two scanners for these tests: a hurried one for servers that waste time, one for slow ones."""

from collections.abc import AsyncIterator, Callable
from inspect import iscoroutinefunction

import pytest
import pytest_asyncio

from tests.hostile.faults import Stacks, make_stacks
from tests.hostile.rows import POLICY
from tests.hostile.servers import Backends, make_backends
from tests.hostile.surveying import HURRIED, PATIENT, Surveyor, running_surveyor
from tests.support.loopback import Listener, free_port, own_address


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let all tests of the package run in the loop that the scanners live in, if they are async."""
    for item in items:
        is_async = iscoroutinefunction(getattr(item, "function", None))
        if is_async and __package__ in str(getattr(item, "module", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)


@pytest.fixture(scope="package")
def backends() -> Backends:
    return make_backends()


@pytest.fixture(scope="package")
def new_listener() -> Callable[[], Listener]:
    """A free port at each call, all on one address."""
    address = own_address()
    return lambda: Listener(address, free_port(address))


@pytest.fixture(scope="package")
def stacks() -> Stacks:
    return make_stacks()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def hurried(backends: Backends) -> AsyncIterator[Surveyor]:
    async with running_surveyor(HURRIED, backends.trust) as surveyor:
        yield surveyor


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def patient(backends: Backends) -> AsyncIterator[Surveyor]:
    async with running_surveyor(PATIENT, backends.trust) as surveyor:
        yield surveyor


@pytest.fixture(scope="package")
def anchored(patient: Surveyor, stacks: Stacks) -> Surveyor:
    """The patient scanner under the default policy, with the authority of the stacks as anchor."""
    return patient.under(POLICY, stacks.trust)
