"""Facts on versions and suites: presence from anything seen, absence from a steady last survey."""

from dataclasses import replace

from otpc_policy.core.facts import Evidence, KeyType, Support, TlsVersion
from otpc_policy.engine.facts.offers import cipher_suite_facts
from otpc_policy.engine.survey.offers import PAYMENT_RSA, PAYMENT_SUITES, suites_at
from tests.engine.facts.scans import (
    COMPLIANT,
    OBTAINED,
    PROVEN,
    REFUSED,
    RSA_ALONE,
    SSL3,
    TLS10,
    TLS12,
    TLS13,
    UNKNOWN,
    UNSIGNED,
    clients,
    deployments,
    flown,
    measured,
    presented,
    seen,
    surveyed,
    unsteady,
    versions,
)
from tests.engine.profiles.known_clients import OPENSSL_3
from tests.engine.survey.model_server import SILENCE, Model, Said, alert
from tests.engine.survey.surveying import random_refusals


def test_nothing_measured_is_nothing_known() -> None:
    found = measured()
    assert versions(found) == dict.fromkeys(TlsVersion, UNKNOWN)
    assert cipher_suite_facts(found) == ()
    assert deployments(found) == {(KeyType.RSA, *UNKNOWN), (KeyType.ECDSA, *UNKNOWN)}


def test_every_suite_of_every_version_that_is_offered_has_a_fact_in_order() -> None:
    facts = cipher_suite_facts(measured(COMPLIANT))
    assert [(fact.version, fact.code_point) for fact in facts] == [
        (version, suite) for version in (TLS12, TLS13) for suite in suites_at(version)
    ]
    assert {fact.evidence for fact in facts} == {Evidence.SERVER_HELLO, Evidence.ALERT}


def test_a_handshake_proves_presence_too_and_is_reported() -> None:
    found = measured(
        RSA_ALONE,
        done=[presented(TLS12, PAYMENT_RSA[0], KeyType.RSA), presented(TLS10, 0x002F, KeyType.RSA)],
    )
    assert versions(found)[TLS10] == OBTAINED
    completed = {
        (fact.version, fact.code_point): fact.handshake_completed
        for fact in cipher_suite_facts(found)
        if fact.support is Support.YES
    }
    assert {key for key, is_completed in completed.items() if is_completed} == {
        (TLS12, PAYMENT_RSA[0]),
        (TLS10, 0x002F),
    }


def test_presence_is_taken_from_all_surveys_and_absence_from_a_steady_last_one_alone() -> None:
    old = Model(suites={TLS12: (*PAYMENT_SUITES, 0x002F), TLS10: (0x002F,)})
    found = measured(old, COMPLIANT)
    assert versions(found)[TLS10] == OBTAINED
    assert {
        fact.code_point
        for fact in cipher_suite_facts(found)
        if fact.version is TLS12 and fact.support is Support.YES
    } == {*PAYMENT_SUITES, 0x002F}
    assert measured(unsteady(), COMPLIANT).is_steady
    for found in (measured(unsteady()), measured(COMPLIANT, unsteady())):
        assert not found.is_steady
        assert not found.absences(TLS12)
        assert Evidence.ALERT not in {evidence for _, evidence in versions(found).values()}


def test_a_lower_version_counts_even_from_an_unsteady_server() -> None:
    server = random_refusals(
        Model(suites={TLS12: PAYMENT_SUITES}), seed=1, one_in=3, into=alert(40)
    )
    found = measured(server)
    assert not found.is_steady
    assert versions(found)[TLS13] == (Support.NO, Evidence.LOWER_VERSION)


def test_ssl_3_is_absent_only_if_its_hello_without_a_name_was_turned_away_too() -> None:
    """For want of a name is enough: a server that needs one is reached by clients that send it."""

    def silent_without_a_name(sent: bytes, number: int) -> Said:
        said = replace(COMPLIANT, needs_name=True)(sent, number)
        return SILENCE if said == alert(112) else said

    assert versions(measured(replace(COMPLIANT, needs_name=True)))[SSL3] == REFUSED
    assert versions(measured(silent_without_a_name))[SSL3] == UNKNOWN


def test_a_suite_whose_flight_is_proven_counts_as_completed_and_no_other() -> None:
    log = surveyed((TLS12, 0xC02F, PROVEN), (TLS12, 0x009C, UNSIGNED), (TLS12, 0xC030, None))
    asked = clients((OPENSSL_3, flown(TLS13, 0x1301, PROVEN)))
    every = cipher_suite_facts(seen(log, asked))
    facts = [fact for fact in every if fact.support is Support.YES]
    accepted = {(one.version, one.code_point): one.handshake_completed for one in facts}
    assert accepted == {
        (TLS12, 0xC02F): True,
        (TLS12, 0x009C): False,
        (TLS12, 0xC030): False,
        (TLS13, 0x1301): True,
    }
