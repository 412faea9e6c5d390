"""The lists of nist-800-52r2 and bsi-tr-02102-2 are those of their sources.

They are stated as what their items have in common, so that one lost or added by mistake shows.
"""

import re
from datetime import UTC, datetime

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.registries.suites import all_suites
from otpc_policy.policy.model import RuleSettings
from otpc_policy.policy.parameters import Permitted

END_OF_DHE, END_OF_TLS12 = datetime(2030, 1, 1, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)
# SP 800-52 Rev. 2, 3.3.1.1: ECDHE, DHE and static ECDH with certificates, and AES in every mode;
# there are no other suites of that form.
NIST_TLS12 = r"TLS_(ECDHE_(ECDSA|RSA)|DHE_RSA|ECDH_(ECDSA|RSA))_WITH_AES_(128|256)_(GCM|CCM|CBC)"
# TR-02102-2, table 1: no CCM_8, and no HMAC with SHA-1.
BSI_TLS12 = r"TLS_(ECDHE_(ECDSA|RSA)|DHE_RSA)_WITH_AES_(128|256)_(GCM_SHA\d+|CCM|CBC_SHA(256|384))$"


def rules(name: str) -> dict[str, RuleSettings]:
    return {rule.id: rule for rule in load_builtin_policies().get(name).rules}


def listed(name: str) -> Permitted:
    suites = rules(name)["cipher.outside_set"].parameters["suites"]
    assert isinstance(suites, Permitted)
    return suites


def registered(pattern: str) -> set[str]:
    return {suite.iana_name for suite in all_suites() if re.match(pattern, suite.iana_name)}


@pytest.mark.parametrize(
    ("name", "pattern", "tls13"),
    [
        (
            "nist-800-52r2",
            NIST_TLS12,
            (
                "AES_128_GCM_SHA256",
                "AES_256_GCM_SHA384",
                "AES_128_CCM_SHA256",
                "AES_128_CCM_8_SHA256",
            ),
        ),
        (
            "bsi-tr-02102-2",
            BSI_TLS12,
            ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "AES_128_CCM_SHA256"),
        ),
    ],
)
def test_the_suites_are_those_of_the_source(
    name: str, pattern: str, tls13: tuple[str, ...]
) -> None:
    of_tls13 = {f"TLS_{suite}" for suite in tls13}
    assert set(listed(name).names) == registered(pattern) | of_tls13
    required = rules(name)["cipher.required"].parameters["suites"]
    assert isinstance(required, tuple)
    assert set(required) == registered(pattern)


def test_the_ends_are_those_of_bsi_version_2026_01() -> None:
    suites = listed("bsi-tr-02102-2")
    assert suites.until == {name: END_OF_DHE for name in suites.names if "_DHE_" in name}
    settings = rules("bsi-tr-02102-2")
    versions = settings["tls.minimum_version"].parameters["permitted_versions"]
    groups = settings["group.outside_set"].parameters["groups"]
    assert isinstance(versions, Permitted)
    assert isinstance(groups, Permitted)
    assert versions.until == {"TLS 1.2": END_OF_TLS12}
    assert groups.until == {name: END_OF_TLS12 for name in groups.names if "MLKEM" not in name}
    assert not listed("nist-800-52r2").until


@pytest.mark.parametrize("name", ["nist-800-52r2", "bsi-tr-02102-2"])
def test_every_rule_cites_its_source_or_says_that_it_is_silent(name: str) -> None:
    document = {"nist-800-52r2": "SP 800-52r2", "bsi-tr-02102-2": "TR-02102-2"}[name]
    words = (document, "source is silent", "source is for every server")
    for rule in rules(name).values():
        assert any(word in rule.citation for word in words), rule.id
