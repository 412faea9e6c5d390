"""PEM bundles: certificates in order, private keys refused, broken text named, in linear time."""

import base64
import json
import re
import time

import pytest

from otpc_policy.pki.pem import read_pem_bundle
from otpc_policy.pki.roots import mozilla_roots
from tests.support.certificates import CertificateAuthority

ISSUED = CertificateAuthority.create().intermediate().issue()
PEM = ISSUED.chain_pem.decode("ascii")


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        PEM.replace("\n", "\r\n"),
        PEM.replace("\n", " \n"),
        "Subject: somebody\n" + PEM + "trailing text",
        PEM.replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE").replace(
            "END CERTIFICATE", "END X509 CERTIFICATE"
        ),
        "-----BEGIN DH PARAMETERS-----\nMAA=\n-----END DH PARAMETERS-----\n" + PEM,
        PEM.replace(
            "-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nProc-Type: 4,CLEAR\n\n"
        ),
        PEM.replace(
            "-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nProc-Type: 4,CLEAR\n\n"
        ).replace("\n", "\r"),
    ],
)
def test_certificates_come_out_in_order(text: str) -> None:
    assert read_pem_bundle(text) == ISSUED.chain_der


def test_what_is_no_certificate_passes_through() -> None:
    assert read_pem_bundle("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----") == (
        b"\x00\x00\x00",
    )


@pytest.mark.parametrize(
    "label",
    [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
    ],
)
@pytest.mark.parametrize("after", [True, False])
def test_a_private_key_is_refused(label: str, after: bool) -> None:
    key = f"-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"
    with pytest.raises(ValueError, match="private key"):
        read_pem_bundle(PEM + key if after else key + PEM)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no certificate"),
        ("hello", "no certificate"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA", "without its END"),
        ("-----BEGIN CERTIFICATE", "a damaged BEGIN line"),
        ("-----BEGIN CERTIFICATE-----\n" + PEM, "without its END"),
        (
            "-----BEGIN CERTIFICATE-----\nA!\n-----END CERTIFICATE-----",
            "certificate 1 is not base64",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nÄÖ\n-----END CERTIFICATE-----",
            "certificate 1 is not base64",
        ),
        (
            PEM + "-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----",
            "certificate 3 is not base64",
        ),
    ],
)
def test_text_that_is_not_pem_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_pem_bundle(text)


FIRST, REST = PEM[: PEM.index("-----BEGIN", 1)], PEM[PEM.index("-----BEGIN", 1) :]


@pytest.mark.parametrize(
    "label",
    [
        "CERTIFICATE ",
        " CERTIFICATE",
        "CERTIFICATE\u00a0",
        "CERTIFICATE 1",
        "X.509 CERTIFICATE",
        "NEW CERTIFICATE",
        "CERTIFICATE CHAIN",
        "CERTIFICATES",
        "CERTFICATE",
        "Trusted Certificate",
        "pkcs7",
    ],
)
def test_a_block_of_an_unknown_label_is_refused_by_name(label: str) -> None:
    """It may be the leaf: passed over, its issuer would be judged."""
    with pytest.raises(ValueError, match=re.escape(f"unknown label {label!r}")):
        read_pem_bundle(FIRST.replace("CERTIFICATE", label) + REST)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        *(
            (FIRST.replace("-----", dash * 5), "a damaged BEGIN line")
            for dash in "\uff0d\u2500\u00ad\u2e3a\ufe63\u2013"
        ),
        *((FIRST.replace("-----", mark * 5), "base64 outside") for mark in "_=*"),
        (FIRST.replace("BEGIN ", "BEGIN\t"), "a damaged BEGIN line"),
        (FIRST.replace("BEGIN ", "BEGIN\u00a0"), "a damaged BEGIN line"),
        (FIRST.replace("BEGIN ", "BEGIN"), "a damaged BEGIN line"),
        (FIRST.replace("BEGIN ", "BEGIN\n"), "a damaged BEGIN line"),
        (FIRST.replace("-----BEGIN", "-----\u00a0BEGIN"), "a damaged BEGIN line"),
        (FIRST.replace("END CERTIFICATE-----", "END CERTIFICATE"), "a damaged END line"),
        (FIRST.replace("-----END", "----END"), "a damaged END line"),
        (FIRST.partition("\n")[2], "an END line without its BEGIN line"),
        (FIRST.partition("\n")[2].partition("-----")[0], "base64 outside"),
        (FIRST.replace("BEGIN ", "").replace("END ", ""), "base64 outside"),
        (FIRST.replace("-----", "- - - - -"), "base64 outside"),
    ],
)
def test_a_damaged_block_is_refused_wherever_it_stands(first: str, reason: str) -> None:
    """It may be the leaf: passed over, its issuer would be judged."""
    for text in (first + REST, REST + first):
        with pytest.raises(ValueError, match=reason):
            read_pem_bundle(text)


@pytest.mark.parametrize(
    "comment",
    [
        "the front-end and its back-end",
        "-- \nEnd of this mail",
        "-- End of chain",
        "-- end of certificates",
        "-- END OF CHAIN",
        "--- Begin of the intermediates ---",
        "----- End of chain -----",
        "-- begin of the chain of partner.test",
        "\u2014\u2014 End of chain",
        "/" * 60,
        "=" * 60,
        "-" * 60,
        "---- partner.test ----",
    ],
)
def test_comments_around_blocks_are_passed_over(comment: str) -> None:
    assert read_pem_bundle(f"{comment}\n{PEM}{comment}\n") == ISSUED.chain_der


@pytest.mark.parametrize(
    "line",
    [
        "-- BEGIN CERTIFICATE",
        "-- Begin Certificate --",
        "-----begin certificate-----",
        "--begin x509 certificate--",
        "-- begin private key --",
        "-----BEGIN CERTFICATE",
        "-----BEGIN OF CHAIN",
        "-- BEGIN",
        "-- end certificate",
        "-- begin certificate 1",
    ],
)
def test_a_line_that_may_be_a_damaged_mark_is_no_comment(line: str) -> None:
    for text in (f"{line}\n{PEM}", f"{PEM}{line}\n"):
        with pytest.raises(ValueError, match=r"a damaged (BEGIN|END) line"):
            read_pem_bundle(text)


@pytest.mark.parametrize("line", ["-- End of chain", "-- Begin of chain", "-- end"])
def test_a_comment_inside_a_block_is_refused(line: str) -> None:
    head, _, body = PEM.partition("\n")
    with pytest.raises(ValueError, match=r"damaged|without its END"):
        read_pem_bundle(f"{head}\n{line}\n{body}")


@pytest.mark.parametrize("mark", ["-- Begin of leaf", "-----Begin the certificate-----"])
def test_a_block_whose_mark_passes_for_a_comment_is_refused(mark: str) -> None:
    """It may be the leaf: passed over, its issuer would be judged."""
    _, _, body = FIRST.partition("\n")
    whole, headless = f"{mark}\n{body}", f"{mark}\n{body.partition('-----')[0]}-- End of leaf\n"
    for first in (whole, headless):
        for text in (first + REST, REST + first):
            with pytest.raises(ValueError, match=r"base64 outside|without its BEGIN"):
                read_pem_bundle(text)


LEAF = ISSUED.chain_der[0]
BASE64 = base64.b64encode(LEAF).decode()


def _in_lines(text: str, width: int, before: str = "", after: str = "") -> str:
    lines = (text[start : start + width] for start in range(0, len(text), width))
    return "".join(f"{before}{line}{after}\n" for line in lines)


@pytest.mark.parametrize(
    "leaf",
    [
        _in_lines(BASE64, 64, before="> "),
        _in_lines(BASE64, 64, before="\u200b"),
        _in_lines(BASE64, 64, after="\\"),
        _in_lines(BASE64, 32),
        _in_lines(BASE64, 16),
        _in_lines(BASE64[64:], 64, before="# "),
        json.dumps({"leaf": BASE64}) + "\n",
        json.dumps({"leaf": _in_lines(BASE64, 76)}) + "\n",
        f"<cert>{BASE64}</cert>\n",
        base64.urlsafe_b64encode(LEAF).decode() + "\n",
        BASE64.replace("/", "\\/").replace("+", "%2B") + "\n",
        "# " + LEAF.hex() + "\n",
        "# " + LEAF.hex(":").upper() + "\n",
        _in_lines(LEAF.hex(" ", 2), 40, before="00000000: "),
        ", ".join(f"0x{octet:02x}" for octet in LEAF) + "\n",
    ],
    ids=[
        "quoted",
        "zero width",
        "backslashes",
        "narrow",
        "narrower",
        "cut off",
        "JSON",
        "JSON with line ends",
        "XML",
        "base64url",
        "escaped",
        "hexadecimal",
        "colons",
        "xxd",
        "xxd -i",
    ],
)
def test_text_that_may_be_a_certificate_is_refused_next_to_blocks(leaf: str) -> None:
    """It may be the leaf: passed over, its issuer would be judged."""
    for text in (leaf + PEM, PEM + leaf, FIRST + leaf + REST):
        with pytest.raises(ValueError, match=r"has (base64|a certificate in hexadecimal) outside"):
            read_pem_bundle(text)


@pytest.mark.parametrize(
    "comment",
    [
        "subject=C = DE, O = Partner, CN = pay.partner.test\nissuer=CN = MIIT Issuing CA",
        f"# SHA-256: {'ab01' * 16}\n# SHA-512: {'AB01' * 32}",
        "SHA256 Fingerprint=" + ":".join(["AB"] * 32),
        "\n".join(["# pin-sha256: r/mIkG3eEpVdm+u/ko/cwxzOMo1bk4TyHIlByibiA5E="] * 12),
        "# from /srv/deploy2/Configurations/partners/acme/certificates/2026/leaf.pem",
        "# MIGRATION-OF-CERTIFICATES-2026, MIICHAEL",
        "    Signature Value:\n" + "        30:45:02:20:1a:00:c3:\n" * 40,
        "                Modulus:\n" + "                    00:c3:82:30:81:ee:\n" * 40,
        "\x1a",
        "\x0c",
    ],
)
def test_explanations_around_blocks_are_passed_over(comment: str) -> None:
    """Source: RFC 7468 5.2."""
    assert read_pem_bundle(f"{comment}\n{PEM}{comment}\n") == ISSUED.chain_der


@pytest.mark.parametrize("control", ["\0", "\x01", "\x1b"])
def test_text_with_control_characters_is_refused(control: str) -> None:
    for text in (control + PEM, PEM + control, PEM.replace("\n", f"\n{control}", 1)):
        with pytest.raises(ValueError, match="has binary content"):
            read_pem_bundle(text)


@pytest.mark.parametrize("label", ["X509 CRL", "PUBLIC KEY", "DH PARAMETERS", "PGP MESSAGE"])
def test_a_certificate_under_another_label_is_not_passed_over(label: str) -> None:
    for text in (
        FIRST.replace("CERTIFICATE", label) + REST,
        REST + FIRST.replace("CERTIFICATE", label),
    ):
        with pytest.raises(ValueError, match=f"a certificate in a block with the label '{label}'"):
            read_pem_bundle(text)


def test_hostile_text_is_read_in_linear_time() -> None:
    """256 KiB of BEGIN lines; a quadratic reader takes minutes."""
    began = time.process_time()
    with pytest.raises(ValueError, match="without its END"):
        read_pem_bundle("-----BEGIN X-----\n" * 15_000)
    with pytest.raises(ValueError, match="no certificate"):
        read_pem_bundle("-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n" * 5_000)
    with pytest.raises(ValueError, match="a damaged END line"):
        read_pem_bundle("-- End of x\n" * 20_000)
    for outside in ("30 82 " * 40_000, "30,,,,,,," * 28_000, "MII" * 80_000, "aA1/" * 60_000):
        with pytest.raises(ValueError, match=r"no certificate|outside"):
            read_pem_bundle(outside)
    for body in ("\n" * 260_000, ":" + "\n" * 260_000, "A" * 260_000 + "\n:\n"):
        assert (
            len(read_pem_bundle(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----"))
            == 1
        )
    assert time.process_time() - began < 2


def test_mozilla_roots_are_read_once() -> None:
    assert len(mozilla_roots()) > 100
    assert mozilla_roots() is mozilla_roots()
