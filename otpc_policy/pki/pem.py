"""PEM text to DER. Certificates are not decoded here: what is not one is judged like a bad one."""

import base64
import binascii
import re

from otpc_policy.pki.file_kinds import FileKind, holds_certificates, kind_of_block, kind_of_der

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"
_CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
# Headers as in RFC 1421 ("Proc-Type: ...") hold a colon, base64 never does.
_HEADER_LINE = re.compile(r"^[^\n]*:[^\n]*$", re.MULTILINE)


# A BEGIN line that an editor, a mail program or a hand has damaged: a hyphen too few, dashes in the
# place of hyphens, lower case. A reader that passes over the leaf would judge its issuer.
_LIKE_BEGIN = re.compile(
    r"(?<![-\u2010-\u2015\u2212])[-\u2010-\u2015\u2212]++[ \t]{0,4}BEGIN[ \t]{1,4}"
    r"(?:X509 )?CERTIFICATE\b(?! REQ)",
    re.IGNORECASE,
)
_IS_BEGIN = re.compile(r"-*-----BEGIN (?:X509 )?CERTIFICATE\Z")


def has_pem_mark(content: bytes) -> bool:
    """Whether the content has a BEGIN line of PEM."""
    return _BEGIN.encode() in content


def read_pem_bundle(text: str) -> tuple[bytes, ...]:
    """Return the certificates of a PEM text as DER, in their order.

    Other things and text between them are passed over, unless they hold certificates themselves.
    Raises ValueError, whose text may be shown to the caller and continues after the text's name: a
    private key inside, a block that is not closed, certificates in another form, no certificate.
    Source: RFC 7468. Reads the text a bounded number of times: the caller may be hostile.
    """
    for mark in _LIKE_BEGIN.finditer(text):
        if not _IS_BEGIN.match(mark.group()):
            raise ValueError(
                f"has a damaged BEGIN line, {mark.group()[:64]!r};"
                " -----BEGIN CERTIFICATE----- required, with five hyphens"
            )
    found: list[bytes] = []
    others: list[FileKind] = []
    position = text.find(_BEGIN)
    while position >= 0:
        start = position + len(_BEGIN)
        label, dashes, _ = text[start : start + 64].partition(_DASHES)
        if "PRIVATE KEY" in label:
            raise ValueError(
                "holds a private key; send certificates only, and replace that key:"
                " it has left its place"
            )
        body = start + len(label) + len(dashes)
        following = text.find(_BEGIN, body)
        stop = following if following >= 0 else len(text)
        end = text.find(_END + label, body, stop) if dashes else -1
        if end < 0:
            raise ValueError("is not PEM: a BEGIN line without its END line")
        if label in _CERTIFICATE_LABELS:
            found.append(_decode(text[body:end], len(found) + 1))
        elif (kind := kind_of_block(label)) is not None:
            if holds_certificates(kind):
                raise ValueError(f"holds {kind}")
            others.append(kind)
        position = following
    if not found:
        instead = f", but {others[0].name}" if others else ""
        raise ValueError(f"holds no certificate in PEM (-----BEGIN CERTIFICATE-----){instead}")
    return tuple(found)


def _decode(body: str, number: int) -> bytes:
    if "\\n" in body:
        raise ValueError(
            f"is not PEM: certificate {number} has \\n in the place of line breaks, as in JSON;"
            " write the text itself, such as with: jq -r or printf '%b'"
        )
    # Line by line in C: a body may be a quarter of a million empty lines.
    encoded = "".join(_HEADER_LINE.sub("", body.replace("\r", "\n")).split())
    try:
        der = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not PEM: certificate {number} is not base64") from None
    # certutil -encode writes a BEGIN CERTIFICATE line around any file.
    if (kind := kind_of_der(der)) is not None:
        raise ValueError(f"is not a chain: block {number}, labelled CERTIFICATE, is {kind.name}")
    return der
