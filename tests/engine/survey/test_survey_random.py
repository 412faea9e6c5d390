"""The planner against servers of random configuration.

Every conclusion is true; for an ordinary server the conclusions are complete.
"""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.engine.survey.offers import PAYMENT_SUITES, suites_at
from tests.engine.survey.model_server import CLOSE, RESET, SILENCE, Model, Order, Said, alert
from tests.engine.survey.surveying import falsehoods, gaps, limited, survey

pytestmark = pytest.mark.long

SSL3, TLS12, TLS13 = TlsVersion.SSL_3_0, TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
KEY_TYPES = (KeyType.RSA, KeyType.ECDSA, KeyType.EDDSA)
# A survey of a lax server takes a tenth of a second: fewer examples than hypothesis would take.
# No shrinking: it would take minutes, and the failing server is short enough to read.
FEW = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


def some(suites: Sequence[int], *, most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.sampled_from(suites), min_size=1, max_size=most, unique=True).map(tuple)


def suites_over(version: TlsVersion) -> st.SearchStrategy[tuple[int, ...]]:
    return some(suites_at(version), most=24)


ANY_SUITES = st.sets(st.sampled_from(TlsVersion), min_size=1).flatmap(
    lambda versions: st.fixed_dictionaries({one: suites_over(one) for one in versions})
)
# An ordinary server accepts some suite of a payment client, or speaks TLS 1.3 as all do, and any
# others.
ORDINARY_SUITES = st.builds(
    lambda old, modern, payment: {
        **old,
        TLS12: tuple(dict.fromkeys((*payment, *modern))),
        TLS13: (0x1302, 0x1301),
    },
    st.dictionaries(
        st.sampled_from((SSL3, TlsVersion.TLS_1_0, TlsVersion.TLS_1_1)),
        some(suites_at(SSL3), most=12),
        max_size=2,
    ),
    st.one_of(st.just(()), some(suites_at(TLS12), most=24)),
    some(PAYMENT_SUITES, most=6),
)


@FEW
@given(
    suites=ORDINARY_SUITES,
    order=st.sampled_from(Order),
    key_types=st.sets(st.sampled_from(KEY_TYPES), min_size=1).map(frozenset),
    reads=st.sampled_from((None, None, 64, 128)),
    longest=st.sampled_from((None, None, 255, 511)),
    no_version=st.sampled_from((alert(70), alert(40), alert(80), CLOSE, RESET)),
    no_suite=st.sampled_from((alert(40), alert(71), alert(47), CLOSE, RESET)),
    needs_name=st.booleans(),
)
def test_of_an_ordinary_server_everything_is_known(**habits: object) -> None:
    model = Model(**habits)  # type: ignore[arg-type]
    surveyed = survey(model)
    assert falsehoods(model, surveyed) == []
    assert gaps(model, surveyed) == []
    assert len(surveyed.waves) <= 20
    # Every list of the layout in pieces of 31 suites, with a control each.
    assert surveyed.hellos <= 700


@FEW
@given(
    suites=ANY_SUITES,
    order=st.sampled_from(Order),
    key_types=st.sets(st.sampled_from(KEY_TYPES), min_size=1).map(frozenset),
    ecdsa_first=st.booleans(),
    reads=st.sampled_from((None, 64, 128)),
    longest=st.sampled_from((None, 255, 300, 511)),
    overlong=st.sampled_from((SILENCE, CLOSE, RESET, alert(80), alert(40))),
    no_version=st.sampled_from((alert(70), alert(40), alert(80), alert(112), CLOSE, SILENCE)),
    no_suite=st.sampled_from((alert(40), alert(71), alert(80), alert(10), CLOSE, SILENCE)),
    needs_name=st.booleans(),
    ssl3_extensions=st.booleans(),
    highest=st.sampled_from((None, None, TLS12, TlsVersion.TLS_1_0)),
)
def test_of_no_server_anything_is_concluded_that_is_not_so(**habits: object) -> None:
    model = Model(**habits)  # type: ignore[arg-type]
    # Nobody can tell a name without extensions: such an SSL 3 cannot be had.
    assume(not model.needs_name or model.ssl3_extensions)
    # Nor what a server has above the version that it takes.
    assume(model.highest is None or model.highest >= max(model.suites))
    surveyed = survey(model)
    assert falsehoods(model, surveyed) == []
    assert len(surveyed.waves) <= 40


@FEW
@given(
    suites=ANY_SUITES,
    after=st.integers(0, 80),
    into=st.sampled_from((alert(40), alert(70), alert(80), CLOSE, RESET, SILENCE)),
)
def test_of_a_server_that_gives_up_nothing_is_concluded_that_is_not_so(
    suites: dict[TlsVersion, tuple[int, ...]], after: int, into: Said
) -> None:
    model = Model(suites=suites)
    assert falsehoods(model, survey(limited(model, after=after, into=into))) == []
