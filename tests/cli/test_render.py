"""What a person reads at a width of 80 columns holds what matters, and nothing that a partner
smuggled in.
"""

import io
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from google.protobuf.duration_pb2 import Duration
from rich.console import Console, RenderableType

from otpc_policy.cli.render.policies import policies_view, policy_view
from otpc_policy.cli.render.verdict import check_view, findings_view, reasons, validation_view
from otpc_policy.cli.render.watched import watched_view
from otpc_policy.cli.render.words import decision_word, length_words, printable, version_word
from otpc_policy.v1 import policy_pb2 as pb
from tests.cli.messages import REMEDY, address, certificate, check_response, finding, instant


def shown(view: RenderableType, *, width: int = 80, colour: bool = False) -> str:
    system: Literal["standard"] | None = "standard" if colour else None
    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=colour,
        markup=False,
        emoji=False,
        highlight=False,
        color_system=system,
        _environ={},
    )
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_denial_shows_decision_endpoint_policy_times_findings_and_remedy() -> None:
    text = shown(check_view(check_response(findings=[finding()])))
    for part in (
        "DENY",
        "pay.partner.test:443",
        "otpc-2024-12 (revision 0123456789ab)",
        "192.0.2.7, 2001:db8::7",
        "2025-01-31 12:00:00 UTC, from the cache",
        "2025-01-31 12:05:00 UTC",
        "why        TLS_VERSION_BELOW_MINIMUM",
        "TLS_VERSION_BELOW_MINIMUM  high",
        *REMEDY.splitlines(),
    ):
        assert part in text


def test_the_partner_and_its_policy_are_named() -> None:
    response = check_response(findings=[finding()])
    assert "partner" not in shown(check_view(response)).replace("partner.test", "")
    response.partner.id = "bank"
    assert "partner    bank\n" in "".join(
        f"{line.rstrip()}\n" for line in shown(check_view(response)).splitlines()
    )
    response.partner.policy.name = "otpc-2024-12-strict"
    assert "bank; its policy otpc-2024-12-strict judges too" in shown(
        check_view(response), width=160
    )


def test_what_else_judged_is_named_and_findings_say_by_which_policy() -> None:
    response = check_response(findings=[finding(policies=["otpc-2024-12"])])
    plain = shown(check_view(response), width=160)
    assert ("minimum" in plain, "by policy" in plain) == (False, False)
    response.policy.name = "lax"
    response.minimum_policy.CopyFrom(
        pb.AppliedPolicy(name="otpc-2024-12", revision="ab" * 32, enforcing=True)
    )
    named = response.named_partners.add(id="bank")
    named.policy.name = "otpc-2024-12-strict"
    text = shown(check_view(response), width=160)
    assert "otpc-2024-12 (revision abababababab) judges too, and the worse verdict wins" in text
    assert "by policy: otpc-2024-12\n" in "".join(
        f"{line.rstrip()}\n" for line in text.splitlines()
    )
    assert "bank; its policy otpc-2024-12-strict judges too" in text
    assert "its trust and waivers do not apply to this host" in text
    response.minimum_policy.enforcing = False
    assert "abababababab, report-only) judges too" in shown(check_view(response), width=160)


def test_the_measurement_shows_versions_suites_certificates_and_effort() -> None:
    text = "".join(
        f"{line.rstrip()}\n" for line in shown(check_view(check_response())).splitlines()
    )
    for part in (
        "offered: TLS 1.2\n",
        "refused: TLS 1.0\n",
        "unknown: SSL 3\n",
        "ECDHE-ECDSA-AES128-GCM-SHA256 (handshake completed)\n",
        "unknown: 1 more suite\n",
        "Certificates ECDSA over TLS 1.2",
        "CN=pay.partner.test",
        "pay.partner.test, api.partner.test",
        "2025-01-01 to 2025-04-01 (59 days left)",
        "EC secp256r1 256",
        "ab" * 32,
        "12 connections, 230 ms",
    ):
        assert part in text
    assert "AES256" not in text


def test_groups_key_exchanges_and_extensions_are_shown_where_they_are_known() -> None:
    bare = shown(check_view(check_response()))
    assert not any(word in bare for word in ("groups", "key exchange", "extensions"))
    exchanged = pb.EndpointObservation(
        addresses=[
            pb.AddressObservation(
                reachable=pb.SUPPORT_YES,
                groups=[
                    pb.GroupObservation(name="x25519", support=pb.SUPPORT_YES),
                    pb.GroupObservation(name="ffdhe2048", support=pb.SUPPORT_NO),
                    pb.GroupObservation(name="X25519MLKEM768", support=pb.SUPPORT_UNKNOWN),
                ],
                key_exchanges=[
                    pb.KeyExchangeObservation(
                        version=pb.TLS_VERSION_TLS_1_2, group=29, group_name="x25519", bits=255
                    ),
                    pb.KeyExchangeObservation(version=pb.TLS_VERSION_TLS_1_2, bits=1024),
                ],
                extended_master_secret=pb.SUPPORT_YES,
                secure_renegotiation=pb.SUPPORT_NO,
            )
        ]
    )
    text = shown(check_view(check_response(observation=exchanged)), width=160)
    for part in (
        "x25519 ",
        "refused: ffdhe2048",
        "unknown: X25519MLKEM768",
        "x25519 (TLS 1.2), a finite field of 1024 bits (TLS 1.2)",
        "extended master secret: yes; secure renegotiation: no; compression: unknown",
    ):
        assert part in text


def test_a_deep_measurement_shows_dangers_properties_and_disputes() -> None:
    deep = pb.DeepObservation(
        vulnerabilities=[
            pb.VulnerabilityObservation(name="HEARTBLEED", present=pb.SUPPORT_YES),
            pb.VulnerabilityObservation(name="CCS_INJECTION", present=pb.SUPPORT_NO),
            pb.VulnerabilityObservation(name="ROBOT", present=pb.SUPPORT_UNKNOWN),
        ],
        early_data=pb.SUPPORT_NO,
        secure_renegotiation=pb.SUPPORT_YES,
        curves=[
            pb.CurveObservation(name="x25519", support=pb.SUPPORT_YES),
            pb.CurveObservation(name="sect163k1", support=pb.SUPPORT_NO),
        ],
        contradictions=["TLS 1.0: refused\x1b[2J by proof"],
        remarks=["the DEEP part was ended"],
    )
    response = check_response(observation=pb.EndpointObservation())
    response.observation.addresses[0].deep.CopyFrom(deep)
    lines = [" ".join(line.split()) for line in shown(check_view(response)).splitlines()]
    for line in (
        "present heartbleed",
        "absent ccs injection",
        "unknown robot",
        "early data no",
        "fallback SCSV unknown",
        "RFC 5746 yes",
        "curves x25519",
        "disputed TLS 1.0: refused\\u001b[2J by proof",
        "remark the DEEP part was ended",
    ):
        assert line in lines
    assert "early data" not in shown(check_view(check_response()))


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    response = check_response(
        findings=[finding(message="word " * 60), finding(message="x" * 300, address="2001:db8::7")]
    )
    assert max(map(len, shown(check_view(response), width=width).splitlines())) <= width


def test_colour_goes_to_terminals_only() -> None:
    view = check_view(check_response(findings=[finding()]))
    assert "\x1b[" in shown(view, colour=True)
    assert "\x1b" not in shown(view)


def test_a_decision_that_is_not_known_reads_as_indeterminate() -> None:
    numbers: tuple[Any, ...] = (0, 1, 2, 3)
    words = ["INDETERMINATE", "ALLOW", "DENY", "INDETERMINATE"]
    assert [decision_word(number) for number in numbers] == words


def test_a_report_only_policy_says_what_the_rules_say() -> None:
    response = check_response(pb.DECISION_ALLOW, evaluated_decision=pb.DECISION_DENY)
    response.policy.enforcing = False
    assert "report-only: the rules say DENY" in shown(check_view(response), width=120)


def test_an_answer_without_facts_says_so_and_when_to_ask_again() -> None:
    response = check_response(pb.DECISION_INDETERMINATE, retry_after=Duration(seconds=5))
    response.ClearField("observation")
    response.ClearField("judged_addresses")
    text = shown(check_view(response))
    assert "no address" in text
    assert "in 5 s" in text
    assert "Measured at" not in text


def test_an_unreachable_address_and_its_remarks_are_shown() -> None:
    response = check_response()
    response.observation.addresses[0].CopyFrom(
        pb.AddressObservation(
            address="192.0.2.7", reachable=pb.SUPPORT_UNKNOWN, remarks=["nothing answered"]
        )
    )
    text = shown(check_view(response))
    assert "reachable    unknown" in text
    assert "nothing answered" in text


def test_a_certificate_that_cannot_be_decoded_is_shown_by_its_hash() -> None:
    response = pb.ValidateCertificateResponse(
        decision=pb.DECISION_DENY,
        certificates=[pb.CertificateObservation(der=b"x", sha256="ef" * 32)],
    )
    text = shown(validation_view(response, "partner.pem"), width=120)
    assert "ef" * 32 in text
    assert "cannot be decoded" in text


def test_a_check_says_what_is_known_of_revocation() -> None:
    response = check_response()
    said = pb.Revocation(status=pb.REVOCATION_STATUS_NOT_REVOKED, detail="not in the CRL")
    response.judged_certificates.add(leaf_sha256=b"x" * 32, revocation=said)
    text = " ".join(shown(check_view(response)).split())
    assert "revocation not revoked: not in the CRL" in text


def test_a_validation_says_what_was_not_examined() -> None:
    response = pb.ValidateCertificateResponse(not_examined=["whether the leaf is revoked"])
    text = shown(validation_view(response, "partner.pem"))
    assert "not examined whether the leaf is revoked" in " ".join(text.split())


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        ("2024-12-31 00:00:00", "begins in 24 h"),
        ("2025-04-01 00:00:00", "left"),
        ("2025-04-08 00:00:00", "ended 7 days ago"),
    ],
)
def test_validity_is_told_from_the_instant_of_judging(judged: str, words: str) -> None:
    response = pb.ValidateCertificateResponse(
        certificates=[certificate()], result_info=pb.ResultInfo(evaluation_time=instant(judged))
    )
    assert words in shown(validation_view(response, "partner.pem"))


def test_lines_to_copy_are_never_broken_and_a_remedy_is_told_once() -> None:
    line = "ssl_ciphers " + "ECDHE-ECDSA-AES128-GCM-SHA256:" * 8
    remedy = f"Change it.\nnginx:\n    {line}\nJava:\n    java line\nTomcat:\n    tomcat line"
    console = Console(file=io.StringIO(), width=80, color_system=None, _environ={})
    console.print(
        findings_view([finding(remediation=remedy), finding(remediation=remedy)]), crop=False
    )
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert text.count(line) == 1
    assert "java line" in text
    assert "tomcat line" not in text
    assert "For Tomcat: otpc-policy explain TLS_VERSION_BELOW_MINIMUM" in text


def test_what_several_rules_say_alike_is_told_once_with_their_names() -> None:
    alike = [
        finding("MEASUREMENT_INCOMPLETE", pb.EFFECT_INDETERMINATE, rule_id=rule_id)
        for rule_id in ("certificate.name", "certificate.trust")
    ]
    elsewhere = finding("MEASUREMENT_INCOMPLETE", pb.EFFECT_INDETERMINATE, address="2001:db8::7")
    text = shown(findings_view([*alike, elsewhere]))
    assert text.count("TLS 1.0 is offered") == 2
    assert "rules: certificate.name, certificate.trust" in text


def test_an_advisory_leaves_the_lines_to_explain() -> None:
    text = shown(
        findings_view(
            [finding(effect=pb.EFFECT_ADVISORY, remediation="Change it.\nnginx:\n    the line")]
        )
    )
    assert "Remedy: Change it." in text
    assert "the line" not in text
    assert "For nginx: otpc-policy explain TLS_VERSION_BELOW_MINIMUM" in text


def test_a_waived_finding_names_its_end() -> None:
    text = shown(
        findings_view(
            [finding(effect=pb.EFFECT_WAIVED, waiver_expire_time=instant("2025-06-01 00:00:00"))]
        )
    )
    assert "WAIVED" in text
    assert "2025-06-01 00:00:00 UTC" in text


def test_a_partner_cannot_write_to_the_terminal() -> None:
    hostile = "CN=\x1b[2J\x1b]0;owned\x07\u202e DENY\r\n ALLOW "
    response = check_response(
        findings=[finding(message=hostile, remediation=hostile)], canonical_endpoint=hostile
    )
    response.observation.addresses[0].CopyFrom(address(remarks=[hostile]))
    response.observation.addresses[0].certificate_deployments[0].certificates[0].CopyFrom(
        certificate(subject=hostile, subject_alt_names=[hostile])
    )
    text = shown(check_view(response))
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
    assert not any(line.startswith(" ALLOW") for line in text.splitlines())
    assert printable("ü\n\x00") == "ü\n\\u0000"


def test_the_same_chain_over_two_versions_is_shown_once() -> None:
    response = check_response()
    again = response.observation.addresses[0].certificate_deployments.add()
    again.CopyFrom(response.observation.addresses[0].certificate_deployments[0])
    again.version = pb.TLS_VERSION_TLS_1_3
    text = shown(check_view(response))
    assert "ECDSA over TLS 1.2, ECDSA over TLS 1.3" in text
    assert text.count("ab" * 32) == 1


def test_reasons_are_the_findings_that_decided() -> None:
    findings = [
        finding("A_A"),
        finding("A_A"),
        finding("B_B", pb.EFFECT_INDETERMINATE),
        finding("C_C", pb.EFFECT_ADVISORY),
    ]
    assert reasons(check_response(pb.DECISION_DENY, findings=findings)) == ("A_A",)
    assert reasons(check_response(pb.DECISION_INDETERMINATE, findings=findings[2:])) == ("B_B",)
    assert reasons(check_response(pb.DECISION_ALLOW, findings=findings[3:])) == ("C_C",)


def test_policies_show_name_mode_rules_and_effects() -> None:
    policy = pb.Policy(
        name="strict",
        title="As strict as it gets",
        revision="0" * 64,
        enforcing=False,
        is_default=True,
        source="the paper",
        extends="lax",
    )
    policy.lifetimes.allow.FromSeconds(600)
    rule = policy.rules.add(
        id="cipher.required",
        summary="One of six",
        citation="the paper, page 1",
        parameters=["minimum = 1"],
    )
    rule.codes.add(
        code="CIPHER_SUITE_NONE_REQUIRED", effect=pb.EFFECT_DENY, severity=pb.SEVERITY_HIGH
    )
    rule.codes.add(code="CIPHER_SUITE_OFF", effect=pb.EFFECT_UNSPECIFIED, severity=pb.SEVERITY_LOW)
    assert "strict (default)" in shown(policies_view([policy]))
    minimum = pb.Policy(name="floor", is_minimum=True)
    assert "floor (minimum)" in shown(policies_view([minimum]))
    minimum.is_default = True
    assert "floor (default, minimum)" in shown(policy_view(minimum))
    text = shown(policy_view(policy))
    for part in (
        "report-only",
        "cipher.required",
        "One of six",
        "the paper, page 1",
        "minimum = 1",
        "DENY  high  CIPHER_SUITE_NONE_REQUIRED",
        "off   low",
    ):
        assert part in text
    assert "ALLOW 10 min, others as the service is set" in text
    assert "lax" in text
    policy.ClearField("lifetimes")
    assert "lifetimes  as the service is set" in shown(policy_view(policy))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.23, "230 ms"),
        (5, "5 s"),
        (119, "119 s"),
        (600, "10 min"),
        (7200, "2 h"),
        (-86_400, "24 h"),
        (172_800, "2 days"),
    ],
)
def test_lengths_of_time_use_a_unit_that_fits(seconds: float, words: str) -> None:
    assert (
        length_words(
            Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9) if seconds > 0 else 0)
        )
        == words
    )


def test_versions_have_the_names_people_use() -> None:
    assert [version_word(version) for version in pb.TlsVersion.values()[1:]] == [
        "SSL 2",
        "SSL 3",
        "TLS 1.0",
        "TLS 1.1",
        "TLS 1.2",
        "TLS 1.3",
    ]
    assert version_word(99) == "value 99"  # type: ignore[arg-type]


def test_a_watched_endpoint_shows_what_holds_and_what_ends_first() -> None:
    watched = pb.WatchedEndpoint(
        host="2001:db8::1",
        port=443,
        partner_id="bank",
        decision=pb.DECISION_DENY,
        finding_codes=["CERTIFICATE_EXPIRED"],
        observation_time=instant("2025-01-31 11:58:00"),
        next_check_time=instant("2025-01-31 12:03:00"),
        certificate_end_time=instant("2025-03-01 00:00:00"),
        waiver_end_time=instant("2025-02-10 00:00:00"),
    )
    now = datetime(2025, 1, 31, 12, tzinfo=UTC)
    text = shown(
        watched_view([watched, pb.WatchedEndpoint(host="a\x1b[2J.test", port=1)], now), width=140
    )
    for part in (
        "[2001:db8::1]:443",
        "bank",
        " DENY ",
        "2 min ago",
        "in 3 min",
        "2025-02-10 waiver",
    ):
        assert part in text
    # Whatever this client does not know permits nothing, and repaints nothing.
    assert "INDETERMINATE" in text
    assert "never" in text
    assert "\x1b" not in text
