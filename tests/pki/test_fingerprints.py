"""SHA-256 fingerprints as tools print them; everything else is refused, other hashes by name."""

import pytest

from otpc_policy.pki.fingerprints import read_sha256

DIGITS = "0f1e2d3c" * 8
PAIRS = [DIGITS[at : at + 2] for at in range(0, 64, 2)]
COLONS = ":".join(PAIRS).upper()


@pytest.mark.parametrize(
    "text",
    [
        DIGITS,
        DIGITS.upper(),
        COLONS,
        f"sha256 Fingerprint={COLONS}",
        f"SHA256 Fingerprint={COLONS}\n",
        f"SHA-256 fingerprint = {COLONS}",
        f"\t SHA256: {COLONS}",
        f"sha256:{DIGITS}",
        f"Cert Hash(sha256): {' '.join(PAIRS)}",
        " ".join(PAIRS),
        f"{COLONS[:48]}\n{COLONS[48:]}",
        "-".join(PAIRS),
    ],
)
def test_a_fingerprint_is_read_however_it_is_printed(text: str) -> None:
    assert read_sha256(text) == DIGITS


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "64 digits, with or without colons$"),
        ("ab", "this is 2 digits"),
        (DIGITS[:-1], "this is 63 digits"),
        (DIGITS + "0", "this is 65 digits"),
        ("AA:" * 19 + "AA", "this is SHA-1; openssl x509 .*-sha256"),
        ("sha1 Fingerprint=" + "AA:" * 19 + "AA", "this is SHA1"),
        ("MD5 Fingerprint=" + "AA:" * 15 + "AA", "this is MD5"),
        ("SHA512 Fingerprint=" + "ab" * 64, "this is SHA512"),
        (f"sha1 Fingerprint={DIGITS}", "this is SHA1"),
        ("sha256//" + "A" * 43 + "=", "this is base64"),
        ('pin-sha256="' + "A" * 43 + '="', "this is base64"),
        ("certificate.pem", "with or without colons$"),
        ("g" * 64, "with or without colons$"),
    ],
)
def test_other_hashes_are_refused_by_name(text: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_sha256(text)
