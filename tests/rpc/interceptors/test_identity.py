"""Who calls, by the kinds of name in the certificate."""

import ipaddress
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from otpc_policy.core.caller import Caller
from otpc_policy.rpc.interceptors.identity import caller_of, identities_in
from tests.support.callers import caller_certificate
from tests.support.certificates import CertificateAuthority

URI, DNS, EMAIL = x509.UniformResourceIdentifier, x509.DNSName, x509.RFC822Name
AUTHORITY = CertificateAuthority.create("Callers")


def _pem(names: Sequence[x509.GeneralName]) -> bytes:
    certificate = caller_certificate(AUTHORITY, names).certificate
    return certificate.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("names", "identities"),
    [
        ([URI("spiffe://td/a")], ["spiffe://td/a"]),
        ([DNS("a.example"), URI("spiffe://td/a")], ["spiffe://td/a", "dns:a.example"]),
        ([URI("spiffe://td/a"), URI("spiffe://td/b")], []),
        ([URI("spiffe://td/a"), URI("https://x/")], ["uri:https://x/"]),
        ([URI("spiffe://td/a"), URI("spiffe://td/a")], []),
        ([URI("SPIFFE://td/a")], []),
        ([URI("spiffe://td")], []),
        ([URI("https://b/"), URI("https://a/")], ["uri:https://b/", "uri:https://a/"]),
        ([URI("ops.example")], []),
        ([DNS("b.example"), DNS("A.example")], ["dns:b.example", "dns:a.example"]),
        ([DNS("a.example"), DNS("A.EXAMPLE")], ["dns:a.example"]),
        ([DNS("spiffe://td/a")], []),
        ([DNS("*.example.org")], []),
        ([EMAIL("ops.example"), EMAIL("ops@example.com")], []),
        ([x509.IPAddress(ipaddress.ip_address("192.0.2.1"))], []),
        ([x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))], []),
        ([x509.DirectoryName(x509.Name([]))], []),
        ([], []),
    ],
    ids=str,
)
def test_a_name_counts_as_its_own_kind_or_not_at_all(
    names: Sequence[x509.GeneralName], identities: Sequence[str]
) -> None:
    assert [str(identity) for identity in identities_in(_pem(names))] == identities


@pytest.mark.parametrize("certificate", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nAA==\n"])
def test_what_cannot_be_read_identifies_nobody(certificate: bytes) -> None:
    assert identities_in(certificate) == ()


class _Context:
    def __init__(self, **properties: Sequence[bytes]) -> None:
        self._properties = properties

    def auth_context(self) -> Any:
        return self._properties

    def peer(self) -> str:
        return "ipv4:192.0.2.1:4711"


def test_another_certificate_from_the_same_address_is_another_caller() -> None:
    contexts: list[Any] = [
        _Context(x509_pem_cert=[_pem([DNS(name)])]) for name in ("a.example", "b.example")
    ]
    labels = [caller_of(context).label for context in contexts for _ in range(2)]
    assert labels == ["dns:a.example"] * 2 + ["dns:b.example"] * 2


def test_a_caller_without_a_certificate_is_its_connection_alone() -> None:
    context: Any = _Context(x509_subject_alternative_name=[b"a.example"])
    assert caller_of(context) == Caller(peer="ipv4:192.0.2.1:4711")
