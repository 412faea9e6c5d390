"""Documents of partners become values, or every problem with file, line and key."""

from datetime import UTC, datetime

import pytest

from otpc_policy.catalog.entry import EndpointPattern, TrustKind
from otpc_policy.catalog.partners.document import is_partner_document
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.core.facts import ClientAuth
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
endpoints = [
  "API.bank.example", "api.bank.example:8443", "*.otp.bank.example:443",
  "[2001:DB8::1]:8443", "192.0.2.7", "bücher.example",
]
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


INSTANT = "must be a date and time with a zone, such as 2027-01-01T00:00:00Z"
EXACTLY_ONE = "needs exactly one of certificate_sha256, spki_sha256, ca_pem"


def waived(code: str, *, rest: str = "") -> str:
    """An entry with a waiver of this code; rest: further lines of the waiver."""
    return HEAD + WAIVER.replace("CERTIFICATE_EXPIRED", code) + rest


def ending(value: str) -> str:
    """An entry whose pin ends at this TOML value."""
    return HEAD + TRUSTED.replace("2027-03-01T00:00:00Z", value)


def without(line: str, text: str) -> str:
    """The text without the line that begins like this."""
    lines = text.splitlines(keepends=True)
    assert any(one.startswith(line) for one in lines)
    return "".join(one for one in lines if not one.startswith(line))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("id = \n", "1: Invalid value"),
        ('id = "bank"\n\nid = "bank"\n', "3: Cannot overwrite a value"),
        ("", "1: id: is missing"),
        ("", "1: endpoints: is missing"),
        (without("owner", HEAD), "1: owner: is missing"),
        (HEAD.replace("bank", "Big Bank", 1), "1: id: must be at most 63 lower-case letters"),
        (HEAD.replace('"bank"', "7", 1), "1: id: must be text"),
        (HEAD.replace("onboarding@example.com", " "), "2: owner: must not be blank"),
        (HEAD.replace('["api.bank.example"]', "[]"), "3: endpoints: is empty"),
        (HEAD.replace("[", "").replace("]", ""), "3: endpoints: must be a list"),
        (HEAD.replace('"api.bank.example"', "443"), "3: endpoints.0: must be text, such as"),
        (
            HEAD + 'clientauth = "none"\n',
            "4: clientauth: unknown key; expected one of id, owner, endpoints, policy, ",
        ),
        (HEAD + 'client_auth = "optional"\n', "4: client_auth: must be one of required, none"),
        (HEAD + "client_auth = true\n", "4: client_auth: must be one of required, none"),
        (HEAD + "policy = 3\n", "4: policy: must be text"),
        (
            HEAD + 'server_names = [\n  "good.example",\n  "192.0.2.1",\n]\n',
            "6: server_names.1: '192.0.2.1' is an IP address",
        ),
        (HEAD + 'trusted = ["x"]\n', "4: trusted.0: must be a table"),
        (HEAD + 'trusted = "x"\n', "4: trusted: must be a list"),
        (HEAD + "trusted = { x = 1 }\n", "4: trusted: must be a list"),
        (
            HEAD + TRUSTED.replace(PIN, "ab" * 31),
            "5: trusted.0.certificate_sha256: must be a SHA-256",
        ),
        (HEAD + without("note", TRUSTED), "4: trusted.0.note: is missing"),
        (
            HEAD + TRUSTED + 'spki_sha256 = "x"\n',
            f"4: trusted.0: {EXACTLY_ONE}; it has certificate_sha256 and spki_sha256",
        ),
        (
            HEAD + '[[trusted]]\nnote = "x"\n',
            f"4: trusted.0: {EXACTLY_ONE}; it has none",
        ),
        (ending("2027-03-01"), f"7: trusted.0.ends: {INSTANT}; 2027-03-01 has no time"),
        (ending("07:30:00"), f"7: trusted.0.ends: {INSTANT}; 07:30:00 has no date"),
        (
            ending("2027-03-01T00:00:00"),
            f"7: trusted.0.ends: {INSTANT}; 2027-03-01T00:00:00 has no zone",
        ),
        (ending('"2027-03-01"'), f"7: trusted.0.ends: {INSTANT}, without quotes"),
        (ending("[2027]"), f"7: trusted.0.ends: {INSTANT}"),
        (ending("2027-02-30T00:00:00Z"), "7: Invalid date or datetime"),
        (ending("9999-12-31T23:59:59Z"), "7: trusted.0.ends: must be between 1970 and 9000"),
        (
            HEAD + '[[trusted]]\nca_pem = "x"\nnote = "n"\n',
            "5: trusted.0.ca_pem: holds no certificate in PEM",
        ),
        (HEAD + "[[trusted]]\nca_pem = 1\n", "5: trusted.0.ca_pem: must be text"),
        (HEAD + TRUSTED + "x = 1\n", "8: trusted.0.x: unknown key; expected one of certificate_"),
        (HEAD + without("ends", WAIVER), "4: waivers.0.ends: is missing"),
        (HEAD + without("reason", WAIVER), "4: waivers.0.reason: is missing"),
        (HEAD + without("owner", WAIVER), "4: waivers.0.owner: is missing"),
        (
            waived("CERTIFICATE_UNTRUSTED"),
            "5: waivers.0.code: CERTIFICATE_UNTRUSTED can never be waived",
        ),
        (waived("TLS_NOT_SERVED"), "5: waivers.0.code: TLS_NOT_SERVED can never be waived"),
        (
            waived("CERTIFICATE_NAME_MISMATCH"),
            "5: waivers.0.code: CERTIFICATE_NAME_MISMATCH can never be waived",
        ),
        (
            waived("CERTIFICATE_REVOKED"),
            "5: waivers.0.code: CERTIFICATE_REVOKED can never be waived",
        ),
        (
            waived("TARGET_ADDRESS_FORBIDDEN"),
            "5: waivers.0.code: TARGET_ADDRESS_FORBIDDEN can never be waived",
        ),
        (waived("MEASUREMENT_INCOMPLETE"), "5: waivers.0.code: MEASUREMENT_INCOMPLETE means"),
        (waived("NONSENSE"), "5: waivers.0.code: 'NONSENSE' is not a finding code"),
        (
            waived("TLS_VERSION_BELOW_MINIMUM"),
            "4: waivers.0: a waiver of TLS_VERSION_BELOW_MINIMUM must list the versions",
        ),
        (
            waived("CIPHER_SUITE_INSECURE"),
            "4: waivers.0: a waiver of CIPHER_SUITE_INSECURE must list the suites",
        ),
        (
            waived("CIPHER_SUITE_NONE_REQUIRED"),
            "4: waivers.0: a waiver of CIPHER_SUITE_NONE_REQUIRED must list the suites that are",
        ),
        (
            waived("CERTIFICATE_EXPIRED", rest='versions = ["TLS 1.1"]\n'),
            "4: waivers.0: a waiver of CERTIFICATE_EXPIRED covers the code and must list no ",
        ),
        (
            waived("CERTIFICATE_EXPIRED", rest='versions = ["TLSv1.1"]\n'),
            "9: waivers.0.versions.0: must be one of SSL 2, SSL 3, ",
        ),
        (
            waived("CERTIFICATE_EXPIRED", rest='suites = ["ECDHE-RSA-AES128-SHA"]\n'),
            "9: waivers.0.suites.0: 'ECDHE-RSA-AES128-SHA' is OpenSSL's name; write 'TLS_",
        ),
        (f"[[partner]]\n{HEAD}[[partner]]\nid = 'b'\n", "5: partner.1.owner: is missing"),
        (f"x = 1\n[[partner]]\n{HEAD}", "1: x: unknown key; expected one of partner"),
        ('partner = "x"\n', "1: partner: must be a list"),
        ("partner = [1]\n", "1: partner.0: must be a table"),
    ],
)
def test_a_problem_is_reported_with_file_line_and_key(text: str, problem: str) -> None:
    assert any(one.startswith(f"bank.toml:{problem}") for one in problems(text)), problems(text)


def test_a_byte_order_mark_is_accepted() -> None:
    """Windows editors write one."""
    assert is_partner_document("\ufeff" + HEAD)
    (partner,) = document("\ufeff" + HEAD).partners
    assert partner.id == "bank"
    (problem,) = problems("\ufeff" + HEAD + "x = 1\n")
    assert problem.startswith("bank.toml:4: x: unknown key")


def test_a_leaf_is_refused_as_a_private_ca_and_its_pin_is_shown() -> None:
    leaf = self_signed()
    pem = f"ca_pem = '''\n{leaf.chain_pem.decode()}'''"
    (problem,) = problems(f"{HEAD}[[trusted]]\n{pem}\nnote = 'n'\n")
    assert problem.startswith("bank.toml:5: trusted.0.ca_pem: certificate 1: ")
    assert leaf.sha256 in problem


def test_a_private_key_in_an_entry_is_refused() -> None:
    pem = f"ca_pem = '''\n{self_signed().key_pem.decode()}'''"
    (problem,) = problems(f"{HEAD}[[trusted]]\n{pem}\nnote = 'n'\n")
    assert "holds a private key" in problem


def test_every_problem_of_a_document_is_reported_at_once_by_line() -> None:
    text = 'id = "X"\nendpoints = ["*", "a.example:0"]\nx = 1\n[[trusted]]\n[[waivers]]\n'
    assert [one.split(": ")[:2] for one in problems(text)] == [
        ["bank.toml:1", "id"],
        ["bank.toml:1", "owner"],
        ["bank.toml:2", "endpoints.0"],
        ["bank.toml:2", "endpoints.1"],
        ["bank.toml:3", "x"],
        ["bank.toml:4", "trusted.0"],
        ["bank.toml:4", "trusted.0.note"],
        ["bank.toml:5", "waivers.0.code"],
        ["bank.toml:5", "waivers.0.reason"],
        ["bank.toml:5", "waivers.0.owner"],
        ["bank.toml:5", "waivers.0.ends"],
    ]


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
        ("https://api.bank.example", "is a URL; an endpoint is a host and a port"),
        ("https://api.bank.example/", "is a URL"),
        ("HTTP://api.bank.example:8443/path", "is a URL"),
        ("api.bank.example/path", "bare host"),
        ("api.bank.example:0", "not a TCP port"),
        ("api.bank.example:65536", "not a TCP port"),
        ("api.bank.example:*", "not a TCP port"),
        ("api.bank.example:", "not a TCP port"),
        ("2001:db8::1", "brackets"),
        ("[2001:db8::1", "is not an endpoint"),
        ("", "is not an endpoint"),
        ("127.1", "ends in a number"),
    ],
)
def test_what_is_not_an_endpoint_is_refused(endpoint: str, says: str) -> None:
    (problem,) = problems(HEAD.replace("api.bank.example", endpoint))
    assert problem.startswith("bank.toml:3: endpoints.0: ")
    assert says in problem, problem
