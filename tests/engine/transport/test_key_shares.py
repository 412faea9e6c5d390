"""Key shares: what a server that was given one agrees on is what we agree on, and nothing else."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pqcrypto.kem import ml_kem_768, ml_kem_1024

from otpc_policy.engine.transport.key_shares import KeyShares, can_generate
from otpc_policy.tls.fields import Malformed

P256, P384, P521, X25519, X448 = 23, 24, 25, 29, 30
P256_ML_KEM, X25519_ML_KEM, P384_ML_KEM = 0x11EB, 0x11EC, 0x11ED
CURVES = {P256: ec.SECP256R1(), P384: ec.SECP384R1(), P521: ec.SECP521R1()}
# Bytes of a client's share, by group: RFC 8446 4.2.8.2, draft-ietf-tls-ecdhe-mlkem 4.
SHARE_BYTES = {
    P256: 65,
    P384: 97,
    P521: 133,
    X25519: 32,
    X448: 56,
    P256_ML_KEM: 65 + 1184,
    X25519_ML_KEM: 1184 + 32,
    P384_ML_KEM: 97 + 1568,
}
HYBRIDS = (P256_ML_KEM, X25519_ML_KEM, P384_ML_KEM)
_VECTORS = Path(cryptography_vectors.__file__).parent / "asymmetric/MLKEM"


def answer(group: int, share: bytes) -> tuple[bytes, bytes]:
    """Return the share of a server and its secret, written from the drafts' text."""
    if group == X25519:
        key = x25519.X25519PrivateKey.generate()
        secret = key.exchange(x25519.X25519PublicKey.from_public_bytes(share))
        return key.public_key().public_bytes_raw(), secret
    if group == X448:
        old = x448.X448PrivateKey.generate()
        secret = old.exchange(x448.X448PublicKey.from_public_bytes(share))
        return old.public_key().public_bytes_raw(), secret
    if group in CURVES:
        point = ec.EllipticCurvePublicKey.from_encoded_point(CURVES[group], share)
        own = ec.generate_private_key(CURVES[group])
        public = own.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return public, own.exchange(ec.ECDH(), point)
    if group == X25519_ML_KEM:
        ciphertext, of_kem = ml_kem_768.encaps(share[:1184])
        public, of_curve = answer(X25519, share[1184:])
        return ciphertext + public, of_kem + of_curve
    curve, size, kem = (P256, 65, ml_kem_768) if group == P256_ML_KEM else (P384, 97, ml_kem_1024)
    public, of_curve = answer(curve, share[:size])
    ciphertext, of_kem = kem.encaps(share[size:])
    return public + ciphertext, of_curve + of_kem


@pytest.mark.parametrize("group", SHARE_BYTES)
def test_both_sides_agree(group: int) -> None:
    assert can_generate(group)
    shares = KeyShares((group,))
    assert len(shares.public[group]) == SHARE_BYTES[group]
    peer, secret = answer(group, shares.public[group])
    assert shares.agree(group, peer) == secret


def test_the_shares_of_one_hello_are_agreed_on_each_by_itself() -> None:
    shares = KeyShares(SHARE_BYTES)
    for group, share in shares.public.items():
        peer, secret = answer(group, share)
        assert shares.agree(group, peer) == secret


def test_no_share_is_seen_twice() -> None:
    """Else a server could tell a measurement by it."""
    first, second = KeyShares(HYBRIDS).public, KeyShares(HYBRIDS).public
    for group in HYBRIDS:
        pieces = [first[group][place : place + 32] for place in range(0, 1024, 32)]
        assert not any(piece in second[group] for piece in pieces)


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("groups", [(X25519_ML_KEM, X25519), (X25519, X25519_ML_KEM)])
def test_a_client_may_send_the_key_of_a_curve_twice(groups: tuple[int, ...], repeats: bool) -> None:
    shares = KeyShares(groups, repeats_curve_keys=repeats)
    assert (shares.public[X25519_ML_KEM][1184:] == shares.public[X25519]) is repeats
    for group in groups:
        peer, secret = answer(group, shares.public[group])
        assert shares.agree(group, peer) == secret


@pytest.mark.parametrize("group", SHARE_BYTES)
def test_what_is_not_a_share_of_the_group_is_malformed(group: int) -> None:
    shares = KeyShares((group,))
    good, _ = answer(group, shares.public[group])
    for peer in (b"", good[:-1], good + b"\0", b"\0" * len(good), good[:20], os.urandom(9000)):
        with pytest.raises(Malformed):
            shares.agree(group, peer)


@pytest.mark.parametrize("group", [None, P256, X25519_ML_KEM])
def test_only_an_offered_group_is_agreed_on(group: int | None) -> None:
    with pytest.raises(Malformed, match="not offered"):
        KeyShares((X25519,)).agree(group, bytes(32))


def test_a_changed_ciphertext_gives_another_secret() -> None:
    """FIPS 203 6.3: it is rejected without a sign. The server's records do not decrypt then."""
    shares = KeyShares((X25519_ML_KEM,))
    peer, secret = answer(X25519_ML_KEM, shares.public[X25519_ML_KEM])
    changed = bytes((peer[0] ^ 1,)) + peer[1:]
    assert shares.agree(X25519_ML_KEM, changed)[:32] != secret[:32]


def test_groups_that_no_share_is_made_for() -> None:
    """Finite fields, Brainpool, ML-KEM alone, and GREASE."""
    assert not any(map(can_generate, (256, 257, 31, 0x0200, 0x0201, 0x11EE, 0x8A8A)))


def known_answers(name: str) -> Iterator[dict[str, bytes]]:
    case: dict[str, bytes] = {}
    with (_VECTORS / f"kat_{name}.rsp").open(encoding="ascii") as lines:
        for line in lines:
            key, _, value = line.strip().partition(" = ")
            if key == "count":
                if case:
                    yield case
                case = {}
            elif key:
                case[key] = bytes.fromhex(value)


@pytest.mark.parametrize(("name", "kem"), [("MLKEM_768", ml_kem_768), ("MLKEM_1024", ml_kem_1024)])
def test_the_library_gives_the_known_answers(name: str, kem: Any) -> None:
    """FIPS 203 7.3, implicit rejection (ss_n) included."""
    for case in islice(known_answers(name), 20):
        assert kem.decaps(case["sk"], case["ct"]) == case["ss"]
        assert kem.decaps(case["sk"], case["ct_n"]) == case["ss_n"]
