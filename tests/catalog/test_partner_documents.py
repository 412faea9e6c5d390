"""Documents of partners become values, or say with file and line what is wrong with them."""

from datetime import UTC, datetime

import pytest

from otpc_policy.catalog.partners.entry import EndpointPattern, TrustKind
from otpc_policy.errors import ConfigurationError
from otpc_policy.facts import ClientAuth
from tests.catalog.writing import HEAD, PIN, TRUSTED, WAIVER, document
from tests.support.certificates import CertificateAuthority, self_signed

END = datetime(2027, 3, 1, tzinfo=UTC)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        document(text)
    return list(raised.value.problems)


def test_an_entry_says_all_it_can_say() -> None:
    authority = CertificateAuthority.create()
    text = f"""\
id = "bank"
owner = "onboarding@example.com"
endpoints = ["API.bank.example", "api.bank.example:8443", "*.otp.bank.example:443", "[2001:DB8::1]:8443", "192.0.2.7", "bücher.example"]
policy = "otpc-2024-12-strict"
server_names = ["Edge.bank.example"]
client_auth = "required"
{TRUSTED}
[[trusted]]
spki_sha256 = "{":".join(["CD"] * 32)}"
note = "the key stays"
[[trusted]]
ca_pem = '''
{authority.pem.decode()}'''
note = "private CA"
{WAIVER}
[[waivers]]
code = "CIPHER_SUITE_NOT_LISTED"
suites = ["TLS_RSA_WITH_AES_128_GCM_SHA256"]
reason = "old load balancer"
owner = "onboarding@example.com"
ends = 2027-03-01T01:00:00+01:00
[[waivers]]
code = "TLS_VERSION_BELOW_MINIMUM"
versions = ["TLS 1.1"]
reason = "old load balancer"
owner = "onboarding@example.com"
ends = 2027-03-01T00:00:00Z
"""
    (partner,) = document(text).partners
    assert (partner.id, partner.owner, partner.policy) == (
        "bank",
        "onboarding@example.com",
        "otpc-2024-12-strict",
    )
    assert (partner.server_names, partner.client_auth) == (
        frozenset({"edge.bank.example"}),
        ClientAuth.REQUIRED,
    )
    assert partner.endpoints == (
        EndpointPattern("api.bank.example", 443),
        EndpointPattern("api.bank.example", 8443),
        EndpointPattern("otp.bank.example", 443, True),
        EndpointPattern("2001:db8::1", 8443),
        EndpointPattern("192.0.2.7", 443),
        EndpointPattern("xn--bcher-kva.example", 443),
    )
    certificate, key, authorities = partner.trusted
    assert (certificate.kind, certificate.pin, certificate.note, certificate.ends_at) == (
        TrustKind.CERTIFICATE,
        PIN,
        "agreed",
        END,
    )
    assert (key.kind, key.pin, key.ends_at) == (TrustKind.SPKI, "cd" * 32, None)
    assert (authorities.kind, authorities.anchors, authorities.pin) == (
        TrustKind.CA,
        (authority.der,),
        "",
    )
    assert [one.covers for one in partner.waivers] == [
        frozenset(),
        frozenset({"TLS_RSA_WITH_AES_128_GCM_SHA256"}),
        frozenset({"TLS 1.1"}),
    ]
    assert {one.ends_at for one in partner.waivers} == {END}


def test_many_entries_stand_in_one_document() -> None:
    text = "\n".join(
        f'[[partner]]\nid = "p{number}"\nowner = "o"\nendpoints = ["p{number}.example"]'
        for number in range(3)
    )
    read = document(text)
    assert [(one.id, one.number) for one in read.partners] == [("p0", 0), ("p1", 1), ("p2", 2)]
    assert read.place_of(read.partners[1], "owner") == "bank.toml:7"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id = \n", "bank.toml:1: Invalid value"),
        ('id = "bank"\n\nid = "bank"\n', "bank.toml:3: Cannot overwrite a value"),
        ("", "bank.toml:1: id is missing"),
        (HEAD.replace('owner = "onboarding@example.com"\n', ""), "bank.toml:1: owner is missing"),
        (HEAD.replace("bank", "Big Bank", 1), "bank.toml:1: id: 'Big Bank' is no id"),
        (HEAD.replace("onboarding@example.com", " "), "bank.toml:2: owner: ' ' is not a text"),
        (
            HEAD.replace('["api.bank.example"]', "[]"),
            "bank.toml:3: endpoints: endpoints is missing or empty",
        ),
        (
            HEAD.replace('["api.bank.example"]', '"api.bank.example"'),
            "bank.toml:3: endpoints: 'api.bank.example' is not a list",
        ),
        (
            HEAD + 'clientauth = "none"\n',
            "bank.toml:4: clientauth: is no key here; there are client_auth, ",
        ),
        (HEAD + 'client_auth = "optional"\n', "bank.toml:4: client_auth: 'optional' is neither"),
        (HEAD + "policy = 3\n", "bank.toml:4: policy: 3 is not a text"),
        (
            HEAD + 'server_names = [\n  "good.example",\n  "192.0.2.1",\n]\n',
            "bank.toml:6: server_names.1: '192.0.2.1' is an IP address",
        ),
        (HEAD + 'trusted = ["x"]\n', "bank.toml:4: trusted: is not a list of tables"),
        (HEAD + TRUSTED.replace(PIN, "ab" * 31), "bank.toml:5: trusted.0.certificate_sha256: "),
        (
            HEAD + TRUSTED.replace('note = "agreed"\n', ""),
            "bank.toml:4: trusted.0: note is missing",
        ),
        (
            HEAD + TRUSTED + 'spki_sha256 = "x"\n',
            "bank.toml:4: trusted.0: one of certificate_sha256, spki_sha256, ca_pem is needed; certificate_sha256 and spki",
        ),
        (
            HEAD + '[[trusted]]\nnote = "x"\n',
            "bank.toml:4: trusted.0: one of certificate_sha256, spki_sha256, ca_pem is needed; none is there",
        ),
        (
            HEAD + TRUSTED.replace("2027-03-01T00:00:00Z", "2027-03-01"),
            "bank.toml:7: trusted.0.ends: datetime.date(2027, 3, 1) is no instant",
        ),
        (
            HEAD + TRUSTED.replace("2027-03-01T00:00:00Z", "2027-03-01T00:00:00"),
            "bank.toml:7: trusted.0.ends: 2027-03-01T00:00:00 lacks its offset",
        ),
        (
            HEAD + TRUSTED.replace("2027-03-01T00:00:00Z", "2027-02-30T00:00:00Z"),
            "bank.toml:7: Invalid date or datetime",
        ),
        (
            HEAD + TRUSTED.replace("2027-03-01T00:00:00Z", "9999-12-31T23:59:59Z"),
            "bank.toml:7: trusted.0.ends: 9999-12-31T23:59:59+00:00 is too far away",
        ),
        (
            HEAD + '[[trusted]]\nca_pem = "x"\nnote = "n"\n',
            "bank.toml:5: trusted.0.ca_pem: holds no certificate in PEM",
        ),
        (HEAD + TRUSTED + "x = 1\n", "bank.toml:8: trusted.0.x: is no key here"),
        (
            HEAD + WAIVER.replace("ends = 2027-03-01T00:00:00Z\n", ""),
            "bank.toml:4: waivers.0: ends is missing",
        ),
        (
            HEAD + WAIVER.replace('reason = "change window"\n', ""),
            "bank.toml:4: waivers.0: reason is missing",
        ),
        (
            HEAD + WAIVER.replace('owner = "onboarding@example.com"\n', ""),
            "bank.toml:4: waivers.0: owner is missing",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "CERTIFICATE_UNTRUSTED"),
            "bank.toml:5: waivers.0.code: CERTIFICATE_UNTRUSTED can never be waived",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "TLS_NOT_SERVED"),
            "bank.toml:5: waivers.0.code: TLS_NOT_SERVED can never be waived",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "CERTIFICATE_NAME_MISMATCH"),
            "bank.toml:5: waivers.0.code: CERTIFICATE_NAME_MISMATCH can never",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "CERTIFICATE_REVOKED"),
            "bank.toml:5: waivers.0.code: CERTIFICATE_REVOKED can never be waived",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "TARGET_ADDRESS_FORBIDDEN"),
            "bank.toml:5: waivers.0.code: TARGET_ADDRESS_FORBIDDEN can never",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "MEASUREMENT_INCOMPLETE"),
            "bank.toml:5: waivers.0.code: MEASUREMENT_INCOMPLETE says that something is unknown",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "NONSENSE"),
            "bank.toml:5: waivers.0.code: 'NONSENSE' is no finding code",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "TLS_VERSION_BELOW_MINIMUM"),
            "bank.toml:4: waivers.0: a waiver of TLS_VERSION_BELOW_MINIMUM lists the versions",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "CIPHER_SUITE_INSECURE"),
            "bank.toml:4: waivers.0: a waiver of CIPHER_SUITE_INSECURE lists the suites",
        ),
        (
            HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", "CIPHER_SUITE_NONE_REQUIRED"),
            "bank.toml:4: waivers.0: a waiver of CIPHER_SUITE_NONE_REQUIRED lists",
        ),
        (
            HEAD + WAIVER + 'versions = ["TLS 1.1"]\n',
            "bank.toml:4: waivers.0: a waiver of CERTIFICATE_EXPIRED lists no suites and no versions",
        ),
        (
            HEAD + WAIVER + 'versions = ["TLSv1.1"]\n',
            "bank.toml:9: waivers.0.versions.0: 'TLSv1.1' is not one of SSL 2, SSL 3",
        ),
        (
            HEAD + WAIVER + 'suites = ["ECDHE-RSA-AES128-SHA"]\n',
            "bank.toml:9: waivers.0.suites.0: 'ECDHE-RSA-AES128-SHA' is OpenSSL's name; write 'TLS_",
        ),
        (
            '[[partner]]\nid = "a"\nowner = "o"\nendpoints = ["a.example"]\n[[partner]]\nid = "b"\n',
            "bank.toml:5: partner.1: owner is missing",
        ),
        (
            'x = 1\n[[partner]]\nid = "a"\nowner = "o"\nendpoints = ["a.example"]\n',
            "bank.toml:1: x: is no key here",
        ),
        ('partner = "x"\n', "bank.toml:1: partner: is not a list of tables"),
    ],
)
def test_a_problem_is_told_with_file_and_line(text: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in problems(text)), problems(text)


def test_a_leaf_is_no_private_ca_and_its_pin_is_told() -> None:
    leaf = self_signed()
    (problem,) = problems(
        f"{HEAD}[[trusted]]\nca_pem = '''\n{leaf.chain_pem.decode()}'''\nnote = 'n'\n"
    )
    assert problem.startswith("bank.toml:5: trusted.0.ca_pem: certificate 1: ")
    assert leaf.sha256 in problem


def test_a_private_key_in_an_entry_is_refused() -> None:
    (problem,) = problems(
        f"{HEAD}[[trusted]]\nca_pem = '''\n{self_signed().key_pem.decode()}'''\nnote = 'n'\n"
    )
    assert "holds a private key" in problem


def test_every_problem_of_a_document_is_told_at_once() -> None:
    assert len(problems('id = "X"\nendpoints = ["*", "a.example:0"]\nx = 1\n[[waivers]]\n')) == 9


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("*.example", "at least two labels"),
        ("*.192.0.2.1", "at least two labels"),
        ("*", "whole left-most label"),
        ("api*.bank.example", "whole left-most label"),
        ("*api.bank.example", "whole left-most label"),
        ("api.*.example", "whole left-most label"),
        ("*.*.bank.example", "whole left-most label"),
        ("https://api.bank.example", "no TCP port"),
        ("api.bank.example/path", "bare host"),
        ("api.bank.example:0", "no TCP port"),
        ("api.bank.example:65536", "no TCP port"),
        ("api.bank.example:*", "no TCP port"),
        ("api.bank.example:", "no TCP port"),
        ("2001:db8::1", "brackets"),
        ("[2001:db8::1", "is no endpoint"),
        ("", "is no endpoint"),
        ("127.1", "ends in a number"),
    ],
)
def test_what_is_no_endpoint_is_refused(endpoint: str, says: str) -> None:
    (problem,) = problems(HEAD.replace("api.bank.example", endpoint))
    assert problem.startswith("bank.toml:3: endpoints.0: ")
    assert says in problem, problem
