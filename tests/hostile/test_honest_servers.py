"""No honest server suffers: real ones, pools with several leaves, those that insist on a name.

honest.py has them, and a command that measures each many times. Here it is once as every recorded
client of today.
"""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from tests.hostile.honest import (
    LEFT_UNKNOWN,
    HonestServer,
    as_every_client,
    honest_servers,
    is_fair,
    tally,
)
from tests.hostile.surveying import Surveyor
from tests.support.certificates import CertificateAuthority

pytestmark = pytest.mark.asyncio(loop_scope="package")

_AUTHORITY = CertificateAuthority.create("Honest Root")
try:
    # Configurations are read by OpenSSL and GnuTLS.
    _SERVERS = honest_servers(_AUTHORITY)
except pytest.skip.Exception as reason:
    pytest.skip(str(reason), allow_module_level=True)


@pytest_asyncio.fixture(loop_scope="package", scope="module")
async def surveyors() -> AsyncIterator[Sequence[Surveyor]]:
    async with as_every_client() as running:
        yield running


@pytest.mark.parametrize("server", _SERVERS, ids=lambda server: server.name)
async def test_an_honest_server_is_allowed(
    server: HonestServer, surveyors: Sequence[Surveyor]
) -> None:
    counted = await tally(server, surveyors, _AUTHORITY, runs=1)
    assert is_fair(server, counted), f"{counted}: {counted.failures}"


async def test_names_are_their_own_and_what_is_left_unknown_is_a_server() -> None:
    names = [server.name for server in _SERVERS]
    assert len(set(names)) == len(names)
    assert set(LEFT_UNKNOWN) <= set(names)
