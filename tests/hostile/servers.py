"""The TLS servers that stand behind the hostile ones.

One meets the strict policy; the others differ from it in one thing that matters.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from otpc_policy.core.facts import TlsVersion
from otpc_policy.pki.trust import Trust
from tests.support.certificates import CertificateAuthority
from tests.support.hostile.endpoint import SIX, STRICT, TLS13, Accepted, Endpoint, server_context
from tests.support.servers.offer import OTPC_CIPHERS

AES256_SHA, AES128_SHA, RC4_SHA, DES3_SHA = 0x0035, 0x002F, 0x0005, 0x000A
NULL_SHA256, ANON_AES128_SHA = 0x003B, 0x0034


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """Servers that prefer their own order, so that good suites hide the others, as most servers do.

    strict: exactly what the strict policy wants. weak_suite: plus one suite with static RSA.
    old_version: plus TLS 1.0 and 1.1. old_rc4: plus TLS 1.0 with RC4 and 3DES, answered with no
    more than a ServerHello. insecure: plus suites without encryption or a certificate, likewise.
    """

    authority: CertificateAuthority
    strict: Endpoint
    weak_suite: Endpoint
    old_version: Endpoint
    old_rc4: Endpoint
    insecure: Endpoint

    @property
    def trust(self) -> Trust:
        """Their authority is trusted as if it were in Mozilla's program."""
        return Trust(mozilla_roots=(self.authority.der,))

    @property
    def lax(self) -> dict[str, Endpoint]:
        """All that a strict verdict must not pass."""
        return {
            name: getattr(self, name)
            for name in ("weak_suite", "old_version", "old_rc4", "insecure")
        }


def make_backends() -> Backends:
    """Return them with fresh certificates for partner.test."""
    authority = CertificateAuthority.create("Hostile Root")
    leaves = authority.issue(key="rsa2048"), authority.issue(key="ec256")
    strict = server_context(*leaves, ciphers=OTPC_CIPHERS)
    return Backends(
        authority=authority,
        strict=Endpoint(context=strict, accepts=STRICT),
        weak_suite=Endpoint(
            context=server_context(*leaves, ciphers=f"{OTPC_CIPHERS}:AES256-SHA"),
            accepts={**STRICT, TlsVersion.TLS_1_2: SIX | {AES256_SHA}},
        ),
        old_version=Endpoint(
            context=server_context(
                *leaves, ciphers=f"{OTPC_CIPHERS}:AES128-SHA", oldest=ssl.TLSVersion.TLSv1
            ),
            accepts={
                TlsVersion.TLS_1_0: frozenset({AES128_SHA}),
                TlsVersion.TLS_1_1: frozenset({AES128_SHA}),
                TlsVersion.TLS_1_2: SIX | {AES128_SHA},
                TlsVersion.TLS_1_3: TLS13,
            },
        ),
        old_rc4=Endpoint(
            context=strict,
            accepts=STRICT,
            scripted={TlsVersion.TLS_1_0: frozenset({RC4_SHA, DES3_SHA})},
        ),
        insecure=Endpoint(
            context=strict,
            accepts=STRICT,
            scripted={TlsVersion.TLS_1_2: frozenset({NULL_SHA256, ANON_AES128_SHA})},
        ),
    )


def beyond(lax: Endpoint, strict: Endpoint) -> Accepted:
    """Return what the one accepts and the other does not."""
    return {
        version: suites - strict.truth.get(version, frozenset())
        for version, suites in lax.truth.items()
    }


def together(*tables: Accepted) -> Accepted:
    """Return what is in any of them."""
    versions = {version for table in tables for version in table}
    return {
        version: frozenset().union(*(table.get(version, frozenset()) for table in tables))
        for version in versions
    }


def rotating(endpoints: Sequence[Endpoint], number: int) -> Endpoint:
    """Return one of them, each in its turn."""
    return endpoints[number % len(endpoints)]
