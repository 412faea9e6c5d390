"""From measured deployments to chains that can be judged, and to those that are missing."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from otpc_policy.core.facts import (
    AddressFacts,
    CipherSuiteFact,
    DeploymentFact,
    KeyType,
    Support,
    TlsVersion,
)
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.pki.judgement import ChainJudgement
from otpc_policy.policy.rule import Gap, PresentedChain

# Versions whose handshakes are measured for certificates: the ones that a payment client uses.
_HANDSHAKE_VERSIONS = (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
# TLS 1.3 suites do not imply a key type, so both common ones must have been asked for.
_TLS13_KEY_TYPES = (KeyType.RSA, KeyType.ECDSA)
# RFC 8422 5.1: a client that asks for ECDSA may get an EdDSA certificate.
_LEAVES_OF_ECDSA_SUITES = frozenset({KeyType.ECDSA, KeyType.EDDSA})


def presented_chains(
    addresses: Iterable[AddressFacts],
    judge: Callable[[Sequence[bytes], bytes | None], ChainJudgement],
) -> tuple[PresentedChain, ...]:
    """Return every chain that was presented, each judged once."""
    seen: dict[tuple[tuple[bytes, ...], bytes | None], list[tuple[str, DeploymentFact]]] = {}
    for address in addresses:
        for deployment in address.deployments:
            if _is_obtained(deployment):
                seen.setdefault((deployment.chain, deployment.stapled_ocsp_response), []).append(
                    (address.address, deployment)
                )
    return tuple(
        PresentedChain(
            judgement=judge(chain, staple),
            addresses=tuple(dict.fromkeys(address for address, _ in places)),
            deployments=tuple(
                dict.fromkeys(
                    _label(deployment.key_type, deployment.version) for _, deployment in places
                )
            ),
            staple_observed=True,
        )
        for (chain, staple), places in seen.items()
    )


def gaps(addresses: Iterable[AddressFacts]) -> tuple[Gap, ...]:
    """Return every certificate that could not be obtained."""
    return tuple(
        Gap(address.address, missing)
        for address in addresses
        for missing in dict.fromkeys(_missing(address))
    )


def _missing(address: AddressFacts) -> Iterator[str]:
    for deployment in address.deployments:
        if deployment.support is Support.UNKNOWN or (
            deployment.support is Support.YES and not deployment.chain
        ):
            yield _label(deployment.key_type, deployment.version)
    obtained = {
        (deployment.version, deployment.key_type)
        for deployment in address.deployments
        if _is_obtained(deployment)
    }
    for version in _HANDSHAKE_VERSIONS:
        yield from _missing_over(version, address)
    if not obtained and not any(
        address.version(version).support is Support.YES for version in _HANDSHAKE_VERSIONS
    ):
        yield "no handshake was completed"
    known = obtained | {
        (deployment.version, deployment.key_type)
        for deployment in address.deployments
        if deployment.support is Support.NO
    }
    for fact in address.cipher_suites:
        if fact.support is not Support.NO:
            yield from _missing_for(fact, obtained, known)


def _missing_over(version: TlsVersion, address: AddressFacts) -> Iterator[str]:
    support = address.version(version).support
    if support is Support.UNKNOWN:
        yield f"whatever is served over {version.label}"
    if support is not Support.YES:
        return
    deployments = [
        deployment for deployment in address.deployments if deployment.version is version
    ]
    asked = {deployment.key_type for deployment in deployments}
    if not any(map(_is_obtained, deployments)):
        yield f"any over {version.label}"
    if version is TlsVersion.TLS_1_3:
        yield from (
            _label(key_type, version)
            for key_type in _TLS13_KEY_TYPES
            if not asked & _leaves(key_type)
        )


def _missing_for(
    fact: CipherSuiteFact,
    obtained: set[tuple[TlsVersion, KeyType]],
    known: set[tuple[TlsVersion, KeyType]],
) -> Iterator[str]:
    """Yield the certificate that a suite implies and that was not obtained.

    A suite that is accepted proves a key type, so its certificate must have been obtained. For a
    suite that may be accepted it is enough to know that there is no such certificate.
    """
    suite = suite_by_code_point(fact.code_point)
    if suite is None or suite.authentication is None:
        return
    leaves = _leaves(suite.authentication)
    sufficient = obtained if fact.support is Support.YES else known
    # Handshakes are completed over TLS 1.2 and 1.3; older versions are assumed to serve the same.
    versions = {fact.version} if fact.version in _HANDSHAKE_VERSIONS else set(_HANDSHAKE_VERSIONS)
    if not any((version, leaf) in sufficient for version in versions for leaf in leaves):
        yield _label(suite.authentication, fact.version)


def _leaves(authentication: KeyType) -> frozenset[KeyType]:
    return (
        _LEAVES_OF_ECDSA_SUITES if authentication is KeyType.ECDSA else frozenset({authentication})
    )


def _is_obtained(deployment: DeploymentFact) -> bool:
    return deployment.support is Support.YES and bool(deployment.chain)


def _label(key_type: KeyType, version: TlsVersion) -> str:
    return f"{key_type.value} over {version.label}"
