"""Facts on the certificate chains that a server shows. Nothing beyond the evidence."""

from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice

from otpc_policy.core.facts import (
    DeploymentFact,
    Evidence,
    KeyType,
    Support,
    TlsVersion,
    VersionFact,
)
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.engine.facts.measured import EXPECTED_KEY_TYPES, Measured, weakest
from otpc_policy.engine.probes.handshakes import unproven_hints, versions_for_certificates
from otpc_policy.engine.survey.offers import suites_at

# Key types that a leaf may hold if suites authenticate like this (RFC 8422 5.10: Ed25519 leaves go
# with ECDSA suites).
_LEAVES = {
    KeyType.RSA: {KeyType.RSA},
    KeyType.ECDSA: {KeyType.ECDSA, KeyType.EDDSA},
    KeyType.DSA: {KeyType.DSA},
    KeyType.OTHER: {KeyType.OTHER},
}
# Twice the number of signature kinds; a server that presents a new chain each time stops here.
_MAX_PRESENTED = 12


def deployment_facts(
    measured: Measured, versions: Iterable[VersionFact]
) -> tuple[DeploymentFact, ...]:
    """Return every chain that was obtained, and what is known about key types of which none was."""
    obtained = _obtained(measured)
    facts = list(obtained)
    wanted = versions_for_certificates(measured.accepted)
    for version in versions:
        got = {fact.key_type for fact in obtained if fact.version is version.version}
        if version.version in wanted:
            is_tls13 = version.version is TlsVersion.TLS_1_3
            by_key = (
                _tls13_key_types(measured)
                if is_tls13
                else _suite_key_types(measured, version.version)
            )
            # Suites of TLS 1.3 do not imply key types: an EdDSA leaf does not prove an ECDSA leaf.
            leaves: Mapping[KeyType, set[KeyType]] = {} if is_tls13 else _LEAVES
            facts += [
                _without_chain(version.version, key, evidence)
                for key, evidence in by_key.items()
                if not got & leaves.get(key, {key})
            ]
        elif version.support is Support.UNKNOWN and version.version >= TlsVersion.TLS_1_2:
            facts += [
                _without_chain(version.version, key, Evidence.NONE) for key in EXPECTED_KEY_TYPES
            ]
    unproven = [
        (hint.version, measured.leaf_key_type(hint.leaf, None))
        for hint in unproven_hints(measured.leaf_hints, measured.presented)
    ]
    known = {presented.chain[0] for presented in measured.presented}
    unproven += [
        (version, measured.leaf_key_type(leaf, None))
        for version, leaf in measured.http_leaves
        if leaf not in known
    ]
    return (
        *facts,
        *(
            _without_chain(version, key, Evidence.NONE)
            for version, key in dict.fromkeys((*unproven, *measured.unread))
        ),
    )


def _obtained(measured: Measured) -> list[DeploymentFact]:
    staples: dict[tuple[TlsVersion, KeyType, tuple[bytes, ...]], set[bytes]] = {}
    for presented in (*measured.presented, *measured.presented_otherwise):
        key_type = measured.leaf_key_type(presented.chain[0], presented.key_type)
        responses = staples.setdefault((presented.version, key_type, presented.chain), set())
        if presented.stapled_ocsp_response is not None:
            responses.add(presented.stapled_ocsp_response)
    # A server may staple only after its first handshakes (nginx fetches lazily): one staple is
    # enough for a chain.
    facts = [
        DeploymentFact(
            version=version,
            key_type=key,
            support=Support.YES,
            evidence=Evidence.SERVER_HELLO,
            chain=chain,
            stapled_ocsp_response=response,
        )
        for (version, key, chain), responses in staples.items()
        for response in (sorted(responses) if responses else (None,))
    ]
    # Judging each has a price. Beyond the limit the rest stay unknown, so they permit nothing.
    kept = set(
        islice(
            dict.fromkeys((fact.chain, fact.stapled_ocsp_response) for fact in facts),
            _MAX_PRESENTED,
        )
    )
    return [
        fact
        if (fact.chain, fact.stapled_ocsp_response) in kept
        else _without_chain(fact.version, fact.key_type, Evidence.NONE)
        for fact in facts
    ]


def _suite_key_types(measured: Measured, version: TlsVersion) -> dict[KeyType, Evidence]:
    """Return what the suites of one version up to TLS 1.2 imply for key types without a chain.

    NONE means unknown.
    """
    accepted, absences = measured.accepted[version], measured.absences(version)
    reported: dict[KeyType, Evidence] = {}
    for key, suites in _suites_by_key_type(version).items():
        is_accepted = not suites.isdisjoint(accepted)
        if is_accepted or key in EXPECTED_KEY_TYPES:
            is_refused = not is_accepted and absences.keys() >= suites
            reported[key] = (
                weakest(absences[suite] for suite in suites) if is_refused else Evidence.NONE
            )
    return reported


@cache
def _suites_by_key_type(version: TlsVersion) -> dict[KeyType, frozenset[int]]:
    """Return the suites of a version by the key type that they prove."""
    by_key: dict[KeyType, set[int]] = {}
    for code_point in suites_at(version):
        suite = suite_by_code_point(code_point)
        if suite is not None and suite.authentication is not None:
            by_key.setdefault(suite.authentication, set()).add(code_point)
    return {key: frozenset(suites) for key, suites in by_key.items()}


def _tls13_key_types(measured: Measured) -> dict[KeyType, Evidence]:
    return {
        key_type: measured.key_type_absence(key_type)
        for key_type in (*EXPECTED_KEY_TYPES, KeyType.EDDSA)
    }


def _without_chain(version: TlsVersion, key_type: KeyType, evidence: Evidence) -> DeploymentFact:
    support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
    return DeploymentFact(version=version, key_type=key_type, support=support, evidence=evidence)
