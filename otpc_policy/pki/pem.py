"""PEM text to DER. Certificates are not decoded here: what is none is judged like any bad one."""

import base64
import binascii
import re

_BEGIN, _END, _DASHES = "-----BEGIN ", "-----END ", "-----"
_CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
# Headers as in RFC 1421 ("Proc-Type: ...") hold a colon, base64 never does.
_HEADER_LINE = re.compile(r"^[^\n]*:[^\n]*$", re.MULTILINE)


def read_pem_bundle(text: str) -> tuple[bytes, ...]:
    """Return the certificates of a PEM text as DER, in their order.

    Other things and text between them are passed over.
    Raises ValueError, whose text may be shown to the caller: a private key inside, a block that is
    not closed, no certificate. Source: RFC 7468. Reads the text once: the caller may be hostile.
    """
    found: list[bytes] = []
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
        position = following
    if not found:
        raise ValueError("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    return tuple(found)


def _decode(body: str, number: int) -> bytes:
    # Line by line in C: a body may be a quarter of a million empty lines.
    encoded = "".join(_HEADER_LINE.sub("", body.replace("\r", "\n")).split())
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not PEM: certificate {number} is not base64") from None
