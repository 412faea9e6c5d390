"""Two scanners for all of these tests: one in a hurry for servers that waste time, one with time for servers that are only slow."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from otpc_policy.pki.trust import Trust
from otpc_policy.scan.limits import ScanLimits
from otpc_policy.scan.scanner import SslyzeScanner
from tests.scan.hostile.servers import Backends, make_backends
from tests.scan.hostile.surveying import Surveyor

# A worker that is replaced while a test looks on would be seen as something left behind.
_NEVER = 1_000_000
HURRIED = ScanLimits(workers=1, concurrent_scans=48, scan_deadline_s=4.0, connection_deadline_s=0.8, recycle_after_handshakes=_NEVER)
PATIENT = ScanLimits(workers=1, recycle_after_handshakes=_NEVER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let all tests of the package run in the loop that the scanners live in."""
    for item in items:
        if __package__ in str(getattr(item, "module", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="package"), append=False)


@pytest.fixture(scope="package")
def backends() -> Backends:
    return make_backends()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def hurried(backends: Backends) -> AsyncIterator[Surveyor]:
    async for surveyor in _surveyor(HURRIED, backends):
        yield surveyor


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def patient(backends: Backends) -> AsyncIterator[Surveyor]:
    async for surveyor in _surveyor(PATIENT, backends):
        yield surveyor


async def _surveyor(limits: ScanLimits, backends: Backends) -> AsyncIterator[Surveyor]:
    scanner = SslyzeScanner(limits=limits, now=lambda: datetime.now(UTC))
    await scanner.start()
    try:
        yield Surveyor(scanner, limits, Trust(mozilla_roots=(backends.authority.der,)))
    finally:
        await scanner.stop()
