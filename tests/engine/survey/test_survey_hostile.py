"""Servers that refuse for reasons of their own: whatever is concluded of them is true."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import Evidence, Support, TlsVersion
from otpc_policy.engine.survey.inference import contradictions
from otpc_policy.engine.survey.offers import PAYMENT_SUITES
from tests.engine.survey.model_server import CLOSE, RESET, SILENCE, Model, Said, alert
from tests.engine.survey.surveying import falsehoods, limited, random_refusals, survey

pytestmark = pytest.mark.long

TLS10, TLS12, TLS13 = TlsVersion.TLS_1_0, TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
COMPLIANT = Model(suites={TLS13: (0x1302, 0x1303, 0x1301), TLS12: PAYMENT_SUITES})
# One old version and one old suite, which a false "absent" would hide.
WEAK = Model(
    suites={
        TLS13: (0x1302, 0x1303, 0x1301),
        TLS12: (*PAYMENT_SUITES, 0x000A),
        TLS10: (0xC013, 0x002F),
    }
)
INTO = {
    "40": alert(40),
    "70": alert(70),
    "80": alert(80),
    "warning": alert(112, 1),
    "close": CLOSE,
    "reset": RESET,
    "silence": SILENCE,
    "garbage": Said(b"\x16\x03\x03\xff\xff\x02"),
    "HTTP": Said(b"HTTP/1.1 503 Slow Down\r\n\r\n"),
}


LIMITS = [
    *(
        pytest.param(COMPLIANT, INTO[name], range(41), id=f"compliant, {name}")
        for name in ("40", "close", "silence")
    ),
    *(
        pytest.param(COMPLIANT, INTO[name], range(2, 41, 6), id=f"compliant, {name}")
        for name in ("70", "80", "warning", "reset", "garbage", "HTTP")
    ),
    *(pytest.param(WEAK, INTO[name], range(41), id=f"weak, {name}") for name in ("40",)),
    *(
        pytest.param(WEAK, INTO[name], range(4, 61, 8), id=f"weak, {name}")
        for name in ("70", "80", "close", "silence")
    ),
]


@pytest.mark.parametrize(("model", "into", "limits"), LIMITS)
def test_a_server_that_refuses_after_so_many_connections_is_never_said_to_lack_what_it_has(
    model: Model, into: Said, limits: range
) -> None:
    """Refusals after the last accepted control prove nothing.

    So a limit inside the second wave leaves no version refused.
    """
    for after in limits:
        surveyed = survey(limited(model, after=after, into=into))
        assert falsehoods(model, surveyed) == [], after
        refused = {
            version
            for version, (_, evidence) in surveyed.versions.items()
            if evidence in (Evidence.ALERT, Evidence.CLOSED_CONFIRMED)
        }
        assert not refused or after > 20, after
        assert len(surveyed.waves) <= 12, after


@pytest.mark.parametrize(
    "into",
    [CLOSE, RESET, SILENCE, alert(80), alert(112)],
    ids=["close", "reset", "silence", "80", "112"],
)
@pytest.mark.parametrize("one_in", [3, 10])
def test_a_server_that_fails_by_chance_is_never_said_to_lack_what_it_has(
    one_in: int, into: Said
) -> None:
    """Closes count after three waves between controls; these alerts and silence never count."""
    for seed in range(6):
        assert (
            falsehoods(WEAK, survey(random_refusals(WEAK, seed=seed, one_in=one_in, into=into)))
            == []
        ), seed


@pytest.mark.parametrize(("one_in", "seen"), [(2, 20), (4, 18), (10, 10)])
def test_an_alert_that_is_sent_by_chance_is_seen_when_it_refuses_what_was_accepted(
    one_in: int, seen: int
) -> None:
    """The rule of evidence detects a refused hello that contains an accepted suite.

    The suite was accepted in a hello of the same shape that is no shorter; then no refusal counts.
    It cannot detect a single handshake_failure, between two accepted controls, to the only hello
    with a suite that no other hello revealed: the server is believed. seen: of twenty such servers.
    """
    unsteady = 0
    for seed in range(20):
        surveyed = survey(random_refusals(WEAK, seed=seed, one_in=one_in, into=alert(40)))
        if any(contradictions(surveyed.journal)):
            unsteady += 1
            assert falsehoods(WEAK, surveyed) == [], seed
            evidence = {evidence for _, evidence in surveyed.versions.values()}
            assert evidence <= {Evidence.NONE, Evidence.SERVER_HELLO, Evidence.LOWER_VERSION}
            assert all(surveyed.suites(Support.NO, version) == set() for version in TlsVersion)
            assert surveyed.remarks
    assert unsteady >= seen


def test_a_server_that_answers_a_lower_version_by_chance_hides_no_suite() -> None:
    """A lower version is evidence against a higher one only if that was never chosen."""
    lower = replace(
        WEAK,
        suites={version: suites for version, suites in WEAK.suites.items() if version is not TLS13},
    )

    def server(sent: bytes, number: int) -> Said:
        return (lower if number % 2 else WEAK)(sent, number)

    surveyed = survey(server)
    assert falsehoods(WEAK, surveyed) == []
    assert surveyed.versions[TLS13] == (Support.YES, Evidence.SERVER_HELLO)
