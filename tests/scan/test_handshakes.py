"""Which handshakes are made after a survey, and what completed ones say."""

from collections.abc import Sequence

import pytest

from otpc_policy.core.facts import ClientAuth, KeyType, TlsVersion
from otpc_policy.scan.handshake import Ending, HandshakeOutcome
from otpc_policy.scan.handshakes import PAYMENT_CLIENT, Completed, Handshake, LeafHint, client_auth, missing_handshakes, versions_for_certificates

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
RSA, ECDSA = 0xC02F, 0xC02B
BOTH_13 = (KeyType.RSA, KeyType.ECDSA)
Accepted = dict[TlsVersion, Sequence[int]]


def completed(version: TlsVersion, suite: int, key_type: KeyType | None = None, *, asked: bool = False) -> Completed:
    handshake = Handshake(version=version, cipher_suites=(suite,), key_type=key_type)
    outcome = HandshakeOutcome(ending=Ending.COMPLETED, connected=True, key_proven=True, chain=(b"leaf",), client_certificate_requested=asked)
    return Completed(handshake=handshake, cipher_suite=suite, outcome=outcome)


def wanted(
    accepted: Accepted, *done: Completed, key_types: Sequence[KeyType] = (), hints: Sequence[LeafHint] = (), tried: Sequence[Handshake] = ()
) -> list[tuple[TlsVersion, tuple[int, ...], KeyType | None]]:
    missing = missing_handshakes(accepted, key_types, hints, list(done), tried)
    return [(one.version, tuple(one.cipher_suites), one.key_type) for one in missing]


def test_a_payment_client_shakes_hands_once_per_key_type_and_version() -> None:
    assert {(one.version, one.key_type) for one in PAYMENT_CLIENT if one.version is TLS13} == {(TLS13, KeyType.RSA), (TLS13, KeyType.ECDSA)}
    assert [one.cipher_suites for one in PAYMENT_CLIENT if one.version is TLS12] == [(RSA, 0xCCA8, 0xC027), (ECDSA, 0xCCA9, 0xC023)]


def test_nothing_is_missing_where_each_certificate_was_obtained() -> None:
    done = (completed(TLS13, 0x1301, KeyType.RSA), completed(TLS13, 0x1301, KeyType.ECDSA), completed(TLS12, RSA), completed(TLS12, ECDSA))
    assert wanted({TLS13: (0x1301,), TLS12: (ECDSA, RSA, 0x002F)}, *done, key_types=BOTH_13) == []
    assert wanted({}) == []


def test_a_leaf_that_came_in_clear_and_in_no_handshake_is_asked_for_once_more() -> None:
    done = (completed(TLS12, RSA),)
    accepted: Accepted = {TLS12: (RSA, 0x002F)}
    assert wanted(accepted, *done, hints=[LeafHint(TLS12, 0x002F, b"leaf")]) == []
    other = LeafHint(TlsVersion.TLS_1_0, 0x002F, b"another leaf")
    assert wanted(accepted, *done, hints=[other, other]) == [(TlsVersion.TLS_1_0, (0x002F,), None)]


def test_a_key_type_that_was_seen_over_tls_1_3_is_asked_for() -> None:
    done = (completed(TLS13, 0x1301, KeyType.RSA),)
    accepted: Accepted = {TLS13: (0x1301, 0xC0B4)}
    # No library implements the second suite.
    assert wanted(accepted, *done, key_types=(KeyType.EDDSA, KeyType.RSA)) == [(TLS13, (0x1301,), KeyType.EDDSA)]
    assert wanted({TLS13: (0xC0B4,)}, key_types=BOTH_13) == []
    tried = [Handshake(version=TLS13, cipher_suites=(0x1301,), key_type=KeyType.EDDSA)]
    assert wanted(accepted, *done, key_types=(KeyType.EDDSA,), tried=tried) == []


def test_a_family_without_a_completed_handshake_is_tried_singly_and_thrice_at_most() -> None:
    """Forward-secret suites first: a server signs them before it asks for a client certificate."""
    suites = (0x002F, 0x0035, 0x0033, 0x0039, 0xC013)
    assert wanted({TLS12: suites}) == [(TLS12, (suite,), None) for suite in (0x0033, 0x0039, 0xC013)]
    tried = [Handshake(version=TLS12, cipher_suites=(suite,)) for suite in (0x0033, 0x0039, 0xC013)]
    assert wanted({TLS12: suites}, tried=tried) == [(TLS12, (suite,), None) for suite in (0x002F, 0x0035)]
    assert wanted({TLS12: suites}, completed(TLS12, 0x0035)) == []


def test_suites_of_a_payment_client_are_completed_even_where_another_of_the_family_is() -> None:
    accepted: Accepted = {TLS12: (0x002F, RSA, 0xC027)}
    assert wanted(accepted, completed(TLS12, 0x002F)) == [(TLS12, (suite,), None) for suite in (RSA, 0xC027, 0x002F)]
    assert wanted(accepted, completed(TLS12, 0xC027)) == []


def test_each_family_is_for_itself_and_those_without_a_certificate_are_none() -> None:
    """Anonymous and PSK suites bring no chain; suites that OpenSSL lacks cannot be completed."""
    assert wanted({TLS12: (RSA, ECDSA, 0x0018, 0x008C, 0xC100)}) == [(TLS12, (RSA,), None), (TLS12, (ECDSA,), None)]
    assert wanted({TLS12: (RSA, 0x0038)}, completed(TLS12, RSA)) == [(TLS12, (0x0038,), None)]


@pytest.mark.parametrize(
    ("accepted", "versions"),
    [
        ({}, []),
        ({TLS13: (0x1301,), TLS12: (RSA,), TLS10: (0x002F,)}, [TLS13, TLS12]),
        ({TLS12: (RSA,), TLS11: (0x002F,)}, [TLS12]),
        ({TLS10: (0x002F,), TLS11: (0x002F,)}, [TLS11]),
        ({SSL3: (0x0005,), SSL2: (0x010080,)}, [SSL3]),
        ({SSL2: (0x010080,)}, []),
        ({TLS12: (), TLS11: (0x002F,)}, [TLS11]),
    ],
)
def test_handshakes_are_made_over_what_a_payment_client_speaks_or_else_the_highest(accepted: Accepted, versions: list[TlsVersion]) -> None:
    assert versions_for_certificates(accepted) == versions


@pytest.mark.parametrize(
    ("asked", "client"),
    [((), ClientAuth.UNKNOWN), ((False,), ClientAuth.NONE), ((False, True), ClientAuth.REQUESTED), ((True, True), ClientAuth.REQUESTED)],
)
def test_a_client_certificate_is_requested_if_any_handshake_saw_it(asked: tuple[bool, ...], client: ClientAuth) -> None:
    assert client_auth(completed(TLS12, RSA, asked=one) for one in asked) is client
