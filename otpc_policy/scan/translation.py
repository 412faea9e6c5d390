"""From surveys and handshakes to facts. Pure; decides nothing that the evidence does not say."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from otpc_policy.facts import CipherSuiteFact, DeploymentFact, Evidence, KeyType, Support, TlsVersion, VersionFact
from otpc_policy.pki.certificate import DECODING_ERRORS, decoding_leniently
from otpc_policy.scan.handshakes import Completed, LeafHint, unproven_hints, versions_for_certificates
from otpc_policy.tls.answer import Alert
from otpc_policy.tls.offers import suites_at
from otpc_policy.tls.proof import Log
from otpc_policy.tls.suites import suite_by_code_point

# Key types that a leaf of suites with this authentication may hold (RFC 8422 5.10: Ed25519 leaves go with ECDSA suites).
_LEAVES = {KeyType.RSA: {KeyType.RSA}, KeyType.ECDSA: {KeyType.ECDSA, KeyType.EDDSA}, KeyType.DSA: {KeyType.DSA}, KeyType.OTHER: {KeyType.OTHER}}
_EXPECTED_KEY_TYPES = (KeyType.RSA, KeyType.ECDSA)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """All that one scan found out. surveys: in order; presence is taken from all of them, absence from a steady last one alone."""

    surveys: Sequence[Log]
    completed: Sequence[Completed]
    _key_types: dict[tuple[bytes, KeyType | None], KeyType] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def accepted(self) -> Mapping[TlsVersion, frozenset[int]]:
        """Suites that were chosen, by version; a version of SSL 2 may have none."""
        accepted: dict[TlsVersion, set[int]] = {}
        for log in self.surveys:
            for version in log.versions:
                accepted.setdefault(version, set()).update(log.chosen(version))
        for one in self.completed:
            accepted.setdefault(one.handshake.version, set()).add(one.cipher_suite)
        return {version: frozenset(suites) for version, suites in accepted.items()}

    @cached_property
    def leaf_hints(self) -> Sequence[LeafHint]:
        """Leaves that came in clear."""
        return [
            LeafHint(record.reading.version, record.reading.suites[0], record.outcome.leaf_hint)
            for log in self.surveys
            for record in log.records
            if record.reading.version is not None and record.outcome.leaf_hint is not None and record.reading.suites
        ]

    @cached_property
    def is_steady(self) -> bool:
        """In the last survey the server refused nothing that it had accepted, then or before."""
        *earlier, last = self.surveys
        accepted_then = all(last.absences(version).keys().isdisjoint(suites) for version, suites in self.accepted.items())
        return accepted_then and not any(last.contradictions(*earlier))

    def absences(self, version: TlsVersion, key_type: KeyType | None = None) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused."""
        return self.surveys[-1].absences(version, key_type) if self.is_steady else {}

    def leaf_key_type(self, der: bytes, hint: KeyType | None) -> KeyType:
        """Return what the function of that name does. Few leaves come in many handshakes: each is read once, and not for every fact and step."""
        if (der, hint) not in self._key_types:
            self._key_types[der, hint] = leaf_key_type(der, hint)
        return self._key_types[der, hint]

    @cached_property
    def tls13_key_types(self) -> frozenset[KeyType]:
        """Key types whose signature schemes alone were answered over TLS 1.3."""
        return frozenset(
            record.probe.hello.key_type for log in self.surveys for record in log.records if record.chose and record.probe.hello.key_type is not None
        )


def version_facts(measured: Measured) -> tuple[VersionFact, ...]:
    """Return one fact for each version."""
    return tuple(VersionFact(version, *_version_support(measured, version)) for version in TlsVersion)


def _version_support(measured: Measured, version: TlsVersion) -> tuple[Support, Evidence]:
    if version in measured.accepted:
        return Support.YES, Evidence.SERVER_HELLO
    if measured.surveys[-1].is_passed_over(version):
        return Support.NO, Evidence.LOWER_VERSION
    absences = measured.absences(version)
    if all(map(absences.__contains__, suites_at(version))) and not _is_nameless_hello_unanswered(measured.surveys[-1], version):
        return Support.NO, _weakest(absences.values())
    return Support.UNKNOWN, Evidence.NONE


def _is_nameless_hello_unanswered(log: Log, version: TlsVersion) -> bool:
    """Clients of SSL 3 send no name, so their hello must have been turned away too, if only for want of a name (alert 112)."""
    nameless = [record for record in log.records if record.probe.hello.version is version is TlsVersion.SSL_3_0 and record.probe.hello.server_name is None]
    return bool(nameless) and not any(record.refused or isinstance(record.outcome.answer, Alert) for record in nameless)


def cipher_suite_facts(measured: Measured) -> tuple[CipherSuiteFact, ...]:
    """Return a fact for every suite of every version that is offered; in order of versions and numbers."""
    proven = frozenset((one.handshake.version, one.cipher_suite) for one in measured.completed)
    return tuple(
        fact
        for version in sorted(measured.accepted)
        for fact in _cipher_suite_facts(
            version,
            measured.accepted[version],
            frozenset(measured.absences(version).items()),
            frozenset(suite for of_version, suite in proven if of_version is version),
        )
    )


# Most servers accept one of few sets of suites: they share hundreds of facts, in memory and in time.
@lru_cache(maxsize=256)
def _cipher_suite_facts(
    version: TlsVersion, accepted: frozenset[int], absences: frozenset[tuple[int, Evidence]], completed: frozenset[int]
) -> tuple[CipherSuiteFact, ...]:
    absent = dict(absences)
    facts = []
    for suite in suites_at(version):
        if suite in accepted:
            support, evidence = Support.YES, Evidence.SERVER_HELLO
        else:
            evidence = absent.get(suite, Evidence.NONE)
            support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
        facts.append(CipherSuiteFact(version=version, code_point=suite, support=support, evidence=evidence, handshake_completed=suite in completed))
    return tuple(facts)


def deployment_facts(measured: Measured, versions: Iterable[VersionFact]) -> tuple[DeploymentFact, ...]:
    """Return every chain that was obtained, and what is known about key types of which none was."""
    obtained = _obtained(measured)
    facts = list(obtained)
    wanted = versions_for_certificates(measured.accepted)
    for version in versions:
        got = {fact.key_type for fact in obtained if fact.version is version.version}
        if version.version in wanted:
            by_key = _tls13_key_types(measured) if version.version is TlsVersion.TLS_1_3 else _suite_key_types(measured, version.version)
            facts += [_without_chain(version.version, key, evidence) for key, evidence in by_key.items() if not got & _LEAVES.get(key, {key})]
        elif version.support is Support.UNKNOWN and version.version >= TlsVersion.TLS_1_2:
            facts += [_without_chain(version.version, key, Evidence.NONE) for key in _EXPECTED_KEY_TYPES]
    unproven = ((hint.version, measured.leaf_key_type(hint.leaf, None)) for hint in unproven_hints(measured.leaf_hints, measured.completed))
    return (*facts, *(_without_chain(version, key, Evidence.NONE) for version, key in dict.fromkeys(unproven)))


def _obtained(measured: Measured) -> list[DeploymentFact]:
    staples: dict[tuple[TlsVersion, KeyType, tuple[bytes, ...]], set[bytes]] = {}
    for one in measured.completed:
        suite = suite_by_code_point(one.cipher_suite)
        hint = one.handshake.key_type or (suite.authentication if suite is not None else None)
        key_type = measured.leaf_key_type(one.outcome.chain[0], hint)
        responses = staples.setdefault((one.handshake.version, key_type, one.outcome.chain), set())
        if one.outcome.stapled_ocsp_response is not None:
            responses.add(one.outcome.stapled_ocsp_response)
    # A server may staple only after its first handshakes (nginx fetches lazily): one staple is enough for a chain.
    return [
        DeploymentFact(version=version, key_type=key, support=Support.YES, evidence=Evidence.SERVER_HELLO, chain=chain, stapled_ocsp_response=response)
        for (version, key, chain), responses in staples.items()
        for response in (sorted(responses) if responses else (None,))
    ]


def _suite_key_types(measured: Measured, version: TlsVersion) -> dict[KeyType, Evidence]:
    """Return what the suites of one version up to TLS 1.2 say about key types that gave no chain; NONE means unknown."""
    accepted, absences = measured.accepted[version], measured.absences(version)
    told: dict[KeyType, Evidence] = {}
    for key, suites in _suites_by_key_type(version).items():
        is_accepted = not suites.isdisjoint(accepted)
        if is_accepted or key in _EXPECTED_KEY_TYPES:
            is_refused = not is_accepted and absences.keys() >= suites
            told[key] = _weakest(absences[suite] for suite in suites) if is_refused else Evidence.NONE
    return told


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
    told = dict.fromkeys(_EXPECTED_KEY_TYPES, Evidence.NONE)
    for key_type in (*_EXPECTED_KEY_TYPES, KeyType.EDDSA):
        absences = {} if key_type in measured.tls13_key_types else measured.absences(TlsVersion.TLS_1_3, key_type)
        told[key_type] = _weakest(absences.values()) if absences else Evidence.NONE
    return told


def _without_chain(version: TlsVersion, key_type: KeyType, evidence: Evidence) -> DeploymentFact:
    support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
    return DeploymentFact(version=version, key_type=key_type, support=support, evidence=evidence)


def leaf_key_type(der: bytes, hint: KeyType | None) -> KeyType:
    """Return the key type of a leaf; the hint, or OTHER, where it cannot be read."""
    try:
        with decoding_leniently():
            key = x509.load_der_x509_certificate(der).public_key()
    except UnsupportedAlgorithm:
        return KeyType.OTHER
    except DECODING_ERRORS:
        return hint or KeyType.OTHER
    if isinstance(key, rsa.RSAPublicKey):
        return KeyType.RSA
    if isinstance(key, ec.EllipticCurvePublicKey):
        return KeyType.ECDSA
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return KeyType.EDDSA
    return KeyType.DSA if isinstance(key, dsa.DSAPublicKey) else KeyType.OTHER


def _weakest(evidence: Iterable[Evidence]) -> Evidence:
    return Evidence.CLOSED_CONFIRMED if Evidence.CLOSED_CONFIRMED in evidence else Evidence.ALERT
