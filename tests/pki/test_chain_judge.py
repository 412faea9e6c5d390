"""All chains of one endpoint are judged within one budget, and each of them once."""

from collections.abc import Sequence

import pytest

from otpc_policy.pki import judge
from otpc_policy.pki.budget import ENDPOINT_UNITS, JUDGEMENT_UNITS, WorkBudget
from otpc_policy.pki.judge import ChainJudge
from otpc_policy.pki.judgement import ChainJudgement, TrustSource
from otpc_policy.pki.trust import Trust
from tests.support.forging import AT, ROOT, Made, authority, leaf, name_constraints

HOST = "partner.test"
PLAIN = authority("Plain", by=ROOT)
FENCED = authority(
    "Fenced",
    by=ROOT,
    plus=[(name_constraints([*(f"d{one}.example" for one in range(60)), HOST]), True)],
)


def chain_of(names: int, by: Made = FENCED) -> tuple[bytes, ...]:
    """Return a leaf for HOST with so many names more, and its issuer."""
    hosts = [HOST, *(f"n{one}.{HOST}" for one in range(names))]
    return leaf(by, dns=hosts).der, by.der


def a_judge() -> ChainJudge:
    return ChainJudge(server_name=HOST, trust=Trust(mozilla_roots=(ROOT.der,)), at=AT)


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[WorkBudget]:
    """Return the budgets of all chains that are judged, as they come."""
    given: list[WorkBudget] = []
    judge_chain = judge.judge_chain

    def noted(
        chain: Sequence[bytes], *, budget: WorkBudget | None, **options: object
    ) -> ChainJudgement:
        assert budget is not None
        given.append(budget)
        return judge_chain(chain, budget=budget, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(judge, "judge_chain", noted)
    return given


def spent(budgets: Sequence[WorkBudget]) -> int:
    return sum(sum(budget.spent.values()) for budget in budgets)


def test_a_chain_is_judged_once_with_each_of_its_staples(budgets: list[WorkBudget]) -> None:
    endpoint, chain = a_judge(), chain_of(1)
    assert endpoint.judge(chain, None) is endpoint.judge(chain, None)
    assert endpoint.judge(chain, b"staple") is not endpoint.judge(chain, None)
    assert len(budgets) == 2


def test_what_a_partner_presents_costs_no_more_than_the_endpoint_may(
    budgets: list[WorkBudget],
) -> None:
    """Twelve chains of an address held the loop for 300 ms, those of eight addresses for 2.6 s."""
    endpoint = a_judge()
    found = [endpoint.judge(chain_of(3_900 + number), None).trust for number in range(12)]
    assert found[0] is TrustSource.MOZILLA_ROOT
    assert set(found[6:]) == {TrustSource.UNDECIDED}
    assert spent(budgets) <= ENDPOINT_UNITS
    assert max(spent([budget]) for budget in budgets) <= JUDGEMENT_UNITS
    # One staple after the other makes nothing cheaper.
    chain = chain_of(3_800)
    assert {endpoint.judge(chain, bytes([one])).trust for one in range(12)} == {
        TrustSource.UNDECIDED
    }
    assert spent(budgets) <= ENDPOINT_UNITS


def test_there_is_room_for_an_rsa_and_an_ecdsa_leaf_of_a_thousand_names() -> None:
    """The largest honest chain of the tests, twice: 1,201 names below 61 subtrees."""
    endpoint = a_judge()
    for _ in range(2):
        assert endpoint.judge(chain_of(1_200), None).trust is TrustSource.MOZILLA_ROOT


def test_there_is_room_for_the_chains_of_many_addresses() -> None:
    """Eight addresses with two leaves each, every one of them with its own staple."""
    endpoint = a_judge()
    upper = authority("Upper", by=ROOT, key="ec384")
    issuer = authority("Issuer", by=upper, key="ec384")
    for number in range(16):
        chain = (leaf(issuer, dns=[HOST, f"n{number}.{HOST}"]).der, issuer.der, upper.der)
        assert endpoint.judge(chain, bytes([number])).trust is TrustSource.MOZILLA_ROOT
