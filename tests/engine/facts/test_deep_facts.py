"""What reports prove: sslyze's word alone never clears a server."""

from dataclasses import replace

import pytest

from otpc_policy.core.facts import AddressFacts, DeepCommand, Support, Vulnerability
from otpc_policy.engine.facts.deep_facts import DeepEvidence
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.workers.deep_messages import Part, Report, Trace
from otpc_policy.tls.clear_flight import ClearFlight
from tests.support.facts import make_address, suite, versions

YES, NO, UNKNOWN = Support.YES, Support.NO, Support.UNKNOWN
NOTHING = ClearFlight()
FLIGHT = ClearFlight(hello=True, compression=NO, secure_renegotiation=YES, hello_done=True)
REFUSED = ClearFlight(refusal=40)
CONTROL = Report(command=None, completed=True, claim=UNKNOWN)
NO_RENEGOTIATION = "OpenSSLError: error:14094153:SSL routines:ssl3_read_bytes:no renegotiation"
ANSWERS = ("TLS Alert 20 2",) * 5
RSA = make_address(cipher_suites=(suite("TLS_RSA_WITH_AES_128_CBC_SHA"),))


def trace(
    flight: ClearFlight = FLIGHT, ending: Ending = Ending.ANSWERED, *, completed: bool = False
) -> Trace:
    return Trace(
        connected=True, ending=ending, completed=completed, offers_compression=True, flight=flight
    )


def part(claim: Support, *traces: Trace, name: str = "0", said: tuple[str, ...] = ()) -> Part:
    return Part(name=name, claim=claim, said=said, traces=traces)


def report(
    command: DeepCommand, claim: Support, *parts: Part, completed: bool = True, said: str = ""
) -> Report:
    return Report(command=command, completed=completed, claim=claim, said=said, parts=parts)


def evidence(
    *reports: Report, standard: AddressFacts | None = None, last: Report | None = CONTROL
) -> DeepEvidence:
    return DeepEvidence(
        standard or make_address(),
        tuple(DeepCommand),
        [CONTROL, *reports, *([last] if last else [])],
    )


def present(vulnerability: Vulnerability, found: DeepEvidence) -> Support:
    return {fact.vulnerability: fact.present for fact in found.vulnerabilities()}[vulnerability]


ALERTED = trace(replace(FLIGHT, alerts=(10,)))
CLOSED = trace(ending=Ending.CLOSED)
GOOD = trace(completed=True)


@pytest.mark.parametrize("command", [DeepCommand.HEARTBLEED, DeepCommand.OPENSSL_CCS_INJECTION])
@pytest.mark.parametrize(
    ("claim", "traces", "expected"),
    [
        (YES, (trace(),), YES),
        (NO, (ALERTED,), NO),
        (NO, (CLOSED, GOOD, CLOSED, GOOD, CLOSED), NO),
        # What sslyze calls "not vulnerable" all the same:
        (NO, (), UNKNOWN),
        (NO, (trace(NOTHING, Ending.RESET),), UNKNOWN),
        (NO, (trace(NOTHING, Ending.CLOSED),), UNKNOWN),
        (NO, (trace(REFUSED),), UNKNOWN),
        (NO, (trace(ending=Ending.TIMED_OUT),), UNKNOWN),
        (NO, (trace(ending=Ending.BYTE_LIMIT),), UNKNOWN),
        (NO, (CLOSED,), UNKNOWN),
        (NO, (CLOSED, GOOD, CLOSED), UNKNOWN),
        (NO, (CLOSED, trace(NOTHING, Ending.RESET), CLOSED, GOOD, CLOSED), UNKNOWN),
        (NO, (CLOSED, GOOD, CLOSED, GOOD, trace(ending=Ending.TIMED_OUT)), UNKNOWN),
        (UNKNOWN, (ALERTED,), UNKNOWN),
    ],
)
def test_a_provoked_server(
    command: DeepCommand, claim: Support, traces: tuple[Trace, ...], expected: Support
) -> None:
    vulnerability = (
        Vulnerability.HEARTBLEED
        if command is DeepCommand.HEARTBLEED
        else Vulnerability.CCS_INJECTION
    )
    assert (
        present(vulnerability, evidence(report(command, claim, part(claim, *traces)))) is expected
    )
    assert (
        present(
            vulnerability, evidence(report(command, UNKNOWN, part(claim, *traces), completed=False))
        )
        is UNKNOWN
    )


@pytest.mark.parametrize(
    ("said", "answers", "endings", "expected"),
    [
        ("VULNERABLE_WEAK_ORACLE", ANSWERS, Ending.ANSWERED, YES),
        ("VULNERABLE_STRONG_ORACLE", ANSWERS, Ending.TIMED_OUT, YES),
        ("NOT_VULNERABLE_NO_ORACLE", ANSWERS, Ending.ANSWERED, NO),
        ("NOT_VULNERABLE_NO_ORACLE", ("No data",) * 5, Ending.CLOSED, NO),
        ("NOT_VULNERABLE_NO_ORACLE", ("socket.error timed out",) * 5, Ending.TIMED_OUT, UNKNOWN),
        # sslyze notes an empty answer where the server did not come to the question.
        ("NOT_VULNERABLE_NO_ORACLE", ("",) * 5, Ending.CLOSED, UNKNOWN),
        ("VULNERABLE_STRONG_ORACLE", ("", *ANSWERS[1:]), Ending.ANSWERED, UNKNOWN),
        ("UNKNOWN_INCONSISTENT_RESULTS", ANSWERS, Ending.ANSWERED, UNKNOWN),
    ],
)
def test_robot(said: str, answers: tuple[str, ...], endings: Ending, expected: Support) -> None:
    parts = [
        part(UNKNOWN, trace(ending=endings), name=str(number), said=answers) for number in range(3)
    ]
    assert (
        present(
            Vulnerability.ROBOT,
            evidence(report(DeepCommand.ROBOT, UNKNOWN, *parts, said=said), standard=RSA),
        )
        is expected
    )


@pytest.mark.parametrize(
    ("flight", "static_rsa", "expected"),
    [
        (REFUSED, UNKNOWN, NO),
        (NOTHING, NO, NO),
        (REFUSED, YES, UNKNOWN),
        (NOTHING, UNKNOWN, UNKNOWN),
    ],
)
def test_a_server_without_rsa_key_exchange_is_safe_if_that_is_proven(
    flight: ClearFlight, static_rsa: Support, expected: Support
) -> None:
    standard = make_address(
        cipher_suites=(suite("TLS_RSA_WITH_AES_128_CBC_SHA", support=static_rsa),)
    )
    said = "NOT_VULNERABLE_RSA_NOT_SUPPORTED"
    found = evidence(
        report(DeepCommand.ROBOT, UNKNOWN, part(UNKNOWN, trace(flight)), said=said),
        standard=standard,
    )
    assert present(Vulnerability.ROBOT, found) is expected


def renegotiation(secure: Part, client: Part) -> DeepEvidence:
    return evidence(report(DeepCommand.SESSION_RENEGOTIATION, UNKNOWN, secure, client))


SECURE = part(YES, GOOD, name="secure")
REFUSING = part(NO, GOOD, name="client", said=("0", NO_RENEGOTIATION))


@pytest.mark.parametrize(
    ("secure", "client", "expected"),
    [
        (SECURE, REFUSING, NO),
        (
            part(
                NO, trace(replace(FLIGHT, secure_renegotiation=NO), completed=True), name="secure"
            ),
            REFUSING,
            YES,
        ),
        (SECURE, part(YES, GOOD, name="client", said=("10",)), YES),
        # Only some were accepted: neither safe nor without bounds.
        (SECURE, part(NO, GOOD, name="client", said=("4", NO_RENEGOTIATION)), UNKNOWN),
        (
            SECURE,
            part(
                NO,
                trace(ending=Ending.TIMED_OUT, completed=True),
                name="client",
                said=("0", "TimeoutError: timed out"),
            ),
            UNKNOWN,
        ),
        (
            SECURE,
            part(
                NO,
                trace(ending=Ending.RESET, completed=True),
                name="client",
                said=("0", "ConnectionResetError: reset"),
            ),
            UNKNOWN,
        ),
        (
            SECURE,
            part(NO, trace(NOTHING, Ending.CLOSED), name="client", said=("0", NO_RENEGOTIATION)),
            UNKNOWN,
        ),
        (part(YES, trace(), name="secure"), REFUSING, UNKNOWN),
        (part(YES, trace(NOTHING, Ending.CLOSED), name="secure"), REFUSING, UNKNOWN),
    ],
)
def test_renegotiation(secure: Part, client: Part, expected: Support) -> None:
    assert present(Vulnerability.INSECURE_RENEGOTIATION, renegotiation(secure, client)) is expected


@pytest.mark.parametrize(
    ("claim", "made", "expected"),
    [
        (NO, GOOD, NO),
        (YES, trace(replace(FLIGHT, compression=YES), completed=True), YES),
        (NO, trace(replace(FLIGHT, compression=YES)), YES),
        (NO, trace(NOTHING, Ending.RESET), UNKNOWN),
        (NO, replace(GOOD, offers_compression=False), UNKNOWN),
    ],
)
def test_compression(claim: Support, made: Trace, expected: Support) -> None:
    assert (
        present(
            Vulnerability.COMPRESSION,
            evidence(report(DeepCommand.TLS_COMPRESSION, claim, part(claim, made))),
        )
        is expected
    )


@pytest.mark.parametrize(
    "last", [None, replace(CONTROL, completed=False)], ids=["cut off", "failed"]
)
def test_without_the_last_control_nobody_is_cleared(last: Report | None) -> None:
    reports = (
        report(DeepCommand.HEARTBLEED, NO, part(NO, ALERTED)),
        report(
            DeepCommand.ROBOT,
            UNKNOWN,
            *(part(UNKNOWN, trace(), said=ANSWERS),) * 3,
            said="NOT_VULNERABLE_NO_ORACLE",
        ),
        report(DeepCommand.SESSION_RENEGOTIATION, UNKNOWN, SECURE, REFUSING),
        report(DeepCommand.TLS_COMPRESSION, NO, part(NO, GOOD)),
        report(DeepCommand.OPENSSL_CCS_INJECTION, YES, part(YES, trace())),
        report(DeepCommand.ELLIPTIC_CURVES, UNKNOWN, part(NO, trace(REFUSED), name="secp192r1")),
        report(
            DeepCommand.TLS_1_2_CIPHER_SUITES,
            UNKNOWN,
            part(
                NO,
                trace(REFUSED),
                name="TLS_RSA_WITH_RC4_128_SHA",
                said=("TLS alert: handshake failure",),
            ),
        ),
    )
    found = evidence(*reports, standard=RSA, last=last)
    assert {
        fact.present
        for fact in found.vulnerabilities()
        if fact.vulnerability is not Vulnerability.CCS_INJECTION
    } == {UNKNOWN}
    assert present(Vulnerability.CCS_INJECTION, found) is YES
    assert {fact.support for fact in found.deep_facts().curves} == {UNKNOWN}
    assert found.suite_claims() == ()
    whole = evidence(*reports, standard=RSA)
    assert {
        fact.present
        for fact in whole.vulnerabilities()
        if fact.vulnerability is not Vulnerability.CCS_INJECTION
    } == {NO}
    assert [one.support for one in whole.suite_claims()] == [NO]


@pytest.mark.parametrize(
    ("said", "flight", "claimed"),
    [
        ("TLS alert: handshake failure", REFUSED, [NO]),
        ("TLS alert: Internal error", ClearFlight(refusal=80), []),
        ("Server rejected the connection", NOTHING, []),
        ("Connection to server timed out during the TLS handshake", NOTHING, []),
        ("Server closed the connection during the TLS handshake", NOTHING, []),
        ("TLS error: wrong version number", FLIGHT, []),
        ("TLS alert: handshake failure", FLIGHT, []),
    ],
)
def test_only_an_alert_that_was_seen_refuses_a_suite(
    said: str, flight: ClearFlight, claimed: list[Support]
) -> None:
    one = part(NO, trace(flight), name="TLS_RSA_WITH_RC4_128_SHA", said=(said,))
    assert [
        claim.support
        for claim in evidence(
            report(DeepCommand.TLS_1_2_CIPHER_SUITES, UNKNOWN, one)
        ).suite_claims()
    ] == claimed


def test_an_accepted_suite_says_whether_its_handshake_was_completed() -> None:
    parts = (
        part(YES, GOOD, name="TLS_RSA_WITH_RC4_128_SHA"),
        part(YES, trace(), name="TLS_RSA_WITH_RC4_128_MD5"),
        part(YES, trace(NOTHING), name="TLS_NULL"),
    )
    claims = evidence(report(DeepCommand.TLS_1_2_CIPHER_SUITES, UNKNOWN, *parts)).suite_claims()
    assert {claim.code_point: claim.handshake_completed for claim in claims} == {
        0x0005: True,
        0x0004: False,
    }


def test_early_data_is_refused_only_by_a_server_that_could_be_asked() -> None:
    def early(claim: Support, *traces: Trace) -> Support:
        return (
            evidence(report(DeepCommand.TLS_1_3_EARLY_DATA, claim, part(claim, *traces)))
            .deep_facts()
            .early_data
        )

    assert early(YES, GOOD, GOOD) is YES
    assert early(NO, GOOD, trace(NOTHING)) is NO
    assert early(NO, GOOD) is UNKNOWN
    assert early(NO, trace(ending=Ending.TIMED_OUT, completed=True), trace(NOTHING)) is UNKNOWN
    assert early(NO, trace(NOTHING, Ending.RESET)) is UNKNOWN


def test_a_server_of_tls_1_3_alone_is_cleared_only_where_the_older_versions_are_proven_absent() -> (
    None
):
    alone, perhaps = (make_address(versions=versions(TLS_1_2=older)) for older in (NO, UNKNOWN))
    assert {fact.present for fact in evidence(standard=alone).vulnerabilities()} == {NO}
    assert {fact.present for fact in evidence(standard=perhaps).vulnerabilities()} == {UNKNOWN}
    unasked = DeepEvidence(alone, (DeepCommand.ROBOT,), [CONTROL, CONTROL])
    assert [fact.vulnerability for fact in unasked.vulnerabilities() if fact.present is NO] == [
        Vulnerability.ROBOT
    ]
