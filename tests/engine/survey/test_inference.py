"""What a journal proves: a refusal counts between accepted controls, and nowhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from otpc_policy.core.facts import Evidence, TlsVersion
from otpc_policy.engine.survey.inference import Inference, contradictions
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe, Purpose
from otpc_policy.tls.answer import Alert, Answer, Incomplete, ServerHello
from otpc_policy.tls.client_hello import ClientHello, GroupList, HelloStyle

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
RSA_GOOD, RSA_OTHER, ECDSA_GOOD = 0xC02F, 0xC027, 0xC02B
# Suites that the server lacks: three without ECDSA, two of ECDSA.
ABSENT, ABSENT_ECDSA = (0x0005, 0x000A, 0x002F), (0xC009, 0xC00A)
CLOSED = Outcome(ending=Ending.CLOSED, connected=True)
SILENT = Outcome(ending=Ending.TIMED_OUT, connected=True)
NOT_RUN = Outcome(ending=Ending.NOT_RUN, connected=True)
Asked = tuple[Probe[ClientHello], Outcome]


def hello(
    *suites: int,
    version: TlsVersion = TLS12,
    style: HelloStyle = HelloStyle.FULL,
    name: str | None = "partner.test",
) -> ClientHello:
    return ClientHello(
        version=version, lowest=version, cipher_suites=suites, server_name=name, style=style
    )


def answered(answer: Answer) -> Outcome:
    return Outcome(ending=Ending.ANSWERED, connected=True, answer=answer)


def alert(description: int) -> Outcome:
    return answered(Alert(2, description))


def asked(offer: ClientHello, outcome: Outcome, *, is_last: bool = False) -> Asked:
    return Probe(
        hello=offer,
        purpose=Purpose.CLOSING_CONTROL if is_last else Purpose.REMAINDER,
        is_last=is_last,
    ), outcome


def chose(
    offer: ClientHello,
    suite: int | None = None,
    *,
    version: TlsVersion | None = None,
    is_last: bool = False,
) -> Asked:
    suite = offer.cipher_suites[-1] if suite is None else suite
    answer = ServerHello(
        version=offer.version if version is None else version,
        cipher_suite=suite,
        is_retry_request=False,
    )
    return asked(offer, answered(answer), is_last=is_last)


def journal_of(*waves: Sequence[Asked]) -> Journal:
    journal = Journal()
    for wave in waves:
        journal.add([probe for probe, _ in wave], [outcome for _, outcome in wave])
    return journal


def refusals(version: TlsVersion, *waves: Sequence[Asked]) -> Mapping[int, Evidence]:
    return Inference(journal_of(*waves)).refusals(version, groups=GroupList.WIDE)


def absences(version: TlsVersion, *waves: Sequence[Asked]) -> Mapping[int, Evidence]:
    return Inference(journal_of(*waves)).absences(version)


CONTROL, REFUSED = hello(*ABSENT, RSA_GOOD), hello(*ABSENT)
BEFORE, AFTER = [chose(CONTROL)], [chose(CONTROL)]
REFUSAL = asked(REFUSED, alert(40))


@pytest.mark.parametrize("description", [40, 47, 70, 71])
def test_a_refusal_counts_between_a_control_before_and_one_after(description: int) -> None:
    refusal = asked(REFUSED, alert(description))
    for journal in (
        journal_of(BEFORE, [refusal, chose(CONTROL, is_last=True)]),
        journal_of(BEFORE, [refusal], AFTER),
    ):
        assert Inference(journal).refusals(TLS12, groups=GroupList.WIDE) == dict.fromkeys(
            ABSENT, Evidence.ALERT
        )
        assert not list(contradictions(journal))


LONGER = hello(*ABSENT, RSA_OTHER, RSA_GOOD)
UNCONTROLLED: dict[str, list[list[Asked]]] = {
    "no control": [[REFUSAL]],
    "only before": [BEFORE, [REFUSAL]],
    "only after": [[REFUSAL], AFTER],
    "sent with it, not after": [BEFORE, [REFUSAL, chose(CONTROL)]],
    "the control before was sent with it": [
        [chose(CONTROL), REFUSAL, chose(CONTROL, is_last=True)]
    ],
    "it was itself among the last": [
        BEFORE,
        [asked(REFUSED, alert(40), is_last=True), chose(CONTROL, is_last=True)],
    ],
    "the control after was refused": [BEFORE, [REFUSAL, asked(CONTROL, alert(40), is_last=True)]],
    "the control after was not answered": [BEFORE, [REFUSAL, asked(CONTROL, SILENT, is_last=True)]],
    "the control after was not sent": [BEFORE, [REFUSAL, asked(CONTROL, NOT_RUN, is_last=True)]],
    "the control after is of another style": [
        BEFORE,
        [REFUSAL],
        [chose(hello(*ABSENT, RSA_GOOD, style=HelloStyle.SHORT))],
    ],
    "the control before is of another style": [
        [chose(hello(*ABSENT, RSA_GOOD, style=HelloStyle.SHORT))],
        [REFUSAL],
        AFTER,
    ],
    "the control before is shorter": [[chose(hello(0x0005, RSA_GOOD))], [REFUSAL], AFTER],
    "the control after is shorter": [BEFORE, [REFUSAL], [chose(hello(RSA_GOOD))]],
    "the control after holds another list": [
        BEFORE,
        [REFUSAL],
        [chose(hello(0x0005, 0x000A, 0x0033, RSA_GOOD))],
    ],
    "the control after chose another version": [BEFORE, [REFUSAL], [chose(CONTROL, version=TLS11)]],
}


@pytest.mark.parametrize("waves", UNCONTROLLED.values(), ids=UNCONTROLLED)
def test_without_both_controls_a_refusal_proves_nothing(waves: list[list[Asked]]) -> None:
    assert refusals(TLS12, *waves) == {}


@pytest.mark.parametrize(
    "outcome",
    [
        alert(0),
        alert(10),
        alert(80),
        alert(112),
        answered(Alert(1, 40)),
        CLOSED,
        SILENT,
        NOT_RUN,
        answered(Incomplete()),
    ],
)
def test_what_is_no_refusing_alert_proves_nothing_between_controls_either(outcome: Outcome) -> None:
    assert refusals(TLS12, BEFORE, [asked(REFUSED, outcome), chose(CONTROL, is_last=True)]) == {}


@pytest.mark.parametrize(
    "outcome",
    [CLOSED, replace(CLOSED, ending=Ending.RESET), alert(80)],
    ids=["close", "reset", "internal_error"],
)
def test_a_close_counts_when_it_came_in_three_waves_with_controls_between_them(
    outcome: Outcome,
) -> None:
    close = asked(REFUSED, outcome)
    closing = chose(CONTROL, is_last=True)
    assert refusals(TLS12, BEFORE, [close, closing], [close, closing]) == {}
    assert refusals(TLS12, BEFORE, [close, close, close, closing]) == {}
    assert refusals(
        TLS12, BEFORE, [close, closing], [close, closing], [close, closing]
    ) == dict.fromkeys(ABSENT, Evidence.CLOSED_CONFIRMED)
    failed = asked(CONTROL, alert(40), is_last=True)
    assert refusals(TLS12, BEFORE, [close, closing], [close, closing], [close, failed]) == {}


def test_a_close_before_tcp_connects_is_none() -> None:
    unreachable = asked(REFUSED, Outcome(ending=Ending.RESET))
    assert refusals(TLS12, BEFORE, *[[unreachable, chose(CONTROL, is_last=True)]] * 4) == {}


def test_an_alert_is_stronger_than_closes() -> None:
    closing = chose(CONTROL, is_last=True)
    journal = journal_of(BEFORE, *[[asked(REFUSED, CLOSED), closing]] * 3, [REFUSAL, closing])
    assert Inference(journal).refusals(TLS12, groups=GroupList.WIDE) == dict.fromkeys(
        ABSENT, Evidence.ALERT
    )


def test_a_version_is_refused_between_controls_of_the_nearest_version() -> None:
    """Once the version itself was chosen, only its own hellos are controls."""
    old = hello(*ABSENT, version=TLS11)
    journal = journal_of(BEFORE, [asked(old, alert(70)), chose(CONTROL, is_last=True)])
    assert Inference(journal).refusals(TLS11, groups=GroupList.WIDE) == dict.fromkeys(
        ABSENT, Evidence.ALERT
    )
    assert (
        Inference(journal).refusals(TLS12, groups=GroupList.WIDE)
        == Inference(journal).refusals(TLS10, groups=GroupList.WIDE)
        == {}
    )
    assert (
        refusals(
            TLS11,
            BEFORE,
            [asked(old, alert(70)), chose(CONTROL, is_last=True)],
            [chose(hello(0x0035, version=TLS11))],
        )
        == {}
    )


def test_ssl_3_needs_a_control_as_long_as_its_hello_of_any_style() -> None:
    bare = asked(hello(*ABSENT, version=SSL3, style=HelloStyle.BARE), alert(40))
    assert absences(SSL3, BEFORE, [bare], AFTER) == dict.fromkeys(ABSENT, Evidence.ALERT)
    short = [chose(hello(RSA_GOOD))]
    assert absences(SSL3, short, [bare], short) == absences(SSL3, BEFORE, [bare], short) == {}


def test_ssl_2_has_kinds_of_its_own_and_any_control_will_do() -> None:
    kinds = asked(hello(0x010080, 0x0700C0, version=SSL2, style=HelloStyle.BARE), alert(70))
    short = [chose(hello(RSA_GOOD))]
    assert absences(SSL2, short, [kinds], short) == dict.fromkeys(
        (0x010080, 0x0700C0), Evidence.ALERT
    )
    assert absences(SSL2, short, [kinds]) == {}


def test_a_refusal_of_ssl_3_without_a_name_proves_nothing_where_others_have_one() -> None:
    """A routing proxy needs the name; the server that it hides may still speak SSL 3."""
    named = hello(*ABSENT, version=SSL3, style=HelloStyle.BARE)
    nameless = replace(named, server_name=None)
    assert absences(SSL3, BEFORE, [asked(nameless, alert(40)), asked(named, SILENT)], AFTER) == {}
    assert absences(SSL3, BEFORE, [asked(nameless, alert(40))], AFTER) == dict.fromkeys(
        ABSENT, Evidence.ALERT
    )


def test_a_refusal_of_a_list_with_ecdsa_suites_is_about_these_alone() -> None:
    """If a hello has an ECDSA suite, HAProxy refuses what only its RSA certificate could serve."""
    mixed = (*ABSENT, *ABSENT_ECDSA)
    control = hello(*mixed, RSA_GOOD)
    about = {
        description: set(
            refusals(
                TLS12,
                [chose(control)],
                [asked(hello(*mixed), alert(description))],
                [chose(control)],
            )
        )
        for description in (40, 70)
    }
    assert about == {40: set(ABSENT_ECDSA), 70: set(mixed)}
    old = hello(*mixed, version=TLS11)
    assert set(refusals(TLS11, [chose(control)], [asked(old, alert(40))], [chose(control)])) == set(
        mixed
    )


def test_a_long_list_counts_only_while_no_long_control_failed() -> None:
    many = tuple(range(0x2000, 0x2000 + 65))
    refusal, control = asked(hello(*many), alert(40)), chose(hello(*many, RSA_GOOD))
    bracketed = [[control], [refusal], [control]]
    assert len(refusals(TLS12, *bracketed)) == 65
    deaf = Probe(hello=hello(*many, RSA_OTHER), purpose=Purpose.CONTROL), alert(40)
    assert refusals(TLS12, *bracketed, [deaf]) == {}
    # What was expected to be accepted in the first wave was a guess.
    assert len(refusals(TLS12, [control, deaf], *bracketed[1:])) == 65


DHE_RSA, DHE_DSS = 0x0033, 0x0032
STATIC_RSA, STATIC_RSA_NULL, KRB5 = 0x002F, 0x0002, 0x001F
CLOSING = (*ABSENT, DHE_RSA, DHE_DSS, STATIC_RSA_NULL, KRB5, RSA_GOOD)


def absences_of(
    *lists: tuple[int, ...], finite_field: Sequence[tuple[int, ...]] = (), description: int = 40
) -> Mapping[int, Evidence]:
    """Return what is proven absent where these lists were refused between controls."""
    refused = [asked(hello(*suites), alert(description)) for suites in lists]
    refused += [
        asked(replace(hello(*suites), groups=GroupList.FINITE_FIELD), alert(description))
        for suites in finite_field
    ]
    journal = journal_of([chose(hello(*CLOSING))], [*refused, chose(hello(*CLOSING), is_last=True)])
    return Inference(journal).absences(TLS12)


def test_a_refused_list_of_one_family_proves_all_of_it_absent() -> None:
    assert absences_of((STATIC_RSA, STATIC_RSA_NULL)) == dict.fromkeys(
        (STATIC_RSA, STATIC_RSA_NULL), Evidence.ALERT
    )


def test_a_family_is_absent_only_if_no_other_stands_in_every_list_that_was_refused_with_it() -> (
    None
):
    """The server may have chosen the other family, then failed (testssl/testssl.sh#2883)."""
    assert absences_of((STATIC_RSA_NULL, DHE_DSS)) == {}
    assert absences_of((STATIC_RSA_NULL, DHE_DSS), (STATIC_RSA_NULL, DHE_DSS, DHE_RSA)) == {}
    assert absences_of((STATIC_RSA_NULL, DHE_DSS), (STATIC_RSA_NULL, KRB5)) == {
        STATIC_RSA_NULL: Evidence.ALERT
    }
    assert absences_of((STATIC_RSA_NULL, DHE_DSS), finite_field=[(STATIC_RSA_NULL, KRB5)]) == {
        STATIC_RSA_NULL: Evidence.ALERT
    }


def test_families_that_share_a_need_may_all_have_failed_for_it() -> None:
    """Both lists hold a family that needs finite-field parameters, which the server may lack."""
    assert absences_of((STATIC_RSA_NULL, DHE_DSS), (STATIC_RSA_NULL, DHE_RSA)) == {}


def test_a_family_that_needs_a_finite_field_group_is_refused_with_and_without_such_groups() -> None:
    both = {DHE_RSA: Evidence.ALERT}
    assert absences_of((DHE_RSA,)) == absences_of(finite_field=[(DHE_RSA,)]) == {}
    assert absences_of((DHE_RSA,), finite_field=[(DHE_RSA,)]) == both
    assert absences_of((DHE_RSA,), finite_field=[(DHE_RSA, DHE_DSS)]) == {}
    # An alert about the version is about no group.
    assert absences_of((DHE_RSA,), description=70) == both


def test_suites_of_ecdsa_need_one_list() -> None:
    of_ecdsa = hello(*ABSENT_ECDSA, ECDSA_GOOD)
    refused = asked(hello(*ABSENT_ECDSA), alert(40))
    absent = absences(TLS12, [chose(of_ecdsa)], [refused, chose(of_ecdsa, is_last=True)])
    assert absent == dict.fromkeys(ABSENT_ECDSA, Evidence.ALERT)


def test_what_was_inferred_is_inferred_anew_when_the_journal_grows() -> None:
    """A later control makes a refusal count; a later failure of a long control takes that back."""
    many = tuple(range(0x2000, 0x2000 + 65))
    control = chose(hello(*many, RSA_GOOD))
    journal = journal_of([control], [asked(hello(*many), alert(40))])
    inference = Inference(journal)
    assert inference.refusals(TLS12, groups=GroupList.WIDE) == {}
    journal.add([control[0]], [control[1]])
    assert set(inference.refusals(TLS12, groups=GroupList.WIDE)) == set(many)
    deaf = Probe(hello=hello(*many, RSA_OTHER), purpose=Purpose.CONTROL)
    journal.add([deaf], [alert(40)])
    assert inference.refusals(TLS12, groups=GroupList.WIDE) == {}


# Refused, accepted: is it the same server?
@pytest.mark.parametrize(
    ("refused", "accepted", "contradicts"),
    [
        (hello(0x0005, RSA_GOOD), chose(hello(0x000A, RSA_GOOD)), True),
        (hello(RSA_GOOD), chose(hello(0x000A, RSA_GOOD)), True),
        (hello(0x0005, 0x0033, RSA_GOOD), chose(hello(0x000A, RSA_GOOD)), False),
        (hello(0x0005, 0x002F), chose(hello(0x000A, RSA_GOOD)), False),
        (hello(RSA_GOOD, version=TLS11), chose(hello(0x000A, RSA_GOOD)), False),
        (hello(RSA_GOOD, style=HelloStyle.SHORT), chose(hello(0x000A, RSA_GOOD)), False),
        (hello(RSA_GOOD, name=None), chose(hello(0x000A, RSA_GOOD)), False),
        # A server like HAProxy refuses its RSA suite in a hello with ECDSA suites that it lacks,
        # unless it chose the RSA suite in another hello with ECDSA suites.
        (hello(ABSENT_ECDSA[0], RSA_GOOD), chose(hello(0x000A, 0x0005, RSA_GOOD)), False),
        (hello(ABSENT_ECDSA[0], RSA_GOOD), chose(hello(ABSENT_ECDSA[1], RSA_GOOD)), True),
        (hello(ABSENT_ECDSA[0], ECDSA_GOOD), chose(hello(0x000A, 0x0005, ECDSA_GOOD)), True),
        # The 65th suite and later ones may not have been read.
        (
            hello(*range(0x2000, 0x2040), RSA_GOOD),
            chose(hello(RSA_GOOD, *range(0x2000, 0x2050)), RSA_GOOD),
            False,
        ),
        (
            hello(*range(0x2000, 0x203F), RSA_GOOD),
            chose(hello(RSA_GOOD, *range(0x2000, 0x2050)), RSA_GOOD),
            True,
        ),
        (
            hello(*range(0x2000, 0x2040), RSA_GOOD),
            chose(hello(*range(0x2000, 0x2050), RSA_GOOD)),
            True,
        ),
    ],
)
@pytest.mark.parametrize(
    "outcome", [alert(40), alert(112), CLOSED, SILENT], ids=["40", "112", "close", "silence"]
)
def test_a_hello_refused_though_it_holds_an_accepted_suite_is_a_contradiction(
    refused: ClientHello, accepted: Asked, contradicts: bool, outcome: Outcome
) -> None:
    for waves in ([[accepted], [asked(refused, outcome)]], [[asked(refused, outcome)], [accepted]]):
        journal = journal_of(*waves)
        assert [record.probe.hello for record in contradictions(journal)] == (
            [refused] if contradicts else []
        )


def test_who_chose_from_the_end_of_one_long_list_has_read_the_others_to_the_same_place() -> None:
    refused = hello(*range(0x2000, 0x2050), RSA_GOOD)
    good = chose(hello(RSA_GOOD, *range(0x2000, 0x2050)), RSA_GOOD)
    at_the_end = chose(hello(*range(0x2000, 0x2050), RSA_OTHER))
    assert not list(contradictions(journal_of([good], [asked(refused, alert(40))])))
    assert [
        record.probe.hello
        for record in contradictions(journal_of([good, at_the_end], [asked(refused, alert(40))]))
    ] == [refused]


def test_what_an_earlier_survey_showed_to_be_accepted_contradicts_a_refusal_too() -> None:
    earlier, later = journal_of(BEFORE), journal_of([asked(CONTROL, alert(40))], AFTER, [REFUSAL])
    refused_once = journal_of([asked(CONTROL, alert(40))])
    assert [record.probe.hello for record in contradictions(refused_once, earlier)] == [CONTROL]
    assert not list(contradictions(earlier, refused_once))
    assert [record.probe.hello for record in contradictions(later, earlier)] == [CONTROL]


def test_a_hello_that_was_never_sent_contradicts_nothing() -> None:
    assert not list(contradictions(journal_of(BEFORE, [asked(CONTROL, NOT_RUN)])))
