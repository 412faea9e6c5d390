"""Workers that are killed or stopped in mid-scan cost no measurement and no fact of it."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import SEED_BYTES, AddressFacts, Depth
from otpc_policy.engine.deep_scan import DeepScanner
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from tests.engine.workers.test_pool import until_gone
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener, vetted
from tests.support.servers import TlsOffer, nginx

pytestmark = pytest.mark.long

# A stopped worker is given up after the deadline of a connection and two seconds.
LIMITS = ScanLimits(workers=2, connection_deadline_s=1.0)


@asynccontextmanager
async def started() -> AsyncIterator[SslyzeScanner]:
    scanner = SslyzeScanner(limits=LIMITS, now=lambda: datetime.now(UTC), deep=DeepScanner(LIMITS))
    await scanner.start()
    try:
        yield scanner
    finally:
        await scanner.stop()


def comparable(facts: AddressFacts) -> AddressFacts:
    """Return what must not depend on the worker."""
    return replace(
        facts,
        observed_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration=timedelta(),
        connections_used=0,
        trace=(),
    )


def pids(scanner: SslyzeScanner) -> list[int]:
    pool = scanner._pool
    return [*pool.worker_pids, *([pool.template_pid] if pool.template_pid else [])]


async def measure(scanner: SslyzeScanner, at: Listener) -> AddressFacts:
    endpoint = parse_endpoint("partner.test", at.port)
    # The same draws, so that facts can be compared.
    seed = bytes(SEED_BYTES)
    return await scanner.measure(endpoint, vetted(at.address), Depth.STANDARD, seed=seed)


async def disturbed(
    scanner: SslyzeScanner, at: Listener, number: signal.Signals, choice: random.Random
) -> AddressFacts:
    """Measure while a worker or the template gets the signal, at some moment of the scan."""
    measurement = asyncio.create_task(measure(scanner, at))
    await asyncio.sleep(choice.uniform(0, 0.06))
    with suppress(ProcessLookupError):
        os.kill(choice.choice(pids(scanner)), number)
    return await measurement


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_facts_are_the_same_whatever_becomes_of_workers(
    number: signal.Signals,
) -> None:
    choice, authority = random.Random(int(number)), CertificateAuthority.create()
    seen: set[int] = set()
    with nginx(own_listener(), TlsOffer(certificates=(authority.issue(),))) as at:
        async with started() as scanner:
            calm = await measure(scanner, at)
            assert calm.deployments
            for _ in range(2):
                seen |= set(pids(scanner))
                scans = [disturbed(scanner, at, number, choice) for _ in range(3)]
                for facts in await asyncio.gather(*scans):
                    assert comparable(facts) == comparable(calm)
            seen |= set(pids(scanner))
    for pid in seen:
        await until_gone(pid)
