"""Groups of TLS 1.3 by HelloRetryRequest: true for every server, complete for ordinary ones."""

import os
import random
from collections.abc import Callable, Collection, Sequence

import pytest

from otpc_policy.core.facts import Evidence, Support, TlsVersion
from otpc_policy.core.registries.groups import (
    CLIENT_CURVES,
    CLIENT_FINITE_FIELDS,
    CLIENT_GROUPS,
    CLIENT_HYBRIDS,
)
from otpc_policy.engine.facts.groups import group_facts
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.group_survey import GroupSurvey
from otpc_policy.engine.survey.probe import Ending, Outcome, Purpose
from otpc_policy.engine.transport.conversation import Conversation
from tests.engine.facts.scans import COMPLIANT
from tests.engine.profiles.known_clients import OPENSSL_3
from tests.engine.survey.fixed_cast import FIXED_CAST
from tests.engine.survey.model_server import CLOSE, RESET, SILENCE, Said, alert, server_hello
from tests.engine.survey.surveying import random_refusals
from tests.engine.survey.surveying import survey as survey_of_suites
from tests.tls.sent_hello import SentHello, read_hello

pytestmark = pytest.mark.long

NAME = "gateway.partner.example"
SUITE = 0x1301
X25519, P256, P384, P521, X448, HYBRID = 29, 23, 24, 25, 30, 0x11EC
BRAINPOOL = 31
_RETRY_RANDOM = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

# number: of the connection, from 0.
Server = Callable[[SentHello, int], Said]


def retry_request(group: int, *, suite: int = SUITE) -> Said:
    """RFC 8446 4.1.4."""
    extensions = bytes.fromhex("002b00020304 00330002") + group.to_bytes(2, "big")
    body = b"\3\3" + _RETRY_RANDOM + b"\0" + suite.to_bytes(2, "big") + b"\0"
    body += len(extensions).to_bytes(2, "big") + extensions
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return Said(b"\x16\x03\x03" + len(message).to_bytes(2, "big") + message)


def honest(
    *groups: int, refusal: Said | None = None, by_client: bool = False, suite: int = SUITE
) -> Server:
    """A server that exchanges keys over these groups, in its order or in the client's."""

    def answer(hello: SentHello, _: int) -> Said:
        offered = hello.groups or ()
        order, other = (offered, groups) if by_client else (groups, offered)
        shared = [group for group in order if group in other]
        if not shared:
            return alert(40) if refusal is None else refusal
        return retry_request(shared[0], suite=suite)

    return answer


def surveyed(
    server: Server, *, known: Collection[int] = (), suites: Collection[int] = (SUITE,)
) -> GroupSurvey:
    """A survey to its end. What is sent last in a wave is answered last."""
    survey = GroupSurvey(NAME, client=OPENSSL_3, suites=suites, known=known)
    number = 0
    while wave := survey.next_wave():
        outcomes = []
        assert [probe.is_last for probe in wave] == sorted(probe.is_last for probe in wave)
        for probe in wave:
            conversation = Conversation(probe.hello, os.urandom)
            said = server(read_hello(conversation.opening), number)
            number += 1
            assert not conversation.receive(said.content), "nothing more is sent"
            is_answered = conversation.is_answered
            outcomes.append(
                Outcome(
                    ending=Ending.ANSWERED if is_answered else said.ending,
                    connected=True,
                    answer=conversation.answer_at_end(),
                )
            )
        survey.take(wave, outcomes)
    return survey


def test_a_hello_is_openssls_with_these_groups_and_no_key_share() -> None:
    (probe,) = GroupSurvey(
        NAME, client=OPENSSL_3, suites=(0x1303, 0x1301), known=(X25519,)
    ).next_wave()
    hello = read_hello(Conversation(probe.hello, os.urandom).opening)
    assert hello.groups == tuple(group for group in CLIENT_GROUPS if group != X25519)
    assert (hello.key_shares, hello.extension(51)) == ((), b"\0\0")
    assert hello.cipher_suites == (0x1303, 0x1301)
    assert hello.offered_versions == (TlsVersion.TLS_1_3,)
    assert hello.server_name == NAME
    assert hello.alpn


# As the servers are by default, with what their flights use: connections that are needed.
ORDINARY = {
    "Go, BoringSSL": ((HYBRID, X25519, P256), (X25519, P256), 7),
    "OpenSSL 3.0": ((X25519, P256, X448, P521, P384, *CLIENT_FINITE_FIELDS), (X25519, P256), 12),
    "OpenSSL 3.5": (
        (HYBRID, X25519, P256, X448, P384, P521, 256, 257),
        (X25519, P256),
        15,
    ),
    "two curves": ((P256, P384), (P256,), 7),
    "three curves": ((X25519, P256, P384), (X25519, P256), 7),
    "what its flights use": ((X25519, P256), (X25519, P256), 6),
    "a hybrid alone": ((HYBRID,), (), 7),
    "a finite field alone": ((256,), (256,), 6),
    "everything": (CLIENT_GROUPS, (X25519, P256), 13),
}


@pytest.mark.parametrize("by_client", [False, True])
@pytest.mark.parametrize(("groups", "known", "connections"), ORDINARY.values(), ids=ORDINARY.keys())
def test_an_ordinary_server_is_known_completely_by_few_connections(
    groups: Sequence[int], known: Sequence[int], connections: int, by_client: bool
) -> None:
    survey = surveyed(honest(*groups, by_client=by_client), known=known)
    assert survey.accepted == set(groups)
    refused = set(CLIENT_GROUPS) - set(groups)
    assert survey.absences() == dict.fromkeys(refused, Evidence.ALERT)
    assert len(survey.records) <= connections


@pytest.mark.parametrize(
    ("description", "evidence"),
    [
        *((refusing, Evidence.ALERT) for refusing in (40, 47, 71)),
        (10, Evidence.ALERT),  # JSSE
        (80, Evidence.CLOSED_CONFIRMED),
        *((vague, Evidence.NONE) for vague in (50, 109, 112, 0)),
    ],
)
def test_which_alerts_refuse(description: int, evidence: Evidence) -> None:
    survey = surveyed(honest(X25519, P384, refusal=alert(description)), known=(X25519,))
    assert survey.accepted == {X25519, P384}
    assert survey.absences().get(HYBRID, Evidence.NONE) is evidence


def test_a_warning_refuses_nothing() -> None:
    survey = surveyed(honest(X25519, P384, refusal=alert(10, level=1)), known=(X25519,))
    assert not survey.absences()


@pytest.mark.parametrize("close", [CLOSE, RESET])
def test_a_server_that_closes_is_asked_three_times(close: Said) -> None:
    survey = surveyed(honest(X25519, P256, HYBRID, refusal=close), known=(X25519, P256))
    assert set(survey.absences().values()) == {Evidence.CLOSED_CONFIRMED}
    assert len(survey.absences()) == len(CLIENT_GROUPS) - 3
    assert len(survey.records) <= 20


def test_silence_proves_nothing_and_is_met_twice() -> None:
    survey = surveyed(honest(X25519, P384, refusal=SILENCE), known=(X25519,))
    assert survey.accepted == {X25519, P384}
    assert not survey.absences()
    assert len(survey.records) <= 20


def test_a_group_that_clients_do_not_offer_serves_as_control() -> None:
    survey = surveyed(honest(BRAINPOOL), known=(BRAINPOOL,))
    assert survey.accepted == {BRAINPOOL}
    assert set(survey.absences()) == set(CLIENT_GROUPS)


def test_a_server_that_takes_no_hello_without_a_share_proves_nothing() -> None:
    survey = surveyed(lambda *_: alert(40), known=(X25519,))
    assert survey.accepted == {X25519}
    assert not survey.absences()
    assert len(survey.records) == 3


def test_a_suite_of_its_own_is_offered_to_a_server_without_the_usual_ones() -> None:
    survey = surveyed(honest(X25519, suite=0x1304), known=(X25519,), suites=(0x1304,))
    assert set(survey.absences()) == set(CLIENT_GROUPS) - {X25519}


# Hostile servers.


def named(group: int) -> Server:
    """Every hello is answered by a request for this group, offered or not."""
    return lambda *_: retry_request(group)


@pytest.mark.parametrize("group", [0x0A0A, BRAINPOOL, X25519])
def test_a_group_that_was_not_offered_is_neither_accepted_nor_a_control(group: int) -> None:
    survey = surveyed(named(group), known=(X25519,))
    assert survey.accepted == {X25519}
    assert not survey.absences()
    if group != X25519:
        assert any("which was not offered" in record.remark for record in survey.records)


def test_the_same_group_for_everything_proves_that_group_alone() -> None:
    survey = surveyed(named(HYBRID), known=(X25519,))
    assert survey.accepted == {X25519, HYBRID}
    assert not survey.absences()


def test_a_server_hello_without_a_share_to_answer_breaks_the_protocol() -> None:
    survey = surveyed(lambda *_: server_hello(TlsVersion.TLS_1_3, SUITE), known=(X25519,))
    assert survey.accepted == {X25519}
    assert not survey.absences()
    assert any("no group" in record.remark for record in survey.records)


@pytest.mark.parametrize(
    "said",
    [
        server_hello(TlsVersion.TLS_1_2, 0xC02F),
        server_hello(TlsVersion.TLS_1_2, SUITE),
        retry_request(X25519, suite=0x1399),
        Said(retry_request(P384).content[:20], Ending.CLOSED),
        Said(b"\x16\x03\x03" + bytes(200)),
        Said(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    ],
    ids=["TLS 1.2", "TLS 1.2 with 1.3's suite", "another suite", "cut short", "zeros", "HTTP"],
)
def test_no_other_answer_says_anything_of_groups(said: Said) -> None:
    survey = surveyed(lambda *_: said, known=(X25519,))
    assert survey.accepted == {X25519}
    assert not survey.absences()


def test_two_retry_requests_in_one_flight_are_one() -> None:
    """No second hello is sent, so the second request answers nothing."""

    def twice(hello: SentHello, number: int) -> Said:
        first = honest(P384, P521)(hello, number)
        is_request = first.content[0] == 0x16
        return Said(first.content + retry_request(P521).content) if is_request else first

    survey = surveyed(twice, known=())
    assert survey.accepted == {P384, P521}
    assert set(survey.absences()) == set(CLIENT_GROUPS) - {P384, P521}


@pytest.mark.parametrize("into", [alert(40), CLOSE, RESET, SILENCE])
@pytest.mark.parametrize("after", range(14))
def test_a_server_that_turns_away_everybody_proves_no_absence_from_then_on(
    after: int, into: Said
) -> None:
    honestly = honest(X25519, P256, X448, P521, P384, *CLIENT_FINITE_FIELDS)

    def turning(hello: SentHello, number: int) -> Said:
        return honestly(hello, number) if number < after else into

    survey = surveyed(turning, known=(X25519, P256))
    assert set(survey.absences()) <= set(CLIENT_HYBRIDS)


def test_a_refusal_that_a_control_contradicts_counts_no_more_than_others() -> None:
    """The server refuses finite fields by themselves, and takes them in other company."""
    honestly = honest(*CLIENT_FINITE_FIELDS, X25519)

    def moody(hello: SentHello, number: int) -> Said:
        is_alone = set(hello.groups or ()) <= set(CLIENT_FINITE_FIELDS)
        return alert(40) if is_alone else honestly(hello, number)

    survey = surveyed(moody, known=(X25519,))
    assert not survey.is_steady
    assert not survey.absences()


AT_RANDOM = [(one_in, into) for one_in in (2, 3, 5, 20) for into in (alert(40), alert(10), CLOSE)]
# What the survey of groups alone misses, of 200 servers: its few hellos show less of a server's
# mood than the many of the survey of suites, so both have to be steady.
MISSED_AT_MOST = 10


def at_random(server: Server, *, seed: int, one_in: int, into: Said) -> Server:
    chance = random.Random(seed)

    def answer(hello: SentHello, number: int) -> Said:
        return into if chance.randrange(one_in) == 0 else server(hello, number)

    return answer


@pytest.mark.parametrize(("one_in", "into"), AT_RANDOM)
def test_a_server_that_refuses_at_random_is_seldom_believed(one_in: int, into: Said) -> None:
    """What is not accepted is never taken for accepted, and the survey ends."""
    groups, believed = (X25519, P256, HYBRID, P384, 256), 0
    for seed in range(200):
        server = at_random(honest(*groups), seed=seed, one_in=one_in, into=into)
        survey = surveyed(server, known=(X25519, P256))
        assert survey.accepted <= set(groups)
        assert len(survey.records) <= 60
        believed += any(group in survey.absences() for group in groups)
    assert believed <= MISSED_AT_MOST


@pytest.mark.parametrize(("one_in", "into"), AT_RANDOM)
def test_no_accepted_group_is_a_fact_that_says_no_where_refusals_come_at_random(
    one_in: int, into: Said
) -> None:
    groups = (X25519, P256, HYBRID, P384, 256)
    for seed in range(25):
        suites = random_refusals(COMPLIANT, seed=seed, one_in=one_in, into=into)
        server = at_random(honest(*groups), seed=seed, one_in=one_in, into=into)
        facts = group_facts(
            Measured(
                surveys=(survey_of_suites(suites).journal,),
                clients=ClientSurvey(NAME, FIXED_CAST),
                groups=surveyed(server, known=(X25519, P256)),
            )
        )
        assert {fact.code_point for fact in facts} == set(CLIENT_GROUPS)
        refused = {fact.code_point for fact in facts if fact.support is Support.NO}
        assert refused.isdisjoint(groups)
        accepted = {fact.code_point for fact in facts if fact.support is Support.YES}
        assert accepted <= set(groups)


def test_a_server_that_answers_at_random_is_left_after_some_connections() -> None:
    for seed in range(100):
        chance = random.Random(seed)

        def anything(hello: SentHello, _: int, draw: random.Random = chance) -> Said:
            group = draw.choice(hello.groups or (X25519,))
            return draw.choice((retry_request(group), alert(40), CLOSE, SILENCE, alert(50)))

        survey = surveyed(anything, known=())
        assert len(survey.records) <= 60


def test_controls_are_sent_last_and_hold_the_lists() -> None:
    survey = surveyed(honest(X25519, P256, HYBRID), known=(X25519, P256))
    controls = [record for record in survey.records if not record.is_question]
    assert [control.record.probe.purpose for control in controls] == [Purpose.CLOSING_CONTROL] * 2
    assert all(control.record.probe.is_last for control in controls)
    refused = [set(record.groups) for record in survey.records if record.is_refused]
    kinds = [
        set(CLIENT_HYBRIDS) - {HYBRID},
        set(CLIENT_CURVES) - {X25519, P256},
        set(CLIENT_FINITE_FIELDS),
    ]
    # Each kind, and then all of them together.
    assert refused == [*kinds, set().union(*kinds)]
    assert all(set(control.groups) == {*refused[-1], HYBRID} for control in controls)
