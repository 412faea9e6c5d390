"""The planner against servers of every habit.

What is offered is found and all else is proven to be refused, in few waves.
"""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import Evidence, KeyType, Support, TlsVersion
from otpc_policy.engine.survey.inference import contradictions
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import (
    PAYMENT_ECDSA,
    PAYMENT_RSA,
    PAYMENT_SUITES,
    ecdsa_among,
    suites_at,
)
from otpc_policy.engine.survey.probe import Purpose
from otpc_policy.tls.client_hello import ClientHello, HelloStyle
from tests.engine.survey.model_server import (
    CLOSE,
    PLAIN_HTTP,
    RESET,
    SILENCE,
    Model,
    Order,
    Said,
    alert,
)
from tests.engine.survey.surveying import asked, falsehoods, gaps, survey

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
USUAL_13 = (0x1302, 0x1303, 0x1301)
RSA, ECDSA, EDDSA = frozenset({KeyType.RSA}), frozenset({KeyType.ECDSA}), frozenset({KeyType.EDDSA})
# What OpenSSL 3 serves with an RSA and an ECDSA certificate and "ALL", including DHE, CCM and ARIA;
# and at TLS 1.0 and 1.1.
MANY = (
    *(
        0xC02C,
        0xC030,
        0x009F,
        0xCCA9,
        0xCCA8,
        0xCCAA,
        0xC0AF,
        0xC0AD,
        0xC0A3,
        0xC09F,
        0xC05D,
        0xC061,
        0xC053,
        0xC02B,
        0xC02F,
    ),
    *(
        0x009E,
        0xC0AE,
        0xC0AC,
        0xC0A2,
        0xC09E,
        0xC05C,
        0xC060,
        0xC052,
        0xC024,
        0xC028,
        0x006B,
        0xC023,
        0xC027,
        0x0067,
        0xC00A,
    ),
    *(
        0xC014,
        0x0039,
        0xC009,
        0xC013,
        0x0033,
        0x009D,
        0xC0A1,
        0xC09D,
        0xC051,
        0x009C,
        0xC0A0,
        0xC09C,
        0xC050,
        0x003D,
    ),
)
OLD = (0xC00A, 0xC014, 0x0039, 0xC009, 0xC013, 0x0033, 0x0035, 0x002F, 0x000A, 0x0005)
KINDS = (0x010080, 0x0700C0)

COMPLIANT = Model(suites={TLS13: USUAL_13, TLS12: PAYMENT_SUITES})
LAX = Model(suites={TLS13: USUAL_13, TLS12: MANY, TLS11: OLD, TLS10: OLD})
EVERYTHING = Model(suites={version: suites_at(version) for version in TlsVersion})

# Name, server, and the most waves and hellos that it may take.
COMPLETE = [
    ("compliant", COMPLIANT, 2, 28),
    ("compliant, the client's order", replace(COMPLIANT, order=Order.CLIENT), 2, 28),
    (
        "compliant, RSA alone",
        Model(suites={TLS13: USUAL_13, TLS12: PAYMENT_RSA}, key_types=RSA),
        2,
        28,
    ),
    (
        "compliant, ECDSA alone",
        Model(suites={TLS13: USUAL_13, TLS12: PAYMENT_ECDSA}, key_types=ECDSA),
        2,
        28,
    ),
    ("compliant, picks ECDSA first as HAProxy does", replace(COMPLIANT, ecdsa_first=True), 2, 28),
    ("compliant, asks for another key share", replace(COMPLIANT, retries=True), 2, 28),
    ("compliant, needs the name", replace(COMPLIANT, needs_name=True), 2, 28),
    ("one suite", Model(suites={TLS12: PAYMENT_RSA[:1]}), 2, 27),
    ("TLS 1.2 alone", Model(suites={TLS12: PAYMENT_SUITES}), 2, 27),
    ("TLS 1.3 alone", Model(suites={TLS13: USUAL_13}), 3, 21),
    ("TLS 1.3 alone, Ed25519", Model(suites={TLS13: USUAL_13}, key_types=EDDSA), 3, 21),
    (
        "TLS 1.2, and closes hellos that offer 1.3",
        Model(suites={TLS12: PAYMENT_SUITES}, highest=TLS12),
        5,
        33,
    ),
    ("refuses by insufficient_security", replace(COMPLIANT, no_suite=alert(71)), 2, 28),
    (
        "refuses by illegal_parameter",
        replace(COMPLIANT, no_suite=alert(47), no_version=alert(47)),
        3,
        31,
    ),
    ("refuses old versions by internal_error", replace(COMPLIANT, no_version=alert(80)), 5, 47),
    ("refuses by closing", replace(COMPLIANT, no_suite=CLOSE, no_version=CLOSE), 5, 73),
    ("refuses by resetting", replace(COMPLIANT, no_suite=RESET, no_version=RESET), 5, 73),
    ("reads 64 suites", replace(COMPLIANT, reads=64), 4, 120),
    ("reads 128 suites", replace(COMPLIANT, reads=128), 4, 120),
    ("dislikes hellos over 511 bytes", replace(COMPLIANT, longest=511), 4, 120),
    (
        "dislikes hellos over 511 bytes, and says so",
        replace(COMPLIANT, longest=511, overlong=alert(80)),
        4,
        120,
    ),
    ("dislikes hellos over 255 bytes", replace(COMPLIANT, longest=255), 6, 269),
    (
        "dislikes hellos over 255 bytes, and resets",
        replace(COMPLIANT, longest=255, overlong=RESET),
        6,
        269,
    ),
    (
        "TLS 1.3 alone, dislikes hellos over 255 bytes",
        Model(suites={TLS13: USUAL_13}, longest=255),
        6,
        91,
    ),
    ("lax", LAX, 7, 169),
    ("lax, the client's order", replace(LAX, order=Order.CLIENT), 7, 162),
    ("lax, picks ECDSA first as HAProxy does", replace(LAX, ecdsa_first=True), 7, 169),
    ("lax, refuses by closing", replace(LAX, no_suite=CLOSE, no_version=CLOSE), 9, 252),
    ("lax, reads 64 suites", replace(LAX, reads=64), 7, 284),
    ("lax, dislikes hellos over 255 bytes", replace(LAX, longest=255), 8, 475),
    ("lax, dislikes hellos over 511 bytes", replace(LAX, longest=511), 8, 298),
    ("TLS 1.0 alone", Model(suites={TLS10: OLD}), 4, 43),
    ("SSL 3 alone", Model(suites={SSL3: (5, 4, 10)}), 4, 41),
    ("SSL 3 and TLS 1.2", Model(suites={SSL3: (5, 4, 10), TLS12: PAYMENT_SUITES}), 5, 57),
    (
        "SSL 2 and all that followed",
        Model(suites={SSL2: KINDS, SSL3: (5, 4, 10), TLS10: OLD, TLS12: PAYMENT_SUITES}),
        6,
        92,
    ),
    ("every suite of every version", EVERYTHING, 28, 973),
]


@pytest.mark.parametrize(
    ("model", "waves", "hellos"), [pytest.param(*rest, id=name) for name, *rest in COMPLETE]
)
def test_all_that_a_server_offers_is_found_and_all_else_is_proven_absent(
    model: Model, waves: int, hellos: int
) -> None:
    surveyed = survey(model)
    assert falsehoods(model, surveyed) == []
    assert gaps(model, surveyed) == []
    assert len(surveyed.waves) <= waves
    assert surveyed.hellos <= hellos


def test_a_compliant_server_takes_nine_hellos_and_then_nineteen() -> None:
    """All refusals come after nine controls and before two."""
    surveyed = survey(COMPLIANT)
    assert [len(wave) for wave in surveyed.waves] == [9, 19]
    assert falsehoods(COMPLIANT, surveyed) == gaps(COMPLIANT, surveyed) == []
    first, second = surveyed.waves
    assert {probe.purpose for probe in first} == {Purpose.CONTROL}
    assert (
        [probe.is_last for probe in second]
        == [probe.purpose is Purpose.CLOSING_CONTROL for probe in second]
        == [False] * 17 + [True] * 2
    )
    assert set(surveyed.versions.values()) == {
        (Support.YES, Evidence.SERVER_HELLO),
        (Support.NO, Evidence.ALERT),
    }


def test_closes_need_three_waves_of_refusals_and_say_so() -> None:
    surveyed = survey(replace(COMPLIANT, no_suite=CLOSE, no_version=CLOSE))
    assert {surveyed.versions[version] for version in (SSL2, SSL3, TLS10, TLS11)} == {
        (Support.NO, Evidence.CLOSED_CONFIRMED)
    }


def test_a_lower_version_chosen_proves_that_the_higher_is_absent() -> None:
    surveyed = survey(Model(suites={TLS12: PAYMENT_SUITES}))
    assert surveyed.versions[TLS13] == (Support.NO, Evidence.LOWER_VERSION)


def test_a_server_without_a_name_is_surveyed_without_a_name() -> None:
    surveyed = survey(COMPLIANT, server_name=None)
    assert gaps(COMPLIANT, surveyed) == falsehoods(COMPLIANT, surveyed) == []
    assert {probe.hello.server_name for wave in surveyed.waves for probe in wave} == {None}


def test_short_hellos_stay_short_for_a_server_that_needs_them() -> None:
    """No hello after the first contact is long, controls included."""
    surveyed = survey(replace(LAX, longest=255))
    later = [record for record in surveyed.journal.records if record.wave > 1]
    assert {record.probe.hello.style for record in later} <= {HelloStyle.SHORT, HelloStyle.BARE}
    assert all((record.outcome.connected and record.chose) or record.refused for record in later)


def test_ssl_3_without_extensions_is_found_by_the_hello_without_a_name() -> None:
    """Its suites are found, but the rest stays open: a nameless hello may reach another server."""
    model = Model(suites={SSL3: (5, 4, 10), TLS10: OLD}, ssl3_extensions=False)
    surveyed = survey(model)
    assert falsehoods(model, surveyed) == []
    assert surveyed.known == {SSL3: {5, 4, 10}, TLS10: set(OLD)}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        # If every other hello is too long for it, only the short ones of the first contact count.
        (Model(suites={TLS11: (0x0096,)}, longest=255), set()),
        (Model(suites={SSL2: KINDS}), {SSL2}),
        (replace(COMPLIANT, no_suite=SILENCE), {TLS12, TLS13}),
        (replace(COMPLIANT, no_suite=alert(90)), {TLS12, TLS13}),
    ],
    ids=[
        "unusual and intolerant",
        "SSL 2 alone",
        "silent where it refuses",
        "refuses by user_canceled",
    ],
)
def test_what_cannot_be_seen_is_unknown(model: Model, found: set[TlsVersion]) -> None:
    surveyed = survey(model)
    assert falsehoods(model, surveyed) == []
    assert surveyed.supports(Support.YES) == found
    assert gaps(model, surveyed)
    assert len(surveyed.waves) <= 4


@pytest.mark.parametrize("said", [PLAIN_HTTP, Said(b"SSH-2.0-x\r\n")], ids=["HTTP", "SSH"])
def test_a_server_of_another_protocol_is_left_alone_after_the_first_wave(said: Said) -> None:
    surveyed = survey(lambda _hello, _number: said)
    assert [len(wave) for wave in surveyed.waves] == [9]
    assert surveyed.supports(Support.UNKNOWN) == set(TlsVersion)


@pytest.mark.parametrize(
    "said",
    [CLOSE, RESET, SILENCE, alert(40), alert(112), alert(112, 1)],
    ids=["close", "reset", "silence", "40", "112", "warning"],
)
def test_a_server_that_accepts_nothing_is_unknown_after_two_waves(said: Said) -> None:
    surveyed = survey(lambda _hello, _number: said)
    assert len(surveyed.waves) == 2
    assert surveyed.supports(Support.UNKNOWN) == set(TlsVersion)
    assert surveyed.known == {}


def refused_after_the_first_wave(journal: Journal) -> set[ClientHello]:
    return {record.probe.hello for record in journal.records if record.wave and record.refused}


@pytest.mark.parametrize(
    "model",
    [
        Model(suites={TLS12: PAYMENT_RSA[:1]}),
        Model(suites={TLS13: USUAL_13[:2], TLS12: PAYMENT_SUITES}),
    ],
    ids=["one suite", "two of three over TLS 1.3"],
)
def test_a_kind_of_hello_that_was_accepted_in_part_has_everything_asked_again(model: Model) -> None:
    """A server that limits concurrent connections would look the same."""
    planner = survey(model).planner
    again = planner.confirmation()
    assert {probe.purpose for probe in again} == {Purpose.CONFIRMATION}
    assert {probe.hello for probe in again} == refused_after_the_first_wave(planner.journal)


@pytest.mark.parametrize(
    ("model", "version", "is_ecdsa"),
    [
        (Model(suites={TLS13: USUAL_13, TLS12: PAYMENT_RSA}, key_types=RSA), TLS12, True),
        (
            Model(
                suites={TLS13: USUAL_13, TLS12: PAYMENT_ECDSA}, key_types=frozenset({KeyType.ECDSA})
            ),
            TLS12,
            False,
        ),
        (Model(suites={TLS12: PAYMENT_SUITES}), TLS13, False),
    ],
    ids=["RSA alone", "ECDSA alone", "TLS 1.2 alone"],
)
def test_a_kind_of_hello_that_was_refused_among_others_is_asked_again_by_itself(
    model: Model, version: TlsVersion, is_ecdsa: bool
) -> None:
    planner = survey(model).planner
    of_kind = {
        hello
        for hello in refused_after_the_first_wave(planner.journal)
        if hello.version is version and bool(ecdsa_among(hello.cipher_suites[-1:])) is is_ecdsa
    }
    assert {probe.hello for probe in planner.confirmation()} == of_kind


@pytest.mark.parametrize("model", [COMPLIANT, LAX], ids=["compliant", "lax"])
def test_a_first_wave_that_was_accepted_as_a_whole_has_nothing_asked_again(model: Model) -> None:
    assert survey(model).planner.confirmation() == ()


def test_what_is_accepted_when_it_is_asked_again_contradicts() -> None:
    planner = survey(Model(suites={TLS13: USUAL_13[:2], TLS12: PAYMENT_SUITES})).planner
    again = planner.confirmation()
    assert not any(contradictions(planner.journal))
    planner.take(again, [asked(COMPLIANT, probe, 0) for probe in again])
    assert any(contradictions(planner.journal))
