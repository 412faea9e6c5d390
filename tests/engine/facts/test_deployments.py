"""Facts on certificate chains, proven and only seen, and on leaves that cannot be read."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import KeyType, Support
from otpc_policy.engine.facts.deployments import deployment_facts
from otpc_policy.engine.facts.measured import leaf_key_type
from otpc_policy.engine.facts.offers import cipher_suite_facts, version_facts
from otpc_policy.engine.facts.remarks import remarks
from otpc_policy.engine.probes.handshakes import Presented
from otpc_policy.engine.profiles.clients import ClientProfile
from otpc_policy.engine.survey.offers import PAYMENT_RSA
from otpc_policy.engine.survey.probe import Outcome, Purpose
from otpc_policy.tls.flight import ServerFlight
from tests.engine.facts.scans import (
    AUTHORITY,
    CHAINS,
    COMPLIANT,
    ECDSA_CHAIN,
    KNOWN,
    LEFT_OPEN,
    OBTAINED,
    PROVEN,
    REFUSAL,
    REFUSED,
    RSA_ALONE,
    RSA_CHAIN,
    SILENT,
    TLS10,
    TLS12,
    TLS13,
    UNKNOWN,
    UNSIGNED,
    chains,
    clients,
    deployments,
    flown,
    measured,
    presented,
    seen,
    surveyed,
    unknown,
    unsteady,
)
from tests.engine.profiles.known_clients import (
    BROWSER,
    INSECURE_SUITES,
    OPENSSL_3,
    OPENSSL_102_AT_TLS_1_1,
    OPENSSL_102_WITH_RSA,
)
from tests.engine.survey.model_server import SILENCE, Server, alert
from tests.engine.survey.surveying import limited
from tests.support import forging


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
            "every hello was refused with the alert unrecognized_name (112) (",
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


def test_what_the_known_flight_leaves_open() -> None:
    assert {
        (TLS12, KeyType.ECDSA),
        *((TLS13, key_type) for key_type in (KeyType.RSA, KeyType.ECDSA)),
    } == LEFT_OPEN
    assert chains(seen(KNOWN)) == {(TLS12, RSA_CHAIN)}


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


DELEGATED = flown(TLS12, 0xC02F, replace(PROVEN, flaw="why"))


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (SILENT, ""),
        (flown(TLS12, 0xC02F, ServerFlight()), ""),
        (flown(TLS12, 0xC02F, None), ""),
        (flown(TLS12, 0xC02F, ServerFlight(flaw="why")), ": why"),
        (replace(DELEGATED, key_proven=False), ": why"),
    ],
)
def test_a_client_whose_certificate_is_not_known_leaves_both_key_types_unknown(
    outcome: Outcome, cause: str
) -> None:
    found = seen(KNOWN, clients((OPENSSL_3, outcome)))
    assert unknown(found) == LEFT_OPEN | {(TLS12, KeyType.RSA), (TLS12, KeyType.ECDSA)}
    remark = f"which certificate is given to {OPENSSL_3.name} is not known{cause}"
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
