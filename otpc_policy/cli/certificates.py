"""Certificates from files or stdin, in PEM or DER: read and converted here, judged elsewhere."""

import hashlib
import re
import sys
from pathlib import Path

import typer

STDIN = "-"

# The contract accepts 256 KiB of certificates (policy.proto, ValidateCertificateRequest). PEM is a
# third larger, and may have text in between.
_MAX_FILE_BYTES = 1024 * 1024
_PEM_MARK = b"-----BEGIN "
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def read_chain_file(path: str) -> bytes:
    """Return the content of a file, or of stdin for "-". Raises BadParameter if it is no chain."""
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}") from None
    name = "stdin" if path == STDIN else path
    if not content.strip():
        raise typer.BadParameter(f"{name} is empty; a certificate in PEM or DER is required")
    if len(content) > _MAX_FILE_BYTES:
        raise typer.BadParameter(
            f"{name} is larger than {_MAX_FILE_BYTES} bytes; no certificate chain is"
        )
    return content


def is_pem(content: bytes) -> bool:
    """Whether the content is PEM text, not DER."""
    return _PEM_MARK in content


def read_certificates(path: str) -> tuple[bytes, ...]:
    """Return the certificates of a file in DER, in order.

    Raises BadParameter for a file that cannot be read or a certificate that cannot be decoded.
    """
    from otpc_policy.core.errors import MalformedCertificate  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.pki.certificate import view_certificate  # noqa: PLC0415
    from otpc_policy.pki.pem import read_pem_bundle  # noqa: PLC0415

    content = read_chain_file(path)
    try:
        certificates = (
            read_pem_bundle(content.decode("utf-8", "replace")) if is_pem(content) else (content,)
        )
        for certificate in certificates:
            view_certificate(certificate)
    except ValueError as error:
        raise typer.BadParameter(f"{path} {error}") from None
    except MalformedCertificate:
        raise typer.BadParameter(
            f"{path} holds something that is not a certificate in PEM or DER"
        ) from None
    return certificates


def read_anchors(path: str) -> tuple[bytes, ...]:
    """Return the CA certificates of a file in DER. Raises BadParameter, also if one is no CA."""
    from otpc_policy.pki.anchors import problem_with_anchor  # noqa: PLC0415  # slow; --help needs none of it

    anchors = read_certificates(path)
    for problem in filter(None, map(problem_with_anchor, anchors)):
        raise typer.BadParameter(f"{path}: {problem}")
    return anchors


def read_pin(text: str) -> str:
    """Return the SHA-256 of a pin: the digits given, or that of a file's first certificate.

    text: 64 hexadecimal digits, colons allowed, or a path. Raises BadParameter.
    """
    digits = text.replace(":", "").lower()
    if _SHA256.match(digits):
        return digits
    if not Path(text).exists():
        raise typer.BadParameter(
            f"{text!r} is neither a file nor a SHA-256 (64 hexadecimal digits)"
        )
    return hashlib.sha256(read_certificates(text)[0]).hexdigest()
