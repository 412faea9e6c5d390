"""Hosts longer than DNS allows: refused under constraints of their kind, without a look inside."""

import time
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.extensions import NameConstraints
from otpc_policy.pki.general_names import NO_NAMES, GeneralNames
from otpc_policy.pki.subtrees import Fence, Names
from tests.support.forging import ROOT, alternative_names, leaf


def _host(length: int) -> str:
    return "a" * (length % 2) + "a." * ((length - 4) // 2) + "test"


def _dns(host: str) -> DecodedCertificate:
    return decode_certificate(leaf(ROOT, dns=[host]).der)


def _other(name: x509.GeneralName) -> DecodedCertificate:
    plus = [(alternative_names(["partner.test"], others=[name]), False)]
    return decode_certificate(leaf(ROOT, plus=plus).der)


def _mail(host: str) -> DecodedCertificate:
    return _other(x509.RFC822Name(f"u@{host}"))


def _uri(host: str) -> DecodedCertificate:
    return _other(x509.UniformResourceIdentifier(f"https://{host}"))


def _mail_in_subject(host: str) -> DecodedCertificate:
    mail = x509.NameAttribute(NameOID.EMAIL_ADDRESS, f"u@{host}", _validate=False)
    return decode_certificate(leaf(ROOT, subject=x509.Name([mail])).der)


KINDS = pytest.mark.parametrize(
    ("make", "kind"),
    [(_dns, "dns"), (_mail, "mails"), (_uri, "uris"), (_mail_in_subject, "mails")],
)


def _permits(certificate: DecodedCertificate, kind: str, base: str, *, excluded: bool) -> bool:
    subtrees = GeneralNames(**{kind: (base,)}, count=1)  # type: ignore[arg-type]
    pair = (NO_NAMES, subtrees) if excluded else (subtrees, NO_NAMES)
    return Fence.of(NameConstraints(*pair)).permits(Names.of(certificate))


@KINDS
def test_253_octets_are_the_most(make: Callable[[str], DecodedCertificate], kind: str) -> None:
    for length, expected in ((253, True), (254, False)):
        certificate = make(_host(length))
        permitted = "test" if kind == "dns" else ".test"
        assert _permits(certificate, kind, permitted, excluded=False) is expected
        assert _permits(certificate, kind, ".zz", excluded=True) is expected


@KINDS
def test_time_does_not_grow_with_labels(
    make: Callable[[str], DecodedCertificate], kind: str
) -> None:
    """Suffix by suffix, a name of this length took more than half a second."""
    certificate = make(_host(100_000))
    began = time.process_time()
    assert not _permits(certificate, kind, ".zz", excluded=True)
    assert time.process_time() - began < 0.2
