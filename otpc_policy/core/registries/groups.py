"""Named groups by code point: data only, for people who read what a server chose."""

from collections.abc import Mapping

# The IANA registry "TLS Supported Groups" (tls-parameters-8) as of 2026-09-29, GREASE left out. Read from a published table of that date;
# compared with Wireshark 4.0.17 and cryptodatahub 1.6.1, which have experiments of 2022 where ML-KEM is now, and else the same.
# The Kyber drafts are registered as obsolete.
NAMED_GROUPS: Mapping[int, str] = {
    0x0001: "sect163k1",
    0x0002: "sect163r1",
    0x0003: "sect163r2",
    0x0004: "sect193r1",
    0x0005: "sect193r2",
    0x0006: "sect233k1",
    0x0007: "sect233r1",
    0x0008: "sect239k1",
    0x0009: "sect283k1",
    0x000A: "sect283r1",
    0x000B: "sect409k1",
    0x000C: "sect409r1",
    0x000D: "sect571k1",
    0x000E: "sect571r1",
    0x000F: "secp160k1",
    0x0010: "secp160r1",
    0x0011: "secp160r2",
    0x0012: "secp192k1",
    0x0013: "secp192r1",
    0x0014: "secp224k1",
    0x0015: "secp224r1",
    0x0016: "secp256k1",
    0x0017: "secp256r1",
    0x0018: "secp384r1",
    0x0019: "secp521r1",
    0x001A: "brainpoolP256r1",
    0x001B: "brainpoolP384r1",
    0x001C: "brainpoolP512r1",
    0x001D: "x25519",
    0x001E: "x448",
    0x001F: "brainpoolP256r1tls13",
    0x0020: "brainpoolP384r1tls13",
    0x0021: "brainpoolP512r1tls13",
    0x0022: "GC256A",
    0x0023: "GC256B",
    0x0024: "GC256C",
    0x0025: "GC256D",
    0x0026: "GC512A",
    0x0027: "GC512B",
    0x0028: "GC512C",
    0x0029: "curveSM2",
    0x0100: "ffdhe2048",
    0x0101: "ffdhe3072",
    0x0102: "ffdhe4096",
    0x0103: "ffdhe6144",
    0x0104: "ffdhe8192",
    0x0200: "MLKEM512",
    0x0201: "MLKEM768",
    0x0202: "MLKEM1024",
    0x11E9: "SecP256r1MLKEM512",
    0x11EA: "MLKEM512X25519",
    0x11EB: "SecP256r1MLKEM768",
    0x11EC: "X25519MLKEM768",
    0x11ED: "SecP384r1MLKEM1024",
    0x11EE: "curveSM2MLKEM768",
    0x6399: "X25519Kyber768Draft00",
    0x639A: "SecP256r1Kyber768Draft00",
    0xFF01: "arbitrary_explicit_prime_curves",
    0xFF02: "arbitrary_explicit_char2_curves",
}
_FORBIDDEN_IN_TLS13 = (range(0x0001, 0x0017), range(0x001A, 0x001D), range(0xFF01, 0xFF03))


def group_name(code_point: int) -> str:
    """Return the name of a group, or its number."""
    return NAMED_GROUPS.get(code_point, f"0x{code_point:04X}")


def is_forbidden_in_tls13(code_point: int) -> bool:
    """A hello that offers TLS 1.3 alone must not name it; a strict server answers illegal_parameter.

    Source: RFC 8446 4.2.7, obsolete_RESERVED. With an older version in the same hello it may stand there.
    """
    return any(code_point in forbidden for forbidden in _FORBIDDEN_IN_TLS13)
