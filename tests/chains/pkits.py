"""NIST's test suite PKITS 1.0.1 ("Test Certificates 2011"), as `cryptography-vectors` packs it.

The certificates of servers in it have no DNS name, so nothing of today's web trusts them. Each is
judged as published, and once more reissued: the same in every part, with a DNS name added, by the
key of the same authority, which PKITS publishes too.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cryptography_vectors
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from otpc_policy.pki.lenient_decoding import decoding_leniently
from tests.chains.case import HOST
from tests.support.forging import EXTENSIONS, elements_of, signed
from tests.support.signing import PrivateKey, der_element

_FOLDER = Path(cryptography_vectors.__file__).parent / "x509" / "PKITS_data"
_ANCHOR = "TrustAnchorRootCertificate"
# pkcs8ShroudedKeyBag, 1.2.840.113549.1.12.10.1.2, before the encrypted key. Source: RFC 7292 4.2.
_KEY_BAG = bytes.fromhex("060b2a864886f70d010c0a0102")
# What PKITS calls a path is at most six certificates long; a name that several authorities bear
# makes a few more.
_MAXIMUM = 15
# Files whose names do not say what is expected, with PKITS's default settings: any policy will do,
# and none is demanded. Source: PKITS 1.0.1, 4.8 and 4.12.3, as NSS runs them
# (security/nss/tests/libpkix/pkix_tests/top/runTests.sh, the rows for anyPolicy).
_UNNAMED = {
    "AllCertificatesNoPoliciesTest2": True,
    "DifferentPoliciesTest3": True,
    "DifferentPoliciesTest4": False,
    "DifferentPoliciesTest5": False,
    "OverlappingPoliciesTest6": True,
    "DifferentPoliciesTest7": False,
    "DifferentPoliciesTest8": False,
    "DifferentPoliciesTest9": False,
    "AllCertificatesSamePoliciesTest10": True,
    "AllCertificatesanyPolicyTest11": True,
    "DifferentPoliciesTest12": False,
    "AllCertificatesSamePoliciesTest13": True,
    "AnyPolicyTest14": True,
    "UserNoticeQualifierTest15": True,
    "UserNoticeQualifierTest16": True,
    "UserNoticeQualifierTest17": True,
    "UserNoticeQualifierTest18": True,
    "UserNoticeQualifierTest19": True,
    "CPSPointerQualifierTest20": True,
    "inhibitAnyPolicyTest3": True,
}


@dataclass(frozen=True)
class PkitsTest:
    """One test.

    is_valid: what PKITS expects. rest: the authorities that lead to the anchor. reissued: None
    where nobody can reissue it.
    """

    name: str
    is_valid: bool
    published: bytes
    rest: tuple[bytes, ...]
    reissued: bytes | None


def anchor() -> bytes:
    """Return PKITS's trust anchor."""
    return _read(_ANCHOR)


@cache
def pkits_tests() -> tuple[PkitsTest, ...]:
    """Return every test of the suite."""
    return tuple(_test(path.stem) for path in sorted((_FOLDER / "certs").glob("*EE.crt")))


def _test(stem: str) -> PkitsTest:
    name = stem.removesuffix("EE")
    is_valid = _UNNAMED[name] if name in _UNNAMED else name.startswith("Valid")
    assert name in _UNNAMED or re.match("(Inv|V)alid", name), name
    published = _read(stem)
    if not _is_readable(published):
        return PkitsTest(name, is_valid, published, (_read("DSACACert"),), None)
    return PkitsTest(name, is_valid, published, _above(published), _reissue(published))


def _above(der: bytes) -> tuple[bytes, ...]:
    """Return every authority that a path could use: by name, from the leaf upwards, without the
    anchor.
    """
    found: dict[bytes, None] = {}
    wanted = [_folded(_loaded(der).issuer)]
    for name in wanted:
        for path in _authorities().get(name, ()):
            one = path.read_bytes()
            if one not in found:
                found[one] = None
                wanted.append(_folded(_loaded(one).issuer))
    if wanted == [_folded(_loaded(anchor()).subject)]:
        return ()
    # The tests of name chaining: the issuer's name is nearly that of one of these.
    return tuple(found)[:_MAXIMUM] or (_read("GoodCACert"), _read("NameOrderingCACert"))


def _folded(name: x509.Name) -> str:
    """Names are the same whatever their case and spaces. Source: RFC 5280 7.1."""
    return "/".join(
        f"{part.oid.dotted_string}={' '.join(str(part.value).casefold().split())}" for part in name
    )


def _reissue(der: bytes) -> bytes | None:
    leaf = _loaded(der)
    possible = (*_authorities().get(_folded(leaf.issuer), ()), _FOLDER / "certs" / f"{_ANCHOR}.crt")
    issuers = (path for path in possible if _made(_loaded(path.read_bytes()), leaf))
    key = next(map(_key, issuers), None)
    if key is None:
        return None
    elements = elements_of(leaf.tbs_certificate_bytes)
    old = [
        value for value in leaf.extensions if isinstance(value.value, x509.SubjectAlternativeName)
    ]
    names = [
        *(list(old[0].value) if old else []),
        *([] if _dns_names(leaf) else [x509.DNSName(HOST)]),
    ]
    encoded = der_element(
        0x30,
        bytes.fromhex("0603551d11")
        + der_element(0x04, x509.SubjectAlternativeName(names).public_bytes()),
    )
    (inner,) = elements_of(elements[-1])
    others = [
        element for element in elements_of(inner) if bytes.fromhex("0603551d11") not in element[:9]
    ]
    elements[-1] = der_element(0xA3, der_element(0x30, b"".join([*others, encoded])))
    assert len(elements) >= EXTENSIONS
    return signed(elements, key)


def server_name(der: bytes) -> str:
    """Return the name to ask about."""
    names = _dns_names(_loaded(der)) if _is_readable(der) else []
    return names[0] if names else HOST


def _dns_names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return names.get_values_for_type(x509.DNSName)


def _made(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    """The authority's key made the signature. How names are compared is what is tested."""
    try:
        key, algorithm = authority.public_key(), leaf.signature_hash_algorithm
        if not isinstance(key, rsa.RSAPublicKey) or algorithm is None:
            return False
        key.verify(leaf.signature, leaf.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


@cache
def _authorities() -> dict[str, tuple[Path, ...]]:
    """Return the files of authorities by their folded names."""
    found: dict[str, tuple[Path, ...]] = {}
    for path in sorted((_FOLDER / "certs").glob("*Cert.crt")):
        if path.stem != _ANCHOR and _is_readable(path.read_bytes()):
            name = _folded(_loaded(path.read_bytes()).subject)
            found[name] = (*found.get(name, ()), path)
    return found


def _is_readable(der: bytes) -> bool:
    """DSA keys whose parameters are inherited are among those that cryptography cannot load."""
    try:
        _loaded(der)
    except ValueError:
        return False
    return True


@cache
def _key(authority: Path) -> PrivateKey | None:
    """Return the private key of an authority; None for DSA, with which nothing is reissued."""
    packed = (_FOLDER / "pkcs12" / f"{authority.stem}.p12").read_bytes()
    *_, bag = packed.partition(_KEY_BAG)
    (encrypted,) = elements_of(bag)
    # To check the numbers of every key would take most of the time of these tests.
    key = load_der_private_key(encrypted, b"password", unsafe_skip_rsa_key_validation=True)
    return key if isinstance(key, rsa.RSAPrivateKey) else None


@cache
def _loaded(der: bytes) -> x509.Certificate:
    with decoding_leniently():
        return x509.load_der_x509_certificate(der)


def _read(stem: str) -> bytes:
    return (_FOLDER / "certs" / f"{stem}.crt").read_bytes()
