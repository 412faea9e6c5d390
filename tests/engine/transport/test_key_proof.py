"""When a signature proves a leaf's key, and which keys are too odd or too costly to look at."""

import time
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.engine.profiles.clients import SCHEMES_OF_KIND
from otpc_policy.engine.transport.key_proof import proves_key, public_key
from otpc_policy.tls.flight import ServerFlight, Signature
from tests.engine.profiles.known_clients import INSECURE_SUITES, OPENSSL_3, OPENSSL_102_WITH_RSA
from tests.engine.transport.handmade_tls13 import signature_of
from tests.support.forging import KEY, VERSION, Edit, Made, leaf
from tests.support.signing import PrivateKey, der_element, private_key

CONTENT = b"randoms and parameters"
KEYS = {kind: private_key(kind, "proof") for kind in ("rsa2048", "ec256", "ec384", "ec521")}
KEYS |= {kind: private_key(kind, "proof") for kind in ("ed25519", "ed448")}
RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
RSASSA_PSS = bytes.fromhex("300b06092a864886f70d01010a")


def made(key: PrivateKey, edit: Edit | None = None) -> Made:
    """Return a leaf for a key, issued by nobody."""
    issuer = Made(b"", KEYS["rsa2048"], leaf(None).name)
    return leaf(issuer, key=key, edit=edit)


LEAVES = {kind: made(key).der for kind, key in KEYS.items()}


def flight(der: bytes, scheme: int, signature: bytes, content: bytes = CONTENT) -> ServerFlight:
    signed = Signature(scheme=scheme, content=content, signature=signature)
    return ServerFlight(chain=(der,), signature=signed, is_whole=True)


def signed(kind: str, scheme: int) -> ServerFlight:
    return flight(LEAVES[kind], scheme, signature_of(KEYS[kind], scheme, CONTENT))


OF_RSA = (0x0401, 0x0501, 0x0601, 0x0301, 0x0201, *range(0x0804, 0x0807), *range(0x0809, 0x080C))
OF_ECDSA = (0x0403, 0x0503, 0x0603, 0x0303, 0x0203)
PROVEN = [
    *(("rsa2048", scheme) for scheme in OF_RSA),
    *((key, scheme) for key in ("ec256", "ec384", "ec521") for scheme in OF_ECDSA),
    ("ed25519", 0x0807),
    ("ed448", 0x0808),
]


@pytest.mark.parametrize(("kind", "scheme"), PROVEN)
def test_a_signature_of_a_scheme_that_goes_with_the_key_proves_it(kind: str, scheme: int) -> None:
    """SHA-1 and SHA-224 included: what is offered must be understood."""
    assert proves_key(signed(kind, scheme))


def test_every_scheme_that_clients_offer_is_understood_but_those_of_dsa() -> None:
    offered = {scheme for schemes in SCHEMES_OF_KIND.values() for scheme in schemes}
    profiles = (OPENSSL_3, OPENSSL_102_WITH_RSA, INSECURE_SUITES)
    offered |= {scheme for profile in profiles for scheme in profile.schemes}
    of_dsa = {0x0202, 0x0302, 0x0402, 0x0502, 0x0602}
    assert offered - of_dsa == {scheme for _, scheme in PROVEN}


@pytest.mark.parametrize(("kind", "scheme"), PROVEN)
def test_nothing_else_proves_it(kind: str, scheme: int) -> None:
    good = signed(kind, scheme)
    assert good.signature is not None
    other_leaf = made(private_key(kind, "another")).der
    changed = bytes([good.signature.signature[0] ^ 1]) + good.signature.signature[1:]
    wrong = [
        replace(good, chain=(other_leaf,)),
        replace(good, chain=(other_leaf, *good.chain)),
        replace(good, chain=()),
        replace(good, signature=None),
        *(
            replace(good, signature=replace(good.signature, **change))  # type: ignore[arg-type]
            for change in (
                {"content": CONTENT + b"x"},
                {"content": b""},
                {"signature": changed},
                {"signature": good.signature.signature[:-1]},
                {"signature": b""},
                {"signature": bytes(65535)},
            )
        ),
    ]
    assert not any(map(proves_key, wrong))


@pytest.mark.parametrize("kind", KEYS)
def test_a_scheme_that_does_not_go_with_the_key_proves_nothing(kind: str) -> None:
    """Whatever the signature is; those of Brainpool, DSA, MD5 and GOST go with no key."""
    own = {scheme for key, scheme in PROVEN if key == kind}
    signature = signature_of(KEYS[kind], min(own), CONTENT)
    others = {scheme for _, scheme in PROVEN} - own
    others |= {0x081A, 0x081B, 0x081C, 0x0202, 0x0402, 0x0101, 0x0709, 0x0840, 0, 0xFFFF}
    for scheme in others:
        assert not proves_key(flight(LEAVES[kind], scheme, signature))


def test_a_brainpool_key_is_proven_by_ecdsa_alone() -> None:
    """RFC 7027 for TLS 1.2; the schemes of RFC 8734 for TLS 1.3 are offered by no profile."""
    key = ec.generate_private_key(ec.BrainpoolP256R1())
    der, signature = made(key).der, key.sign(CONTENT, ec.ECDSA(hashes.SHA256()))
    assert proves_key(flight(der, 0x0403, signature))
    assert not proves_key(flight(der, 0x081A, signature))


def test_the_salt_is_as_long_as_the_hash() -> None:
    """RFC 8446 4.2.3."""
    key = KEYS["rsa2048"]
    assert isinstance(key, rsa.RSAPrivateKey)
    for salt_bytes, is_good in ((32, True), (20, False), (0, False)):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_bytes)
        signature = key.sign(CONTENT, pss, hashes.SHA256())
        assert proves_key(flight(LEAVES["rsa2048"], 0x0804, signature)) is is_good


# Keys that no library makes.


def integer(number: int) -> bytes:
    return der_element(2, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def rsa_key(modulus: int, exponent: int, algorithm: bytes = RSA_ENCRYPTION) -> bytes:
    """Return a SubjectPublicKeyInfo."""
    key = der_element(0x30, integer(modulus) + integer(exponent))
    return der_element(0x30, algorithm + der_element(3, b"\0" + key))


def with_key(key: bytes) -> bytes:
    """Return a leaf with a SubjectPublicKeyInfo of our own."""

    def edit(elements: list[bytes]) -> None:
        elements[KEY] = key

    return made(KEYS["ec256"], edit).der


def with_version(number: int) -> bytes:
    def edit(elements: list[bytes]) -> None:
        elements[VERSION] = der_element(0xA0, der_element(2, bytes([number])))

    return made(KEYS["ec256"], edit).der


def spki_of(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_a_key_for_rsassa_pss_alone_is_proven_by_it() -> None:
    """RFC 4055 1.2: an object identifier of its own, here without parameters."""
    key = KEYS["rsa2048"]
    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.public_key().public_numbers()
    der = with_key(rsa_key(numbers.n, numbers.e, RSASSA_PSS))
    for scheme in (0x0809, 0x080A, 0x080B):
        assert proves_key(flight(der, scheme, signature_of(key, scheme, CONTENT)))


# cryptography warns of small and odd keys.
READS_ODD_CERTIFICATES = pytest.mark.filterwarnings("ignore::UserWarning")
N = 2**2047 + 1
ODD_RSA = {
    "8192 bits, 64-bit exponent": (2**8192 - 1, 2**64 - 1, True),
    "8193 bits": (2**8192 + 1, 65537, False),
    "16384 bits": (2**16384 - 1, 65537, False),
    "65-bit exponent": (N, 2**64 + 1, False),
    "an exponent as long as the modulus": (N, 2**2047 - 1, False),
    "an exponent of nought": (N, 0, True),
    "an exponent of one": (N, 1, True),
    "a modulus of nought": (0, 65537, True),
    "a modulus of 16 bits": (2**16 - 1, 3, True),
    "an even modulus": (2 * N, 65537, True),
}


@READS_ODD_CERTIFICATES
@pytest.mark.parametrize(("modulus", "exponent", "is_read"), ODD_RSA.values(), ids=ODD_RSA)
@pytest.mark.parametrize("algorithm", [RSA_ENCRYPTION, RSASSA_PSS])
def test_an_odd_rsa_key_costs_little_and_proves_nothing(
    modulus: int,
    exponent: int,
    is_read: bool,
    algorithm: bytes,
) -> None:
    """A signature costs as much as the exponent is long, times the square of the modulus."""
    der = with_key(rsa_key(modulus, exponent, algorithm))
    assert (public_key(der) is not None) is is_read
    signature_bytes = (modulus.bit_length() + 7) // 8
    started_s = time.thread_time()
    for scheme in OF_RSA:
        for signature in (b"", b"\0" * (signature_bytes - 1) + b"\1", b"\1" * signature_bytes):
            assert not proves_key(flight(der, scheme, signature))
    assert time.thread_time() - started_s < 0.5


EC_POINT = spki_of(KEYS["ec256"])
UNREADABLE = {
    "no DER": b"no DER",
    "nothing": b"",
    "a SEQUENCE that breaks off": LEAVES["ec256"][:-1],
    "bytes after the certificate": LEAVES["ec256"] + b"\0",
    "version 127": with_version(127),
    "a kind of key that nobody knows": with_key(rsa_key(N, 3, bytes.fromhex("300506032a0304"))),
    "a point that is not on the curve": with_key(EC_POINT[:-1] + bytes([EC_POINT[-1] ^ 1])),
    "an RSA key that is no sequence": with_key(der_element(0x30, RSA_ENCRYPTION + b"\3\1\0")),
    "an Ed25519 key of 31 bytes": with_key(bytes.fromhex("3029300506032b6570032000") + bytes(31)),
}


@READS_ODD_CERTIFICATES
@pytest.mark.parametrize("der", UNREADABLE.values(), ids=UNREADABLE)
def test_a_leaf_that_cannot_be_read_proves_nothing_and_never_raises(der: bytes) -> None:
    """InvalidVersion of cryptography is no ValueError."""
    assert public_key(der) is None
    for kind, scheme in PROVEN:
        assert not proves_key(flight(der, scheme, signature_of(KEYS[kind], scheme, CONTENT)))


@READS_ODD_CERTIFICATES
@given(
    st.sampled_from([("rsa2048", 0x0804), ("ec256", 0x0403), ("ed25519", 0x0807)]),
    st.floats(0, 0.999),
    st.binary(min_size=1, max_size=4),
)
@settings(max_examples=200, deadline=None)
def test_a_changed_leaf_never_raises_and_proves_no_other_key(
    signer: tuple[str, int],
    where: float,
    change: bytes,
) -> None:
    kind, scheme = signer
    good = signed(kind, scheme)
    der = good.chain[0]
    place = int(where * len(der))
    changed = der[:place] + change + der[place + len(change) :]
    if proves_key(replace(good, chain=(changed,))):
        assert public_key(changed) == KEYS[kind].public_key()
