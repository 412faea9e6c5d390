"""Algorithms of signatures on certificates: what they are called, and how they are verified."""

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

from otpc_policy.pki.der import INTEGER, NULL, DerError, Element, elements, inside, only_element
from otpc_policy.pki.structure import read_algorithm

# What cryptography raises instead of verifying a signature. ValueError: a key without room for the
# digest, which RSASSA-PSS with SHA-512 needs 521 bits for. InternalError: an error of OpenSSL that
# it did not expect. Whatever it is, nothing was verified.
VERIFYING_ERRORS = (
    InvalidSignature,
    ValueError,
    TypeError,
    OverflowError,
    InternalError,
    UnsupportedAlgorithm,
)
# hash_name of an algorithm that is not known, MD2 among them: never "", which would say that none
# is needed.
UNKNOWN_HASH = "unknown"
RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
_RSA, _SHA3 = "1.2.840.113549.1.1.", "2.16.840.1.101.3.4.3."
_ECDSA, _HASH = "1.2.840.10045.4.", "2.16.840.1.101.3.4.2."
RSASSA_PSS, _MGF1 = _RSA + "10", _RSA + "8"
_PKCS1_HASHES: Mapping[str, str] = {
    _RSA + "4": "md5",
    _RSA + "5": "sha1",
    "1.3.14.3.2.29": "sha1",
    _RSA + "14": "sha224",
    _RSA + "11": "sha256",
    _RSA + "12": "sha384",
    _RSA + "13": "sha512",
    _SHA3 + "13": "sha3-224",
    _SHA3 + "14": "sha3-256",
    _SHA3 + "15": "sha3-384",
    _SHA3 + "16": "sha3-512",
}
_ECDSA_HASHES: Mapping[str, str] = {
    _ECDSA + "1": "sha1",
    _ECDSA + "3.1": "sha224",
    _ECDSA + "3.2": "sha256",
    _ECDSA + "3.3": "sha384",
    _ECDSA + "3.4": "sha512",
    _SHA3 + "9": "sha3-224",
    _SHA3 + "10": "sha3-256",
    _SHA3 + "11": "sha3-384",
    _SHA3 + "12": "sha3-512",
}
# Named only: nothing here verifies a signature by DSA.
_DSA_HASHES: Mapping[str, str] = {
    "1.2.840.10040.4.3": "sha1",
    _SHA3 + "1": "sha224",
    _SHA3 + "2": "sha256",
    _SHA3 + "3": "sha384",
    _SHA3 + "4": "sha512",
}
_PSS_HASHES: Mapping[str, str] = {
    "1.3.14.3.2.26": "sha1",
    _HASH + "4": "sha224",
    _HASH + "1": "sha256",
    _HASH + "2": "sha384",
    _HASH + "3": "sha512",
}
_ED25519, _ED448 = "1.3.101.112", "1.3.101.113"
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    # Only to see who signed whom: no path rests on these two.
    "md5": hashes.MD5(),  # noqa: S303  # names who signed; see above
    "sha1": hashes.SHA1(),  # noqa: S303  # as md5
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
    "sha3-224": hashes.SHA3_224(),
    "sha3-256": hashes.SHA3_256(),
    "sha3-384": hashes.SHA3_384(),
    "sha3-512": hashes.SHA3_512(),
}
_PSS_SALT_OCTETS = 20
# Salts of the length of the hash are usual. No key has room for longer ones than this.
_MAX_SALT_OCTETS = 1_024
_ABSENT_OR_NULL = (None, bytes([NULL, 0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyingKey:
    """A public key and what its certificate says it is for.

    key: as cryptography loads it; None if it cannot. algorithm: its OID. parameters: of the
    algorithm, in DER; None without any.
    """

    key: object
    algorithm: str
    parameters: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureAlgorithm:
    """One AlgorithmIdentifier.

    octets: as it stands. name: for people. hash_name: "" for EdDSA, UNKNOWN_HASH where nothing here
    can tell. salt_octets: of RSASSA-PSS, None for others. is_usable: nothing in its parameters
    stands against verifying a signature by it.
    """

    octets: bytes
    oid: str
    name: str
    hash_name: str
    salt_octets: int | None = None
    is_usable: bool = True

    def verifies(self, key: VerifyingKey, signature: bytes, signed: bytes) -> bool:
        """The key made this signature over these octets, be it with a weak hash."""
        hashing = _HASHES.get(self.hash_name)
        if not self.is_usable or not signature or not self.is_permitted_to(key):
            return False
        return self._matches(key.key, hashing, signature, signed)

    def is_permitted_to(self, key: VerifyingKey) -> bool:
        """The key may be used with this algorithm, as far as its own algorithm says.

        A key for RSASSA-PSS makes no other signatures. Its parameters fix the hashes and are the
        least length of the salt; without parameters there is no restriction. Source: RFC 4055 1.2,
        3.3.
        """
        if key.algorithm != RSASSA_PSS:
            return True
        if self.oid != RSASSA_PSS or not self.is_usable:
            return False
        if key.parameters is None:
            return True
        try:
            hash_name, least_salt, is_usable = _read_pss(key.parameters)
        except DerError:
            return False
        salt = self.salt_octets or 0
        return is_usable and hash_name == self.hash_name and salt >= least_salt

    def _matches(
        self, key: object, hashing: hashes.HashAlgorithm | None, signature: bytes, signed: bytes
    ) -> bool:
        try:
            match key:
                case rsa.RSAPublicKey() if hashing is not None and self.oid == RSASSA_PSS:
                    salted = padding.PSS(padding.MGF1(hashing), self.salt_octets or 0)
                    key.verify(signature, signed, salted, hashing)
                case rsa.RSAPublicKey() if hashing is not None and self.oid in _PKCS1_HASHES:
                    key.verify(signature, signed, padding.PKCS1v15(), hashing)
                case ec.EllipticCurvePublicKey() if (
                    hashing is not None and self.oid in _ECDSA_HASHES
                ):
                    key.verify(signature, signed, ec.ECDSA(hashing))
                case ed25519.Ed25519PublicKey() if self.oid == _ED25519:
                    key.verify(signature, signed)
                case ed448.Ed448PublicKey() if self.oid == _ED448:
                    key.verify(signature, signed)
                case _:
                    return False
        except VERIFYING_ERRORS:
            return False
        return True


def read_signature_algorithm(der: bytes, algorithm: Element) -> SignatureAlgorithm:
    """Return the algorithm that is named there, an unknown one where none is."""
    try:
        oid, parameters = read_algorithm(der, algorithm)
    except DerError:
        return SignatureAlgorithm(
            octets=der[algorithm.start : algorithm.end],
            oid="",
            name="an algorithm that cannot be read",
            hash_name=UNKNOWN_HASH,
            is_usable=False,
        )
    hash_name, salt, is_usable = UNKNOWN_HASH, None, parameters in _ABSENT_OR_NULL
    if oid == RSASSA_PSS:
        try:
            hash_name, salt, is_usable = _read_pss(parameters or b"")
        except DerError:
            is_usable = False
    elif oid in (_ED25519, _ED448):
        hash_name, is_usable = "", parameters is None
    else:
        for table in (_PKCS1_HASHES, _ECDSA_HASHES, _DSA_HASHES):
            hash_name = table.get(oid, hash_name)
    return SignatureAlgorithm(
        octets=der[algorithm.start : algorithm.end],
        oid=oid,
        name=oid_name(oid),
        hash_name=hash_name,
        salt_octets=salt,
        is_usable=is_usable,
    )


def oid_name(oid: str) -> str:
    """Return the name of an object for people, or its number."""
    try:
        name: str = x509.ObjectIdentifier(oid)._name
    except ValueError:
        return oid
    return oid if name == "Unknown OID" else name


def _read_pss(parameters: bytes) -> tuple[str, int, bool]:
    """Return hash, octets of salt, and whether it can be used. Source: RFC 4055 3.1."""
    hash_name, masking, salt = "sha1", "sha1", _PSS_SALT_OCTETS
    is_usable = True
    listed = inside(parameters, 0, len(parameters))
    tags = [part.tag for part in listed]
    if tags != sorted(set(tags)):
        raise DerError("not parameters of RSASSA-PSS")
    for part in listed:
        parts = elements(parameters, part.content, part.end)
        if len(parts) != 1:
            raise DerError("not parameters of RSASSA-PSS")
        inner = parts[0]
        if part.tag == 0xA0:
            hash_name = _PSS_HASHES.get(read_algorithm(parameters, inner)[0], UNKNOWN_HASH)
        elif part.tag == 0xA1:
            oid, of_mask = read_algorithm(parameters, inner)
            if oid != _MGF1 or of_mask is None:
                raise DerError("another mask than MGF1")
            whole = only_element(of_mask, 0, len(of_mask), 0x30)
            masking = _PSS_HASHES.get(read_algorithm(of_mask, whole)[0], UNKNOWN_HASH)
        elif part.tag in (0xA2, 0xA3) and inner.tag == INTEGER:
            number = _small_integer(parameters[inner.content : inner.end])
            if part.tag == 0xA2:
                salt = number
            else:
                is_usable = number == 1
        else:
            raise DerError("not parameters of RSASSA-PSS")
    return hash_name, salt, is_usable and masking == hash_name and 0 <= salt <= _MAX_SALT_OCTETS


def _small_integer(content: bytes) -> int:
    """Raises DerError for what is not a number, and for more octets than a sane one has."""
    if not 0 < len(content) <= 4 or (len(content) > 1 and content[0] == 0 and content[1] < 0x80):
        raise DerError("not parameters of RSASSA-PSS")
    return int.from_bytes(content, "big", signed=True)
