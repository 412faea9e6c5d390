"""The public key of a certificate: reading it, and describing it for people.

A key of an unknown kind, or one that cannot be read, has a description too: nothing but its use as
a key depends on reading it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from otpc_policy.core.facts import KeyType
from otpc_policy.pki.der import INTEGER, OBJECT_IDENTIFIER, DerError, dotted, inside
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS, decoding_leniently
from otpc_policy.pki.signature_algorithm import RSA_ENCRYPTION, VerifyingKey, oid_name
from otpc_policy.pki.structure import Structure, key_octets, read_algorithm

_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
# Kinds of keys that cryptography 46 does not know, and that people meet. Source: RFC 9881, RFC
# 9909, RFC 9215, GB/T 33560.
_NAMES_OF_KEYS: Mapping[str, str] = {
    RSA_ENCRYPTION: "RSA",
    "1.2.840.113549.1.1.10": "RSASSA-PSS",
    _EC_PUBLIC_KEY: "EC",
    "1.2.840.10040.4.1": "DSA",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
    "1.2.643.7.1.1.1.1": "GOST R 34.10-2012 (256 bits)",
    "1.2.643.7.1.1.1.2": "GOST R 34.10-2012 (512 bits)",
    "1.2.643.2.2.19": "GOST R 34.10-2001",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
}
_NAMES_OF_CURVES: Mapping[str, str] = {"1.2.156.10197.1.301": "SM2"}
_MAX_SHOWN_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The key of a certificate.

    usable: the key, and the algorithm that it is for. kind, bits, name, flaw: as key_type,
    key_bits, key_name and key_flaw of CertificateView.
    """

    usable: VerifyingKey
    kind: KeyType
    bits: int
    name: str
    flaw: str


def read_public_key(structure: Structure) -> PublicKey:
    """Return the key of a certificate, whatever it is."""
    algorithm, parameters, octets = _key_parts(structure)
    key = _public_key(structure, algorithm, parameters)
    kind, bits, name, flaw = _describe_key(key, algorithm, parameters, octets)
    return PublicKey(
        usable=VerifyingKey(key=key, algorithm=algorithm, parameters=parameters),
        kind=kind,
        bits=bits,
        name=name,
        flaw=flaw,
    )


def _key_parts(structure: Structure) -> tuple[str, bytes | None, bytes]:
    """Return the OID of the kind of key, its parameters and the key's own octets.

    "" for what says of no kind.
    """
    try:
        algorithm, octets = key_octets(structure.der, structure.key)
        return *read_algorithm(structure.der, algorithm), octets
    except DerError:
        return "", None, b""


def _public_key(structure: Structure, oid: str, parameters: bytes | None) -> object:
    """Return the key; None if it is of a kind that cryptography does not know, or unreadable.

    A curve must be named: whoever may choose its parameters can choose a key that signs for others
    (RFC 5480 2.1.1, CVE-2020-0601). cryptography 47 and later read some such parameters.
    """
    is_named = parameters is not None and parameters[0] == OBJECT_IDENTIFIER
    if not oid or (oid == _EC_PUBLIC_KEY and not is_named):
        return None
    try:
        with decoding_leniently():
            return load_der_public_key(structure.octets(structure.key))
    except DECODING_ERRORS:
        return None


def _describe_key(
    key: object, oid: str, parameters: bytes | None, octets: bytes
) -> tuple[KeyType, int, str, str]:
    """Return type, bits, name and flaw of the key."""
    match key:
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return _describe_rsa(numbers.n, numbers.e)
        case ec.EllipticCurvePublicKey():
            return KeyType.ECDSA, key.curve.key_size, f"EC {key.curve.name}", ""
        case ed25519.Ed25519PublicKey():
            return KeyType.EDDSA, 0, "Ed25519", ""
        case ed448.Ed448PublicKey():
            return KeyType.EDDSA, 0, "Ed448", ""
        case dsa.DSAPublicKey():
            return KeyType.DSA, key.key_size, f"DSA {key.key_size}", ""
    if not oid:
        return KeyType.OTHER, 0, "a key that cannot be read", ""
    if oid == RSA_ENCRYPTION and (pair := _rsa_numbers(octets)):
        # cryptography 49 and later load no key with exponent 1.
        return _describe_rsa(*pair)
    name = _NAMES_OF_KEYS.get(oid) or oid_name(oid)
    if oid == _EC_PUBLIC_KEY:
        return KeyType.OTHER, 0, f"{name}, {_describe_curve(parameters)}", ""
    is_known_kind = oid in (RSA_ENCRYPTION, "1.2.840.113549.1.1.10", "1.2.840.10040.4.1")
    return KeyType.OTHER, 0, f"{name} that cannot be read" if is_known_kind else name, ""


def _describe_curve(parameters: bytes | None) -> str:
    if parameters is None or parameters[0] != OBJECT_IDENTIFIER:
        return "a curve without a name"
    try:
        curve = dotted(parameters[2:])
    except DerError:
        return "an unknown curve"
    return f"curve {_NAMES_OF_CURVES.get(curve) or oid_name(curve)}"


def _describe_rsa(modulus: int, exponent: int) -> tuple[KeyType, int, str, str]:
    bits = modulus.bit_length()
    return KeyType.RSA, bits, f"RSA {bits}", _rsa_flaw(modulus, exponent)


def _rsa_numbers(octets: bytes) -> tuple[int, int] | None:
    """Return modulus and exponent of an RSAPublicKey (RFC 8017 A.1.1), None for what is none."""
    try:
        parts = inside(octets, 0, len(octets))
    except DerError:
        return None
    if [part.tag for part in parts] != [INTEGER, INTEGER]:
        return None
    modulus, exponent = (
        int.from_bytes(octets[part.content : part.end], "big", signed=True) for part in parts
    )
    return (modulus, exponent) if modulus > 0 and exponent > 0 else None


def _rsa_flaw(modulus: int, exponent: int) -> str:
    """Say why the key gives no security, or "".

    With exponent 1 a signature is its own message, and anybody can make one; an even exponent or
    modulus belongs to no key pair. Source: Baseline Requirements 6.1.6. cryptography and OpenSSL
    load such keys.
    """
    if exponent < 3 or exponent % 2 == 0:
        # Python writes no number of thousands of digits.
        bits = exponent.bit_length()
        shown = str(exponent) if bits <= _MAX_SHOWN_BITS else f"even, of {bits} bits"
        return f"its RSA exponent is {shown}; an odd one of at least 3 required"
    return "its RSA modulus is even; an odd one required" if modulus % 2 == 0 else ""
