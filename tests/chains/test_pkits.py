"""PKITS, with NIST's expectations: where we say otherwise, the reason stands here."""

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.chains.case import ChainCase, case
from tests.chains.judging import judging, trust_of, validate
from tests.chains.pkits import PkitsTest, anchor, pkits_tests, server_name
from tests.chains.pkits_deviations import (
    ALLOWED,
    DENIED,
    DENIED_UNDER_PUBLIC_ROOTS,
    NOT_REISSUED,
    PUBLISHED_WITH_A_NAME,
)
from tests.chains.table import PKITS_TABLE, pkits_table
from tests.support.forging import Made, authority

# The suite is read and reissued once for one worker.
pytestmark = pytest.mark.xdist_group("pkits")

_ANCHOR = Made(anchor(), authority("unused").key, authority("unused").name)


def test_the_suite_is_whole() -> None:
    assert len(pkits_tests()) == 223
    assert {test.name for test in pkits_tests() if test.reissued is None} == set(NOT_REISSUED)


async def test_as_published_only_what_has_a_dns_name_is_trusted() -> None:
    cases = {test.name: _case(test, test.published) for test in pkits_tests()}
    assert await _allowed(cases) == set(PUBLISHED_WITH_A_NAME)


@pytest.mark.parametrize("is_public", [True, False])
async def test_reissued_with_a_dns_name_each_is_judged_as_nist_expects_but_for_deviations(
    is_public: bool,
) -> None:
    cases = {
        test.name: _case(test, test.reissued, is_public=is_public)
        for test in pkits_tests()
        if test.reissued is not None
    }
    denied = {**DENIED, **(DENIED_UNDER_PUBLIC_ROOTS if is_public else {})}
    valid = {test.name for test in pkits_tests() if test.is_valid and test.name in cases}
    allowed = await _allowed(cases)
    assert valid - allowed == set(denied)
    assert allowed - valid == set(ALLOWED)


def test_every_deviation_has_a_reason() -> None:
    for deviations in (ALLOWED, DENIED, DENIED_UNDER_PUBLIC_ROOTS, NOT_REISSUED):
        assert all(deviations.values())


def test_the_written_table_is_this_table() -> None:
    assert PKITS_TABLE.read_text(encoding="utf-8") == pkits_table(), "python -m tests.chains.table"


def _case(test: PkitsTest, leaf: bytes, *, is_public: bool = True) -> ChainCase:
    roots, request_anchors = ((_ANCHOR,), ()) if is_public else ((), (_ANCHOR,))
    return case(
        test.name,
        "PKITS",
        [leaf, *test.rest],
        server_name=server_name(leaf),
        roots=roots,
        request_anchors=request_anchors,
    )


async def _allowed(cases: dict[str, ChainCase]) -> set[str]:
    async with judging(trust_of(list(cases.values()))) as stub:
        return {
            name
            for name, one in cases.items()
            if (await validate(stub, one)).decision == pb.DECISION_ALLOW
        }
