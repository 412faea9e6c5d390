"""The table of chain cases: each through one running service over gRPC, and past OpenSSL."""

from collections import Counter

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.chains.cases import all_cases, grouped_cases
from tests.chains.judging import judging, trust_of, validate
from tests.chains.second_opinion import openssl_accepts
from tests.chains.table import TABLE, table
from tests.support.requirements import require

# The cases are made once for one worker.
pytestmark = pytest.mark.xdist_group("chains")


def test_there_are_enough_cases_and_no_two_of_one_name() -> None:
    names = Counter(
        (heading, case.name) for heading, cases in grouped_cases().items() for case in cases
    )
    assert [name for name, number in names.items() if number > 1] == []
    assert len(names) >= 150


async def test_every_chain_gets_exactly_its_codes_and_its_decision() -> None:
    wrong = []
    async with judging(trust_of(all_cases())) as stub:
        for case in all_cases():
            response = await validate(stub, case)
            codes = {finding.code for finding in response.findings}
            decision = pb.Decision.Name(response.decision).removeprefix("DECISION_")
            if (codes, decision) != (set(case.codes), case.decision):
                wrong.append(
                    f"{case.name} ({case.clause}): {sorted(codes)}, {decision}; wanted"
                    f" {sorted(case.codes)}, {case.decision}"
                )
    assert wrong == []


async def test_why_a_chain_is_untrusted_is_said_in_words_of_ours() -> None:
    """Every untrusted chain has its reason, and no text of a library."""
    untrusted = [case for case in all_cases() if "CERTIFICATE_UNTRUSTED" in case.codes]
    async with judging(trust_of(all_cases())) as stub:
        for case in untrusted:
            (finding,) = [
                one
                for one in (await validate(stub, case)).findings
                if one.code == "CERTIFICATE_UNTRUSTED"
            ]
            reason = finding.message.partition(": ")[2].partition("; a path to")[0]
            assert len(reason) > 20
            assert "candidates exhausted" not in finding.message


def test_openssl_agrees_or_the_table_says_why_not() -> None:
    require("openssl")
    wrong = []
    for case in all_cases():
        if not case.has_second_opinion:
            continue
        accepts, said = openssl_accepts(case)
        differs = accepts != (case.decision == "ALLOW")
        if differs != bool(case.openssl):
            wrong.append(
                f"{case.name}: OpenSSL {'accepts' if accepts else 'refuses'}, we say"
                f" {case.decision}: {said}"
            )
    assert wrong == []


def test_the_written_table_is_this_table() -> None:
    assert TABLE.read_text(encoding="utf-8") == table(), "python -m tests.chains.table"
