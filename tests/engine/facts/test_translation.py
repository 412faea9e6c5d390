"""From surveys and handshakes to facts.

What is stated about versions, suites and deployments, and what is left unknown.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from otpc_policy.core.facts import Evidence, KeyType, Support, TlsVersion
from otpc_policy.engine.facts.remarks import remarks
from otpc_policy.engine.facts.translation import (
    Measured,
    cipher_suite_facts,
    deployment_facts,
    leaf_key_type,
    version_facts,
)
from otpc_policy.engine.probes.handshakes import Presented
from otpc_policy.engine.profiles.clients import (
    BROWSER,
    INSECURE_SUITES,
    OPENSSL_3,
    OPENSSL_102_AT_TLS_1_1,
    OPENSSL_102_WITH_RSA,
    ClientProfile,
    ProfileHello,
)
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import PAYMENT_RSA, PAYMENT_SUITES, suites_at
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe, Purpose
from otpc_policy.tls.answer import Alert, ServerHello
from otpc_policy.tls.client_hello import ClientHello
from otpc_policy.tls.flight import ServerFlight, Signature
from tests.engine.survey.model_server import SILENCE, Model, Said, Server, alert
from tests.engine.survey.surveying import NAME, limited, random_refusals, survey
from tests.support import forging
from tests.support.certificates import CertificateAuthority

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
COMPLIANT = Model(suites={TLS13: (0x1302, 0x1303, 0x1301), TLS12: PAYMENT_SUITES})
RSA_ALONE = Model(suites={TLS13: (0x1301,), TLS12: PAYMENT_RSA}, key_types=frozenset({KeyType.RSA}))
AUTHORITY = CertificateAuthority.create()
CHAINS = {
    kind: AUTHORITY.issue(key=key).chain_der
    for kind, key in (
        (KeyType.RSA, "rsa2048"),
        (KeyType.ECDSA, "ec256"),
        (KeyType.EDDSA, "ed25519"),
    )
}
Deployments = set[tuple[KeyType, Support, Evidence]]


def presented(
    version: TlsVersion, suite: int, kind: KeyType, *, staple: bytes | None = None
) -> Presented:
    return Presented(
        version=version,
        cipher_suite=suite,
        chain=CHAINS[kind],
        key_type=kind,
        stapled_ocsp_response=staple,
    )


def measured(*servers: Server, done: Sequence[Presented] = ()) -> Measured:
    return Measured(
        surveys=tuple(survey(one).journal for one in servers) or (Journal(),),
        clients=ClientSurvey(NAME),
        completed=done,
    )


def versions(found: Measured) -> dict[TlsVersion, tuple[Support, Evidence]]:
    return {fact.version: (fact.support, fact.evidence) for fact in version_facts(found)}


def deployments(found: Measured, wanted: TlsVersion = TLS12) -> Deployments:
    facts = deployment_facts(found, version_facts(found))
    return {
        (fact.key_type, fact.support, fact.evidence) for fact in facts if fact.version is wanted
    }


def unsteady() -> Server:
    """One server that refuses by chance; it draws on as it is asked."""
    return random_refusals(COMPLIANT, seed=1, one_in=3, into=alert(40))


OBTAINED = (Support.YES, Evidence.SERVER_HELLO)
REFUSED, UNKNOWN = (Support.NO, Evidence.ALERT), (Support.UNKNOWN, Evidence.NONE)


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


def test_key_types_up_to_tls_1_2_follow_from_chains_and_else_from_the_suites() -> None:
    rsa = presented(TLS12, PAYMENT_RSA[0], KeyType.RSA)
    assert deployments(measured(RSA_ALONE, done=[rsa])) == {
        (KeyType.RSA, *OBTAINED),
        (KeyType.ECDSA, *REFUSED),
    }
    # A suite that was chosen, and no handshake with it: the chain is unknown.
    assert deployments(measured(COMPLIANT, done=[rsa])) == {
        (KeyType.RSA, *OBTAINED),
        (KeyType.ECDSA, *UNKNOWN),
    }
    assert deployments(measured(limited(RSA_ALONE, after=9, into=SILENCE), done=[rsa])) == {
        (KeyType.RSA, *OBTAINED),
        (KeyType.ECDSA, *UNKNOWN),
    }


def test_an_ed25519_leaf_serves_suites_of_ecdsa() -> None:
    """RFC 8422 5.10."""
    done = [presented(TLS12, PAYMENT_RSA[0], KeyType.RSA), presented(TLS12, 0xC02B, KeyType.EDDSA)]
    assert deployments(measured(COMPLIANT, done=done)) == {
        (KeyType.RSA, *OBTAINED),
        (KeyType.EDDSA, *OBTAINED),
    }


def test_key_types_of_tls_1_3_that_no_client_asked_for_are_unknown() -> None:
    """Whether they are refused is for the client survey to decide (see test_client_survey.py)."""
    done = [presented(TLS13, 0x1301, KeyType.RSA)]
    assert deployments(measured(RSA_ALONE, done=done), TLS13) == {
        (KeyType.RSA, *OBTAINED),
        (KeyType.ECDSA, *UNKNOWN),
        (KeyType.EDDSA, *UNKNOWN),
    }


def test_one_staple_is_enough_for_a_chain_and_different_ones_are_all_judged() -> None:
    def staples(*responses: bytes | None) -> list[bytes | None]:
        found = measured(
            RSA_ALONE,
            done=[presented(TLS12, PAYMENT_RSA[0], KeyType.RSA, staple=one) for one in responses],
        )
        facts = deployment_facts(found, version_facts(found))
        return [
            fact.stapled_ocsp_response
            for fact in facts
            if fact.version is TLS12 and fact.support is Support.YES
        ]

    assert staples(None, None) == [None]
    assert staples(None, b"good") == [b"good"]
    assert staples(b"revoked", b"good", b"good") == [b"good", b"revoked"]


def test_a_leaf_tells_its_key_type_and_the_hint_serves_where_it_cannot_be_read() -> None:
    assert {leaf_key_type(chain[0], None) for chain in CHAINS.values()} == set(CHAINS)
    assert leaf_key_type(b"no DER", KeyType.ECDSA) is KeyType.ECDSA
    assert leaf_key_type(b"no DER", None) is KeyType.OTHER


def _edited(element: int, content: bytes) -> bytes:
    """A leaf with one element of its TBSCertificate replaced."""

    def edit(elements: list[bytes]) -> None:
        elements[element] = content

    return forging.leaf(None, edit=edit).der


@pytest.mark.parametrize(
    ("element", "content"),
    [
        pytest.param(forging.VERSION, "a00302017f", id="version 127: an exception of its own"),
        pytest.param(forging.VERSION, "a003020103", id="version 3"),
        pytest.param(forging.VERSION, "a0030201ff", id="version -1"),
        # 2.16.840.1.101.3.4.3.17, ML-DSA-44 (RFC 9881), raises ValueError; others raise
        # UnsupportedAlgorithm.
        pytest.param(
            forging.KEY, "3012300b060960864801650304031103030000ff", id="key of an unknown kind"
        ),
        pytest.param(forging.KEY, "3009300706052b0e03020c0300", id="key without a bit"),
        pytest.param(forging.SERIAL, "020180", id="negative serial number: a warning"),
        pytest.param(forging.SERIAL, "0200", id="no serial number"),
    ],
)
def test_no_leaf_ends_a_measurement(element: int, content: str) -> None:
    found = leaf_key_type(_edited(element, bytes.fromhex(content)), KeyType.ECDSA)
    assert found in (KeyType.ECDSA, KeyType.OTHER)


def test_a_leaf_that_cannot_be_read_is_remembered_by_its_hint() -> None:
    """One scan reads each leaf once; hints from RSA suites do not apply to ECDSA suites."""
    found = measured()
    for _ in range(2):
        for hint, expected in (
            (KeyType.ECDSA, KeyType.ECDSA),
            (KeyType.RSA, KeyType.RSA),
            (None, KeyType.OTHER),
        ):
            assert found.leaf_key_type(b"no DER", hint) is expected
            assert found.leaf_key_type(CHAINS[KeyType.EDDSA][0], hint) is KeyType.EDDSA


@pytest.mark.parametrize(
    ("server", "remark"),
    [
        (COMPLIANT, None),
        (replace(COMPLIANT, needs_name=True), None),
        (unsteady(), "the server refused a hello that it had accepted before"),
        (limited(COMPLIANT, after=12, into=alert(40)), "some refusals prove nothing"),
        (limited(COMPLIANT, after=12, into=SILENCE), "the server did not answer (timed out)"),
        (
            lambda _hello, _number: alert(112),
            "the server answered with the alert unrecognized_name (112)",
        ),
    ],
)
def test_what_kept_something_from_being_proven_is_reported_once(
    server: Server, remark: str | None
) -> None:
    found = measured(server)
    reported = remarks(found, version_facts(found), cipher_suite_facts(found))
    assert len(set(reported)) == len(reported)
    assert bool(reported) is (remark is not None)
    assert remark is None or any(text.startswith(remark) for text in reported)


# Flights: of the survey of suites, and of clients.

RSA_CHAIN, ECDSA_CHAIN = CHAINS[KeyType.RSA], CHAINS[KeyType.ECDSA]
SIGNED = Signature(scheme=0x0804, content=b"", signature=b"")
PROVEN = ServerFlight(chain=RSA_CHAIN, signature=SIGNED, is_whole=True)
UNSIGNED = ServerFlight(chain=RSA_CHAIN, is_whole=True)
SILENT = Outcome(ending=Ending.TIMED_OUT, connected=True)
REFUSAL = Outcome(ending=Ending.ANSWERED, connected=True, answer=Alert(2, 40))


def flown(version: TlsVersion, suite: int, flight: ServerFlight | None) -> Outcome:
    """The server chose, and this is what followed; a signature was verified."""
    return Outcome(
        ending=Ending.ANSWERED,
        connected=True,
        answer=ServerHello(version=version, cipher_suite=suite, is_retry_request=False),
        flight=flight,
        key_proven=flight is not None and flight.signature is not None,
    )


def surveyed(*outcomes: tuple[TlsVersion, int, ServerFlight | None]) -> Journal:
    log = Journal()
    for version, suite, flight in outcomes:
        hello = ClientHello(
            version=version,
            lowest=version,
            cipher_suites=(suite,),
            server_name=NAME,
        )
        outcome = flown(version, suite, flight)
        log.add([Probe(hello=hello, purpose=Purpose.CONTROL)], [outcome])
    return log


def clients(
    *asked: tuple[ClientProfile, Outcome],
    purpose: Purpose = Purpose.CLIENT,
) -> ClientSurvey:
    survey_of_clients = ClientSurvey(NAME)
    for profile, outcome in asked:
        hello = ProfileHello(profile=profile, server_name=NAME)
        survey_of_clients.take([Probe(hello=hello, purpose=purpose)], [outcome])
    return survey_of_clients


def seen(
    log: Journal,
    asked: ClientSurvey | None = None,
    *,
    done: Sequence[Presented] = (),
    http: Sequence[tuple[TlsVersion, bytes]] = (),
) -> Measured:
    return Measured(
        surveys=(log,),
        clients=asked or ClientSurvey(NAME),
        completed=done,
        http_leaves=http,
    )


def unknown(found: Measured) -> set[tuple[TlsVersion, KeyType]]:
    facts = deployment_facts(found, version_facts(found))
    return {(one.version, one.key_type) for one in facts if one.support is Support.UNKNOWN}


def chains(found: Measured) -> set[tuple[TlsVersion, tuple[bytes, ...]]]:
    facts = deployment_facts(found, version_facts(found))
    return {(one.version, one.chain) for one in facts if one.support is Support.YES}


KNOWN = surveyed((TLS12, 0xC02F, PROVEN))
# Nothing was refused, so these are unknown whatever else there is.
LEFT_OPEN = unknown(seen(KNOWN))


def test_what_the_known_flight_leaves_open() -> None:
    assert {
        (TLS12, KeyType.ECDSA),
        *((TLS13, key_type) for key_type in (KeyType.RSA, KeyType.ECDSA)),
    } == LEFT_OPEN
    assert chains(seen(KNOWN)) == {(TLS12, RSA_CHAIN)}


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


def test_a_chain_that_a_client_was_shown_is_a_deployment_with_its_staple() -> None:
    stapled = replace(PROVEN, chain=ECDSA_CHAIN, stapled_ocsp_response=b"response")
    found = seen(KNOWN, clients((BROWSER, flown(TLS13, 0x1301, stapled))))
    assert chains(found) == {(TLS12, RSA_CHAIN), (TLS13, ECDSA_CHAIN)}
    facts = deployment_facts(found, version_facts(found))
    staples = {one.stapled_ocsp_response for one in facts if one.version is TLS13}
    assert staples == {None, b"response"}


def test_a_client_certificate_that_a_flight_asked_for_is_reported() -> None:
    asking = replace(PROVEN, is_certificate_requested=True)
    found = seen(KNOWN, clients((BROWSER, flown(TLS13, 0x1301, asking))))
    assert [one.is_certificate_requested for one in found.presented] == [False, True]


def test_a_flight_of_the_survey_that_ended_before_its_certificate_is_unknown_and_reported() -> None:
    cut = surveyed((TLS12, 0xC02F, PROVEN), (TLS12, 0xC030, ServerFlight()))
    found = seen(cut)
    assert unknown(found) == LEFT_OPEN | {(TLS12, KeyType.RSA)}
    assert found.unread == {
        (TLS12, KeyType.RSA): "the server ended its flight of TLS 1.2 before its certificate",
    }
    assert set(found.unread.values()) <= set(remarks(found, version_facts(found), ()))


@pytest.mark.parametrize(
    "outcome",
    [SILENT, flown(TLS12, 0xC02F, ServerFlight()), flown(TLS12, 0xC02F, None)],
)
def test_a_client_whose_certificate_is_not_known_leaves_both_key_types_unknown(
    outcome: Outcome,
) -> None:
    found = seen(KNOWN, clients((OPENSSL_3, outcome)))
    assert unknown(found) == LEFT_OPEN | {(TLS12, KeyType.RSA), (TLS12, KeyType.ECDSA)}
    remark = f"which certificate is given to {OPENSSL_3.name} is not known"
    assert set(found.unread.values()) == {remark}


def test_an_unknown_client_is_reported_at_the_highest_version_that_it_may_have_got() -> None:
    log = surveyed((TLS13, 0x1301, None), (TLS12, 0xC02F, PROVEN))
    for profile, version in ((BROWSER, TLS13), (OPENSSL_102_WITH_RSA, TLS12)):
        found = seen(log, clients((profile, SILENT)))
        assert {of_version for of_version, _ in found.unread} == {version}


def test_a_client_that_is_shown_or_turned_away_leaves_nothing_unknown() -> None:
    shown = clients((BROWSER, SILENT), (BROWSER, flown(TLS12, 0xC02F, PROVEN)))
    assert unknown(seen(KNOWN, shown)) == LEFT_OPEN
    away = clients(
        (BROWSER, REFUSAL),
        (BROWSER, REFUSAL),
        (OPENSSL_3, flown(TLS12, 0xC02F, PROVEN)),
    )
    assert unknown(seen(KNOWN, away)) == LEFT_OPEN


def test_a_leaf_that_no_flight_proved_is_a_hint_and_unknown_until_it_is() -> None:
    other = replace(UNSIGNED, chain=CHAINS[KeyType.EDDSA])
    log = surveyed((TLS12, 0xC02F, PROVEN), (TLS12, 0x009C, other), (TLS10, 0x002F, UNSIGNED))
    found = seen(log)
    assert {hint.leaf for hint in found.leaf_hints} == {other.chain[0], RSA_CHAIN[0]}
    assert unknown(found) == LEFT_OPEN | {(TLS12, KeyType.EDDSA)}
    done = [presented(TLS12, 0xC02B, KeyType.EDDSA)]
    assert (TLS12, KeyType.EDDSA) not in unknown(seen(log, done=done))


def test_a_leaf_that_http_was_given_and_nobody_else_is_unknown() -> None:
    eddsa = CHAINS[KeyType.EDDSA][0]
    assert unknown(seen(KNOWN, http=[(TLS12, RSA_CHAIN[0])])) == LEFT_OPEN
    assert unknown(seen(KNOWN, http=[(TLS12, eddsa)])) == LEFT_OPEN | {(TLS12, KeyType.EDDSA)}
    unread = (TLS12, KeyType.OTHER)
    assert unknown(seen(KNOWN, http=[(TLS12, b"no DER")])) == LEFT_OPEN | {unread}


@pytest.mark.parametrize("profile", [OPENSSL_102_AT_TLS_1_1, INSECURE_SUITES])
def test_what_an_old_client_is_shown_is_a_hint_too(profile: ClientProfile) -> None:
    """A policy may allow the old version; its certificate is not taken to be that of the others."""
    suite = next(one for one in profile.cipher_suites if one in (0x002F, 0x003B))
    other = replace(UNSIGNED, chain=CHAINS[KeyType.EDDSA])
    old = clients((profile, flown(profile.highest, suite, other)), purpose=Purpose.REVEAL)
    found = seen(KNOWN, old)
    assert (profile.highest, KeyType.EDDSA) in unknown(found)
    assert {hint.leaf for hint in found.leaf_hints} == {other.chain[0]}
    cut = flown(profile.highest, suite, ServerFlight())
    found = seen(KNOWN, clients((profile, cut), purpose=Purpose.REVEAL))
    assert (profile.highest, KeyType.RSA) in unknown(found)


def test_at_tls_1_3_an_eddsa_leaf_says_nothing_of_ecdsa() -> None:
    """There the client's schemes tell them apart; the suites of TLS 1.2 do not (RFC 8422 5.10)."""
    eddsa = replace(PROVEN, chain=CHAINS[KeyType.EDDSA])
    found = seen(KNOWN, clients((OPENSSL_3, flown(TLS13, 0x1301, eddsa))))
    assert {key for version, key in unknown(found) if version is TLS13} == {
        KeyType.RSA,
        KeyType.ECDSA,
    }


def test_more_chains_than_any_deployment_needs_are_not_judged_and_unknown() -> None:
    """A server may present another chain on each connection, and each costs its judgement."""
    done = [
        Presented(
            version=TLS12,
            cipher_suite=PAYMENT_RSA[0],
            chain=(*CHAINS[KeyType.RSA], bytes([number])),
            key_type=KeyType.RSA,
        )
        for number in range(40)
    ]
    facts = [
        fact
        for fact in deployment_facts(measured(RSA_ALONE, done=done), ())
        if fact.version is TLS12
    ]
    assert len({fact.chain for fact in facts if fact.support is Support.YES}) == 12
    assert [fact.key_type for fact in facts if fact.support is Support.UNKNOWN] == [
        KeyType.RSA
    ] * 28


def test_another_chain_of_a_proven_leaf_is_judged_too() -> None:
    """Clients of static RSA may lack an intermediate, or get one that has expired."""
    without_issuer = AUTHORITY.issue(key="rsa2048")
    chain = (RSA_CHAIN[0], without_issuer.der)
    other = ServerFlight(chain=chain, stapled_ocsp_response=b"response", is_whole=True)
    found = seen(surveyed((TLS12, 0xC02F, PROVEN), (TLS12, 0x009C, other)))
    assert chains(found) == {(TLS12, RSA_CHAIN), (TLS12, chain)}
    assert unknown(found) == LEFT_OPEN
    staples = {
        one.stapled_ocsp_response for one in deployment_facts(found, ()) if one.chain == chain
    }
    assert staples == {b"response"}
    completed = {one.code_point for one in cipher_suite_facts(found) if one.handshake_completed}
    assert completed == {0xC02F}


def test_another_staple_of_a_proven_chain_is_judged_too() -> None:
    stapled = replace(UNSIGNED, stapled_ocsp_response=b"revoked")
    found = seen(surveyed((TLS12, 0xC02F, PROVEN), (TLS12, 0x009C, stapled)))
    staples = {one.stapled_ocsp_response for one in deployment_facts(found, ()) if one.chain}
    assert staples == {b"revoked"}


def test_the_same_chain_over_an_older_version_is_no_other_deployment() -> None:
    """What older ones serve is taken to be the same, unless it is seen to differ."""
    found = seen(surveyed((TLS12, 0xC02F, PROVEN), (TLS10, 0x002F, UNSIGNED)))
    assert chains(found) == {(TLS12, RSA_CHAIN)}
