"""Servers that leave some hellos without an answer: nothing is known of what those offered."""

import asyncio
from collections.abc import Callable

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.remarks import RemarkKind, kind_of_remark
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.servers import Backends
from tests.hostile.surveying import Case, Surveyor
from tests.support.hostile.behaviours import stall
from tests.support.hostile.hello import SeenHello, server_hello_bytes
from tests.support.hostile.turns import where
from tests.support.tcp import Behaviour, Connection

pytestmark = pytest.mark.asyncio(loop_scope="package")

_NULL = {0x0002, 0x003B, 0xC006, 0xC010}
_TOO_LATE_S = 6.0


async def begun(connection: Connection) -> None:
    """Half a ServerHello of TLS 1.0, and the rest when nobody waits for it any more."""
    hello = server_hello_bytes(TlsVersion.TLS_1_0, 0x002F)
    await connection.read()
    await connection.send(hello[:40])
    await asyncio.sleep(_TOO_LATE_S)
    await connection.send(hello[40:])


def is_short_and_old(hello: SeenHello) -> bool:
    return hello.highest in (TlsVersion.TLS_1_0, TlsVersion.TLS_1_1) and hello.wire_size < 512


def is_short_with_null(hello: SeenHello) -> bool:
    is_of_tls12 = hello.highest is TlsVersion.TLS_1_2
    return is_of_tls12 and hello.wire_size < 600 and bool(_NULL & {*hello.cipher_suites})


@pytest.mark.parametrize(
    ("holds", "left"),
    [(is_short_and_old, stall), (is_short_and_old, begun), (is_short_with_null, stall)],
    ids=["old", "old, begun", "NULL"],
)
async def test_silence_is_no_refusal(
    holds: Callable[[SeenHello], bool],
    left: Behaviour,
    patient: Surveyor,
    backends: Backends,
) -> None:
    behaviour = where(holds, left, backends.strict)
    case = Case(name="silent", behaviour=behaviour, truth=Truth(always=backends.strict.truth))
    surveyed = (await patient.survey(case))["silent"]
    assert surveyed.verdict.decision is Decision.INDETERMINATE
    if holds is is_short_and_old:
        assert surveyed.versions()[TlsVersion.TLS_1_0] == "UNKNOWN"
    assert RemarkKind.CLIENT_UNANSWERED in map(kind_of_remark, surveyed.facts.remarks)
