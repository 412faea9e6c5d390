"""Building a path among many certificates of which few are of use, in the manner of BetterTLS.

Each authority is there in many versions, all with the same name and key: one of them leads on, and
each other one has a fault of its own. Where a path exists it is found, whatever the order.
"""

import random
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from cryptography import x509

from otpc_policy.pki.budget import JUDGEMENT_UNITS, WorkBudget
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.trust import Trust
from tests.support.forging import (
    AT,
    FAR_OFF,
    LONG_AGO,
    ROOT,
    Made,
    authority,
    key_usage,
    leaf,
    name_constraints,
    purposes,
)
from tests.support.signing import private_key

HOST = "partner.test"
NOBODY = authority("Nobody")
DAY = timedelta(days=1)
_STRANGE = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")

# A version of an authority that cannot stand on a path, by its name, key and issuer.
Version = Callable[..., Made]
FAULTS: dict[str, Version] = {
    "expired": lambda name, key, by: authority(name, key=key, by=by, dates=(LONG_AGO, AT - DAY)),
    "not yet valid": lambda name, key, by: authority(
        name, key=key, by=by, dates=(AT + DAY, FAR_OFF)
    ),
    "another purpose": lambda name, key, by: authority(
        name, key=key, by=by, plus=[(purposes("client_auth"), False)]
    ),
    "no authority": lambda name, key, by: authority(
        name, key=key, by=by, plus=[(x509.BasicConstraints(False, None), True)]
    ),
    "no keyCertSign": lambda name, key, by: authority(
        name, key=key, by=by, plus=[(key_usage("crl_sign"), True)]
    ),
    "other names": lambda name, key, by: authority(
        name, key=key, by=by, plus=[(name_constraints(["other.test"]), True)]
    ),
    "excluded names": lambda name, key, by: authority(
        name, key=key, by=by, plus=[(name_constraints(excluded=[HOST]), True)]
    ),
    "unknown critical extension": lambda name, key, by: authority(
        name, key=key, by=by, plus=[(_STRANGE, True)]
    ),
    "SHA-1": lambda name, key, by: authority(name, key=key, by=by, hash_name="sha1"),
    "a false signature": lambda name, key, by: authority(name, key=key, by=by).with_flipped_bit(),
    "of an unknown issuer": lambda name, key, _by: authority(name, key=key, by=NOBODY),
    "of itself": lambda name, key, _by: authority(name, key=key),
}


def layer(name: str, by: Made, *, good: bool = True) -> list[Made]:
    """An authority in every faulty version, and in a good one; that one last."""
    key = private_key("ec256")
    faulty = [make(name, key, by) for make in FAULTS.values()]
    return [*faulty, *([authority(name, key=key, by=by)] if good else [])]


def judged(chain: Sequence[Made], budget: WorkBudget | None = None) -> TrustSource:
    return judge_chain(
        [made.der for made in chain],
        server_name=HOST,
        stapled_ocsp_response=None,
        trust=Trust(mozilla_roots=(ROOT.der,)),
        at=AT,
        budget=budget,
    ).trust


UPPER = layer("Upper", ROOT)
MIDDLE = layer("Middle", UPPER[-1])
LOWER = layer("Lower", MIDDLE[-1])
CROWD = [*LOWER, *MIDDLE, *UPPER]
SERVER = leaf(LOWER[-1])


@pytest.mark.parametrize("seed", range(12))
def test_a_path_among_thirty_nine_certificates_is_found_in_any_order(seed: int) -> None:
    crowd = list(CROWD)
    random.Random(seed).shuffle(crowd)
    assert len(crowd) == 39
    began, budget = time.process_time(), WorkBudget()
    assert judged([SERVER, *crowd], budget) is TrustSource.MOZILLA_ROOT
    assert budget.left > JUDGEMENT_UNITS // 8
    # About 12 ms are seen.
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("fault", FAULTS)
def test_without_the_good_version_there_is_no_path(fault: str) -> None:
    """Each fault keeps the path from being one: at the top, in the middle, at the bottom."""
    for position in range(3):
        layers: list[Made] = []
        above = ROOT
        for number, name in enumerate(("Upper", "Middle", "Lower")):
            key = private_key("ec256")
            good = authority(name, key=key, by=above)
            layers.insert(0, FAULTS[fault](name, key, above) if number == position else good)
            above = good
        assert judged([leaf(above), *layers]) is TrustSource.NOTHING


def test_what_nobody_can_find_in_time_is_undecided_and_soon() -> None:
    """All versions sign for each other: more paths than can be counted, and none is good."""
    key = private_key("ec256")
    first = authority("A", key=key)
    names = [f"L{number}" for number in range(9)]
    makers = {name: authority(name, key=private_key("ec256")) for name in names}
    crowd = [
        authority(name, key=makers[name].key, by=makers[other])
        for name in names
        for other in names
        if name != other
    ][:62]
    began, budget = time.process_time(), WorkBudget()
    found = judged([leaf(makers["L0"]), *crowd, first], budget)
    assert found in (TrustSource.NOTHING, TrustSource.UNDECIDED)
    assert time.process_time() - began < 0.5
