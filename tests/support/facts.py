"""Facts for tests of rules: compliant by default, so that a test shows only what matters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from otpc_policy.core.facts import (
    AddressFacts,
    CipherSuiteFact,
    ClientAuth,
    DeploymentFact,
    Depth,
    EndpointFacts,
    Evidence,
    HttpService,
    KeyType,
    ResolutionStatus,
    Support,
    TlsService,
    TlsVersion,
    VersionFact,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.certificates import CertificateAuthority, Issued

NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)
HOST = "partner.test"
ADDRESS = "192.0.2.1"
_EVIDENCE = {
    Support.YES: Evidence.SERVER_HELLO,
    Support.NO: Evidence.ALERT,
    Support.UNKNOWN: Evidence.NONE,
}


@cache
def root() -> CertificateAuthority:
    """The root in the default trust, in place of Mozilla's."""
    return CertificateAuthority.create(
        "Facts Root", not_before=NOW - timedelta(days=365), not_after=NOW + timedelta(days=3650)
    )


@cache
def leaf(key: str = "ec256") -> Issued:
    """A compliant leaf for HOST: valid from a day before NOW to 90 days after."""
    return root().issue(
        dns=(HOST,), key=key, not_before=NOW - timedelta(days=1), not_after=NOW + timedelta(days=90)
    )


def make_trust(*entries: TrustEntry) -> Trust:
    """Trust in the default root, as if it were Mozilla's, and in the arguments."""
    return Trust(mozilla_roots=(root().der,), entries=entries)


def version(which: TlsVersion, support: Support) -> VersionFact:
    """A fact about one version, with fitting evidence."""
    return VersionFact(which, support, _EVIDENCE[support])


def versions(**supports: Support) -> tuple[VersionFact, ...]:
    """TLS 1.2 and 1.3 only; overrides by name, such as TLS_1_0=Support.YES."""
    wanted = {
        tls_version: Support.YES if tls_version >= TlsVersion.TLS_1_2 else Support.NO
        for tls_version in TlsVersion
    }
    wanted.update({TlsVersion[name]: support for name, support in supports.items()})
    return tuple(version(tls_version, support) for tls_version, support in wanted.items())


def suite(
    name: str,
    *,
    over: TlsVersion = TlsVersion.TLS_1_2,
    support: Support = Support.YES,
    completed: bool | None = None,
) -> CipherSuiteFact:
    """A fact about one suite by IANA name or as "0xEEEE"; completed: as support unless given."""
    known = suite_by_name(name)
    return CipherSuiteFact(
        version=over,
        code_point=known.code_point if known else int(name, 16),
        support=support,
        evidence=_EVIDENCE[support],
        handshake_completed=support is Support.YES if completed is None else completed,
    )


def compliant_suites() -> tuple[CipherSuiteFact, ...]:
    """Required suites of both key types, one refused suite, and the usual ones of TLS 1.3."""
    return (
        suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
        suite("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        suite("TLS_RSA_WITH_AES_128_CBC_SHA", support=Support.NO),
        suite("TLS_AES_128_GCM_SHA256", over=TlsVersion.TLS_1_3),
        suite("TLS_AES_256_GCM_SHA384", over=TlsVersion.TLS_1_3),
    )


def deployment(
    over: TlsVersion = TlsVersion.TLS_1_2,
    key_type: KeyType = KeyType.ECDSA,
    *,
    support: Support = Support.YES,
    chain: tuple[bytes, ...] | None = None,
    staple: bytes | None = None,
) -> DeploymentFact:
    """A fact about one deployment; the default chain is compliant."""
    if chain is None:
        chain = (
            leaf("rsa2048" if key_type is KeyType.RSA else "ec256").chain_der
            if support is Support.YES
            else ()
        )
    return DeploymentFact(
        version=over,
        key_type=key_type,
        support=support,
        evidence=_EVIDENCE[support],
        chain=chain,
        stapled_ocsp_response=staple,
    )


def deployments(
    chain: tuple[bytes, ...] | None = None, *, staple: bytes | None = None
) -> tuple[DeploymentFact, ...]:
    """RSA and ECDSA over TLS 1.2 and 1.3; all with the same chain if it is given."""
    pairs = [
        (over, key_type)
        for over in (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
        for key_type in (KeyType.RSA, KeyType.ECDSA)
    ]
    return tuple(deployment(over, key_type, chain=chain, staple=staple) for over, key_type in pairs)


def no_vulnerabilities() -> tuple[VulnerabilityFact, ...]:
    """All vulnerabilities, each proven absent."""
    return tuple(VulnerabilityFact(vulnerability, Support.NO) for vulnerability in Vulnerability)


def make_address(**overrides: Any) -> AddressFacts:
    """A compliant address; overrides by name (fields of AddressFacts)."""
    compliant = AddressFacts(
        address=ADDRESS,
        observed_at=NOW - timedelta(minutes=1),
        duration=timedelta(milliseconds=300),
        connections_used=24,
        depth=Depth.STANDARD,
        reachable=Support.YES,
        tls=TlsService.SERVED,
        versions=versions(),
        cipher_suites=compliant_suites(),
        deployments=deployments(),
        client_auth=ClientAuth.NONE,
        http=HttpService.SERVED,
    )
    return replace(compliant, **overrides)


def make_facts(**overrides: Any) -> EndpointFacts:
    """A compliant endpoint with one address; overrides by name.

    They are fields of EndpointFacts, or of its address.
    """
    of_endpoint = {
        name: overrides.pop(name)
        for name in tuple(overrides)
        if name in EndpointFacts.__dataclass_fields__
    }
    compliant = EndpointFacts(
        host=HOST,
        port=443,
        server_name=HOST,
        depth=Depth.STANDARD,
        resolution=ResolutionStatus.RESOLVED,
        addresses=(make_address(**overrides),),
    )
    return replace(compliant, **of_endpoint)
