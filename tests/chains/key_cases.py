"""Keys and signatures: what is too weak, what the web PKI does not use, and what harms nobody."""

from cryptography.hazmat.primitives import serialization

from tests.chains.case import (
    ISSUING,
    KEY_WEAK,
    MISORDERED,
    ROOT,
    SIGNATURE_WEAK,
    UNKNOWN,
    UNTRUSTED,
    ChainCase,
    case,
)
from tests.support.forging import KEY, Edit, Made, authority, elements_of, leaf, signed
from tests.support.signing import der_element

_RSA = "BR 6.1.5"
_EC = "BR 6.1.5 (curves)"
_SIGNATURES = "BR 7.1.3.2"
_EXPONENT = "BR 6.1.6"


def key_cases() -> list[ChainCase]:
    """Return the cases."""
    return [*_leaf_keys(), *_authority_keys(), *_exponents(), *_hashes(), *_forms()]


def _of(kind: str) -> list[Made]:
    return [leaf(ISSUING, key=kind), ISSUING]


def _leaf_keys() -> list[ChainCase]:
    return [
        case("RSA 2048", _RSA, _of("rsa2048")),
        case("RSA 3072", _RSA, _of("rsa3072")),
        case("RSA 4096", _RSA, _of("rsa4096")),
        case("RSA 1024", _RSA, _of("rsa1024"), KEY_WEAK),
        case(
            "RSA 2040",
            _RSA,
            _of("rsa2040"),
            KEY_WEAK,
            openssl=(
                "OpenSSL's level 2 asks for 112 bits of security, and counts 2040 bits as enough."
            ),
        ),
        case("P-256", _EC, _of("ec256")),
        case("P-384", _EC, _of("ec384")),
        case("P-521", _EC, _of("ec521")),
        case(
            "P-224",
            _EC,
            _of("ec224"),
            UNTRUSTED,
            KEY_WEAK,
            openssl="OpenSSL's level 2 counts 112 bits of security as enough.",
        ),
        case("secp256k1", _EC, _of("ec256k1"), UNTRUSTED, openssl=_KINDS),
        case("Ed25519", "BR 6.1.1.3", _of("ed25519"), UNTRUSTED, openssl=_KINDS),
        case("Ed448", "BR 6.1.1.3", _of("ed448"), UNTRUSTED, openssl=_KINDS),
        case("DSA 2048", "BR 6.1.1.3", _of("dsa2048"), UNTRUSTED, KEY_WEAK, openssl=_KINDS),
    ]


_KINDS = (
    "Public authorities may certify RSA, P-256, P-384 and P-521 only, and Firefox and Chrome take"
    " no other; OpenSSL takes any."
)


def _authority_keys() -> list[ChainCase]:
    rows: list[tuple[str, tuple[str, ...]]] = [
        ("rsa2048", ()),
        ("rsa1024", (UNTRUSTED, KEY_WEAK)),
        ("ec384", ()),
        ("ec521", ()),
    ]
    rows += [("ed25519", (UNTRUSTED,)), ("ed448", (UNTRUSTED,))]
    roots: list[tuple[str, tuple[str, ...]]] = [
        ("rsa1024", (UNTRUSTED,)),
        ("rsa4096", ()),
        ("ec521", ()),
        ("ed25519", (UNTRUSTED,)),
    ]
    found = []
    for kind, codes in rows:
        middle = authority(f"Intermediate of {kind}", by=ROOT, key=kind)
        found.append(
            case(
                f"intermediate of {kind}",
                "BR 7.1.3.1",
                [leaf(middle), middle],
                *codes,
                openssl=_KINDS if kind.startswith("ed") else "",
            )
        )
    for kind, codes in roots:
        root = authority(f"Root of {kind}", key=kind)
        found.append(
            case(
                f"root of {kind}",
                "BR 7.1.3.1",
                [leaf(root)],
                *codes,
                roots=(root,),
                openssl=_KINDS if kind.startswith("ed") else "",
            )
        )
    return found


def _exponents() -> list[ChainCase]:
    return [
        case("exponent 3", _EXPONENT, _of("rsa2048e3")),
        case(
            "exponent 1",
            _EXPONENT,
            [leaf(ISSUING, key="rsa2048", edit=_exponent(1)), ISSUING],
            KEY_WEAK,
            openssl=_ANY_EXPONENT,
        ),
        case(
            "even exponent",
            _EXPONENT,
            [leaf(ISSUING, key="rsa2048", edit=_exponent(65536)), ISSUING],
            KEY_WEAK,
            openssl=_ANY_EXPONENT,
        ),
    ]


_ANY_EXPONENT = (
    "OpenSSL looks at the length of the modulus alone. With exponent 1 anybody can sign for the"
    " key."
)


def _hashes() -> list[ChainCase]:
    rsa_issuing = authority("RSA Issuing", by=ROOT, key="rsa2048")
    sha1_root = authority("SHA-1 Root", key="rsa2048", hash_name="sha1")
    sha1_below = authority("Below SHA-1 Root", by=sha1_root)
    md5_root = authority("MD5 Root", key="rsa2048", hash_name="md5")
    rsa_root = authority("RSA Root", key="rsa2048")
    sha1_middle = authority("SHA-1 Intermediate", by=rsa_root, hash_name="sha1")

    def by_rsa(hash_name: str) -> list[Made]:
        return [leaf(rsa_issuing, hash_name=hash_name), rsa_issuing]

    return [
        case("RSA with SHA-256", _SIGNATURES, by_rsa("sha256")),
        case("RSA with SHA-384", _SIGNATURES, by_rsa("sha384")),
        case("RSA with SHA-512", _SIGNATURES, by_rsa("sha512")),
        case("RSA-PSS with SHA-256", _SIGNATURES, by_rsa("pss")),
        case(
            "ECDSA with SHA-384 by P-256", _SIGNATURES, [leaf(ISSUING, hash_name="sha384"), ISSUING]
        ),
        case("RSA with SHA-1", _SIGNATURES, by_rsa("sha1"), UNTRUSTED, SIGNATURE_WEAK),
        case("RSA with MD5", _SIGNATURES, by_rsa("md5"), UNTRUSTED, SIGNATURE_WEAK),
        case(
            "ECDSA with SHA-1",
            _SIGNATURES,
            [leaf(ISSUING, hash_name="sha1"), ISSUING],
            UNTRUSTED,
            SIGNATURE_WEAK,
        ),
        case(
            "SHA-1 on the intermediate",
            _SIGNATURES,
            [leaf(sha1_middle), sha1_middle],
            UNTRUSTED,
            SIGNATURE_WEAK,
            roots=(rsa_root,),
        ),
        case(
            "SHA-1 on the root itself",
            "RFC 5280 6.1.1 (d)",
            [leaf(sha1_below), sha1_below],
            roots=(sha1_root,),
        ),
        case(
            "SHA-1 on the root itself, served",
            "RFC 5280 6.1.1 (d)",
            [leaf(sha1_below), sha1_below, sha1_root],
            roots=(sha1_root,),
        ),
        case("MD5 on the root itself", "RFC 5280 6.1.1 (d)", [leaf(md5_root)], roots=(md5_root,)),
        case(
            "the root's own signature broken",
            "RFC 5280 6.1.1 (d)",
            [leaf(_broken_root())],
            roots=(_broken_root(),),
        ),
        case(
            "inner and outer algorithm differ",
            "RFC 5280 4.1.1.2",
            [_two_algorithms(), ISSUING],
            UNTRUSTED,
            MISORDERED,
        ),
    ]


_BROKEN = [authority("Broken Root").with_flipped_bit()]


def _broken_root() -> Made:
    return _BROKEN[0]


def _forms() -> list[ChainCase]:
    return [
        case(
            "curve by its parameters",
            "RFC 5480 2.1.1",
            [leaf(ISSUING, edit=_explicit_curve), ISSUING],
            UNTRUSTED,
            UNKNOWN,
        ),
        case("compressed point", "RFC 5480 2.2", [leaf(ISSUING, edit=_compressed), ISSUING]),
        case(
            "RSA key without its NULL",
            "RFC 3279 2.3.1",
            [leaf(ISSUING, key="rsa2048", edit=_without_null), ISSUING],
        ),
        case(
            "RSA key for PSS alone",
            "BR 7.1.3.1.1",
            [leaf(ISSUING, key="rsa2048", edit=_for_pss), ISSUING],
            UNTRUSTED,
            openssl=_KINDS,
        ),
    ]


def _exponent(value: int) -> Edit:
    def edit(elements: list[bytes]) -> None:
        algorithm, key = elements_of(elements[KEY])
        modulus, _ = elements_of(key[_bit_string_start(key) :])
        number = value.to_bytes(value.bit_length() // 8 + 1, "big")
        rsa_key = der_element(0x30, modulus + der_element(0x02, number))
        elements[KEY] = der_element(0x30, algorithm + der_element(0x03, b"\x00" + rsa_key))

    return edit


def _bit_string_start(der: bytes) -> int:
    return der.index(b"\x00\x30", 1) + 1


def _without_null(elements: list[bytes]) -> None:
    algorithm, key = elements_of(elements[KEY])
    oid = elements_of(algorithm)[0]
    elements[KEY] = der_element(0x30, der_element(0x30, oid) + key)


def _for_pss(elements: list[bytes]) -> None:
    _, key = elements_of(elements[KEY])
    elements[KEY] = der_element(
        0x30, der_element(0x30, bytes.fromhex("06092a864886f70d01010a")) + key
    )


def _compressed(elements: list[bytes]) -> None:
    algorithm, key = elements_of(elements[KEY])
    public = serialization.load_der_public_key(elements[KEY])
    point = public.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint
    )
    elements[KEY] = der_element(0x30, algorithm + der_element(0x03, b"\x00" + point))
    del key


def _explicit_curve(elements: list[bytes]) -> None:
    """P-256 written out: field, curve, base, order, cofactor."""
    _, key = elements_of(elements[KEY])
    p = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    b = bytes.fromhex("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b")
    base = bytes.fromhex(
        "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
    )
    order = bytes.fromhex("00ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
    field = der_element(
        0x30,
        bytes.fromhex("06072a8648ce3d0101") + der_element(0x02, b"\x00" + p.to_bytes(32, "big")),
    )
    curve = der_element(0x30, der_element(0x04, (p - 3).to_bytes(32, "big")) + der_element(0x04, b))
    numbers = (
        b"\x02\x01\x01"
        + field
        + curve
        + der_element(0x04, base)
        + der_element(0x02, order)
        + b"\x02\x01\x01"
    )
    algorithm = der_element(0x30, bytes.fromhex("06072a8648ce3d0201") + der_element(0x30, numbers))
    elements[KEY] = der_element(0x30, algorithm + key)


def _two_algorithms() -> Made:
    made = leaf(ISSUING)
    outer = der_element(0x30, bytes.fromhex("06082a8648ce3d040303"))
    return Made(
        signed(elements_of(made.certificate.tbs_certificate_bytes), ISSUING.key, outer),
        made.key,
        made.name,
    )
