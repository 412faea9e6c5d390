"""What is offered: every suite there is, in families, lanes and lists that leave none out."""

from itertools import chain

import pytest

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.suites import all_suites, suite_by_code_point
from otpc_policy.tls.client_hello import HelloStyle
from otpc_policy.tls.offers import (
    PAYMENT_SUITES,
    SHORT_LIST,
    STANDARD_TLS13,
    ecdsa_among,
    families_at,
    lanes_of,
    opening,
    second_opening,
    short_lists_of,
    suites_at,
)
from otpc_policy.tls.probe import Purpose

TLS12, TLS13 = TlsVersion.TLS_1_2, TlsVersion.TLS_1_3


def test_every_suite_is_asked_for_at_some_version_and_at_no_other_kind_of_version() -> None:
    for suite in all_suites():
        versions = {version for version in TlsVersion if suite.code_point in suites_at(version)}
        if suite.is_ssl2:
            assert versions == {TlsVersion.SSL_2_0}
        elif suite.is_tls13:
            assert versions == {TLS13}
        else:
            assert TLS12 in versions
            assert versions == {version for version in TlsVersion if suite.lowest_version <= version <= TLS12}


@pytest.mark.parametrize("version", TlsVersion)
def test_families_lanes_and_lists_leave_no_suite_out_and_name_none_twice(version: TlsVersion) -> None:
    assert sorted(chain(*families_at(version))) == sorted(suites_at(version))
    for family in families_at(version):
        ecdsa = {suite for suite in family if (known := suite_by_code_point(suite)) and known.authentication is KeyType.ECDSA}
        assert ecdsa in (set(), set(family))
        assert ecdsa_among(family) == ecdsa
        for parts in (lanes_of(family), short_lists_of(family), short_lists_of(family, 31)):
            assert sorted(chain(*parts)) == sorted(family)
            assert all(parts)
        assert max(map(len, short_lists_of(family))) <= SHORT_LIST < 64
        assert max(map(len, short_lists_of(family, 31))) <= 31
        assert max(map(len, lanes_of(family))) <= 36


def test_the_first_wave_offers_every_suite_of_tls_1_2_and_1_3() -> None:
    hellos = [probe.hello for probe in opening("partner.test")]
    for version in (TLS12, TLS13):
        of_version = [hello for hello in hellos if hello.version is hello.lowest is version]
        assert set(chain(*(hello.cipher_suites for hello in of_version))) == set(suites_at(version))
        assert all(len(set(hello.cipher_suites)) == len(hello.cipher_suites) for hello in of_version)
    assert len(hellos) == 9
    assert {hello.server_name for hello in hellos} == {"partner.test"}
    assert {hello.style for hello in hellos} == {HelloStyle.FULL}
    assert {probe.purpose for probe in opening(None)} == {Purpose.CONTROL}
    assert not any(probe.is_last for probe in opening(None))


def test_each_usual_suite_is_the_last_of_one_hello_and_in_no_other() -> None:
    """So a server that is asked for nothing forbidden shows each, and no answer is spent on one that another hello shows."""
    hellos = [probe.hello for probe in opening(None)]
    usual = (*PAYMENT_SUITES, *STANDARD_TLS13[:3])
    assert sorted(hello.cipher_suites[-1] for hello in hellos) == sorted(usual)
    for suite in usual:
        assert sum(suite in hello.cipher_suites for hello in hellos) == 1


def test_the_first_wave_holds_a_control_as_long_as_every_remainder() -> None:
    """A refusal counts between controls of the same length: what is left of a family is no longer than some hello of the first wave."""
    longest = {version: max(len(probe.hello.cipher_suites) for probe in opening(None) if probe.hello.version is version) for version in (TLS12, TLS13)}
    for version in (TLS12, TLS13):
        for family in families_at(version):
            assert longest[version] >= len([suite for suite in family if suite not in (*PAYMENT_SUITES, *STANDARD_TLS13[:3])])


def test_first_contact_with_short_hellos_holds_what_nearly_every_server_has() -> None:
    hellos = [probe.hello for probe in second_opening("partner.test")]
    assert {hello.style for hello in hellos} == {HelloStyle.SHORT}
    assert {hello.lowest for hello in hellos} == {TLS12, TlsVersion.SSL_3_0}
    offered = set(chain(*(hello.cipher_suites for hello in hellos)))
    assert offered >= {*PAYMENT_SUITES, *STANDARD_TLS13[:3], 0x002F, 0x0035, 0x000A}
    assert offered <= {*suites_at(TLS12), *suites_at(TLS13)}
