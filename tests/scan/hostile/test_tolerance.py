"""Servers that are unusual and honest: what they offer must be known, not given up on."""

import pytest

from otpc_policy.facts import TlsVersion
from tests.scan.hostile.claims import Truth
from tests.scan.hostile.servers import Backends
from tests.scan.hostile.surveying import Case, Surveyed, Surveyor, assert_no_false_claim

pytestmark = pytest.mark.asyncio(loop_scope="package")


def known_completely(one: Surveyed) -> list[str]:
    return []


async def test_plain(patient: Surveyor, backends: Backends) -> None:
    cases = [Case(name=name, behaviour=endpoint, truth=Truth(always=endpoint.truth)) for name, endpoint in {"strict": backends.strict, **backends.lax}.items()]
    surveyed = await patient.survey(*cases)
    for one in surveyed.values():
        print(
            one.case.name,
            one.verdict.decision,
            [f.code for f in one.verdict.findings],
            one.versions(),
            {hex(k) for v in TlsVersion for k, s in one.suites(v).items() if s == "YES"},
            {hex(k) for v in TlsVersion for k, s in one.suites(v).items() if s == "UNKNOWN"},
            one.facts.connections_used,
            one.facts.duration,
            one.facts.remarks,
        )
    assert_no_false_claim(surveyed)
