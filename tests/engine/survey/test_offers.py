"""What is offered: every suite there is, in families, lanes and lists that leave none out."""

from itertools import chain, permutations

import pytest

from otpc_policy.core.facts import KeyType, TlsVersion
from otpc_policy.core.registries.suites import all_suites, suite_by_code_point
from otpc_policy.engine.survey.offers import (
    FINITE_FIELD_FAMILIES,
    PAYMENT_SUITES,
    SHARED_NEEDS,
    SHORT_LIST,
    STANDARD_TLS13,
    Cell,
    ecdsa_among,
    families_at,
    family_of,
    lanes_of,
    layout_at,
    opening,
    second_opening,
    short_lists_of,
    suites_at,
)
from otpc_policy.engine.survey.probe import Purpose
from otpc_policy.tls.client_hello import GroupList, HelloStyle

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
            assert versions == {
                version for version in TlsVersion if suite.lowest_version <= version <= TLS12
            }


@pytest.mark.parametrize("version", TlsVersion)
def test_families_lanes_and_lists_leave_no_suite_out_and_name_none_twice(
    version: TlsVersion,
) -> None:
    assert sorted(chain(*families_at(version))) == sorted(suites_at(version))
    for family in families_at(version):
        ecdsa = {
            suite
            for suite in family
            if (known := suite_by_code_point(suite)) and known.authentication is KeyType.ECDSA
        }
        assert ecdsa in (set(), set(family))
        assert ecdsa_among(family) == ecdsa
        for parts in (lanes_of(family), short_lists_of(family), short_lists_of(family, 31)):
            assert sorted(chain(*parts)) == sorted(family)
            assert all(parts)
        assert max(map(len, short_lists_of(family))) <= SHORT_LIST
        # With the suite of a control, and one of GREASE.
        assert SHORT_LIST + 2 <= 64
        assert max(map(len, short_lists_of(family, 31))) <= 31
        assert max(map(len, lanes_of(family))) <= 36


LAID_OUT = (TlsVersion.SSL_3_0, TlsVersion.TLS_1_0, TlsVersion.TLS_1_1, TLS12)


def families_in(cell: Cell) -> set[str]:
    return set(map(family_of, cell.suites))


@pytest.mark.parametrize("version", TlsVersion)
def test_every_suite_of_a_version_is_in_some_list_and_in_its_order(version: TlsVersion) -> None:
    cells = layout_at(version)
    assert set(chain(*(cell.suites for cell in cells))) == set(suites_at(version))
    for cell in cells:
        assert list(cell.suites) == [suite for suite in suites_at(version) if suite in cell.suites]


@pytest.mark.parametrize("version", LAID_OUT)
def test_every_suite_is_of_a_family_that_has_a_place(version: TlsVersion) -> None:
    """A new key exchange in the registry needs one (see offers)."""
    for suite in suites_at(version):
        assert family_of(suite)
        lists = [cell for cell in layout_at(version) if suite in cell.suites]
        assert lists
        for cell in lists:
            of_family = {
                known for known in suites_at(version) if family_of(known) == family_of(suite)
            }
            assert of_family <= set(cell.suites)


@pytest.mark.parametrize("version", [TlsVersion.SSL_2_0, TLS13])
def test_where_suites_do_not_determine_keys_there_is_one_list(version: TlsVersion) -> None:
    assert layout_at(version) == (Cell(GroupList.WIDE, suites_at(version)),)
    assert {family_of(suite) for suite in suites_at(version)} == {""}


@pytest.mark.parametrize("version", LAID_OUT)
def test_for_every_two_families_some_list_holds_the_one_without_the_other(
    version: TlsVersion,
) -> None:
    """So a family that cannot be served hides no other, and the refusal of all is about each."""
    held = [families_in(cell) for cell in layout_at(version)]
    for family, other in permutations(set().union(*held), 2):
        assert [names for names in held if family in names and other not in names]


@pytest.mark.parametrize("version", LAID_OUT)
def test_for_every_need_that_a_family_does_not_share_some_list_holds_it_without_that(
    version: TlsVersion,
) -> None:
    """A server without pre-shared keys may choose all families that need them, and serve none."""
    held = [families_in(cell) for cell in layout_at(version)]
    for family in set().union(*held):
        for need in (need for need in SHARED_NEEDS if family not in need):
            assert [names for names in held if family in names and need.isdisjoint(names)]


def test_shared_needs_are_of_families_that_there_are() -> None:
    families = set().union(*map(families_in, layout_at(TLS12)))
    assert all(need <= families for need in SHARED_NEEDS)


@pytest.mark.parametrize("version", LAID_OUT[1:])
@pytest.mark.parametrize("groups", GroupList)
def test_finite_field_families_are_told_apart_with_and_without_their_groups(
    version: TlsVersion,
    groups: GroupList,
) -> None:
    held = [families_in(cell) for cell in layout_at(version) if cell.groups is groups]
    for family in FINITE_FIELD_FAMILIES:
        others = [{other} for other in set().union(*held) - {family}]
        needs = [need for need in SHARED_NEEDS if family not in need]
        for missing in (*others, *needs):
            assert [names for names in held if family in names and names.isdisjoint(missing)]


@pytest.mark.parametrize("version", LAID_OUT)
def test_ecdsa_suites_share_no_list_with_others(version: TlsVersion) -> None:
    """A server that picks its ECDSA certificate for them would refuse what only RSA could serve."""
    for cell in layout_at(version):
        assert len(ecdsa_among(cell.suites)) in (0, len(cell.suites))


@pytest.mark.parametrize("version", LAID_OUT)
def test_no_list_is_longer_than_the_control_of_the_first_wave(version: TlsVersion) -> None:
    longest = max(len(probe.hello.cipher_suites) for probe in opening(None))
    assert max(len(cell.suites) for cell in layout_at(version)) < longest


@pytest.mark.parametrize("version", LAID_OUT)
def test_lists_name_finite_field_groups_only_where_hellos_have_extensions(
    version: TlsVersion,
) -> None:
    named = {cell.groups for cell in layout_at(version)}
    assert named == ({GroupList.WIDE} if version is TlsVersion.SSL_3_0 else set(GroupList))


@pytest.mark.parametrize(
    ("code_point", "family"),
    [
        (0x002F, "TLS_RSA"),
        (0x0003, "TLS_RSA"),
        (0x0062, "TLS_RSA"),
        (0xFEFE, "TLS_RSA"),
        (0x003B, "TLS_RSA"),
        (0x0033, "TLS_DHE_RSA"),
        (0x0014, "TLS_DHE_RSA"),
        (0xCCAA, "TLS_DHE_RSA"),
        (0x0018, "TLS_DH_anon"),
        (0x0017, "TLS_DH_anon"),
        (0xC02F, "TLS_ECDHE_RSA"),
        (0xC010, "TLS_ECDHE_RSA"),
        (0xC02B, "TLS_ECDHE_ECDSA"),
        (0xC004, "TLS_ECDH_ECDSA"),
        (0xC00E, "TLS_ECDH_ECDSA"),
        (0xC0AA, "TLS_DHE_PSK"),
        (0xC0B2, "PASSWORD"),
        (0x0081, "GOST"),
        (0x1301, ""),
        (0x010080, ""),
        (0xFBFB, ""),
    ],
)
def test_a_family_is_a_key_exchange_with_its_kind_of_key(code_point: int, family: str) -> None:
    """Export and NULL suites belong to the family of their key exchange."""
    assert family_of(code_point) == family


def test_the_first_wave_offers_every_suite_of_tls_1_2_and_1_3() -> None:
    hellos = [probe.hello for probe in opening("partner.test")]
    for version in (TLS12, TLS13):
        of_version = [hello for hello in hellos if hello.version is hello.lowest is version]
        assert set(chain(*(hello.cipher_suites for hello in of_version))) == set(suites_at(version))
        assert all(
            len(set(hello.cipher_suites)) == len(hello.cipher_suites) for hello in of_version
        )
    assert len(hellos) == 9
    assert {hello.server_name for hello in hellos} == {"partner.test"}
    assert {hello.style for hello in hellos} == {HelloStyle.FULL}
    assert {probe.purpose for probe in opening(None)} == {Purpose.CONTROL}
    assert not any(probe.is_last for probe in opening(None))


def test_each_usual_suite_is_the_last_of_one_hello_and_in_no_other() -> None:
    """So an ordinary server shows each, and no answer is spent on what another hello shows."""
    hellos = [probe.hello for probe in opening(None)]
    usual = (*PAYMENT_SUITES, *STANDARD_TLS13[:3])
    assert sorted(hello.cipher_suites[-1] for hello in hellos) == sorted(usual)
    for suite in usual:
        assert sum(suite in hello.cipher_suites for hello in hellos) == 1


def test_the_first_wave_holds_a_control_as_long_as_every_remainder() -> None:
    """Controls must be as long, so the rest of a family fits a hello of the first wave."""
    longest = {
        version: max(
            len(probe.hello.cipher_suites)
            for probe in opening(None)
            if probe.hello.version is version
        )
        for version in (TLS12, TLS13)
    }
    for version in (TLS12, TLS13):
        for family in families_at(version):
            assert longest[version] >= len(
                [suite for suite in family if suite not in (*PAYMENT_SUITES, *STANDARD_TLS13[:3])]
            )


def test_first_contact_with_short_hellos_holds_what_nearly_every_server_has() -> None:
    hellos = [probe.hello for probe in second_opening("partner.test")]
    assert {hello.style for hello in hellos} == {HelloStyle.SHORT}
    assert {hello.lowest for hello in hellos} == {TLS12, TlsVersion.SSL_3_0}
    offered = set(chain(*(hello.cipher_suites for hello in hellos)))
    assert offered >= {*PAYMENT_SUITES, *STANDARD_TLS13[:3], 0x002F, 0x0035, 0x000A}
    assert offered <= {*suites_at(TLS12), *suites_at(TLS13)}
