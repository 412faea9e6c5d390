"""Signature schemes by code point, and the names of the pairs that TLS 1.2 composes."""

from collections.abc import Mapping
from functools import cache

from otpc_policy.core.registries.csv_files import assigned_names, read_columns

_REGISTERED = "iana/tls-signaturescheme.csv"
# RFC 5246 7.4.1.4.1, RFC 9189 5: TLS 1.2 composes a scheme of a hash (first byte) and a signature.
_HASHES: Mapping[int, str] = {
    0: "none",
    1: "md5",
    2: "sha1",
    3: "sha224",
    4: "sha256",
    5: "sha384",
    6: "sha512",
    8: "intrinsic",
}
_SIGNATURES: Mapping[int, str] = {
    0: "anonymous",
    1: "rsa",
    2: "dsa",
    3: "ecdsa",
    0x40: "gostr34102012_256",
    0x41: "gostr34102012_512",
}


@cache
def signature_schemes() -> Mapping[int, str]:
    """Return every registered scheme: names by code point."""
    return assigned_names(read_columns(_REGISTERED, "Value", "Description"))


def scheme_name(code_point: int) -> str:
    """Return the registered name of a scheme, else TLS 1.2's pair ("dsa_sha1"), else its number."""
    signature, digest = _SIGNATURES.get(code_point & 0xFF), _HASHES.get(code_point >> 8)
    unregistered = f"{signature}_{digest}" if signature and digest else f"0x{code_point:04X}"
    return signature_schemes().get(code_point, unregistered)
