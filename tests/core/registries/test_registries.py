"""Groups, signature schemes and alerts: numbers have the right names."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tlslite import constants

from otpc_policy.core import registries
from otpc_policy.core.registries.alerts import alert_name, alerts
from otpc_policy.core.registries.groups import group_name, is_forbidden_in_tls13, named_groups
from otpc_policy.core.registries.schemes import scheme_name, signature_schemes
from otpc_policy.core.registries.states import registry_states
from tests.core.registries.digest import digest_of

GROUPS, SCHEMES, ALERTS = named_groups(), signature_schemes(), alerts()


def test_another_implementation_uses_the_same_numbers() -> None:
    """tlslite-ng has tables of its own."""
    groups = {
        name: number
        for name, number in vars(constants.GroupName).items()
        if isinstance(number, int)
    }
    assert {GROUPS[number].lower() for number in groups.values()} == {
        name.lower() for name in groups
    }
    alerts_there = {
        name: number
        for name, number in vars(constants.AlertDescription).items()
        if isinstance(number, int)
    }
    assert {name: ALERTS[number] for name, number in alerts_there.items()} == {
        name: name for name in alerts_there
    }
    names = {name.lower() for name in SCHEMES.values()}
    theirs = {
        name: number
        for name, number in vars(constants.SignatureScheme).items()
        if name.lower() in names
    }
    assert len(theirs) > 15
    assert {
        name: SCHEMES[number[0] << 8 | number[1]].lower() for name, number in theirs.items()
    } == {name: name.lower() for name in theirs}


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (group_name(0x11EC), "X25519MLKEM768"),
        (group_name(0x4138), "0x4138"),
        (scheme_name(0x0804), "rsa_pss_rsae_sha256"),
        (scheme_name(0x0202), "dsa_sha1"),
        (scheme_name(0x0840), "gostr34102012_256_intrinsic"),
        (scheme_name(0xFE0B), "0xFE0B"),
        (alert_name(40), "handshake_failure (40)"),
        (alert_name(200), "alert 200"),
    ],
)
def test_names_are_shown_with_numbers_where_there_is_none(shown: str, expected: str) -> None:
    assert shown == expected


def test_names_are_unique() -> None:
    for table in (GROUPS, SCHEMES, ALERTS):
        assert len(set(table.values())) == len(table)


def test_groups_that_tls_1_3_forbids_are_those_that_another_implementation_knows_as_such() -> None:
    """tlslite-ng answers such a group with illegal_parameter when TLS 1.3 is offered alone."""
    forbidden = {number for number in GROUPS if is_forbidden_in_tls13(number)}
    assert forbidden == constants.TLS_1_3_FORBIDDEN_GROUPS & GROUPS.keys()
    assert {"secp256k1", "brainpoolP256r1", "sect571r1"} <= {GROUPS[number] for number in forbidden}
    assert not {"secp256r1", "x25519", "ffdhe2048", "X25519MLKEM768", "brainpoolP256r1tls13"} & {
        GROUPS[number] for number in forbidden
    }


@pytest.mark.parametrize(
    ("table", "count", "digest"),
    [
        (GROUPS, 59, "f444ceeb4ff231795b0bed7803356dfe5b482b98c77812981008d764b9c42327"),
        (SCHEMES, 49, "68d6720173d1f9a908ffc13333ad9c52cc1f44a19e714160506ea71786be41ae"),
        (ALERTS, 38, "3db989d32e2df7adc2ca9f9f9ef0c946c3f2c3f97af98c35232c4b4d5a04dd15"),
    ],
)
def test_no_row_changes_without_notice(table: Mapping[int, str], count: int, digest: str) -> None:
    """The tables in code that the files replaced had these digests."""
    assert len(table) == count
    assert digest_of(f"{number} {name}" for number, name in sorted(table.items())) == digest


def test_every_file_of_ianas_has_a_state_and_the_readme_has_the_same() -> None:
    folder = Path(registries.__file__).parent
    states = {state.file: state for state in registry_states()}
    assert set(states) == {path.name for path in (folder / "iana").iterdir()}
    readme = (folder / "README.md").read_text(encoding="utf-8")
    for file, state in states.items():
        (row,) = [line for line in readme.splitlines() if line.startswith(f"| `{file}` |")]
        assert (state.as_of.isoformat() if state.as_of else state.up_to) in row
