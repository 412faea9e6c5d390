"""A verdict ends with the path that it rests on, whether the server sent the anchor or not."""

from datetime import timedelta

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.evaluate import evaluate_chain
from otpc_policy.policy.finding import Decision, Verdict
from tests.support.forging import AT, LONG_AGO, Made, authority, leaf

HOST = "partner.test"
POLICY = load_builtin_policies().get("otpc-2024-12")
SECOND = timedelta(seconds=1)
END = AT + timedelta(minutes=1)
SHORT = authority("Short root", dates=(LONG_AGO, END))
LASTING = authority("Lasting root")
MIDDLE = authority("Middle", by=SHORT)
MOZILLA = Trust(mozilla_roots=(SHORT.der,))
CHOSEN = Trust(mozilla_roots=(), entries=(TrustEntry(hosts=(HOST,), anchors=(SHORT.der,)),))
NOBODY = Trust(mozilla_roots=())


def judged(chain: list[Made], trust: Trust, *, after: timedelta, asked: bool = False) -> Verdict:
    return evaluate_chain(
        [certificate.der for certificate in chain],
        POLICY,
        server_name=HOST,
        trust=trust,
        request_anchors=(SHORT.der,) if asked else (),
        now=AT + after,
    )


@pytest.mark.parametrize("chain", [[leaf(SHORT)], [leaf(MIDDLE), MIDDLE]])
@pytest.mark.parametrize(("trust", "asked"), [(MOZILLA, False), (CHOSEN, False), (NOBODY, True)])
def test_a_verdict_ends_with_an_anchor_that_was_not_served(
    chain: list[Made], trust: Trust, asked: bool
) -> None:
    first = judged(chain, trust, after=timedelta(0), asked=asked)
    assert first.decision is Decision.ALLOW
    assert first.changes_at == END
    # notAfter itself is still valid: within that second the change is to come.
    last = judged(chain, trust, after=END - AT, asked=asked)
    assert (last.decision, last.changes_at) == (Decision.ALLOW, END + SECOND)
    assert judged(chain, trust, after=END - AT + SECOND, asked=asked).decision is Decision.DENY


def test_a_verdict_does_not_end_with_an_anchor_that_it_does_not_rest_on() -> None:
    trust = Trust(mozilla_roots=(SHORT.der, LASTING.der))
    verdict = judged([leaf(LASTING)], trust, after=timedelta(0))
    assert verdict.changes_at is not None
    assert verdict.changes_at > END + SECOND
