"""Key shares of a TLS 1.3 hello: fresh private keys, and the secrets agreed on with them.

A hybrid share is one of ML-KEM joined to one of a curve, and so are the server's answer and the
secret. Key pairs of ML-KEM cost 0.06 ms, so every hello has its own, as those of clients have: no
share is ever seen twice, and a server cannot tell a measurement by it.

What is agreed on here protects nothing: it decrypts the first flight of a server whose identity is
being inspected, and nothing is ever sent under it.

Source: RFC 8446 4.2.8 and 7.4, draft-ietf-tls-ecdhe-mlkem; ML-KEM is FIPS 203.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pqcrypto.kem import ml_kem_768, ml_kem_1024

from otpc_policy.tls.fields import Malformed

_P256, _P384, _P521, _X25519, _X448 = 23, 24, 25, 29, 30
_CURVES: Mapping[int, ec.EllipticCurve] = {
    _P256: ec.SECP256R1(),
    _P384: ec.SECP384R1(),
    _P521: ec.SECP521R1(),
}
_CurveKey = x25519.X25519PrivateKey | x448.X448PrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kem:
    """One parameter set of ML-KEM (FIPS 203 8).

    generate: returns an encapsulation key and its decapsulation key. decapsulate: takes the latter
    and a ciphertext; returns the shared secret.
    """

    generate: Callable[[], tuple[bytes, bytes]]
    decapsulate: Callable[[bytes, bytes], bytes]
    ciphertext_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hybrid:
    """A hybrid group. curve: its code point. is_curve_first: in shares and in the secret."""

    curve: int
    kem: _Kem
    is_curve_first: bool

    def join(self, *, of_curve: bytes, of_kem: bytes) -> bytes:
        """Return both parts in the order of the group."""
        return of_curve + of_kem if self.is_curve_first else of_kem + of_curve

    def split(self, share: bytes) -> tuple[bytes, bytes]:
        """Return the curve's part of a server's share, and the ciphertext. Raises Malformed."""
        size = self.kem.ciphertext_bytes
        if len(share) <= size:
            raise Malformed("a key share that is shorter than its ciphertext")
        if self.is_curve_first:
            return share[:-size], share[-size:]
        return share[size:], share[:size]


_ML_KEM_768 = _Kem(
    generate=ml_kem_768.keygen,
    decapsulate=ml_kem_768.decaps,
    ciphertext_bytes=ml_kem_768.CIPHERTEXT_SIZE,
)
_ML_KEM_1024 = _Kem(
    generate=ml_kem_1024.keygen,
    decapsulate=ml_kem_1024.decaps,
    ciphertext_bytes=ml_kem_1024.CIPHERTEXT_SIZE,
)
_HYBRIDS: Mapping[int, _Hybrid] = {
    0x11EB: _Hybrid(curve=_P256, kem=_ML_KEM_768, is_curve_first=True),
    0x11EC: _Hybrid(curve=_X25519, kem=_ML_KEM_768, is_curve_first=False),
    0x11ED: _Hybrid(curve=_P384, kem=_ML_KEM_1024, is_curve_first=True),
}


class KeyShares:
    """Fresh private keys, one for each group.

    repeats_curve_keys: a hybrid share holds the same public key as the share of its curve, if there
    is one (draft-ietf-tls-hybrid-design 3.2 allows it; some clients do it).
    public: public keys by group, as key shares (RFC 8446 4.2.8.2).
    """

    def __init__(self, groups: Iterable[int], *, repeats_curve_keys: bool = False) -> None:
        self._curve_keys: dict[int, _CurveKey] = {}
        self._kem_keys: dict[int, bytes] = {}
        self.public: dict[int, bytes] = {}
        by_curve: dict[int, _CurveKey] = {}
        for group in groups:
            hybrid = _HYBRIDS.get(group)
            curve = group if hybrid is None else hybrid.curve
            if not repeats_curve_keys or curve not in by_curve:
                by_curve[curve] = _generate(curve)
            key = self._curve_keys[group] = by_curve[curve]
            self.public[group] = _public_bytes(key)
            if hybrid is not None:
                encapsulation_key, self._kem_keys[group] = hybrid.kem.generate()
                self.public[group] = hybrid.join(
                    of_curve=self.public[group], of_kem=encapsulation_key
                )

    def agree(self, group: int | None, peer: bytes) -> bytes:
        """Return the secret shared with the sender of a key share. Raises Malformed."""
        if group is None or group not in self._curve_keys:
            raise Malformed("a key share for a group that was not offered")
        key, hybrid = self._curve_keys[group], _HYBRIDS.get(group)
        try:
            if hybrid is None:
                return _exchange(key, peer)
            of_curve, ciphertext = hybrid.split(peer)
            return hybrid.join(
                of_curve=_exchange(key, of_curve),
                of_kem=hybrid.kem.decapsulate(self._kem_keys[group], ciphertext),
            )
        except ValueError as error:
            raise Malformed("a key share that is not a public key of its group") from error


def can_generate(group: int) -> bool:
    """Say whether a key share can be made for a group."""
    return group in (_X25519, _X448) or group in _CURVES or group in _HYBRIDS


def _generate(curve: int) -> _CurveKey:
    if curve == _X25519:
        return x25519.X25519PrivateKey.generate()
    if curve == _X448:
        return x448.X448PrivateKey.generate()
    return ec.generate_private_key(_CURVES[curve])


def _public_bytes(key: _CurveKey) -> bytes:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_key().public_bytes_raw()


def _exchange(key: _CurveKey, peer: bytes) -> bytes:
    """Raises ValueError for what is not a public key of the curve."""
    if isinstance(key, x25519.X25519PrivateKey):
        return key.exchange(x25519.X25519PublicKey.from_public_bytes(peer))
    if isinstance(key, x448.X448PrivateKey):
        return key.exchange(x448.X448PublicKey.from_public_bytes(peer))
    return key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(key.curve, peer))
