"""Certificates from files or stdin, in PEM or DER: read and converted here, judged elsewhere."""

import hashlib
import sys
from pathlib import Path

import typer

STDIN = "-"

# The contract accepts 256 KiB of certificates (policy.proto, ValidateCertificateRequest). PEM is a
# third larger, and may have text in between.
_MAX_FILE_BYTES = 1024 * 1024


def read_file(path: str) -> bytes:
    """Return the content of a file, or of stdin for "-". Raises BadParameter."""
    return _content(path)


def read_chain(path: str) -> tuple[bytes, ...]:
    """Return the certificates of a file, or of stdin for "-", in DER and in their order.

    Whether they can be decoded is part of the verdict on them.
    Raises BadParameter for a file that cannot be read, or that holds no certificate.
    """
    from otpc_policy.pki.certificate_files import read_certificate_file  # noqa: PLC0415  # slow; --help needs none of it

    content = _content(path)
    try:
        return read_certificate_file(content, "FILE" if path == STDIN else path)
    except ValueError as error:
        raise typer.BadParameter(f"{_name(path)} {error}") from None


def read_certificates(path: str) -> tuple[bytes, ...]:
    """Return the certificates of a file in DER, in order.

    Raises BadParameter for a file that cannot be read or a certificate that cannot be decoded.
    """
    from otpc_policy.core.errors import MalformedCertificate  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.pki.certificate import view_certificate  # noqa: PLC0415

    certificates = read_chain(path)
    for number, certificate in enumerate(certificates, 1):
        try:
            view_certificate(certificate)
        except MalformedCertificate as error:
            raise typer.BadParameter(
                f"{_name(path)}: certificate {number} cannot be decoded: {error}"
            ) from None
    return certificates


def read_anchors(path: str) -> tuple[bytes, ...]:
    """Return the CA certificates of a file in DER. Raises BadParameter, also if one is no CA."""
    from otpc_policy.pki.anchors import problem_with_anchor  # noqa: PLC0415  # slow; --help needs none of it

    anchors = read_certificates(path)
    for problem in filter(None, map(problem_with_anchor, anchors)):
        raise typer.BadParameter(f"{_name(path)}: {problem}")
    return anchors


def read_pin(text: str) -> str:
    """Return the SHA-256 of a pin: the digits given, or that of a file's first certificate.

    text: a SHA-256 as openssl, keytool or a browser shows it, or the path of a file that holds a
    certificate, or such a line. Raises BadParameter.
    """
    from otpc_policy.pki.fingerprints import read_sha256  # noqa: PLC0415  # slow; --help needs none of it

    try:
        return read_sha256(text)
    except ValueError as error:
        if not Path(text).exists():
            raise typer.BadParameter(
                f"{text!r} is neither a file nor a SHA-256: a fingerprint {error}"
            ) from None
    if text != STDIN and (line := _short_text(text)):
        try:
            return read_sha256(line)
        except ValueError:
            pass
    return hashlib.sha256(read_certificates(text)[0]).hexdigest()


def _short_text(path: str) -> str:
    """Return what a file says if it is no longer than a fingerprint, else ""."""
    content = _content(path)
    return content.decode("utf-8", "replace") if len(content) <= 256 else ""


def _content(path: str) -> bytes:
    try:
        if path == STDIN:
            content = sys.stdin.buffer.read(_MAX_FILE_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not a path"
        raise typer.BadParameter(f"{path}: {reason}") from None
    if len(content) > _MAX_FILE_BYTES:
        raise typer.BadParameter(
            f"{_name(path)} is larger than {_MAX_FILE_BYTES} bytes; no certificate chain is"
        )
    return content


def _name(path: str) -> str:
    return "stdin" if path == STDIN else path
