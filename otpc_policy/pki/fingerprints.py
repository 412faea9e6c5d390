"""SHA-256 fingerprints as tools print them, to 64 hexadecimal digits."""

import re

_DIGITS = re.compile(r"[0-9a-f]{64}\Z")
# openssl x509 -fingerprint: "sha256 Fingerprint=AB:CD:..."; keytool: "SHA256: AB:CD:..."; certutil:
# "Cert Hash(sha256): ab cd ..."; GnuTLS: "sha256:abcd...".
_LABEL = re.compile(
    r"(?:cert hash\s*\()?(?P<algorithm>sha-?[0-9]+|md5)\)?(?:[ \t]+fingerprint)?\s*[=:]\s*", re.I
)
_SHA256 = frozenset({"sha256", "sha-256"})
_BASE64 = re.compile(r"(?:sha256/{1,2}|pin-sha256=\"?)?[A-Za-z0-9+/]{43}=\"?\Z")
# Digits of a hash, by their number.
_LENGTHS = {32: "MD5", 40: "SHA-1", 56: "SHA-224", 96: "SHA-384", 128: "SHA-512"}
_HOW = "openssl x509 -noout -fingerprint -sha256 -in FILE prints that of a certificate"


def read_sha256(text: str) -> str:
    """Return the 64 lower-case digits of a SHA-256.

    text: digits, with or without colons, hyphens or space between them, alone or with the label
    that openssl, keytool or certutil prints before them.
    Raises ValueError whose text continues after a name: "must be a SHA-256 ...".
    """
    label = _LABEL.match(text.strip())
    rest = text.strip()[label.end() :] if label else text.strip()
    digits = re.sub(r"[\s:-]", "", rest).lower()
    if label and label["algorithm"].lower() not in _SHA256:
        found = label["algorithm"].upper()
    elif _DIGITS.match(digits):
        return digits
    else:
        is_hex = bool(re.fullmatch(r"[0-9a-f]+", digits))
        found = _LENGTHS.get(len(digits), f"{len(digits)} digits") if is_hex else ""
    if _BASE64.match(rest):
        found = "base64, as pins of public keys are written"
    raise ValueError(
        "must be a SHA-256 in hexadecimal: 64 digits, with or without colons"
        + (f"; this is {found}; {_HOW}" if found else "")
    )
