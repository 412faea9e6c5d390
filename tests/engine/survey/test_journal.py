"""The record of a survey: what was asked and answered is kept in order and found again."""

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe, Purpose
from otpc_policy.engine.survey.reading import Reaction
from otpc_policy.tls.answer import Alert, Answer, ServerHello
from otpc_policy.tls.client_hello import ClientHello

TLS11, TLS12, TLS13 = TlsVersion.TLS_1_1, TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
SUITE, OTHER = 0xC02F, 0xC027
REFUSAL = Alert(2, 40)


def hello(version: TlsVersion, *suites: int) -> ClientHello:
    return ClientHello(
        version=version, lowest=version, cipher_suites=suites, server_name="partner.test"
    )


def chosen(version: TlsVersion, suite: int) -> ServerHello:
    return ServerHello(version=version, cipher_suite=suite, is_retry_request=False)


def add(journal: Journal, *asked: tuple[ClientHello, Answer]) -> None:
    journal.add(
        [Probe(hello=offer, purpose=Purpose.REMAINDER) for offer, _ in asked],
        [Outcome(ending=Ending.ANSWERED, connected=True, answer=answer) for _, answer in asked],
    )


def test_a_lower_version_passes_over_those_between() -> None:
    journal = Journal()
    add(journal, (hello(TLS13, SUITE), chosen(TLS11, SUITE)))
    assert [version for version in TlsVersion if journal.is_passed_over(version)] == [TLS12, TLS13]
    assert journal.versions == {TLS11}
    assert [version for version in TlsVersion if journal.has_chosen(version)] == [TLS11]


def test_each_wave_is_counted_and_each_hello_keeps_every_reaction() -> None:
    journal, offer = Journal(), hello(TLS12, SUITE)
    add(journal, (offer, REFUSAL), (hello(TLS12, OTHER), chosen(TLS12, OTHER)))
    add(journal, (offer, chosen(TLS12, SUITE)))
    assert journal.waves == 2
    assert [record.wave for record in journal.records] == [0, 0, 1]
    assert journal.reactions(offer) == [Reaction.REFUSED, Reaction.CHOSE]
    assert journal.reactions(hello(TLS13, SUITE)) == ()


def test_a_chosen_suite_is_found_with_its_first_record() -> None:
    journal = Journal()
    add(journal, (hello(TLS12, SUITE), chosen(TLS12, SUITE)))
    add(journal, (hello(TLS12, OTHER, SUITE), chosen(TLS12, SUITE)))
    assert {suite: record.wave for suite, record in journal.chosen(TLS12).items()} == {SUITE: 0}
    assert journal.accepted == journal.records
    assert not journal.refused(TLS12)
