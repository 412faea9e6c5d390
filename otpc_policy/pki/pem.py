"""PEM text to DER. Certificates are not decoded here: what is not one is judged like a bad one."""

import base64
import binascii
import re

from otpc_policy.pki.file_kinds import (
    FileKind,
    holds_certificates,
    is_certificate,
    kind_of_block,
    kind_of_der,
)

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
# Base64 may also stand in JSON, in XML, in quotes or behind ">". A certificate has at least 270
# characters of it; a path or a fingerprint in a comment has fewer, or has one case.
_BASE64_RUN = re.compile(r"([A-Za-z0-9+/]{20,}+)(={0,2})")
_MOST_BASE64 = 200
# Pins of keys, as HPKP wrote them: SHA-1, SHA-256 and SHA-512.
_PINS = frozenset({(27, "="), (43, "="), (86, "==")})
# How a certificate begins, SEQUENCE in SEQUENCE with lengths of one or two octets, in base64 of
# either alphabet (escaped too, as in JSON and URLs) and in hexadecimal (openssl, xxd, keytool).
_BASE64_CHARACTER = r"(?:[A-Za-z0-9+/_-]|\\/|%2[BbFf])"
_GAP = r"(?:[\s:,]|0x){0,8}+"
_CERTIFICATE_IN_BASE64 = re.compile(
    rf"MI(?:[I-L]{_BASE64_CHARACTER}{{2}}[DTjz]C[BC]|[GH]{_BASE64_CHARACTER}M[A-I])"
)
_CERTIFICATE_IN_HEXADECIMAL = re.compile(
    rf"30{_GAP}(?:82{_GAP}[0-9A-Fa-f]{{2}}|81){_GAP}[0-9A-Fa-f]{{2}}{_GAP}30{_GAP}8[12]"
)
# Text has none but white space, and Ctrl-Z at the end of files of DOS.
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f]")


def has_pem_mark(content: bytes) -> bool:
    """Whether the content has a BEGIN line of PEM."""
    return _BEGIN.encode() in content


def read_pem_bundle(text: str) -> tuple[bytes, ...]:
    """Return the certificates of a PEM text as DER, in their order.

    Other blocks of a known kind and text between blocks are passed over, unless they hold
    certificates themselves.
    Raises ValueError, whose text may be shown to the caller and continues after the text's name: a
    private key inside, a block that is not closed, a line like BEGIN or END that is neither, an
    unknown label, what may be a certificate outside blocks or in another form, no certificate,
    characters that no text has.
    Source: RFC 7468. Reads the text a bounded number of times: the caller may be hostile.
    """
    if _CONTROL.search(text):
        raise ValueError(
            "has binary content next to its PEM, which may be a certificate;"
            " every certificate in PEM required"
        )
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
            _refuse_certificates(text[outside : mark.start()])
            opened = mark
            continue
        if opened is None:
            raise ValueError("is not PEM: an END line without its BEGIN line")
        if opened.group(1) != label:
            break
        if label in _CERTIFICATE_LABELS:
            found.append(_decode(text[opened.end() : mark.start()], len(found) + 1))
        else:
            others.append(_kind_to_pass_over(label, text[opened.end() : mark.start()]))
        outside, opened = mark.end(), None
    if opened is not None:
        raise ValueError("is not PEM: a BEGIN line without its END line")
    _refuse_certificates(text[outside:])
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


def _kind_to_pass_over(label: str, body: str) -> FileKind:
    """Return what a block is that holds no certificate. Raises ValueError if that is not sure."""
    kind = kind_of_block(label)
    if kind is None:
        raise ValueError(
            f"has a block with the unknown label {label!r};"
            " -----BEGIN CERTIFICATE----- required around a certificate"
        )
    if holds_certificates(kind):
        raise ValueError(f"holds {kind}")
    if (der := _decoded(body)) is not None and is_certificate(der):
        raise ValueError(
            f"has a certificate in a block with the label {label!r};"
            " -----BEGIN CERTIFICATE----- required around it"
        )
    return kind


def _refuse_certificates(outside: str) -> None:
    """Raise ValueError if text outside blocks may be a certificate, or part of one.

    Explanations stay (RFC 7468 5.2): names, fingerprints and what openssl x509 -text prints, whose
    keys and signatures are hexadecimal too.
    """
    for line in outside.replace("\r", "\n").split("\n"):
        if _BASE64_LINE.fullmatch(stripped := line.strip()) and stripped.strip("/+"):
            raise _base64_outside(stripped)
    if begin := _CERTIFICATE_IN_BASE64.search(outside):
        raise _base64_outside(outside[begin.start() :])
    if _CERTIFICATE_IN_HEXADECIMAL.search(outside):
        raise ValueError(
            "has a certificate in hexadecimal outside its blocks; every certificate in PEM required"
        )
    runs = [run for run in _BASE64_RUN.finditer(outside) if _may_be_part(run)]
    if sum(len(run.group(1)) for run in runs) >= _MOST_BASE64:
        raise _base64_outside(runs[0].group(1))


def _may_be_part(run: re.Match[str]) -> bool:
    """Whether base64 may be part of a certificate: words and hexadecimal have less variety."""
    digits, padding = run.groups()
    if (len(digits), padding) in _PINS:
        return False
    return all(map(re.search, ("[a-z]", "[A-Z]", "[0-9]"), (digits,) * 3))


def _base64_outside(start: str) -> ValueError:
    return ValueError(
        f"has base64 outside its blocks, {start[:24]!r}...;"
        " a line -----BEGIN CERTIFICATE----- is missing or damaged"
    )


def _decode(body: str, number: int) -> bytes:
    if "\\n" in body:
        raise ValueError(
            f"is not PEM: certificate {number} has \\n in the place of line breaks, as in JSON;"
            " write the text itself, such as with: jq -r or printf '%b'"
        )
    if (der := _decoded(body)) is None:
        raise ValueError(f"is not PEM: certificate {number} is not base64")
    # certutil -encode writes a BEGIN CERTIFICATE line around any file.
    if (kind := kind_of_der(der)) is not None:
        raise ValueError(f"is not a chain: block {number}, labelled CERTIFICATE, is {kind.name}")
    return der


def _decoded(body: str) -> bytes | None:
    """Return what a block's base64 says, its headers left out; None if that is not base64."""
    # Line by line in C: a body may be a quarter of a million empty lines.
    encoded = "".join(_HEADER_LINE.sub("", body.replace("\r", "\n")).split())
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
