"""certificate.usage: the leaf is for servers, and its keyUsage permits what its suites do."""

from collections.abc import Iterable
from typing import Any

import pytest
from cryptography import x509

from otpc_policy.core.facts import CipherSuiteFact, KeyType, Support, TlsVersion
from otpc_policy.pki.certificate import view_certificate
from otpc_policy.pki.judgement import CertificateView, MalformedEntry
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rule import PresentedChain, Report, Subject
from otpc_policy.policy.rules.usage import CERTIFICATE_USAGE
from tests.policy.judging import UNKNOWN, default_policy, make_judgement, make_view, variant
from tests.support import forging
from tests.support.facts import ADDRESS, HOST, leaf, make_address, root, suite

SERVER, CLIENT, ANY = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "2.5.29.37.0"
NOT_FOR_SERVERS, UNFIT = "CERTIFICATE_NOT_FOR_SERVERS", "CERTIFICATE_KEY_USAGE_UNFIT"
SIGNING, DECRYPTING, AGREEING = "digitalSignature", "keyEncipherment", "keyAgreement"
ECDHE_RSA, ECDHE_ECDSA = (
    suite(f"TLS_ECDHE_{kind}_WITH_AES_128_GCM_SHA256") for kind in ("RSA", "ECDSA")
)
STATIC_RSA = suite("TLS_RSA_WITH_AES_128_GCM_SHA256")
STATIC_ECDH = suite("TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256")
TLS13 = suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3)
REQUIRED = variant(
    "[rules.certificate.usage.parameters]\n"
    'extended_key_usage = "required"\nkey_usage = "required"\n'
)


def view(*usage: str, **overrides: Any) -> CertificateView:
    return make_view(
        **{
            "key_type": KeyType.RSA,
            "key_usage": frozenset(usage) if usage else None,
            "purposes": frozenset({SERVER}),
            **overrides,
        }
    )


def judged(
    leaf: CertificateView,
    *suites: CipherSuiteFact,
    siblings: Iterable[CertificateView] = (),
    policy: Policy | None = None,
    over: str = "TLS 1.3",
) -> list[Report]:
    """What the rule reports about a server with these suites and leaves, all presented over a
    version.
    """
    chains = tuple(
        PresentedChain(
            judgement=make_judgement(each),
            addresses=(ADDRESS,) if suites else (),
            deployments=(f"RSA over {over}",) if suites else (),
            staple_observed=bool(suites),
        )
        for each in (leaf, *siblings)
    )
    addresses = (make_address(cipher_suites=suites),) if suites else ()
    settings = next(
        rule for rule in (policy or default_policy()).rules if rule.id == "certificate.usage"
    )
    subject = Subject(server_name=HOST, chains=chains, addresses=addresses)
    return list(CERTIFICATE_USAGE.judge(subject, settings.parameters, None))  # type: ignore[arg-type]


def found(*arguments: Any, **named: Any) -> list[str]:
    return [report.code for report in judged(*arguments, **named)]


@pytest.mark.parametrize(
    ("purposes", "if_present", "required"),
    [
        (None, [], [NOT_FOR_SERVERS]),
        ({SERVER}, [], []),
        ({SERVER, CLIENT}, [], []),
        ({CLIENT}, [NOT_FOR_SERVERS], [NOT_FOR_SERVERS]),
        ({ANY}, [NOT_FOR_SERVERS], [NOT_FOR_SERVERS]),
        (set(), [NOT_FOR_SERVERS], [NOT_FOR_SERVERS]),
    ],
)
def test_the_leaf_is_for_servers(
    purposes: set[str] | None, if_present: list[str], required: list[str]
) -> None:
    certificate = view(SIGNING, purposes=None if purposes is None else frozenset(purposes))
    assert found(certificate, ECDHE_RSA) == if_present
    assert found(certificate, ECDHE_RSA, policy=REQUIRED) == required


@pytest.mark.parametrize(
    ("key_type", "usage", "suites", "expected"),
    [
        (KeyType.RSA, (SIGNING,), (ECDHE_RSA, TLS13), []),
        (KeyType.RSA, (DECRYPTING,), (ECDHE_RSA,), [UNFIT]),
        (KeyType.RSA, (DECRYPTING,), (TLS13,), [UNFIT]),
        (KeyType.RSA, (SIGNING,), (ECDHE_RSA, STATIC_RSA), [UNFIT]),
        (KeyType.RSA, (SIGNING, DECRYPTING), (ECDHE_RSA, STATIC_RSA), []),
        (KeyType.RSA, (DECRYPTING,), (STATIC_RSA,), []),
        # Suites of another key type are served by another leaf.
        (KeyType.RSA, (SIGNING,), (ECDHE_RSA, STATIC_ECDH), []),
        (KeyType.ECDSA, (SIGNING,), (ECDHE_ECDSA, STATIC_RSA), []),
        (KeyType.ECDSA, (SIGNING,), (ECDHE_ECDSA, STATIC_ECDH), [UNFIT]),
        (KeyType.ECDSA, (AGREEING,), (STATIC_ECDH,), []),
        (KeyType.ECDSA, ("keyCertSign",), (ECDHE_ECDSA,), [UNFIT]),
        (KeyType.EDDSA, (SIGNING,), (ECDHE_ECDSA,), []),
        (KeyType.EDDSA, ("nonRepudiation",), (ECDHE_ECDSA,), [UNFIT]),
    ],
)
def test_the_key_may_do_what_the_accepted_suites_do_with_it(
    key_type: KeyType, usage: tuple[str, ...], suites: tuple[CipherSuiteFact, ...], expected: Any
) -> None:
    assert found(view(*usage, key_type=key_type), *suites) == expected


def test_a_suite_of_tls_1_3_counts_for_leaves_that_were_presented_over_tls_1_3() -> None:
    assert found(view(DECRYPTING), STATIC_RSA, TLS13, over="TLS 1.3") == [UNFIT]
    assert found(view(DECRYPTING), STATIC_RSA, TLS13, over="TLS 1.2") == []


def test_without_the_extension_everything_is_permitted_unless_it_is_required() -> None:
    assert found(view(), ECDHE_RSA, STATIC_RSA) == []
    assert found(view(), ECDHE_RSA, STATIC_RSA, policy=REQUIRED) == [UNFIT]


def test_a_suite_that_may_be_accepted_makes_a_use_unknown() -> None:
    open_ = suite("TLS_RSA_WITH_AES_128_GCM_SHA256", support=Support.UNKNOWN)
    assert found(view(SIGNING), ECDHE_RSA, open_) == [UNKNOWN]
    assert found(view(SIGNING, DECRYPTING), ECDHE_RSA, open_) == []


def test_of_two_leaves_of_a_type_each_needs_only_one_of_the_uses() -> None:
    """Which of them serves which suite is not known."""
    other = view(DECRYPTING, der=b"other")
    assert found(view(SIGNING), ECDHE_RSA, STATIC_RSA, siblings=[other]) == []
    useless = view("keyCertSign", der=b"other")
    assert found(view(SIGNING), ECDHE_RSA, STATIC_RSA, siblings=[useless]) == [UNFIT]


@pytest.mark.parametrize(
    ("key_type", "usage", "expected"),
    [
        (KeyType.RSA, SIGNING, []),
        (KeyType.RSA, DECRYPTING, []),
        (KeyType.RSA, AGREEING, [UNFIT]),
        (KeyType.ECDSA, AGREEING, []),
        (KeyType.ECDSA, DECRYPTING, [UNFIT]),
        (KeyType.EDDSA, AGREEING, [UNFIT]),
    ],
)
def test_without_a_measurement_one_use_that_fits_the_key_is_enough(
    key_type: KeyType, usage: str, expected: list[str]
) -> None:
    assert found(view(usage, key_type=key_type)) == expected


def test_the_message_names_what_is_missing_and_a_few_suites() -> None:
    many = [
        suite(f"TLS_ECDHE_RSA_WITH_{mode}")
        for mode in (
            "AES_128_GCM_SHA256",
            "AES_256_GCM_SHA384",
            "AES_128_CBC_SHA256",
            "AES_256_CBC_SHA384",
            "CHACHA20_POLY1305_SHA256",
        )
    ]
    (report,) = judged(view(DECRYPTING), *many)
    assert "is for keyEncipherment; digitalSignature required by TLS_ECDHE_RSA" in report.message
    assert report.message.endswith(" and 2 more")


@pytest.mark.parametrize(
    "judgement",
    [
        make_judgement(None, malformed=(MalformedEntry(0, "no"),), path=()),
        make_judgement(view(SIGNING), leaf_unread="4,000 names"),
    ],
)
def test_a_leaf_that_was_not_read_is_unknown(judgement: Any) -> None:
    settings = next(rule for rule in REQUIRED.rules if rule.id == "certificate.usage")
    subject = Subject(
        server_name=HOST,
        chains=(PresentedChain(judgement=judgement, addresses=(ADDRESS,), staple_observed=True),),
        addresses=(make_address(),),
    )
    (report,) = CERTIFICATE_USAGE.judge(subject, settings.parameters, None)  # type: ignore[arg-type]
    assert report.code in (UNKNOWN, "CERTIFICATE_CHAIN_TOO_COMPLEX")


def test_a_view_has_what_the_certificate_says() -> None:
    ordinary = view_certificate(leaf().der)
    assert (ordinary.key_usage, ordinary.purposes) == (frozenset({SIGNING}), frozenset({SERVER}))
    bare = view_certificate(
        root().issue(dns=(HOST,), extended_key_usage=(), basic_constraints_ca=True).der
    )
    assert (bare.key_usage, bare.purposes) == (None, None)
    authority = view_certificate(root().der)
    assert authority.key_usage == frozenset({"keyCertSign", "cRLSign"})


CUT_OFF = {"keyUsage": "2.5.29.15", "extendedKeyUsage": "2.5.29.37"}


def forged(*extensions: str) -> CertificateView:
    """Return the view of a leaf in which these extensions are there and cannot be read."""
    plus = [
        (x509.UnrecognizedExtension(x509.ObjectIdentifier(CUT_OFF[name]), b"\x30\x09a"), False)
        for name in extensions
    ]
    return view_certificate(forging.leaf(None, dns=[HOST], plus=plus).der)


@pytest.mark.parametrize("extension", CUT_OFF)
def test_an_extension_that_cannot_be_read_is_unknown_not_absent(extension: str) -> None:
    certificate = forged(extension)
    assert certificate.unread_extensions == {extension}
    for policy in (None, REQUIRED):
        (report,) = judged(certificate, ECDHE_ECDSA, TLS13, policy=policy)
        assert report.code == UNKNOWN
        assert report.message.endswith(f": its {extension} cannot be decoded")


def test_what_can_be_read_is_judged_whatever_else_cannot() -> None:
    for_clients = frozenset({CLIENT})
    no_usage = view(unread_extensions=frozenset({"keyUsage"}), purposes=for_clients)
    assert found(no_usage, ECDHE_RSA) == [NOT_FOR_SERVERS, UNKNOWN]
    no_purposes = view(DECRYPTING, unread_extensions=frozenset({"extendedKeyUsage"}), purposes=None)
    assert found(no_purposes, ECDHE_RSA) == [UNKNOWN, UNFIT]
    assert found(forged(*CUT_OFF), ECDHE_ECDSA) == [UNKNOWN, UNKNOWN]


def test_it_is_off_by_default() -> None:
    (rule,) = (rule for rule in default_policy().rules if rule.id == "certificate.usage")
    assert not rule.is_enabled
