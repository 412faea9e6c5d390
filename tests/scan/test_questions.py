"""What is asked, and with which shapes refusals are controlled."""

from dataclasses import replace

import pytest

from otpc_policy.facts import TlsVersion
from otpc_policy.scan.elimination import CHUNK, KnownGood, Question
from otpc_policy.scan.questions import MODERN_VERSIONS, OLD_VERSIONS, controls_for, first_contact, suite_questions
from otpc_policy.tls.suites import all_suites, suite_by_code_point
from tests.scan.partners import SIX, offer

SHAPE = offer(443, version=None, suites=())


@pytest.mark.parametrize("version", [*MODERN_VERSIONS, *OLD_VERSIONS])
def test_each_suite_is_asked_once_in_chunks_that_leave_room_for_a_control(version: TlsVersion) -> None:
    questions = suite_questions(SHAPE, version)
    asked = [suite for question in questions for suite in question.offer.cipher_suites]
    assert len(asked) == len(set(asked)) > 4
    assert all(0 < len(question.offer.cipher_suites) <= CHUNK and question.offer.version is version for question in questions)


@pytest.mark.parametrize("version", MODERN_VERSIONS)
def test_each_suite_that_has_a_name_is_asked_for(version: TlsVersion) -> None:
    asked = {suite for question in suite_questions(SHAPE, version) for suite in question.offer.cipher_suites}
    assert asked == {suite.code_point for suite in all_suites() if not suite.is_ssl2 and suite.is_tls13 is (version is TlsVersion.TLS_1_3)}


def test_our_own_hellos_are_controlled_by_our_own_and_never_control_a_librarys() -> None:
    tls12 = KnownGood(replace(SHAPE, version=TlsVersion.TLS_1_2), 0xC02F)
    own = KnownGood(replace(SHAPE, version=TlsVersion.TLS_1_2, hello_only=True), 0x00A8)
    ssl3 = KnownGood(replace(SHAPE, version=TlsVersion.SSL_3_0, legacy=True), 0x000A)
    *libraries, last = suite_questions(SHAPE, TlsVersion.TLS_1_2)
    assert last.offer.hello_only
    assert [(good.offer.hello_only, good.suite) for good in controls_for(last, [ssl3, tls12, own])] == [(True, 0xC02F), (True, 0x00A8)]
    assert [good.suite for good in controls_for(libraries[0], [own])] == []


def key_exchanges(version: TlsVersion) -> list[set[str]]:
    """Return those of each chunk that the modern library offers."""
    modern = [question for question in suite_questions(SHAPE, version) if not question.offer.legacy and not question.offer.hello_only]
    named = [[suite_by_code_point(suite) for suite in question.offer.cipher_suites] for question in modern]
    return [{one.iana_name.partition("_WITH_")[0] for one in chunk if one} for chunk in named]


def test_chunks_interleave_key_exchanges() -> None:
    assert all({"TLS_RSA", "TLS_ECDHE_RSA", "TLS_DHE_RSA"} <= names for names in key_exchanges(TlsVersion.TLS_1_2)[1:])


@pytest.mark.parametrize("version", [TlsVersion.TLS_1_2, TlsVersion.TLS_1_1, TlsVersion.TLS_1_0])
def test_no_hello_mixes_ecdsa_suites_with_others(version: TlsVersion) -> None:
    """HAProxy refuses RSA suites beside any ECDSA suite, offered by it or not."""
    assert [names for names in key_exchanges(version) if "TLS_ECDHE_ECDSA" in names] == [{"TLS_ECDHE_ECDSA"}]


def test_the_first_hello_offers_everything_usual() -> None:
    contact = first_contact(SHAPE)
    assert contact.version is None
    assert {*SIX, 0x1301, 0x1302, 0x1303, 0xC030, 0xC014, 0x002F, 0x000A} <= set(contact.cipher_suites)
    assert len(contact.cipher_suites) <= CHUNK


def test_the_nearest_shape_controls_first() -> None:
    contact = KnownGood(first_contact(SHAPE), 0x1301)
    tls13 = KnownGood(replace(SHAPE, version=TlsVersion.TLS_1_3), 0x1301)
    tls12 = KnownGood(replace(SHAPE, version=TlsVersion.TLS_1_2), 0xC02F)
    chacha = KnownGood(tls12.offer, 0xCCA8)
    ssl3 = KnownGood(replace(SHAPE, version=TlsVersion.SSL_3_0, legacy=True), 0x000A)
    _ecdsa, modern, *_, legacy = suite_questions(SHAPE, TlsVersion.TLS_1_0)

    def shapes(found: list[KnownGood], question: Question = modern) -> list[tuple[TlsVersion | None, bool, int]]:
        return [(good.offer.version, good.offer.legacy, good.suite) for good in controls_for(question, found)]

    assert shapes([tls13, tls12, contact])[0] == (TlsVersion.TLS_1_2, False, 0xC02F)
    assert shapes([tls13, chacha, tls12, contact], legacy)[0] == (TlsVersion.TLS_1_2, True, 0xC02F)
    assert shapes([chacha, contact], legacy)[0] == (None, False, 0x1301)
    assert shapes([tls13, contact])[0] == (None, False, 0x1301)
    assert shapes([ssl3]) == [(TlsVersion.SSL_3_0, True, 0x000A)]
    assert shapes([]) == []
