"""PEM text to DER. Certificates are not decoded here: what is not one is judged like a bad one."""

import base64
import binascii
import re

from otpc_policy.pki.file_kinds import FileKind, holds_certificates, kind_of_block, kind_of_der

_BEGIN = "-----BEGIN "
_CERTIFICATE_LABELS = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
# Headers as in RFC 1421 ("Proc-Type: ...") hold a colon, base64 never does.
_HEADER_LINE = re.compile(r"^[^\n]*:[^\n]*$", re.MULTILINE)

# Editors, mail programs and hands damage lines: a hyphen too few, dashes in the place of hyphens,
# lower case. A reader that passes over the leaf would judge its issuer, so whatever looks like a
# BEGIN or END line has to be one. Soft hyphen, hyphens, dashes, minus signs and box drawing.
_DASHES = dict.fromkeys(
    map(
        ord,
        "\u00ad\u02d7\u058a\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2500\u2501\u2e3a\u2e3b"
        "\u30fc\ufe31\ufe32\ufe58\ufe63\uff0d",
    ),
    "-",
)
_LIKE_MARK = re.compile(r"(?<!-)-{2,}+[^\S\r\n]{0,4}(BEGIN|END)", re.IGNORECASE)
# "-- End of chain": prose, in whole words.
_COMMENT = re.compile(r"(-+) ?(BEGIN|END) +([^\s-].*)", re.IGNORECASE)
_MAX_HYPHENS_OF_COMMENT = 3
_FIRST_WORDS = ("CERTIFICATE", "X509", "TRUSTED")
# One before and one after each of as many certificates as are looked at (pki.served).
_MAX_COMMENTS = 128
_MARK = re.compile(r"-*-----(?:BEGIN|END) ([^-\r\n]{1,64})-----")
# Base64 in lines is 64 or 76 characters wide. Forty also find what is wrapped more narrowly, and
# are more than any word of a comment has.
_BASE64_LINE = re.compile(r"[A-Za-z0-9+/]{40,}+={0,2}")


def has_pem_mark(content: bytes) -> bool:
    """Whether the content has a BEGIN line of PEM."""
    return _BEGIN.encode() in content


def read_pem_bundle(text: str) -> tuple[bytes, ...]:
    """Return the certificates of a PEM text as DER, in their order.

    Other blocks of a known kind and text between blocks are passed over, unless they hold
    certificates themselves.
    Raises ValueError, whose text may be shown to the caller and continues after the text's name: a
    private key inside, a block that is not closed, a line like BEGIN or END that is neither, an
    unknown label, base64 outside blocks, certificates in another form, no certificate.
    Source: RFC 7468. Reads the text a bounded number of times: the caller may be hostile.
    """
    found: list[bytes] = []
    others: list[FileKind] = []
    outside, comments = 0, 0
    opened: re.Match[str] | None = None
    for like in _LIKE_MARK.finditer(text.translate(_DASHES)):
        mark, word = _MARK.match(text, like.start()), like.group(1).upper()
        if word == "BEGIN" and opened is not None:
            break
        if mark is None and opened is None and comments < _MAX_COMMENTS:
            comments += 1
            if _is_comment(text[like.start() : like.start() + 128]):
                continue
        if mark is None:
            raise _damaged(word, text[like.start() : like.start() + 64])
        label = mark.group(1)
        if word == "BEGIN":
            if "PRIVATE KEY" in label:
                raise ValueError(
                    "holds a private key; send certificates only, and replace that key:"
                    " it has left its place"
                )
            _refuse_base64(text[outside : mark.start()])
            opened = mark
            continue
        if opened is None:
            raise ValueError("is not PEM: an END line without its BEGIN line")
        if opened.group(1) != label:
            break
        if label in _CERTIFICATE_LABELS:
            found.append(_decode(text[opened.end() : mark.start()], len(found) + 1))
        else:
            others.append(_kind_to_pass_over(label))
        outside, opened = mark.end(), None
    if opened is not None:
        raise ValueError("is not PEM: a BEGIN line without its END line")
    _refuse_base64(text[outside:])
    if not found:
        instead = f", but {others[0].name}" if others else ""
        raise ValueError(f"holds no certificate in PEM (-----BEGIN CERTIFICATE-----){instead}")
    return tuple(found)


def _is_comment(start: str) -> bool:
    """Whether a line like a BEGIN or END line is text between blocks, as RFC 7468 2 permits.

    It names nothing that a block holds, and is not written as marks are: in capitals, after more
    than three hyphens. If it was one after all, the base64 or the other mark of its block is
    refused. start: of the line, outside blocks.
    """
    line = (start.splitlines() or [""])[0].translate(_DASHES)
    found = _COMMENT.match(line)
    if found is None:
        return False
    hyphens, word, rest = found.groups()
    label = rest.upper().strip(" -")
    is_named = label.startswith(_FIRST_WORDS) or kind_of_block(label) is not None
    return not is_named and (not word.isupper() or len(hyphens) <= _MAX_HYPHENS_OF_COMMENT)


def _damaged(word: str, start: str) -> ValueError:
    line = (start.splitlines() or [""])[0]
    return ValueError(
        f"has a damaged {word} line, {line!r};"
        f" -----{word} CERTIFICATE----- required, with five hyphens"
    )


def _kind_to_pass_over(label: str) -> FileKind:
    """Return what a block is that holds no certificate. Raises ValueError if that is not sure."""
    kind = kind_of_block(label)
    if kind is None:
        raise ValueError(
            f"has a block with the unknown label {label!r};"
            " -----BEGIN CERTIFICATE----- required around a certificate"
        )
    if holds_certificates(kind):
        raise ValueError(f"holds {kind}")
    return kind


def _refuse_base64(outside: str) -> None:
    """Raise ValueError if text outside blocks has a line that may be part of a certificate."""
    for line in outside.replace("\r", "\n").split("\n"):
        if _BASE64_LINE.fullmatch(stripped := line.strip()) and stripped.strip("/+"):
            raise ValueError(
                f"has base64 outside its blocks, {stripped[:24]!r}...;"
                " a line -----BEGIN CERTIFICATE----- is missing or damaged"
            )


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
