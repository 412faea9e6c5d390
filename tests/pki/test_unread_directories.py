"""Directory names with values that cannot be read: refused wherever directories are constrained."""

import pytest

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.distinguished_name import DistinguishedName, read_name
from otpc_policy.pki.extensions import NameConstraints
from otpc_policy.pki.general_names import NO_NAMES, GeneralNames
from otpc_policy.pki.subtrees import Fence, Names
from tests.support import forging
from tests.support.forging import leaf
from tests.support.signing import der_element


def _name(value: bytes) -> bytes:
    """Return a Name with an organization in a PrintableString."""
    pair = der_element(0x30, b"\x06\x03\x55\x04\x0a" + der_element(0x13, value))
    return der_element(0x30, der_element(0x31, pair))


def _read(der: bytes) -> DistinguishedName:
    return read_name(der, 0, len(der))


def _names(value: bytes) -> Names:
    def edit(elements: list[bytes]) -> None:
        elements[forging.SUBJECT] = _name(value)

    return Names.of(decode_certificate(leaf(None, edit=edit).der))


@pytest.mark.parametrize(
    ("base", "subject", "expected"),
    [
        (b"Other", b"Caf\xe9", False),
        (b"Caf\xe9", b"Cafe", False),
        (b"Caf\xe9", b"Caf\xe9", False),
        (b"Other", b"Cafe", True),
    ],
)
def test_what_cannot_be_read_is_not_known_to_be_outside(
    base: bytes, subject: bytes, expected: bool
) -> None:
    excluded = GeneralNames(directories=(_read(_name(base)),), count=1)
    fence = Fence.of(NameConstraints(NO_NAMES, excluded))
    assert fence.permits(_names(subject)) is expected


def test_what_cannot_be_read_is_not_permitted() -> None:
    permitted = GeneralNames(directories=(_read(_name(b"Caf\xe9")),), count=1)
    assert not Fence.of(NameConstraints(permitted, NO_NAMES)).permits(_names(b"Caf\xe9"))
