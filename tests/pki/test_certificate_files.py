"""What people give in the place of a certificate: read, or refused by name with the way out.

Files are written by the programs that write them in the world: openssl, and cryptography for what
openssl cannot. Neighbours of each kind stand in one table.
"""

import base64
import gzip
import json
import subprocess
import tarfile
import time
import zipfile
from collections.abc import Callable
from io import BytesIO

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from otpc_policy.pki.certificate_files import read_certificate_file
from otpc_policy.pki.file_kinds import kind_of_der
from otpc_policy.pki.roots import mozilla_roots
from tests.support.certificates import CertificateAuthority

ISSUED = CertificateAuthority.create().intermediate().issue()
CHAIN = ISSUED.chain_der
PEM = ISSUED.chain_pem
LEAF_PEM = PEM[: PEM.index(b"-----END") + 26]
KEY = ISSUED.key_pem
_RSA_PRIVATE = CertificateAuthority.create(key="rsa2048").private_key


def _openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files by name, as openssl writes them."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "chain.pem").write_bytes(PEM)
    (folder / "key.pem").write_bytes(KEY)
    chain, key = str(folder / "chain.pem"), str(folder / "key.pem")
    request = _openssl("req", "-new", "-key", key, "-subj", "/CN=a.example")
    trusted = _openssl("x509", "-in", chain, "-trustout", "-addtrust", "serverAuth")
    return {
        "p7b": _openssl("crl2pkcs7", "-nocrl", "-certfile", chain, "-outform", "DER"),
        "p7b in PEM": _openssl("crl2pkcs7", "-nocrl", "-certfile", chain),
        "p12": _openssl("pkcs12", "-export", "-in", chain, "-inkey", key, "-passout", "pass:x"),
        "request": _openssl("req", "-outform", "DER", stdin=request),
        "request in PEM": request,
        "trusted": trusted,
        "PKCS #8": _openssl("pkcs8", "-topk8", "-nocrypt", "-in", key, "-outform", "DER"),
        "encrypted PKCS #8": _openssl(
            "pkcs8", "-topk8", "-in", key, "-outform", "DER", "-passout", "pass:x"
        ),
        "SEC 1": _openssl("ec", "-in", key, "-outform", "DER"),
        "public key": _openssl("pkey", "-in", key, "-pubout", "-outform", "DER"),
        "public key in PEM": _openssl("pkey", "-in", key, "-pubout"),
        "text": _openssl("x509", "-in", chain, "-noout", "-text"),
        "text and PEM": _openssl("x509", "-in", chain, "-text"),
    }


def _rsa(encoding: serialization.Encoding) -> bytes:
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    return _RSA_PRIVATE.private_bytes(encoding, traditional, serialization.NoEncryption())


def _zip() -> bytes:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("chain.pem", PEM)
    return archive.getvalue()


@pytest.mark.parametrize(
    ("content", "chain"),
    [
        (PEM, CHAIN),
        (CHAIN[0], CHAIN[:1]),
        (CHAIN[0] + b"\r\n", CHAIN[:1]),
        (b"\xef\xbb\xbf" + PEM, CHAIN),
        (PEM.replace(b"\n", b"\r\n"), CHAIN),
        (PEM.replace(b"\n", b"\r"), CHAIN),
        (PEM.strip(), CHAIN),
        (PEM + b"\n-- \nSent from my phone\n", CHAIN),
        (b"Bag Attributes\n    localKeyID: 01 02\nsubject=/CN=x\n" + PEM, CHAIN),
        ("Gruß aus Köln\n".encode("latin-1") + PEM, CHAIN),
        (PEM.replace(b"CERTIFICATE", b"X509 CERTIFICATE"), CHAIN),
        (b"-----BEGIN EC PARAMETERS-----\nBgg=\n-----END EC PARAMETERS-----\n" + PEM, CHAIN),
        (PEM.replace(b"-----BEGIN", b"  -----BEGIN"), CHAIN),
    ],
)
def test_a_chain_is_read_however_it_is_written(content: bytes, chain: tuple[bytes, ...]) -> None:
    assert read_certificate_file(content) == chain


def test_certificates_among_what_openssl_prints_are_read(files: dict[str, bytes]) -> None:
    assert read_certificate_file(files["text and PEM"]) == CHAIN[:1]


_UTF16 = [
    (PEM.decode().encode(encoding), f"text in {named}.*; save it as UTF-8")
    for encoding, named in (
        ("utf-16-le", "UTF-16LE"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-32-le", "UTF-32LE"),
        ("utf-32-be", "UTF-32BE"),
    )
]
_MARKED = [
    (mark + PEM.decode().encode(encoding), f"text in {named}")
    for mark, encoding, named in (
        (b"\xff\xfe", "utf-16-le", "UTF-16LE"),
        (b"\xfe\xff", "utf-16-be", "UTF-16BE"),
        (b"\xff\xfe\0\0", "utf-32-le", "UTF-32LE"),
    )
]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        *_UTF16,
        *_MARKED,
        (b"", "^is empty"),
        (b" \r\n\t", "^is empty"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "an HTML page"),
        (b"\n  <HTML><HEAD>", "an HTML page"),
        (b"<?xml version='1.0'?><EntityDescriptor/>", "is XML"),
        (json.dumps({"x5c": [base64.b64encode(CHAIN[0]).decode()]}).encode(), "is JSON"),
        (json.dumps({"pem": PEM.decode()}).encode(), r"\\n in the place of line breaks"),
        (PEM.replace(b"\n", b"\\n"), r"\\n in the place of line breaks"),
        (base64.encodebytes(CHAIN[0]), "base64 without the lines around it"),
        (base64.b64encode(CHAIN[0]), "base64 without the lines around it"),
        (base64.encodebytes(CHAIN[0]).replace(b"\n", b"\r\n"), "put -----BEGIN CERTIFICATE-----"),
        (CHAIN[0].hex().encode(), "a hexadecimal dump"),
        (CHAIN[0].hex(":").upper().encode(), "a hexadecimal dump"),
        (b"please find the certificate attached\n", "text without a certificate in it"),
        (PEM.replace(b"-----", b"--"), "text without a certificate in it"),
        (PEM.decode().replace("-----", "\u2013" * 5).encode(), "text without a certificate in it"),
        (b"-----BEGIN%20CERTIFICATE-----%0AMIIB", "URL encoding"),
        (b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 a@b", "a key of SSH"),
        (gzip.compress(PEM), "compressed by gzip; unpack it"),
        (_zip(), "a zip archive; unpack it"),
        (b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01", "a Java keystore .*keytool -exportcert -rfc"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x7fELF\x02\x01\x01", "binary, and neither PEM nor DER"),
        (CHAIN[0] + CHAIN[1], "several structures in DER"),
        (_rsa(serialization.Encoding.DER), "a private key; .*replace that key"),
        (_rsa(serialization.Encoding.PEM), "holds a private key"),
        (PEM + KEY, "holds a private key"),
        (LEAF_PEM.replace(b"-----BEGIN", b"----BEGIN") + PEM, "a damaged BEGIN line"),
        (LEAF_PEM.lower().replace(b"end", b"END") + PEM, "a damaged BEGIN line"),
        (LEAF_PEM.replace(b"-----", "\u2014\u2013".encode()) + PEM, "a damaged BEGIN line"),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "an empty block"),
        (b"-----BEGIN PGP MESSAGE-----\nA\n-----END PGP MESSAGE-----\n", "but a PGP message"),
        (b"-----BEGIN X509 CRL-----\nMIIB\n-----END X509 CRL-----\n", r"revocation list \(CRL\)"),
        (PEM[: len(PEM) // 2], "without its END line"),
    ],
)  # fmt: skip
def test_what_holds_no_certificate_is_refused_by_name(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_certificate_file(content)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("p7b", r"^is a PKCS #7 bundle .*openssl pkcs7 -inform DER -in FILE -print_certs"),
        ("p7b in PEM", r"^holds a PKCS #7 bundle .*openssl pkcs7 -in FILE -print_certs"),
        ("p12", r"^is a PKCS #12 keystore .*openssl pkcs12 -in FILE -nokeys"),
        ("request", r"^is a certificate request \(CSR\)"),
        ("request in PEM", r"but a certificate request \(CSR\)"),
        ("trusted", r"BEGIN TRUSTED CERTIFICATE.*openssl x509 -in FILE"),
        ("PKCS #8", "^is a private key"),
        ("encrypted PKCS #8", "^is a private key"),
        ("SEC 1", "^is a private key"),
        ("public key", "^is a public key"),
        ("public key in PEM", "but a public key"),
        ("text", "written out in words"),
    ],
)
def test_what_openssl_writes_in_place_of_a_certificate_is_refused_by_name(
    files: dict[str, bytes], name: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        read_certificate_file(files[name])


@pytest.mark.parametrize("name", ["trusted", "p7b in PEM"])
@pytest.mark.parametrize("place", [lambda block: block + PEM, lambda block: PEM + block])
def test_a_block_that_holds_a_certificate_is_never_passed_over(
    files: dict[str, bytes], name: str, place: Callable[[bytes], bytes]
) -> None:
    """The next certificate would be judged as the leaf."""
    with pytest.raises(ValueError, match="openssl"):
        read_certificate_file(place(files[name]))


@pytest.mark.parametrize("name", ["p7b", "p12", "request", "PKCS #8"])
def test_a_label_says_certificate_and_the_block_holds_something_else(
    files: dict[str, bytes], name: str
) -> None:
    """certutil -encode writes such lines around any file."""
    body = base64.encodebytes(files[name])
    pem = b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    with pytest.raises(ValueError, match="labelled CERTIFICATE, is a"):
        read_certificate_file(pem)
    with pytest.raises(ValueError, match="base64 of a"):
        read_certificate_file(body)


_UTF16_LEAF = LEAF_PEM.decode().encode("utf-16-le")


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (CHAIN[0], "a structure in DER next to its PEM; .*openssl x509 -inform DER"),
        (CHAIN[0] + b"\n", "a structure in DER next to its PEM"),
        (_UTF16_LEAF, "text in UTF-16.*iconv"),
        (b"\xff\xfe" + _UTF16_LEAF, "text in UTF-16.*iconv"),
        (LEAF_PEM.decode().encode("utf-16-be"), "text in UTF-16.*iconv"),
        (LEAF_PEM.decode().encode("cp500"), "has binary content"),
        (b"leaf.pem" + b"\0" * 504, "has binary content"),
        (bytes(range(128, 256)), "has binary content"),
    ],
    ids=[
        "DER",
        "DER and a line end",
        "UTF-16LE",
        "with a mark",
        "UTF-16BE",
        "EBCDIC",
        "NUL",
        "high",
    ],
)
def test_what_is_not_text_is_never_passed_over_next_to_pem(part: bytes, reason: str) -> None:
    """It may be the leaf: passed over, its issuer or another leaf would be judged."""
    rest = PEM[len(LEAF_PEM) :] * 4
    for content in (part + rest, rest + part, LEAF_PEM + part + rest):
        with pytest.raises(ValueError, match=reason):
            read_certificate_file(content)


@pytest.mark.parametrize("name", ["p7b", "p12", "request"])
def test_what_openssl_writes_in_der_is_never_passed_over_next_to_pem(
    files: dict[str, bytes], name: str
) -> None:
    for content in (files[name] + PEM, PEM + files[name]):
        with pytest.raises(ValueError, match="next to its PEM"):
            read_certificate_file(content)


@pytest.mark.parametrize("rest", [b"\0", b"\0" * 512, b"\xef\xbb\xbf", b"\n\0\n", b"x"])
def test_der_with_other_octets_after_it_is_refused(rest: bytes) -> None:
    with pytest.raises(ValueError, match=r"with other octets after it; .*openssl x509 -inform DER"):
        read_certificate_file(CHAIN[0] + rest)


def test_der_after_a_byte_order_mark_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"DER after a byte order mark, .*: tail -c [+]4 FILE"):
        read_certificate_file(b"\xef\xbb\xbf" + CHAIN[0])


def test_an_archive_of_tar_is_refused_by_name() -> None:
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as opened:
        entry = tarfile.TarInfo("chain.pem")
        entry.size = len(PEM)
        opened.addfile(entry, BytesIO(PEM))
    with pytest.raises(ValueError, match="an archive of tar; unpack it"):
        read_certificate_file(archive.getvalue())


def test_no_certificate_is_taken_for_something_else() -> None:
    for root in (*mozilla_roots(), *CHAIN):
        assert kind_of_der(root) is None
        assert read_certificate_file(root) == (root,)


@pytest.mark.parametrize(
    "content",
    [CHAIN[0][:-9], b"0\x82\x01\0 noise", b"0\x03noise", CHAIN[0][:4] + b"\0" * 40],
    ids=["cut short", "noise", "short", "zeros"],
)
def test_a_bad_certificate_is_left_to_the_judge(content: bytes) -> None:
    assert read_certificate_file(content) == (content,)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda end: b"0\x82" + end))
def test_any_bytes_are_read_or_refused_with_a_sentence(content: bytes) -> None:
    try:
        assert all(read_certificate_file(content))
    except ValueError as refused:
        assert str(refused).startswith(("is ", "holds ", "has "))  # noqa: PT017


@pytest.mark.parametrize(
    "content",
    [
        b"A" * 16 + b" " * 250_000 + b"!",
        b"TUlJ" * 8 + b"\n" * 250_000 + b"#",
        b"A" * 16 + b"=" * 250_000 + b" !",
        b"30 " * 80_000 + b"!",
    ],
    ids=["blanks", "line ends", "padding", "hexadecimal"],
)
def test_a_hostile_file_is_recognized_in_linear_time(content: bytes) -> None:
    """A quadratic reader takes minutes for 256 KiB."""
    began = time.process_time()
    with pytest.raises(ValueError, match="text without a certificate"):
        read_certificate_file(content)
    assert time.process_time() - began < 2
