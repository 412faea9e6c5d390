"""What a client's own connection has to offer, so that the verdict covers it.

An endpoint that is allowed accepts something of what stands here, because the terms follow only
demands that deny: a server that met none of them would not have been allowed. A policy on trial
(report-only) restricts nobody, and what a waiver covers may be offered.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import CipherSuite, suite_by_code_point, suite_by_name
from otpc_policy.policy.finding import Effect, Finding
from otpc_policy.policy.model import Policy
from otpc_policy.policy.rules.ciphers import (
    CIPHER_INSECURE,
    CIPHER_OUTSIDE_SET,
    CIPHER_REQUIRED,
    TLS13_STANDARD,
    is_of_kind,
)
from otpc_policy.policy.rules.protocol import TLS_MINIMUM_VERSION

# Certificates are measured over these. A client of an older version meets what nobody has judged.
_MEASURED_VERSIONS = (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
# Findings whose waiver lets a client use the suites and versions that it lists.
_EXCEPTED_BY = frozenset(
    {"TLS_VERSION_BELOW_MINIMUM", "CIPHER_SUITE_NONE_REQUIRED", "CIPHER_SUITE_NOT_LISTED"}
)
(_PERMITTED_VERSIONS,) = TLS_MINIMUM_VERSION.parameters
(_REQUIRED_SUITES,) = CIPHER_REQUIRED.parameters
_LISTED_SUITES, _TLS13_SUITES = CIPHER_OUTSIDE_SET.parameters
(_KINDS,) = CIPHER_INSECURE.parameters


@dataclass(frozen=True, slots=True)
class ConnectionTerms:
    """What to offer, and nothing else.

    versions: ascending, of TLS 1.2 and 1.3; empty if none is permitted.
    cipher_suites: code points, ascending; empty if no enforcing policy demands any.
    """

    versions: tuple[TlsVersion, ...]
    cipher_suites: tuple[int, ...]


def connection_terms(
    policies: Iterable[Policy], findings: Iterable[Finding], now: datetime
) -> ConnectionTerms:
    """Return the terms of a verdict.

    policies: that judged. findings: of the verdict. now: of the verdict; what a policy permits
    until an instant may be offered before it.
    """
    demands = [_Demands.of(policy, now) for policy in policies if policy.enforcing]
    excepted = {
        item
        for finding in findings
        if finding.effect is Effect.WAIVED and finding.code in _EXCEPTED_BY
        for item in finding.about
    }
    versions = tuple(
        version
        for version in _MEASURED_VERSIONS
        if version.label in excepted or all(version.label in each.versions for each in demands)
    )
    listed = {name for each in demands for name in each.listed}
    if not listed:
        return ConnectionTerms(versions, ())
    candidates = (
        *(suite_by_name(name) for name in listed | excepted),
        *map(suite_by_code_point, TLS13_STANDARD),
    )
    suites = [
        suite
        for suite in candidates
        if suite is not None
        and _version_of(suite) in versions
        and not any(each.denies(suite, excepted) for each in demands)
    ]
    served = {_version_of(suite) for suite in suites}
    return ConnectionTerms(
        # A version without a suite cannot be negotiated. No version at all means: do not connect.
        versions=tuple(version for version in versions if version in served),
        cipher_suites=tuple(sorted({suite.code_point for suite in suites})),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demands:
    """What one policy denies to the endpoint, and so to the client.

    versions: labels of those that it permits. listed: IANA names of suites of which an allowed
    endpoint accepts one; empty if the policy demands none. tls12_set, tls13_set: where it denies
    all other suites, the names of those that it does not; None where it does not deny them. ended:
    names of suites that it permitted until now or earlier, and denies.
    insecure_kinds: that it denies.
    """

    versions: frozenset[str]
    listed: frozenset[str]
    tls12_set: frozenset[str] | None
    tls13_set: frozenset[str] | None
    ended: frozenset[str]
    insecure_kinds: tuple[str, ...]

    @classmethod
    def of(cls, policy: Policy, now: datetime) -> Self:
        """Return the demands of a policy at an instant."""
        rules = {rule.id: rule for rule in policy.rules}
        minimum, required = rules[TLS_MINIMUM_VERSION.id], rules[CIPHER_REQUIRED.id]
        outside, insecure = rules[CIPHER_OUTSIDE_SET.id], rules[CIPHER_INSECURE.id]
        labels = [version.label for version in _MEASURED_VERSIONS]
        if minimum.effects["TLS_VERSION_BELOW_MINIMUM"] is Effect.DENY:
            labels = list(_PERMITTED_VERSIONS.of(minimum.parameters).at(now))
        all_listed = _LISTED_SUITES.of(outside.parameters)
        in_set = frozenset(all_listed.at(now))
        denies_others = outside.effects["CIPHER_SUITE_NOT_LISTED"] is Effect.DENY
        denies_tls13 = outside.is_enabled and _TLS13_SUITES.of(outside.parameters) == "deny"
        demanded = frozenset(_REQUIRED_SUITES.of(required.parameters))
        is_required = required.effects["CIPHER_SUITE_NONE_REQUIRED"] is Effect.DENY
        listed: frozenset[str] = frozenset()
        if is_required or denies_others:
            listed |= in_set if outside.is_enabled else frozenset()
            listed |= demanded if is_required else frozenset()
        kinds = _KINDS.of(insecure.parameters)
        denies_insecure = insecure.effects["CIPHER_SUITE_INSECURE"] is Effect.DENY
        return cls(
            versions=frozenset(labels),
            listed=listed,
            tls12_set=in_set if denies_others else None,
            tls13_set=in_set if denies_tls13 else None,
            ended=frozenset(all_listed.names) - in_set if denies_others else frozenset(),
            insecure_kinds=tuple(kinds) if denies_insecure else (),
        )

    def denies(self, suite: CipherSuite, excepted: Collection[str]) -> bool:
        """Whether an endpoint that accepts the suite is denied, agreed exceptions apart."""
        if any(is_of_kind(suite, kind) for kind in self.insecure_kinds):
            return True
        permitted = self.tls13_set if suite.code_point in TLS13_STANDARD else self.tls12_set
        is_outside = permitted is not None and suite.iana_name not in permitted
        return (is_outside or suite.iana_name in self.ended) and suite.iana_name not in excepted


def _version_of(suite: CipherSuite) -> TlsVersion:
    return TlsVersion.TLS_1_3 if suite.is_tls13 else TlsVersion.TLS_1_2
