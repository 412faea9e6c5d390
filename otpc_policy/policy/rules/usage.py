"""The rule about what the leaf may be used for: servers, and the key exchanges of its suites.

The key of a leaf signs in every handshake with ephemeral keys and of TLS 1.3, decrypts where RSA
exchanges keys, and agrees on keys in suites of static (EC)DH. A keyUsage extension has to permit
what the accepted suites do with it; without the extension everything is permitted. Source: RFC 5280
4.2.1.3 and 4.2.1.12, RFC 5246 7.4.2, RFC 8422 5.3, RFC 8446 4.4.2.2.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from otpc_policy.core.facts import AddressFacts, KeyType, Support, TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, suite_by_code_point
from otpc_policy.pki.judgement import CertificateView
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.parameters import Parameter, one_of
from otpc_policy.policy.rule import PresentedChain, Report, Rule, Subject, comma_join, unknown
from otpc_policy.policy.rules.certificate_text import (
    describe,
    readable,
    unread_extension,
    unreadable,
    unseen,
)

_SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
# RFC 5280 4.2.1.12: for people.
_PURPOSES: Mapping[str, str] = {
    _SERVER_AUTH: "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
    "1.3.6.1.5.5.7.3.4": "emailProtection",
    "1.3.6.1.5.5.7.3.8": "timeStamping",
    "1.3.6.1.5.5.7.3.9": "OCSPSigning",
    "2.5.29.37.0": "anyExtendedKeyUsage",
}
_SIGNING, _DECRYPTING, _AGREEING = "digitalSignature", "keyEncipherment", "keyAgreement"
# What some suite may do with a key of the type; others can only sign.
_USES_OF_KEY: Mapping[KeyType, tuple[str, ...]] = {
    KeyType.RSA: (_SIGNING, _DECRYPTING),
    KeyType.ECDSA: (_SIGNING, _AGREEING),
    KeyType.OTHER: (_SIGNING, _DECRYPTING, _AGREEING),
}
_IF_PRESENT, _REQUIRED = "if_present", "required"
_EXTENDED_KEY_USAGE = Parameter("extended_key_usage", one_of(_IF_PRESENT, _REQUIRED))
_KEY_USAGE = Parameter("key_usage", one_of(_IF_PRESENT, _REQUIRED))
_MAX_SUITES = 3


def judge_usage(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """Every leaf is for servers, and permits what the suites that it serves do with its key."""
    purposes_required = _EXTENDED_KEY_USAGE.of(parameters) == _REQUIRED
    usage_required = _KEY_USAGE.of(parameters) == _REQUIRED
    yield from unseen(subject)
    for presented in subject.chains:
        leaf = presented.judgement.leaf
        if leaf is None or presented.judgement.leaf_unread:
            yield unreadable(presented, "what the leaf certificate may be used for")
            continue
        if "extendedKeyUsage" in leaf.unread_extensions:
            what = "whether the leaf certificate is for servers"
            yield unread_extension(presented, what, "extendedKeyUsage")
        else:
            yield from _judge_purposes(presented, leaf, required=purposes_required)
        if "keyUsage" in leaf.unread_extensions:
            what = "what the key of the leaf certificate may do"
            yield unread_extension(presented, what, "keyUsage")
        elif leaf.key_usage is not None:
            yield from _judge_key_usage(presented, leaf, leaf.key_usage, subject)
        elif usage_required:
            yield _unfit(presented, leaf, "without keyUsage", "the extension required")


def _judge_purposes(
    presented: PresentedChain, leaf: CertificateView, *, required: bool
) -> Iterator[Report]:
    """anyExtendedKeyUsage is not enough: no public authority may issue for it.

    Source: Baseline Requirements 7.1.2.7.10.
    """
    if leaf.purposes is None and not required:
        return
    purposes = leaf.purposes or frozenset()
    if _SERVER_AUTH in purposes:
        return
    named = readable(comma_join(_PURPOSES.get(purpose, purpose) for purpose in sorted(purposes)))
    observed = f"for {named}" if named else "without extendedKeyUsage"
    yield presented.report(
        "CERTIFICATE_NOT_FOR_SERVERS",
        f"the {describe(0, leaf)} is {observed}; serverAuth required",
        index=0,
        evidence=(FindingEvidence("extended_key_usage", named or "none", "serverAuth"),),
    )


@dataclass(frozen=True, slots=True)
class _Uses:
    """What suites do with a key. certain, possible: names of suites by use."""

    certain: dict[str, list[str]] = field(default_factory=dict)
    possible: dict[str, list[str]] = field(default_factory=dict)


def _judge_key_usage(
    presented: PresentedChain, leaf: CertificateView, usage: frozenset[str], subject: Subject
) -> Iterator[Report]:
    observed = comma_join(sorted(usage)) or "nothing"
    addresses = [address for address in subject.addresses if address.address in presented.addresses]
    # A suite of TLS 1.3 does not say which leaf it is served with; the handshakes do.
    signs_tls13 = any(label.endswith(TlsVersion.TLS_1_3.label) for label in presented.deployments)
    uses = _uses_of(leaf.key_type, addresses, with_tls13=signs_tls13)
    if not uses.certain or _has_sibling(presented, leaf, subject):
        # Which suites this leaf serves is not known: one of its uses has to be permitted.
        fitting = tuple(uses.certain) or _USES_OF_KEY.get(leaf.key_type, (_SIGNING,))
        if usage.isdisjoint((*fitting, *uses.possible)):
            yield _unfit(presented, leaf, f"for {observed}", f"{' or '.join(fitting)} required")
        return
    for use, suites in uses.certain.items():
        if use not in usage:
            more = f" and {len(suites) - _MAX_SUITES} more" if len(suites) > _MAX_SUITES else ""
            wanted = f"{comma_join(suites[:_MAX_SUITES])}{more}"
            yield _unfit(presented, leaf, f"for {observed}", f"{use} required by {wanted}")
    for use, suites in uses.possible.items():
        if use not in usage and use not in uses.certain:
            yield unknown(
                f"could not determine whether the {describe(0, leaf)} needs {use}, which its"
                f" keyUsage does not permit: whether {suites[0]} is accepted is unknown",
                *presented.addresses,
            )


def _unfit(
    presented: PresentedChain, leaf: CertificateView, observed: str, required: str
) -> Report:
    return presented.report(
        "CERTIFICATE_KEY_USAGE_UNFIT",
        f"the key of the {describe(0, leaf)} is {observed}; {required}",
        index=0,
        evidence=(FindingEvidence("key_usage", observed, required),),
    )


def _uses_of(key_type: KeyType, addresses: Iterable[AddressFacts], *, with_tls13: bool) -> _Uses:
    uses = _Uses()
    for address in addresses:
        for fact in address.cipher_suites:
            suite = suite_by_code_point(fact.code_point)
            if suite is None or (suite.is_tls13 and not with_tls13):
                continue
            use = _use(suite, key_type)
            if use is not None and fact.support is not Support.NO:
                found = uses.certain if fact.support is Support.YES else uses.possible
                names = found.setdefault(use, [])
                if suite.iana_name not in names:
                    names.append(suite.iana_name)
    return uses


def _use(suite: CipherSuite, key_type: KeyType) -> str | None:
    """Return what the suite does with a key of the type; None if it does not use such a key."""
    if suite.is_tls13:
        return _SIGNING
    if suite.iana_name.startswith("TLS_ECDH_") and not suite.is_anonymous:
        # Whatever signed the certificate, the key is of a curve.
        return _AGREEING if key_type is KeyType.ECDSA else None
    # RFC 8422 5.1: a client that asks for ECDSA may get an EdDSA certificate.
    served = {suite.authentication}
    if suite.authentication is KeyType.ECDSA:
        served.add(KeyType.EDDSA)
    if key_type not in served:
        return None
    if suite.is_forward_secret:
        return _SIGNING
    return _DECRYPTING if key_type is KeyType.RSA else None


def _has_sibling(presented: PresentedChain, leaf: CertificateView, subject: Subject) -> bool:
    """Whether one of its addresses also presents another leaf with a key of the same type."""
    return any(
        other.judgement.leaf is not None
        and other.judgement.leaf.der != leaf.der
        and other.judgement.leaf.key_type is leaf.key_type
        and not set(other.addresses).isdisjoint(presented.addresses)
        for other in subject.chains
    )


CERTIFICATE_USAGE = Rule(
    id="certificate.usage",
    codes=("CERTIFICATE_NOT_FOR_SERVERS", "CERTIFICATE_KEY_USAGE_UNFIT"),
    parameters=(_EXTENDED_KEY_USAGE, _KEY_USAGE),
    judge=judge_usage,
)
