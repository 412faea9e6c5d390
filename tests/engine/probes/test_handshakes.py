"""Which handshakes are made after a survey, and what completed ones say."""

from collections.abc import Sequence

import pytest

from otpc_policy.core.facts import ClientAuth, TlsVersion
from otpc_policy.engine.probes.handshakes import (
    Handshake,
    LeafHint,
    Presented,
    client_auth,
    missing_handshakes,
    versions_for_certificates,
)

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
RSA, ECDSA = 0xC02F, 0xC02B
Accepted = dict[TlsVersion, Sequence[int]]


def presented(version: TlsVersion, suite: int, *, asked: bool = False) -> Presented:
    return Presented(
        version=version, cipher_suite=suite, chain=(b"leaf",), is_certificate_requested=asked
    )


def wanted(
    accepted: Accepted,
    *done: Presented,
    hints: Sequence[LeafHint] = (),
    tried: Sequence[Handshake] = (),
) -> list[tuple[TlsVersion, tuple[int, ...]]]:
    return [
        (one.version, tuple(one.cipher_suites))
        for one in missing_handshakes(accepted, hints, list(done), tried)
    ]


def test_nothing_is_missing_where_each_certificate_was_proven() -> None:
    done = (presented(TLS13, 0x1301), presented(TLS12, RSA), presented(TLS12, ECDSA))
    assert wanted({TLS13: (0x1301,), TLS12: (ECDSA, RSA, 0x002F)}, *done) == []
    assert wanted({}) == []


def test_a_leaf_that_came_in_clear_and_in_no_handshake_is_asked_for_once_more() -> None:
    done = (presented(TLS12, RSA),)
    accepted: Accepted = {TLS12: (RSA, 0x002F)}
    assert wanted(accepted, *done, hints=[LeafHint(TLS12, 0x002F, b"leaf")]) == []
    other = LeafHint(TlsVersion.TLS_1_0, 0x002F, b"another leaf")
    assert wanted(accepted, *done, hints=[other, other]) == [(TlsVersion.TLS_1_0, (0x002F,))]


def test_a_family_without_a_completed_handshake_is_tried_singly_and_thrice_at_most() -> None:
    """Forward-secret suites first: a server signs them before it asks for a client certificate."""
    suites = (0x002F, 0x0035, 0x0033, 0x0039, 0xC013)
    assert wanted({TLS12: suites}) == [(TLS12, (suite,)) for suite in (0x0033, 0x0039, 0xC013)]
    tried = [Handshake(version=TLS12, cipher_suites=(suite,)) for suite in (0x0033, 0x0039, 0xC013)]
    assert wanted({TLS12: suites}, tried=tried) == [(TLS12, (suite,)) for suite in (0x002F, 0x0035)]
    assert wanted({TLS12: suites}, presented(TLS12, 0x0035)) == []


def test_suites_of_a_payment_client_are_completed_even_where_another_of_the_family_is() -> None:
    accepted: Accepted = {TLS12: (0x002F, RSA, 0xC027)}
    assert wanted(accepted, presented(TLS12, 0x002F)) == [
        (TLS12, (suite,)) for suite in (RSA, 0xC027, 0x002F)
    ]
    assert wanted(accepted, presented(TLS12, 0xC027)) == []


def test_of_each_set_that_a_policy_requires_an_accepted_suite_is_completed() -> None:
    accepted: Accepted = {TLS12: (RSA, 0xC030, 0xC028, ECDSA), TLS13: (0x1301,)}
    done = [presented(TLS12, RSA), presented(TLS12, ECDSA)]

    def missing(*required: set[int], tried: Sequence[Handshake] = ()) -> list[tuple[int, ...]]:
        handshakes = missing_handshakes(accepted, (), done, tried, map(frozenset, required))
        assert {one.version for one in handshakes} <= {TLS12}
        return [one.cipher_suites for one in handshakes]

    assert missing({RSA, 0xC030}, {ECDSA}) == []
    assert missing({0xC030}, {0xC030, 0xC028}) == [(0xC030,), (0xC028,)]
    assert missing({0xC030}, tried=[Handshake(version=TLS12, cipher_suites=(0xC030,))]) == []
    # What the server does not accept, OpenSSL does not implement, or TLS 1.3 alone has.
    assert missing({0x009F}, {0xC100}, {0x1301}) == []


def test_policies_that_require_everything_cost_few_handshakes() -> None:
    suites = [0xC030, 0xC028, 0xC014, 0xC013, 0xC012, 0x009F, 0x009E, 0x006B, 0x0067, 0x0039]
    suites += [0x0033, 0x009D, 0x009C, 0x003D, 0x003C, 0x0035, 0x002F, 0x000A, 0x0041, 0x0084]
    required = [frozenset({suite}) for suite in suites]
    accepted: Accepted = {TLS12: (RSA, *suites)}
    assert len(missing_handshakes(accepted, (), [presented(TLS12, RSA)], (), required)) == 16


def test_each_family_is_for_itself_and_those_without_a_certificate_are_none() -> None:
    """Anonymous and PSK suites bring no chain; suites that OpenSSL lacks cannot be completed."""
    assert wanted({TLS12: (RSA, ECDSA, 0x0018, 0x008C, 0xC100)}) == [
        (TLS12, (RSA,)),
        (TLS12, (ECDSA,)),
    ]
    assert wanted({TLS12: (RSA, 0x0038)}, presented(TLS12, RSA)) == [(TLS12, (0x0038,))]


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
def test_handshakes_are_made_over_what_a_payment_client_speaks_or_else_the_highest(
    accepted: Accepted, versions: list[TlsVersion]
) -> None:
    assert versions_for_certificates(accepted) == versions


@pytest.mark.parametrize(
    ("asked", "client"),
    [
        ((), ClientAuth.UNKNOWN),
        ((False,), ClientAuth.NONE),
        ((False, True), ClientAuth.REQUESTED),
        ((True, True), ClientAuth.REQUESTED),
    ],
)
def test_a_client_certificate_is_requested_if_any_handshake_saw_it(
    asked: tuple[bool, ...], client: ClientAuth
) -> None:
    assert client_auth(presented(TLS12, RSA, asked=one) for one in asked) is client
