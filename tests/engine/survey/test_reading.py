"""What one answer says about one offer, in a table; anything else is unproven."""

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.reading import Reaction, Reading, read_answer, suite_name
from otpc_policy.tls.answer import (
    Alert,
    Answer,
    Garbage,
    Incomplete,
    PlainHttp,
    ServerHello,
    Ssl2ServerHello,
)

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
OFFERED = frozenset({0xC02F, 0x002F, 0x1301, 0x010080, 0xDADA})
REFUSING = {40, 47, 70, 71}


def hello(version: int, suite: int, *, is_retry_request: bool = False) -> ServerHello:
    return ServerHello(version=version, cipher_suite=suite, is_retry_request=is_retry_request)


def reading(answer: Answer, highest: TlsVersion = TLS12, *, closed: bool = False) -> Reading:
    return read_answer(
        answer, highest=highest, offered=OFFERED, closed=closed, otherwise="it ended"
    )


@pytest.mark.parametrize(
    ("answer", "highest", "version", "suites"),
    [
        (hello(0x0303, 0xC02F), TLS12, TLS12, (0xC02F,)),
        (hello(0x0303, 0xC02F), TLS13, TLS12, (0xC02F,)),
        (hello(0x0300, 0x002F), TLS12, SSL3, (0x002F,)),
        (hello(0x0304, 0x1301), TLS13, TLS13, (0x1301,)),
        (hello(0x0304, 0x1301, is_retry_request=True), TLS13, TLS13, (0x1301,)),
        # A suite without a name of ours that was offered is still a choice.
        (hello(0x0303, 0xDADA), TLS12, TLS12, (0xDADA,)),
        (Ssl2ServerHello((0x010080, 0x0700C0)), SSL2, SSL2, (0x010080,)),
        (Ssl2ServerHello(()), SSL2, SSL2, ()),
    ],
)
def test_what_was_offered_and_chosen_is_there(
    answer: Answer, highest: TlsVersion, version: TlsVersion, suites: tuple[int, ...]
) -> None:
    for closed in (True, False):
        assert reading(answer, highest, closed=closed) == Reading(
            reaction=Reaction.CHOSE, version=version, suites=suites
        )


@pytest.mark.parametrize(
    ("answer", "highest", "remark"),
    [
        (
            hello(0x0303, 0xC030),
            TLS12,
            "cipher suite TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, which was not offered",
        ),
        (hello(0x0303, 0x0A0A), TLS12, "cipher suite 0x0A0A, which was not offered"),
        (hello(0x0303, 0xC02F), TLS11, "TLS 1.2, which was not offered"),
        (hello(0x0304, 0x1301), TLS12, "TLS 1.3, which was not offered"),
        (hello(0x0305, 0x1301), TLS13, "version 0x0305, which was not offered"),
        (hello(0x7F1C, 0x1301), TLS13, "version 0x7F1C, which was not offered"),
        (hello(0x0002, 0x002F), TLS12, "SSL 2, which was not offered"),
        (hello(0x0301, 0x002F), SSL2, "TLS 1.0, which was not offered"),
        (hello(0x0303, 0x1301), TLS13, "cipher suite TLS_AES_128_GCM_SHA256 for TLS 1.2"),
        (
            hello(0x0304, 0xC02F),
            TLS13,
            "cipher suite TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 for TLS 1.3",
        ),
        (Ssl2ServerHello((0x010080,)), TLS12, "SSL 2, which was not offered"),
    ],
)
def test_what_was_not_offered_is_a_violation_and_proves_nothing(
    answer: Answer, highest: TlsVersion, remark: str
) -> None:
    assert reading(answer, highest, closed=True) == Reading(
        reaction=Reaction.UNPROVEN,
        remark=f"protocol violation: the server chose {remark}",
        is_violation=True,
    )


@pytest.mark.parametrize("description", range(256))
def test_four_alerts_refuse_one_closes_and_the_others_prove_nothing(description: int) -> None:
    """A close after an alert adds nothing to it."""
    for closed in (True, False):
        read = reading(Alert(2, description), closed=closed)
        assert read.alert == description
        expected = (
            Reaction.REFUSED
            if description in REFUSING
            else Reaction.CLOSED
            if description == 80
            else Reaction.UNPROVEN
        )
        assert read.reaction is expected
        assert bool(read.remark) is (expected is Reaction.UNPROVEN)
        assert (read.version, read.suites) == (None, ())


@pytest.mark.parametrize("level", [0, 1, 3, 40, 255])
@pytest.mark.parametrize("description", [40, 70, 80, 112])
def test_an_alert_that_is_not_fatal_refuses_nothing(level: int, description: int) -> None:
    read = reading(Alert(level, description), closed=True)
    assert read.reaction is Reaction.UNPROVEN
    assert read.remark.startswith(
        "the server sent the warning"
        if level == 1
        else f"protocol violation: the server sent an alert of level {level}"
    )


@pytest.mark.parametrize(
    ("answer", "closed", "reaction", "remark"),
    [
        (Incomplete(), True, Reaction.CLOSED, ""),
        (Incomplete(), False, Reaction.UNPROVEN, "it ended"),
        (
            Garbage("no record of TLS"),
            True,
            Reaction.UNPROVEN,
            "the server answered with bytes that are no TLS: no record of TLS",
        ),
        (PlainHttp(), True, Reaction.UNPROVEN, "the server answered in plain-text HTTP"),
    ],
)
def test_only_a_close_before_any_answer_is_a_close(
    answer: Answer, closed: bool, reaction: Reaction, remark: str
) -> None:
    assert reading(answer, closed=closed) == Reading(reaction=reaction, remark=remark)


def test_suites_are_called_by_name_or_by_number() -> None:
    assert suite_name(0x1301) == "TLS_AES_128_GCM_SHA256"
    assert suite_name(0xDADA) == "0xDADA"
