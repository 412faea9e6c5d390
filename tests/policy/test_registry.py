"""The registry of finding codes is complete: rules, policies and registry name the same codes."""

import re

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.registry import WaiverCoverage, finding_codes, remedy_under
from otpc_policy.policy.rules import RULES

NOT_JUDGED = {
    "TARGET_DNS_FAILED",
    "TARGET_UNREACHABLE",
    "MEASUREMENT_INCOMPLETE",
    "SCAN_FAILED",
    "CHECK_IN_PROGRESS",
    "NO_CACHED_RESULT",
    "OBSERVED_LEAF_NOT_JUDGED",
}
OF_PARTNERS = {
    "PARTNER_WAIVER_ENDED",
    "PARTNER_WAIVER_ENDS_SOON",
    "PARTNER_TRUST_ENDED",
    "PARTNER_TRUST_ENDS_SOON",
}
OF_SERVERS = {
    "TLS_VERSION_BELOW_MINIMUM",
    "CIPHER_SUITE_NONE_REQUIRED",
    "CIPHER_SUITE_NOT_LISTED",
    "CIPHER_SUITE_INSECURE",
}


def test_rules_policies_and_registry_name_the_same_codes() -> None:
    of_rules = {code: rule.id for rule in RULES for code in rule.codes}
    assert {
        code: entry.rule_id for code, entry in finding_codes().items() if entry.effect is None
    } == of_rules
    for policy in load_builtin_policies().ordered():
        assert {code: rule.id for rule in policy.rules for code in rule.effects} == of_rules


def test_codes_whose_effect_no_policy_sets_are_the_designed_ones() -> None:
    fixed = {
        code: entry.effect.value
        for code, entry in finding_codes().items()
        if entry.effect is not None
    }
    assert fixed == {
        **dict.fromkeys(NOT_JUDGED | {"CERTIFICATE_NAME_NOT_CHECKED"}, "indeterminate"),
        "CERTIFICATE_CHAIN_TOO_COMPLEX": "indeterminate",
        **dict.fromkeys(("TARGET_ADDRESS_FORBIDDEN", "SERVER_NAME_NOT_LISTED"), "deny"),
        **dict.fromkeys(("ADDRESS_FAMILY_NOT_MEASURED", *OF_PARTNERS), "advisory"),
    }


@pytest.mark.parametrize("code", finding_codes())
def test_every_code_is_well_formed_and_says_what_it_means_and_what_to_do(code: str) -> None:
    entry = finding_codes()[code]
    assert re.fullmatch("[A-Z][A-Z0-9_]+[A-Z0-9]", code)
    assert all(
        len(text) >= len("RFC 9525") for text in (entry.meaning, entry.remediation, entry.citation)
    )
    assert all(
        lines in entry.remedy_text.replace("\n    ", "\n") for lines in entry.remedies.values()
    )


@pytest.mark.parametrize("code", sorted(OF_SERVERS))
def test_settings_of_servers_have_the_exact_lines_for_each_server(code: str) -> None:
    text = finding_codes()[code].remedy_text
    assert all(
        word in text
        for word in (
            "ssl_",
            "SSLProtocol",
            "ssl-default-bind-",
            "tls_params",
            "jdk.tls.disabledAlgorithms",
        )
    )
    assert {"nginx", "Apache", "HAProxy", "Envoy", "Java"} <= set(finding_codes()[code].remedies)


@pytest.mark.parametrize(
    "code", [code for code, entry in finding_codes().items() if "nginx" in entry.remedies]
)
def test_a_remedy_for_nginx_exists_for_the_other_servers_too(code: str) -> None:
    # Apache's mod_ssl ends TLS in front of HTTP alone: it has no such mistake to mend.
    expected = {"Apache", "HAProxy", "Envoy", "Java"} - (
        {"Apache"} if code == "HTTPS_NOT_SERVED" else set()
    )
    assert expected <= set(finding_codes()[code].remedies)


def test_a_waiver_covers_what_the_registry_says() -> None:
    coverages = {code: entry.coverage for code, entry in finding_codes().items()}
    assert {code for code, coverage in coverages.items() if coverage is WaiverCoverage.NEVER} == {
        "TLS_NOT_SERVED",
        "CERTIFICATE_UNTRUSTED",
        "CERTIFICATE_NAME_MISMATCH",
        "CERTIFICATE_REVOKED",
        "TARGET_ADDRESS_FORBIDDEN",
    }
    listing = {WaiverCoverage.SUITES, WaiverCoverage.VERSIONS, WaiverCoverage.SUITES_OR_VERSIONS}
    assert {code: coverage for code, coverage in coverages.items() if coverage in listing} == {
        "TLS_VERSION_BELOW_MINIMUM": WaiverCoverage.VERSIONS,
        "CIPHER_SUITE_NOT_LISTED": WaiverCoverage.SUITES,
        "CIPHER_SUITE_INSECURE": WaiverCoverage.SUITES,
        "CIPHER_SUITE_NONE_REQUIRED": WaiverCoverage.SUITES_OR_VERSIONS,
    }


@pytest.mark.parametrize(
    "code", [code for code, entry in finding_codes().items() if entry.offered_suites]
)
def test_the_offered_suites_are_those_of_the_lines(code: str) -> None:
    entry = finding_codes()[code]
    (names,) = re.findall(r"ssl_ciphers (.*);", entry.remedies["nginx"])
    assert {
        suite.iana_name for name in names.split(":") if (suite := suite_by_name(name))
    } == entry.offered_suites


def test_a_remedy_names_the_suites_of_a_policy_that_lists_others_than_its_lines_offer() -> None:
    code = "CIPHER_SUITE_NOT_LISTED"
    entry = finding_codes()[code]
    offered, tls13 = tuple(sorted(entry.offered_suites)), "TLS_AES_128_GCM_SHA256"
    for listed in ((), offered, offered[::-1]):
        assert remedy_under(code, listed) == entry.remedy_text
    other = remedy_under(code, (*offered[:1], "TLS_RSA_WITH_AES_128_GCM_SHA256"))
    first, hint, *lines = other.split("\n")
    assert [first, *lines] == entry.remedy_text.split("\n")
    assert hint.endswith(": ECDHE-ECDSA-AES128-SHA256:AES128-GCM-SHA256")
    assert f"too: {tls13}. Write them with ssl_conf_command" in remedy_under(code, (tls13,))
    insecure = "CIPHER_SUITE_INSECURE"
    assert remedy_under(insecure, ()) == finding_codes()[insecure].remedy_text


@pytest.mark.parametrize(
    "code", [code for code, entry in finding_codes().items() if entry.offered_versions]
)
def test_a_remedy_names_the_versions_of_a_policy_that_permits_others_than_its_lines_offer(
    code: str,
) -> None:
    entry = finding_codes()[code]
    (lines,) = set(re.findall(r"ssl_protocols (.*);", entry.remedies["nginx"]))
    assert tuple(word.replace("TLSv", "TLS ") for word in lines.split()) == entry.offered_versions
    for permitted in ((), entry.offered_versions, entry.offered_versions[::-1]):
        assert remedy_under(code, (), permitted) == entry.remedy_text
    assert "and no others: TLS 1.3\n" in remedy_under(code, (), ("TLS 1.3",))


def test_a_remedy_names_the_groups_of_a_policy_that_lists_others_than_its_lines_offer() -> None:
    for code in ("GROUP_NOT_LISTED", "GROUP_NONE_REQUIRED"):
        entry = finding_codes()[code]
        (own,) = re.findall(r"ssl_ecdh_curve (.*);", entry.remedies["nginx"])
        assert own.split(":") == ["X25519", "prime256v1", "secp384r1"]
        assert entry.offered_groups == {"x25519", "secp256r1", "secp384r1"}
        same = ("secp256r1", "x25519", "secp384r1")
        assert remedy_under(code, listed_groups=same) == entry.remedy_text
        other = remedy_under(code, listed_groups=("secp521r1", "secp256r1"))
        assert "as far as the server has them: secp521r1, secp256r1\n" in other
