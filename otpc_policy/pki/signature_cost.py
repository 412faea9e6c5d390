"""What it costs to verify one signature, by the key that made it."""

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

# Units (see budget), measured with OpenSSL 3.5.
_BASE_UNITS = 20
_CURVE_UNITS = {"secp256r1": 90, "secp384r1": 550, "secp521r1": 550}
_ED25519_UNITS, _ED448_UNITS = 120, 220
_EC_UNITS_PER_BIT = 2
# Curves over binary fields: 4,400 units with 571 bits.
_BINARY_EC_BITS_SQUARED_PER_UNIT = 70
_DSA_UNITS_PER_KILOBIT_SQUARED = 80
# SHA3-512, the slowest hash.
_HASHED_BYTES_PER_UNIT = 200


def signature_units(key_units: int, signed_bytes: int) -> int:
    """Return the units of one verification. key_units: of the signer's key."""
    return _BASE_UNITS + signed_bytes // _HASHED_BYTES_PER_UNIT + key_units


def key_units(key: object) -> int:
    """Return the units of the arithmetic with a public key; 0 if nothing here verifies with it."""
    match key:
        case rsa.RSAPublicKey():
            return _rsa_units(key.key_size, key.public_numbers().e.bit_length())
        case ec.EllipticCurvePublicKey():
            return _curve_units(key.curve)
        case ed25519.Ed25519PublicKey():
            return _ED25519_UNITS
        case ed448.Ed448PublicKey():
            return _ED448_UNITS
        case dsa.DSAPublicKey():
            return _DSA_UNITS_PER_KILOBIT_SQUARED * (key.key_size // 1024 + 1) ** 2
        case _:
            return 0


def _rsa_units(bits: int, exponent_bits: int) -> int:
    """The modulus squared, for each bit of the exponent."""
    return (bits // 512 + 1) ** 2 * max(exponent_bits, 17) // 16


def _curve_units(curve: ec.EllipticCurve) -> int:
    if curve.name in _CURVE_UNITS:
        return _CURVE_UNITS[curve.name]
    if curve.name.startswith("sect"):
        return curve.key_size**2 // _BINARY_EC_BITS_SQUARED_PER_UNIT
    return curve.key_size * _EC_UNITS_PER_BIT
