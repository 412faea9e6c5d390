"""Servers that accept good hellos and refuse the rest in various ways: which ways prove absence."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import Evidence, Support, TlsVersion
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import KNOWN_ALERTS, REFUSING_ALERTS, Truth
from tests.hostile.servers import Backends, rotating
from tests.hostile.surveying import Case, Surveyed, Surveyor, assert_no_false_claim
from tests.support.hostile.behaviours import (
    alert,
    drip,
    finish,
    garbage,
    reset,
    reset_at_once,
    says,
    stall,
)
from tests.support.hostile.endpoint import STRICT
from tests.support.hostile.hello import SeenHello, alert_bytes, server_hello_bytes
from tests.support.hostile.turns import once_seen, where
from tests.support.tcp import Behaviour

pytestmark = pytest.mark.asyncio(loop_scope="package")

_INTERNAL_ERROR = 80
_REFUSED = (TlsVersion.TLS_1_0, TlsVersion.TLS_1_1)


def refusing(backends: Backends, refuse: Behaviour) -> tuple[Behaviour, Truth]:
    return replace(backends.strict, refuse=refuse), Truth(always=backends.strict.truth)


def absences(one: Surveyed) -> set[Evidence]:
    """Return the evidence by which TLS 1.0 and 1.1, and suites of TLS 1.2, are claimed absent."""
    versions = {
        fact.evidence
        for fact in one.facts.versions
        if fact.version in _REFUSED and fact.support is Support.NO
    }
    return versions | suites_absent(one)


def suites_absent(one: Surveyed) -> set[Evidence]:
    """Return the evidence by which suites of TLS 1.2 are claimed absent."""
    return {
        fact.evidence
        for fact in one.facts.cipher_suites
        if fact.version is TlsVersion.TLS_1_2 and fact.support is Support.NO
    }


async def test_only_some_alerts_refuse(patient: Surveyor, backends: Backends) -> None:
    """DESIGN, "Evidence": 40, 47, 70 and 71 refuse, and 80 does when it is confirmed.

    Every other alert proves nothing about what is offered.
    """
    cases: list[Case] = []
    for description in KNOWN_ALERTS:
        behaviour, truth = refusing(backends, alert(description))
        cases.append(Case(name=str(description), behaviour=behaviour, truth=truth))
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    allowed = {name for name, one in surveyed.items() if one.verdict.decision is Decision.ALLOW}
    assert allowed == {str(description) for description in (*REFUSING_ALERTS, _INTERNAL_ERROR)}
    for name, one in surveyed.items():
        expected = (
            {Evidence.ALERT}
            if int(name) in REFUSING_ALERTS
            else {Evidence.CLOSED_CONFIRMED}
            if int(name) == _INTERNAL_ERROR
            else set()
        )
        assert absences(one) == expected, name


async def test_an_alert_that_is_not_fatal_refuses_nothing(
    hurried: Surveyor, backends: Backends
) -> None:
    """A warning may precede an answer, and an unknown level is a violation.

    Neither is the clean alert that the design demands.
    """
    cases: list[Case] = []
    for level in (0, 1, 3, 255):
        for description in (40, 70, 80, 112):
            behaviour, truth = refusing(backends, alert(description, level))
            cases.append(
                Case(name=f"{description} of level {level}", behaviour=behaviour, truth=truth)
            )
    surveyed = await hurried.survey(*cases)
    assert_no_false_claim(surveyed)
    assert {name for name, one in surveyed.items() if absences(one)} == set()
    assert {one.verdict.decision for one in surveyed.values()} == {Decision.INDETERMINATE}


REFUSALS: dict[str, Behaviour] = {
    "reset": reset,
    "close": finish,
    "reset before the hello is read": reset_at_once,
    "stall": stall,
    "drip": drip(0.05),
    "garbage": garbage,
    "HTTP": says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "half an alert": says(b"\x15\x03\x03\x00\x02\x02"),
    "two alerts": says(alert_bytes(112) + alert_bytes(40)),
    "a warning, then a fatal alert": says(alert_bytes(112, level=1) + alert_bytes(40)),
    "an unoffered suite": says(server_hello_bytes(TlsVersion.TLS_1_2, 0xEEEE)),
    "an unoffered version": says(server_hello_bytes(0x0399, 0xC02F)),
    "a suite of TLS 1.3 over TLS 1.2": says(server_hello_bytes(TlsVersion.TLS_1_2, 0x1301)),
    "half a ServerHello": says(server_hello_bytes(TlsVersion.TLS_1_2, 0xC02F)[:40]),
}
# What may prove absence at all; "two alerts" begin with one that refuses nothing. HTTP is how some
# servers refuse an old hello, and tells nothing about suites.
_PROOFS = {"reset", "close", "reset before the hello is read", "a warning, then a fatal alert"}


async def test_closing_is_confirmed_and_every_other_manner_proves_nothing(
    hurried: Surveyor, backends: Backends
) -> None:
    cases: list[Case] = []
    for name, refuse in REFUSALS.items():
        behaviour, truth = refusing(backends, refuse)
        cases.append(Case(name=name, behaviour=behaviour, truth=truth))
    surveyed = await hurried.survey(*cases)
    assert_no_false_claim(surveyed)
    assert {name for name, one in surveyed.items() if absences(one)} <= _PROOFS | {"HTTP"}
    assert not suites_absent(surveyed["HTTP"])
    for name, one in surveyed.items():
        assert (one.verdict.decision is Decision.ALLOW) <= (name in _PROOFS), name
        assert one.versions().get(TlsVersion.TLS_1_2) != "NO", name


async def test_a_server_that_closes_on_what_it_does_not_accept_is_known(
    patient: Surveyor, backends: Backends
) -> None:
    cases = [
        Case(name=name, behaviour=replace(backends.strict, refuse=one), truth=Truth(always=STRICT))
        for name, one in (("reset", reset), ("close", finish))
    ]
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    for name, one in surveyed.items():
        assert (absences(one), one.verdict.decision) == (
            {Evidence.CLOSED_CONFIRMED},
            Decision.ALLOW,
        ), name


async def test_a_lax_server_is_seen_through_whatever_its_refusals_are(
    hurried: Surveyor, backends: Backends
) -> None:
    """Whatever refuses the rest, what is accepted is never called absent, and never passes."""
    refusals = {**REFUSALS, "alert 40": alert(40), "alert 80": alert(80), "alert 112": alert(112)}
    endpoints = list(backends.lax.values())
    cases: list[Case] = []
    for number, (name, refuse) in enumerate(refusals.items()):
        lax = rotating(endpoints, number)
        cases.append(
            Case(name=name, behaviour=replace(lax, refuse=refuse), truth=Truth(always=lax.truth))
        )
    assert_no_false_claim(await hurried.survey(*cases, lanes=12))


def is_ssl2(hello: SeenHello) -> bool:
    return hello.highest is TlsVersion.SSL_2_0


def is_ssl3(hello: SeenHello) -> bool:
    return hello.highest is TlsVersion.SSL_3_0


def is_old(hello: SeenHello) -> bool:
    return hello.highest < TlsVersion.TLS_1_2


async def test_an_old_hello_that_hangs_a_server_leaves_what_was_asked_unknown(
    hurried: Surveyor, backends: Backends
) -> None:
    """Silence is not a refusal. A dead server is not reported to lack what it served before."""
    claims = {"SSL 2": is_ssl2, "SSL 3": is_ssl3, "anything below TLS 1.2": is_old}
    strict, old = backends.strict, backends.old_version
    cases = [
        Case(
            name=f"{name} stalls",
            behaviour=where(claim, stall, strict),
            truth=Truth(always=strict.truth),
        )
        for name, claim in claims.items()
    ]
    for name, claim in claims.items():
        for way, dead in {"stalls": stall, "alerts": alert(40)}.items():
            cases.append(
                Case(
                    name=f"{name} {way} for good",
                    behaviour=once_seen(claim, strict, dead),
                    truth=Truth(always=strict.truth),
                )
            )
            cases.append(
                Case(
                    name=f"lax, {name} {way} for good",
                    behaviour=once_seen(claim, old, dead),
                    truth=Truth(always=old.truth),
                )
            )
    surveyed = await hurried.survey(*cases, lanes=12)
    assert_no_false_claim(surveyed)
    for name in claims:
        one = surveyed[f"{name} stalls"]
        assert (
            one.versions()[TlsVersion.SSL_2_0 if name == "SSL 2" else TlsVersion.SSL_3_0]
            == "UNKNOWN"
        ), name
        assert one.versions()[TlsVersion.TLS_1_2] == "YES", name
        assert one.verdict.decision is Decision.INDETERMINATE, name
