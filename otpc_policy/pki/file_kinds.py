"""What a file holds that was given in the place of a certificate, and how to convert it.

People send what their tools write: Windows exports PKCS #7 and UTF-16, Java keystores, a browser
the page that said 404. A verdict about such a file would be about nothing, so it is refused by
name. Kinds are told apart by their first bytes and elements; nothing is decoded further.
"""

import base64
import binascii
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass

_SEQUENCE, _INTEGER, _OBJECT_IDENTIFIER = 0x30, 0x02, 0x06
_BIT_STRING, _OCTET_STRING, _ENUMERATED = 0x03, 0x04, 0x0A
_CONTEXT_0 = 0xA0
_TIMES = ((0x17,), (0x18,))
_INDEFINITE = 0x80
# Beyond the first elements nothing is looked at.
_MOST_ELEMENTS = 6

# 1.2.840.113549.1.7.2.
_SIGNED_DATA = bytes.fromhex("2a864886f70d010702")
# PKCS #8 has version 0 or 1.
_PFX_VERSION = b"\x03"
# RSA and DSA keys of PKCS #1, EC keys of SEC 1.
_PLAIN_KEYS = ((_INTEGER, _INTEGER), (_INTEGER, _OCTET_STRING))


@dataclass(frozen=True, slots=True)
class FileKind:
    """What something is, with its article, and what to do instead: both continue a sentence."""

    name: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}; {self.remedy}"


CERTIFICATE_REQUIRED = "a certificate in PEM or DER is required"
_UNPACK = "unpack it, and give the certificate in it"
_PKCS7_NAME = "a PKCS #7 bundle (.p7b, .p7c)"
_PKCS7_KIND = FileKind(
    _PKCS7_NAME, "convert it with: openssl pkcs7 -inform DER -in FILE -print_certs -out chain.pem"
)
_PKCS7_IN_PEM = FileKind(
    _PKCS7_NAME, "convert it with: openssl pkcs7 -in FILE -print_certs -out chain.pem"
)
_CMS_WITHOUT_CERTIFICATES = FileKind("a CMS message without certificates", CERTIFICATE_REQUIRED)
_PKCS12 = FileKind(
    "a PKCS #12 keystore (.p12, .pfx), which usually holds a private key",
    "convert it with: openssl pkcs12 -in FILE -nokeys -out chain.pem",
)
_PRIVATE_KEY = FileKind(
    "a private key", "give the certificate, and replace that key: it has left its place"
)
_PUBLIC_KEY = FileKind("a public key", CERTIFICATE_REQUIRED)
_REQUEST = FileKind(
    "a certificate request (CSR)", "give the certificate that the authority issued for it"
)
_REVOCATIONS = FileKind("a certificate revocation list (CRL)", CERTIFICATE_REQUIRED)
_OCSP = FileKind("an OCSP response", CERTIFICATE_REQUIRED)
_TRUSTED = FileKind(
    "a certificate with trust settings of OpenSSL (BEGIN TRUSTED CERTIFICATE), which are not"
    " applied here",
    "convert each with: openssl x509 -in FILE -out plain.pem",
)
_SEVERAL = FileKind(
    "several structures in DER, one after the other",
    "several certificates need PEM; convert each with: openssl x509 -inform DER",
)
_DER_IN_TEXT = FileKind(
    "DER after a byte order mark, which a tool for text has put there",
    "give the file as it was before, or: tail -c +4 FILE > leaf.der",
)
_DER_AND_MORE = FileKind(
    "a certificate in DER with other octets after it",
    "convert it with: openssl x509 -inform DER -in FILE -out leaf.pem",
)
_DER_NEXT_TO_PEM = FileKind(
    "a structure in DER next to its PEM",
    "give certificates in PEM only; convert one in DER with: openssl x509 -inform DER",
)
_UTF16_NEXT_TO_PEM = FileKind(
    "text in UTF-16 next to its PEM, as PowerShell appends it",
    "save every part as UTF-8, such as with: iconv -f UTF-16LE -t UTF-8",
)
_BINARY_NEXT_TO_PEM = FileKind(
    "binary content next to its PEM, which may be a certificate",
    "give certificates in PEM only",
)
_BINARY = FileKind("binary, and neither PEM nor DER", CERTIFICATE_REQUIRED)

# RFC 5280 4.1: content, algorithm, signature.
_SIGNED = (_SEQUENCE, _SEQUENCE, _BIT_STRING)

# By the first bytes of a file.
_MAGIC: Mapping[bytes, FileKind] = {
    b"\xfe\xed\xfe\xed": FileKind(
        "a Java keystore (JKS)",
        "convert it with: keytool -exportcert -rfc -alias NAME -keystore FILE -file leaf.pem",
    ),
    b"\xce\xce\xce\xce": FileKind(
        "a Java keystore (JCEKS)",
        "convert it with: keytool -exportcert -rfc -alias NAME -storetype JCEKS -keystore FILE"
        " -file leaf.pem",
    ),
    b"PK\x03\x04": FileKind("a zip archive", _UNPACK),
    b"\x1f\x8b": FileKind("compressed by gzip", _UNPACK),
    b"BZh": FileKind("compressed by bzip2", _UNPACK),
    b"\xfd7zXZ\x00": FileKind("compressed by xz", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": FileKind("a 7-Zip archive", _UNPACK),
    b"%PDF": FileKind("a PDF document", CERTIFICATE_REQUIRED),
    b"\x89PNG": FileKind("an image", CERTIFICATE_REQUIRED),
    b"\xff\xd8\xff": FileKind("an image", CERTIFICATE_REQUIRED),
    b"\xd0\xcf\x11\xe0": FileKind("a document of Office or Outlook", CERTIFICATE_REQUIRED),
}
# Blocks of PEM other than certificates, by words in their label.
_LABELS: Mapping[str, FileKind] = {
    "PRIVATE KEY": _PRIVATE_KEY,
    "CERTIFICATE REQUEST": _REQUEST,
    "PKCS7": _PKCS7_IN_PEM,
    "PKCS #7": _PKCS7_IN_PEM,
    "CMS": FileKind(
        "a CMS bundle", "convert it with: openssl pkcs7 -in FILE -print_certs -out chain.pem"
    ),
    "TRUSTED CERTIFICATE": _TRUSTED,
    "ATTRIBUTE CERTIFICATE": FileKind("an attribute certificate", CERTIFICATE_REQUIRED),
    "CRL": _REVOCATIONS,
    "PUBLIC KEY": _PUBLIC_KEY,
    "PGP": FileKind("a PGP message or key", CERTIFICATE_REQUIRED),
    "PARAMETERS": FileKind("parameters of a key", CERTIFICATE_REQUIRED),
}
# They hold certificates: to pass one over would take the next certificate for the leaf.
_BUNDLES = frozenset({_PKCS7_IN_PEM, _LABELS["CMS"], _TRUSTED})
_HEXADECIMAL = re.compile(rb"(?:[0-9A-Fa-f]{2}[\s:]*+)++\Z")
_BASE64_DIGITS = (string.ascii_letters + string.digits + "+/").encode()
# Fewer are a word.
_FEWEST_BASE64_DIGITS = 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Archives of tar: "ustar" and where it stands (POSIX.1-1988).
_TAR_MAGIC, _TAR_PLACE = b"ustar", 257
# No text has these: control characters except white space and DOS's Ctrl-Z, or, where it is not
# UTF-8, four bytes above 127 in a row. Comments in Latin-1 have one or two.
_NO_TEXT = re.compile(rb"[\x00-\x08\x0e-\x19\x1b-\x1f]")
_NO_LATIN = re.compile(rb"[\x80-\xff]{4}")
_UTF16_PART = re.compile(rb"(?:[\t\n\r -~]\0){8}|(?:\0[\t\n\r -~]){8}")
# SEQUENCE in SEQUENCE, each of 128 bytes or more; and a bundle, SEQUENCE of OBJECT IDENTIFIER.
_DER_PART = re.compile(rb"\x30(?:\x82.|\x81).(?:\x30[\x81\x82]|\x06\x09)", re.DOTALL)
# Enough to know text by; files of text may be long.
_LOOK_BYTES = 4096


def kind_of_block(label: str) -> FileKind | None:
    """Return what a PEM block is by its label, such as "PKCS7"; None if that is not known."""
    return next((kind for words, kind in _LABELS.items() if words in label), None)


def holds_certificates(kind: FileKind) -> bool:
    """Whether a block of this kind holds certificates in another form than PEM's own."""
    return kind in _BUNDLES


def kind_of_der(content: bytes) -> FileKind | None:
    """Return what DER, or BER, holds in the place of a certificate.

    None for a certificate, and for anything that is not known: that is judged like a bad one.
    Source: RFC 2986 4, RFC 5280 5.1, RFC 5652 3, RFC 5958 2, RFC 7292 4, RFC 6960 4.2.1, RFC 8017
    A.1, RFC 5915 3.
    """
    outer = _elements(content)
    if len(outer) != 1 or outer[0][0] != _SEQUENCE:
        return None
    parts = _elements(outer[0][1])
    if not parts:
        return None
    tags, first = tuple(tag for tag, _ in parts), parts[0][1]
    if tags[0] == _OBJECT_IDENTIFIER:
        return _PKCS7_KIND if first == _SIGNED_DATA else _CMS_WITHOUT_CERTIFICATES
    if tags[0] == _ENUMERATED:
        return _OCSP
    if tags[:2] == (_INTEGER, _SEQUENCE):
        return _PKCS12 if first == _PFX_VERSION else _PRIVATE_KEY
    # A private key begins with a version, a public one of RSA with its modulus.
    if tags == (_SEQUENCE, _BIT_STRING) or (tags == (_INTEGER, _INTEGER) and len(first) > 1):
        return _PUBLIC_KEY
    if tags[:2] in _PLAIN_KEYS or tags == (_SEQUENCE, _OCTET_STRING):
        return _PRIVATE_KEY
    if tags == _SIGNED:
        return _kind_of_signed(tuple(tag for tag, _ in _elements(first)))
    return None


def is_certificate(content: bytes) -> bool:
    """Whether DER has the form of a certificate, of any version. Source: RFC 5280 4.1."""
    outer = _elements(content)
    parts = _elements(outer[0][1]) if outer else []
    if tuple(tag for tag, _ in parts) != _SIGNED:
        return False
    tags = tuple(tag for tag, _ in _elements(parts[0][1]))
    without_version = tags[1:] if tags[:1] == (_CONTEXT_0,) else tags
    return without_version[:5] == (_INTEGER, *(_SEQUENCE,) * 4)


def _kind_of_signed(tags: tuple[int, ...]) -> FileKind | None:
    """Return what a signed structure is by the tags of what is signed."""
    if tags[:3] == (_INTEGER, _SEQUENCE, _SEQUENCE) and tags[3:4] in ((), (_CONTEXT_0,)):
        return _REQUEST
    # A list of version 1 does not write its version.
    without_version = tags[1:] if tags[:1] == (_INTEGER,) else tags
    is_list = without_version[:2] == (_SEQUENCE, _SEQUENCE) and without_version[2:3] in _TIMES
    return _REVOCATIONS if is_list else None


def kind_of_wrapping(content: bytes) -> FileKind | None:
    """Return what a file is in which PEM may stand without being readable; None if it is not."""
    if encoding := utf16_encoding(content):
        return FileKind(
            f"text in {encoding}, as PowerShell and Notepad write it",
            f"save it as UTF-8, or: iconv -f {encoding} -t UTF-8 FILE > chain.pem",
        )
    if content.startswith(_TAR_MAGIC, _TAR_PLACE):
        return FileKind("an archive of tar", _UNPACK)
    return next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)


def kind_next_to_pem(content: bytes) -> FileKind | None:
    """Return what a file has beside PEM that is not text; None if all of it is text.

    Text is UTF-8, or comments in an older encoding of the same letters (Latin-1, Windows-1252).
    """
    try:
        content.decode()
        is_text = _NO_TEXT.search(content) is None
    except UnicodeDecodeError:
        is_text = _NO_TEXT.search(content) is None and _NO_LATIN.search(content) is None
    if is_text:
        return None
    if _UTF16_PART.search(content):
        return _UTF16_NEXT_TO_PEM
    return _DER_NEXT_TO_PEM if _DER_PART.search(content) else _BINARY_NEXT_TO_PEM


def kind_of_file(content: bytes) -> FileKind | None:
    """Return what a file is that holds no certificate; None if it may be one in DER.

    content: not empty, without a BEGIN line of PEM.
    """
    if (wrapping := kind_of_wrapping(content)) is not None:
        return wrapping
    if content[0] == _SEQUENCE and not _is_text(content):
        return _kind_after_certificate(content) or kind_of_der(content)
    if content.startswith(_BYTE_ORDER_MARK + bytes((_SEQUENCE,))) and not _is_text(content):
        return _DER_IN_TEXT
    return _kind_of_text(content) if _is_text(content) else _BINARY


def utf16_encoding(content: bytes) -> str:
    """Return "UTF-16LE" or the like if the content is text so encoded, else "".

    With a byte order mark (RFC 2781 3.2), or by where the zeros of ASCII text stand.
    """
    marks = {
        b"\xff\xfe\x00\x00": "UTF-32LE",
        b"\x00\x00\xfe\xff": "UTF-32BE",
        b"\xff\xfe": "UTF-16LE",
        b"\xfe\xff": "UTF-16BE",
    }
    for mark, encoding in marks.items():
        if content.startswith(mark):
            return encoding
    look = content[: _LOOK_BYTES - _LOOK_BYTES % 4]
    for encoding, width, place in (
        ("UTF-32LE", 4, 0),
        ("UTF-32BE", 4, 3),
        ("UTF-16LE", 2, 0),
        ("UTF-16BE", 2, 1),
    ):
        letters = look[place::width]
        if len(look) >= 2 * width and b"\0" not in letters and letters.isascii():
            zeros = look.count(0)
            if zeros and zeros >= (width - 1) * (len(look) // width):
                return encoding
    return ""


def without_trailing_space(content: bytes) -> bytes:
    """Return DER without white space after it: tools for text add line ends."""
    rest = _rest(content)
    return content[: len(content) - len(rest)] if not rest.strip() else content


def _kind_after_certificate(content: bytes) -> FileKind | None:
    """Return what a file is in which something follows a certificate; None if nothing does."""
    rest = _rest(content)
    if not rest.strip():
        return None
    if tuple(tag for tag, _ in _elements(_elements(content)[0][1])) != _SIGNED:
        return None
    return _SEVERAL if rest[0] == _SEQUENCE else _DER_AND_MORE


def _rest(content: bytes) -> bytes:
    found = _element_at(content, 0)
    return b"" if found is None else content[found[2] :]


def _elements(content: bytes) -> list[tuple[int, bytes]]:
    """Return tag and content of the first elements, as far as they are well-formed."""
    elements: list[tuple[int, bytes]] = []
    place = 0
    while len(elements) < _MOST_ELEMENTS and (found := _element_at(content, place)) is not None:
        tag, inside, place = found
        elements.append((tag, inside))
    return elements


def _element_at(content: bytes, place: int) -> tuple[int, bytes, int] | None:
    """Return tag, content and end of an element; None if there is none. Source: X.690 8.1."""
    if len(content) - place < 2 or content[place] & 0x1F == 0x1F:
        return None
    tag, length, start = content[place], content[place + 1], place + 2
    if length == _INDEFINITE:
        # BER, as Java and Windows write large keystores. Where it ends is of no importance here.
        return tag, content[start:], len(content)
    if length > _INDEFINITE:
        width = length - _INDEFINITE
        if width > 4 or start + width > len(content):
            return None
        length, start = int.from_bytes(content[start : start + width], "big"), start + width
    if start + length > len(content):
        return None
    return tag, content[start : start + length], start + length


def _is_text(content: bytes) -> bool:
    look = content[:_LOOK_BYTES]
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1a" for byte in look)
    if controls:
        return False
    # Latin-1 has letters above 127, binary has many more of them.
    return 10 * sum(byte > 127 for byte in look) <= 3 * len(look)


def _kind_of_text(content: bytes) -> FileKind:
    text = content.removeprefix(_BYTE_ORDER_MARK).strip()
    start = text[:_LOOK_BYTES].lower()
    if start.startswith(b"<"):
        name = "an HTML page" if b"<html" in start or b"<!doctype html" in start else "XML"
        return FileKind(name, "download the certificate itself, in PEM or DER")
    if start.startswith((b"{", b"[{", b'["')):
        return FileKind("JSON", CERTIFICATE_REQUIRED)
    if start.startswith(b"certificate:"):
        return FileKind(
            "a certificate written out in words (openssl x509 -text)",
            "leave -noout away, so that the PEM block follows",
        )
    if b"-----begin%20" in start or b"-----begin+certificate" in start:
        return FileKind(
            "a certificate in URL encoding, as proxies put it into headers",
            "decode the %20 and %0A in it first",
        )
    if start.startswith(b"ssh-"):
        return FileKind("a key of SSH", CERTIFICATE_REQUIRED)
    if len(text) > 1 and _HEXADECIMAL.match(text):
        return FileKind("a hexadecimal dump", "convert it with: xxd -r -p FILE leaf.der")
    if (decoded := _decoded(text))[:1] == bytes((_SEQUENCE,)):
        if (inside := kind_of_der(decoded)) is not None:
            return FileKind(f"base64 of {inside.name}", "decode it with base64 -d first")
        return FileKind(
            "base64 without the lines around it",
            "put -----BEGIN CERTIFICATE----- before it and -----END CERTIFICATE----- after it, or"
            " decode it with: base64 -d FILE > leaf.der",
        )
    return FileKind(
        "text without a certificate in it",
        "PEM has a line -----BEGIN CERTIFICATE----- with exactly five hyphens at either end",
    )


def _decoded(text: bytes) -> bytes:
    """Return what text is the base64 of; empty if it is not base64. Takes linear time."""
    encoded = b"".join(text.split())
    digits = encoded.rstrip(b"=")
    if len(digits) < _FEWEST_BASE64_DIGITS or digits.translate(None, _BASE64_DIGITS):
        return b""
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return b""
