"""A worker that lies costs the measurement and the process, at once, and little memory.

What a measurement that raises becomes is in tests/check: SCAN_FAILED.
"""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from otpc_policy.core.facts import Depth
from otpc_policy.engine.deep_scan import DeepScanner
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.engine.workers.pool import WorkerPool
from otpc_policy.engine.workers.worker_lied import WorkerLied
from tests.engine.partners import close, endpoint, offer, openssl_server, server
from tests.engine.workers.lying_template import LIES
from tests.engine.workers.test_pool import until_gone
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import vetted

_LIAR = Path(__file__).with_name("lying_template.py")
_MEMORY_BYTES = 50 * 2**20


def resident_bytes() -> int:
    """Return the highest resident memory since it was last reset (proc(5), clear_refs)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def reset_resident_bytes() -> int:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident_bytes()


@pytest.mark.parametrize("lie", LIES)
async def test_a_lie_ends_the_worker_and_raises(lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("otpc_policy.engine.workers.template_process.PROGRAM", (str(_LIAR), lie))
    pool = WorkerPool(ScanLimits(workers=1))
    await pool.start()
    try:
        async with server(close) as port:
            (liar,) = pool.worker_pids
            lease = pool.lease()
            before, started_s = reset_resident_bytes(), time.monotonic()
            if lie == "endless-answers":
                # The first is honest; the lie is found out when it is repeated.
                await lease.handshake(offer(port))
            else:
                with pytest.raises(WorkerLied):
                    await lease.handshake(offer(port))
            await until_gone(liar)
            assert time.monotonic() - started_s < 1
            assert resident_bytes() - before < _MEMORY_BYTES
            lease.end()
    finally:
        await pool.stop()


@pytest.mark.parametrize("lie", ["another-target", "endless-answers"])
async def test_a_measurement_that_a_lying_worker_took_part_in_raises(
    lie: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Be it that nobody waited for the lie: it came after the last answer."""
    monkeypatch.setattr("otpc_policy.engine.workers.template_process.PROGRAM", (str(_LIAR), lie))
    limits = ScanLimits(workers=1)
    scanner = SslyzeScanner(limits=limits, now=lambda: datetime.now(UTC), deep=DeepScanner(limits))
    await scanner.start()
    try:
        with openssl_server(tmp_path, CertificateAuthority.create().issue()) as port:
            with pytest.raises(WorkerLied):
                await scanner.measure(endpoint(port), vetted(), Depth.STANDARD)
            # The next one is asked of another worker, which lies again.
            with pytest.raises(WorkerLied):
                await scanner.measure(endpoint(port), vetted(), Depth.STANDARD)
    finally:
        await scanner.stop()
