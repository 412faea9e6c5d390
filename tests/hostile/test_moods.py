"""Servers that change from connection to connection.

What they showed is never denied, and what contradicts itself proves nothing. Nobody who connects a
few dozen times can know the following, so it is not demanded here:
- a weak suite or version that is offered only on connections that a scan never makes (the
  hundredth, the last, those of another client);
- a suite or version that was refused every time, by a server that accepted everything else that it
  was asked for twice: several servers behind one address, of which chance let the strict ones
  answer, look exactly like one strict server;
- a suite or version that is hidden for good as soon as somebody seems to probe, if nothing had
  asked for it before.
In all these cases the facts are true of what was seen. So the claims are compared with the server's
own transcripts: a ServerHello that was sent makes NO a lie, and a hello that was refused though the
same server chose from it, or from a longer one, proves that refusals mean nothing here.
"""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import Support, TlsVersion
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth, is_unsteady
from tests.hostile.servers import Backends, beyond, rotating, together
from tests.hostile.surveying import Case, Surveyed, Surveyor, assert_no_false_claim
from tests.support.hostile.behaviours import (
    alert,
    finish,
    garbage,
    reset,
    reset_at_once,
    says,
    stall,
)
from tests.support.hostile.endpoint import Endpoint
from tests.support.hostile.hello import SeenHello, server_hello_bytes
from tests.support.hostile.turns import after, at_random, in_turn, once_seen

pytestmark = pytest.mark.asyncio(loop_scope="package")


def sometimes_lax(strict: Endpoint, lax: Endpoint) -> Truth:
    """Return the truth about an alternating server: what both accept, and what may stay unseen."""
    return Truth(always=strict.truth, unseen=beyond(lax, strict))


@pytest.mark.parametrize("manner", ["reset", "close", "alert 40", "alert 80"])
async def test_refusals_at_random_prove_nothing(
    manner: str, patient: Surveyor, backends: Backends
) -> None:
    refuse = {"reset": reset, "close": finish, "alert 40": alert(40), "alert 80": alert(80)}[manner]
    endpoints = list(backends.lax.values())
    cases: list[Case] = []
    for tenths in range(1, 10, 1 if manner == "alert 40" else 2):
        lax = rotating(endpoints, len(cases))
        behaviour = at_random(tenths / 10, 1, refuse, lax)
        cases.append(
            Case(
                name=f"{manner}, {tenths} of 10", behaviour=behaviour, truth=Truth(unseen=lax.truth)
            )
        )
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    # Only chance spares a scan any contradiction; with three refusals in ten that is beyond belief.
    assert [
        name
        for name, one in surveyed.items()
        if "1 of 10" not in name
        and "2 of 10" not in name
        and one.verdict.decision is Decision.ALLOW
    ] == []


def is_revealing(one: Surveyed) -> bool:
    """The scan was shown something that must not pass, or that refusals mean nothing."""
    hidden = one.case.truth.unseen
    shown = {exchange.proves for exchange in one.seen if exchange.proves}
    return is_unsteady(one.seen) or any(
        suite in hidden.get(version, ()) for version, suite in shown
    )


async def test_several_servers_behind_one_address_are_judged_by_the_worst_that_was_seen(
    patient: Surveyor, backends: Backends
) -> None:
    strict = backends.strict
    cases: list[Case] = []
    for name, lax in backends.lax.items():
        truth = sometimes_lax(strict, lax)
        cases += [
            Case(name=f"{name}, lax first", behaviour=in_turn(lax, strict), truth=truth),
            Case(name=f"{name}, strict first", behaviour=in_turn(strict, lax), truth=truth),
            Case(name=f"{name}, two strict", behaviour=in_turn(strict, strict, lax), truth=truth),
            Case(name=f"{name}, two lax", behaviour=in_turn(lax, strict, lax), truth=truth),
            Case(name=f"{name}, at random", behaviour=at_random(0.5, 7, strict, lax), truth=truth),
            Case(
                name=f"{name}, one that resets", behaviour=in_turn(lax, strict, reset), truth=truth
            ),
        ]
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    assert [
        name
        for name, one in surveyed.items()
        if one.verdict.decision is Decision.ALLOW and is_revealing(one)
    ] == []


async def test_what_is_shown_and_then_hidden_has_been_seen(
    patient: Surveyor, backends: Backends
) -> None:
    strict = backends.strict
    cases: list[Case] = []
    for name, lax in backends.lax.items():
        truth = sometimes_lax(strict, lax)
        for number in (5, 14, 20, 26):
            cases.append(
                Case(
                    name=f"{name}, strict after {number}",
                    behaviour=after(number, lax, strict),
                    truth=truth,
                )
            )
            cases.append(
                Case(
                    name=f"{name}, lax after {number}",
                    behaviour=after(number, strict, lax),
                    truth=truth,
                )
            )
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    assert [
        name
        for name, one in surveyed.items()
        if one.verdict.decision is Decision.ALLOW and is_revealing(one)
    ] == []


def asks_for_weak_alone(hello: SeenHello) -> bool:
    return hello.highest is TlsVersion.TLS_1_2 and not set(hello.cipher_suites) & {
        0xC02B,
        0xC02F,
        0xCCA9,
        0xCCA8,
        0xC023,
        0xC027,
    }


async def test_a_server_that_turns_away_whoever_probes_it_is_not_believed(
    patient: Surveyor, backends: Backends
) -> None:
    """From the first hello of weak suites alone, every hello is refused, controls included."""
    ways = {
        "handshake_failure": alert(40),
        "reset": reset,
        "close": finish,
        "internal_error": alert(80),
    }
    cases: list[Case] = []
    for name, lax in backends.lax.items():
        for way, refuse in ways.items():
            cases.append(
                Case(
                    name=f"{name}, {way}",
                    behaviour=once_seen(asks_for_weak_alone, lax, refuse),
                    truth=Truth(always=lax.truth),
                )
            )
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    assert Decision.ALLOW not in {one.verdict.decision for one in surveyed.values()}


async def test_a_server_that_answers_differently_each_time_proves_nothing_by_refusing(
    hurried: Surveyor, backends: Backends
) -> None:
    strict = backends.strict
    unoffered = says(server_hello_bytes(TlsVersion.TLS_1_2, 0x0066))
    mixtures = {
        "everything": in_turn(
            strict,
            alert(40),
            garbage,
            unoffered,
            reset,
            backends.old_version,
            finish,
            alert(80),
            backends.weak_suite,
            reset_at_once,
        ),
        "good and handshake_failure": in_turn(strict, alert(40)),
        "handshake_failure and good": in_turn(alert(40), strict),
        "good and unoffered": in_turn(strict, unoffered),
        "good and silent": in_turn(strict, stall),
        "good and garbage": in_turn(strict, garbage),
        "mostly good": in_turn(*[strict] * 5, alert(40)),
        "hardly good": in_turn(*[alert(40)] * 5, strict),
    }
    truth = Truth(
        always=strict.truth,
        unseen=together(beyond(backends.old_version, strict), beyond(backends.weak_suite, strict)),
    )
    surveyed = await hurried.survey(
        *(Case(name=name, behaviour=one, truth=truth) for name, one in mixtures.items())
    )
    assert_no_false_claim(surveyed)
    for name, one in surveyed.items():
        assert not (one.verdict.decision is Decision.ALLOW and is_unsteady(one.seen)), name
        assert one.facts.version(TlsVersion.TLS_1_2).support is not Support.NO, name


async def test_a_suite_for_some_and_another_for_others_are_both_listed(
    patient: Surveyor, backends: Backends
) -> None:
    """Two strict servers share no suite of TLS 1.2.

    A control that the other server refuses is a contradiction, so nothing is absent.
    """
    strict = backends.strict
    half = replace(
        strict,
        accepts={**strict.accepts, TlsVersion.TLS_1_2: frozenset({0xC02B, 0xC02F})},
        context=strict.context,
    )
    truth = Truth(always=half.truth, unseen=strict.truth)
    surveyed = await patient.survey(
        Case(name="halves", behaviour=in_turn(half, strict), truth=truth)
    )
    assert_no_false_claim(surveyed)
