"""Deafness and intolerance are met, not mistaken for refusals."""

import pytest

from otpc_policy.core.facts import Support, TlsVersion
from tests.engine.survey.model_server import RESET, Model
from tests.engine.survey.surveying import falsehoods, gaps, survey

SSL3, TLS10, TLS11, TLS12 = (
    TlsVersion.SSL_3_0,
    TlsVersion.TLS_1_0,
    TlsVersion.TLS_1_1,
    TlsVersion.TLS_1_2,
)
# The first is among the first 64 of every list that holds it, the second is not.
EARLY, LATE = 0x002F, 0xC013


@pytest.mark.parametrize("reads", [64, 128])
@pytest.mark.parametrize("old", [SSL3, TLS10, TLS11])
@pytest.mark.parametrize(
    "modern", [(EARLY,), (0xC02F,), (EARLY, 0xC02F)], ids=["early", "payment", "both"]
)
def test_a_suite_of_an_old_version_is_found_where_long_lists_are_not_read_to_their_end(
    reads: int, old: TlsVersion, modern: tuple[int, ...]
) -> None:
    """A control of another version, accepted for its first suite, proves nothing of long lists."""
    model = Model(suites={TLS12: modern, old: (LATE,)}, reads=reads)
    surveyed = survey(model)
    assert surveyed.measured.is_steady
    assert falsehoods(model, surveyed) == gaps(model, surveyed) == []
    assert surveyed.versions[old][0] is Support.YES


@pytest.mark.parametrize("suite", [EARLY, LATE])
def test_ssl_3_is_found_where_long_hellos_are_disliked(suite: int) -> None:
    """Its hellos have no extensions, and are long by their suites alone."""
    model = Model(
        suites={SSL3: (suite,), TLS10: (EARLY,)}, longest=255, overlong=RESET, no_version=RESET
    )
    surveyed = survey(model)
    assert falsehoods(model, surveyed) == gaps(model, surveyed) == []
