"""The registry of finding codes is complete: rules, policies and registry name the same codes."""

import re

import pytest

from otpc_policy.policy.documents import load_builtin_policies
from otpc_policy.policy.registry import FINDING_CODES
from otpc_policy.policy.rules import RULES

NOT_JUDGED = {"TARGET_DNS_FAILED", "TARGET_UNREACHABLE", "MEASUREMENT_INCOMPLETE", "SCAN_FAILED", "CHECK_IN_PROGRESS", "NO_CACHED_RESULT"}
OF_PARTNERS = {"PARTNER_WAIVER_ENDED", "PARTNER_WAIVER_ENDS_SOON", "PARTNER_TRUST_ENDED", "PARTNER_TRUST_ENDS_SOON"}
OF_SERVERS = {"TLS_VERSION_BELOW_MINIMUM", "CIPHER_SUITE_NONE_REQUIRED", "CIPHER_SUITE_NOT_LISTED", "CIPHER_SUITE_INSECURE"}


def test_rules_policies_and_registry_name_the_same_codes() -> None:
    of_rules = {code: rule.id for rule in RULES for code in rule.codes}
    assert {code: entry.rule_id for code, entry in FINDING_CODES.items() if entry.effect is None} == of_rules
    for policy in load_builtin_policies().ordered():
        assert {code: rule.id for rule in policy.rules for code in rule.effects} == of_rules


def test_codes_whose_effect_no_policy_sets_are_the_designed_ones() -> None:
    fixed = {code: entry.effect.value for code, entry in FINDING_CODES.items() if entry.effect is not None}
    assert fixed == {
        **dict.fromkeys(NOT_JUDGED | {"CERTIFICATE_NAME_NOT_CHECKED"}, "indeterminate"),
        "CERTIFICATE_CHAIN_TOO_COMPLEX": "indeterminate",
        **dict.fromkeys(("TARGET_ADDRESS_FORBIDDEN", "SERVER_NAME_NOT_LISTED"), "deny"),
        **dict.fromkeys(("ADDRESS_FAMILY_NOT_MEASURED", *OF_PARTNERS), "advisory"),
    }


@pytest.mark.parametrize("code", FINDING_CODES)
def test_every_code_is_well_formed_and_says_what_it_means_and_what_to_do(code: str) -> None:
    entry = FINDING_CODES[code]
    assert re.fullmatch("[A-Z][A-Z0-9_]+[A-Z0-9]", code)
    assert all(len(text) >= len("RFC 9525") for text in (entry.meaning, entry.remediation, entry.citation))
    assert all(lines in entry.remedy_text.replace("\n    ", "\n") for lines in entry.remedies.values())


@pytest.mark.parametrize("code", sorted(OF_SERVERS))
def test_settings_of_servers_have_the_exact_lines_for_each_server(code: str) -> None:
    text = FINDING_CODES[code].remedy_text
    assert all(word in text for word in ("ssl_", "SSLProtocol", "ssl-default-bind-", "tls_params", "jdk.tls.disabledAlgorithms"))
    assert {"nginx", "Apache", "HAProxy", "Envoy", "Java"} <= set(FINDING_CODES[code].remedies)


@pytest.mark.parametrize("code", [code for code, entry in FINDING_CODES.items() if "nginx" in entry.remedies])
def test_what_nginx_is_told_the_others_are_told_too(code: str) -> None:
    # Apache's mod_ssl ends TLS in front of HTTP alone: it has no such mistake to mend.
    expected = {"Apache", "HAProxy", "Envoy", "Java"} - ({"Apache"} if code == "HTTPS_NOT_SERVED" else set())
    assert expected <= set(FINDING_CODES[code].remedies)
