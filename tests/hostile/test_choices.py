"""Servers that choose and then fail, or choose wrongly: a ServerHello proves a suite, no more."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import Evidence, Support, TlsService, TlsVersion
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.servers import RC4_SHA, Backends
from tests.hostile.surveying import Case, Surveyor, assert_no_false_claim
from tests.support.hostile.behaviours import (
    alert,
    drip,
    finish_at_once,
    garbage,
    reset_at_once,
    says,
    stall,
)
from tests.support.hostile.endpoint import SIX, STRICT, Endpoint
from tests.support.hostile.hello import server_hello_bytes
from tests.support.hostile.pieces import signed_wrongly
from tests.support.tcp import Connection

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def alert_at_once(connection: Connection) -> None:
    await connection.send(b"\x15\x03\x03\x00\x02\x02\x28")


async def test_a_suite_that_is_chosen_and_never_used_is_offered_and_satisfies_nothing(
    hurried: Surveyor, backends: Backends
) -> None:
    """A ServerHello alone does not satisfy the need for a required suite.

    DESIGN, "The policy": CIPHER_SUITE_NONE_REQUIRED wants a completed handshake.
    """
    afterwards = {
        "silent": stall,
        "closes": finish_at_once,
        "resets": reset_at_once,
        "handshake_failure": alert_at_once,
        "drips": drip(0.05),
        "garbage": garbage,
    }
    truth = Truth(always=STRICT, completes=False)
    cases: list[Case] = []
    for name, after_choice in afterwards.items():
        picks = replace(backends.strict, accepts={}, scripted=STRICT, after_choice=after_choice)
        cases.append(Case(name=name, behaviour=picks, truth=truth))
    cases.append(
        Case(
            name="signs wrongly",
            behaviour=replace(backends.strict, send=signed_wrongly),
            truth=truth,
        )
    )
    surveyed = await hurried.survey(*cases)
    assert_no_false_claim(surveyed)
    for name, one in surveyed.items():
        assert one.verdict.decision is not Decision.ALLOW, name
        assert not [fact for fact in one.facts.deployments if fact.support is Support.YES], name
        assert one.facts.tls is TlsService.SERVED, name
        assert one.versions()[TlsVersion.TLS_1_2] == "YES", name
        assert {
            suite for suite, support in one.suites(TlsVersion.TLS_1_2).items() if support == "YES"
        } <= SIX, name


async def test_what_was_not_offered_is_a_violation_and_no_choice(hurried: Surveyor) -> None:
    answers = {
        "a suite of nobody": server_hello_bytes(TlsVersion.TLS_1_2, 0xEEEE),
        "a signalling value": server_hello_bytes(TlsVersion.TLS_1_2, 0x00FF),
        "the fallback signal": server_hello_bytes(TlsVersion.TLS_1_2, 0x5600),
        "a suite of TLS 1.3 over TLS 1.2": server_hello_bytes(TlsVersion.TLS_1_2, 0x1301),
        "a suite of TLS 1.2 over TLS 1.3": server_hello_bytes(TlsVersion.TLS_1_3, 0xC02F),
        "GREASE": server_hello_bytes(TlsVersion.TLS_1_2, 0x0A0A),
        "a version above": server_hello_bytes(0x0304, 0x1301, extensions=b""),
        "TLS 1.3 as legacy version": b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x04"
        + bytes(32)
        + b"\x00\x13\x01\x00",
    }
    surveyed = await hurried.survey(
        *(
            Case(name=name, behaviour=says(answer), truth=Truth(completes=False))
            for name, answer in answers.items()
        )
    )
    for name, one in surveyed.items():
        supports = {
            fact.version: fact.support
            for fact in one.facts.versions
            if fact.version <= TlsVersion.TLS_1_2
        }
        assert set(supports.values()) <= {Support.UNKNOWN}, name
        assert one.verdict.decision is not Decision.ALLOW, name
        assert one.facts.remarks, name


async def test_a_choice_that_was_not_offered_refuses_nothing(
    hurried: Surveyor, backends: Backends
) -> None:
    """A good server answers weak hellos with its own choice.

    Nothing is absent, and only what is good is present.
    """
    refusals = {
        "an unoffered suite": says(server_hello_bytes(TlsVersion.TLS_1_2, 0xEEEE)),
        "a good suite that was not offered": says(server_hello_bytes(TlsVersion.TLS_1_2, 0xC02F)),
        "a later version": says(server_hello_bytes(TlsVersion.TLS_1_3, 0x1301)),
    }
    cases = [
        Case(name=name, behaviour=replace(backends.strict, refuse=one), truth=Truth(always=STRICT))
        for name, one in refusals.items()
    ]
    surveyed = await hurried.survey(*cases)
    assert_no_false_claim(surveyed)
    for name, one in surveyed.items():
        assert one.verdict.decision is Decision.INDETERMINATE, name
        assert "NO" not in one.suites(TlsVersion.TLS_1_2).values(), name


async def test_a_lower_choice_proves_that_the_higher_versions_are_absent(
    hurried: Surveyor, backends: Backends
) -> None:
    old = Endpoint(
        context=backends.strict.context,
        accepts={},
        scripted={TlsVersion.TLS_1_0: frozenset({RC4_SHA})},
    )
    truth = Truth(always=old.truth, completes=False)
    surveyed = await hurried.survey(
        Case(name="old", behaviour=old, truth=truth),
        Case(name="old and rude", behaviour=replace(old, refuse=alert(90)), truth=truth),
    )
    assert_no_false_claim(surveyed)
    for name, one in surveyed.items():
        assert one.versions()[TlsVersion.TLS_1_0] == "YES", name
        above = {
            fact.evidence
            for fact in one.facts.versions
            if TlsVersion.TLS_1_0 < fact.version <= TlsVersion.TLS_1_2
        }
        assert above <= {Evidence.LOWER_VERSION, Evidence.ALERT}, name
        assert one.verdict.decision is Decision.DENY, name
