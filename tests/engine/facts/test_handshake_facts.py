"""Extensions, compression and key exchanges: which flights count, and what several say together."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import HandshakeFacts, KeyExchangeFact, Support, TlsVersion
from otpc_policy.engine.facts.groups import group_remarks, key_exchange_facts, used_groups
from otpc_policy.engine.facts.handshake_facts import handshake_facts
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import AnyHello, Ending, Outcome, Probe, Purpose
from otpc_policy.tls.answer import Alert, Answer, ServerHello
from otpc_policy.tls.client_hello import ClientHello, HelloStyle
from otpc_policy.tls.flight import KeyExchange, ServerFlight
from tests.engine.facts.scans import RSA_CHAIN
from tests.engine.profiles.known_clients import NULL_SUITES, OPENSSL_3, OPENSSL_102_WITH_RSA, SMALL
from tests.engine.survey.fixed_cast import FIXED_CAST
from tests.engine.survey.surveying import NAME

YES, NO, OPEN = Support.YES, Support.NO, Support.UNKNOWN
TLS12, TLS13 = TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
SUITE = 0xC02F
WHOLE = ServerFlight(chain=RSA_CHAIN, is_whole=True)
CHOSE = ServerHello(
    version=TLS12,
    cipher_suite=SUITE,
    is_retry_request=False,
    extended_master_secret=True,
    secure_renegotiation=True,
)
BARE = replace(CHOSE, extended_master_secret=False, secure_renegotiation=False)
COMPRESSED = replace(CHOSE, compression_method=1)
# It offers both extensions and compression, and is a hello of the survey of suites.
WIDE = ClientHello(
    version=TLS12,
    lowest=TLS12,
    cipher_suites=(SUITE,),
    server_name=NAME,
    offers_compression=True,
)
Shown = tuple[AnyHello, Answer, bool]


def asked(profile: ClientProfile) -> ProfileHello:
    return ProfileHello(profile=profile, server_name=NAME)


def measured(*shown: Shown, flight: ServerFlight = WHOLE) -> Measured:
    """Hellos, each with its answer, and whether the flight was proven."""
    journal, clients = Journal(), ClientSurvey(NAME, FIXED_CAST)
    for hello, answer, is_proven in shown:
        outcome = Outcome(
            ending=Ending.ANSWERED,
            connected=True,
            answer=answer,
            flight=flight if isinstance(answer, ServerHello) else None,
            key_proven=is_proven,
        )
        if isinstance(hello, ProfileHello):
            clients.take([Probe(hello=hello, purpose=Purpose.CLIENT)], [outcome])
        else:
            journal.add([Probe(hello=hello, purpose=Purpose.CONTROL)], [outcome])
    return Measured(surveys=(journal,), clients=clients)


def facts(extended: Support, renegotiation: Support, compression: Support) -> HandshakeFacts:
    return HandshakeFacts(
        extended_master_secret=extended,
        secure_renegotiation=renegotiation,
        compression=compression,
    )


OPENSSL = asked(OPENSSL_3.at_tls12())


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([(WIDE, CHOSE, True)], facts(YES, YES, NO)),
        ([(WIDE, BARE, True)], facts(NO, NO, NO)),
        # One flight without it is enough: some clients get none.
        ([(WIDE, CHOSE, True), (OPENSSL, BARE, True)], facts(NO, NO, NO)),
        ([(OPENSSL, CHOSE, True), (WIDE, BARE, False)], facts(YES, YES, NO)),
        # What is not proven says nothing, good or bad.
        ([(WIDE, CHOSE, False)], facts(OPEN, OPEN, OPEN)),
        ([(WIDE, BARE, False)], facts(OPEN, OPEN, OPEN)),
        ([(WIDE, COMPRESSED, False)], facts(OPEN, OPEN, YES)),
        ([(WIDE, Alert(2, 40), False)], facts(OPEN, OPEN, OPEN)),
        # Who does not offer is not answered.
        ([(asked(SMALL), BARE, True)], facts(OPEN, OPEN, OPEN)),
        ([(OPENSSL, CHOSE, True)], facts(YES, YES, OPEN)),
        ([(OPENSSL, COMPRESSED, True)], facts(YES, YES, OPEN)),
        ([(replace(WIDE, style=HelloStyle.SHORT), BARE, True)], facts(OPEN, NO, NO)),
        ([(replace(WIDE, style=HelloStyle.BARE), BARE, True)], facts(OPEN, NO, NO)),
        ([(asked(OPENSSL_102_WITH_RSA), BARE, True)], facts(OPEN, NO, NO)),
        # A suite that was not offered ends the handshake of every client.
        ([(WIDE, replace(BARE, cipher_suite=0xC030), True)], facts(OPEN, OPEN, OPEN)),
        ([(WIDE, replace(CHOSE, version=TlsVersion.TLS_1_1), True)], facts(OPEN, OPEN, NO)),
    ],
)
def test_what_server_hellos_prove_together(shown: list[Shown], expected: HandshakeFacts) -> None:
    assert handshake_facts(measured(*shown)) == expected


def test_no_compression_needs_a_whole_flight() -> None:
    cut_off = replace(WHOLE, is_whole=False)
    shown: list[Shown] = [(WIDE, CHOSE, False), (OPENSSL, CHOSE, True)]
    assert handshake_facts(measured(*shown)).compression is NO
    assert handshake_facts(measured(*shown, flight=cut_off)).compression is OPEN


def exchanged(group: int | None, bits: int = 0) -> ServerFlight:
    return replace(WHOLE, key_exchange=KeyExchange(group, bits))


@pytest.mark.parametrize(
    ("hello", "flight", "is_proven", "expected"),
    [
        (OPENSSL, exchanged(29), True, [(29, 255)]),
        (OPENSSL, exchanged(29), False, []),
        (OPENSSL, exchanged(None, 1024), True, [(None, 1024)]),
        (OPENSSL, exchanged(22), True, []),  # not offered
        (OPENSSL, exchanged(256), True, []),  # no curve
        (OPENSSL, exchanged(0x0A0A), True, []),
        (asked(replace(NULL_SUITES, listed_suites=(SUITE,))), exchanged(22), True, [(22, 256)]),
        (WIDE, exchanged(1), True, [(1, 163)]),
        (WIDE, WHOLE, True, []),
    ],
)
def test_a_proven_key_exchange_over_what_was_offered_is_a_fact(
    hello: AnyHello,
    flight: ServerFlight,
    is_proven: bool,
    expected: list[tuple[int | None, int]],
) -> None:
    found = key_exchange_facts(measured((hello, CHOSE, is_proven), flight=flight))
    assert found == tuple(
        KeyExchangeFact(version=TLS12, group=group, bits=bits) for group, bits in expected
    )


def test_of_finite_fields_the_smallest_is_told() -> None:
    log = measured((OPENSSL, CHOSE, True), flight=exchanged(None, 2048))
    for bits in (1024, 3072):
        other = measured((OPENSSL, CHOSE, True), flight=exchanged(None, bits))
        log.clients.records.extend(other.clients.records)
    (fact,) = key_exchange_facts(log)
    assert fact.bits == 1024


def at_tls13(group: int, *, is_retry: bool) -> ServerHello:
    return ServerHello(
        version=TLS13, cipher_suite=0x1301, is_retry_request=is_retry, selected_group=group
    )


WIDE_AT_TLS13 = replace(WIDE, version=TLS13, lowest=TLS13, cipher_suites=(0x1301,))


@pytest.mark.parametrize(
    ("hello", "answer", "is_proven", "expected"),
    [
        (asked(OPENSSL_3), at_tls13(29, is_retry=False), True, {29}),
        (asked(OPENSSL_3), at_tls13(29, is_retry=False), False, set()),
        (asked(OPENSSL_3), at_tls13(256, is_retry=True), False, {256}),
        (asked(OPENSSL_3), at_tls13(0x11EC, is_retry=True), False, set()),
        (WIDE_AT_TLS13, at_tls13(0x11EC, is_retry=True), False, {0x11EC}),
        (WIDE_AT_TLS13, at_tls13(22, is_retry=True), False, set()),
    ],
)
def test_groups_that_flights_used_or_that_were_asked_for_need_no_hello(
    hello: AnyHello, answer: ServerHello, is_proven: bool, expected: set[int]
) -> None:
    assert used_groups(measured((hello, answer, is_proven))) == expected


def test_a_demanded_group_is_named_unless_some_handshake_was_proven() -> None:
    demanded: Shown = (WIDE_AT_TLS13, at_tls13(0x11EE, is_retry=True), False)
    (remark,) = group_remarks(measured(demanded))
    assert "demands key exchange over curveSM2MLKEM768" in remark
    done: Shown = (asked(OPENSSL_3), at_tls13(29, is_retry=False), True)
    assert not list(group_remarks(measured(demanded, done)))
    possible: Shown = (WIDE_AT_TLS13, at_tls13(23, is_retry=True), False)
    assert not list(group_remarks(measured(possible)))
