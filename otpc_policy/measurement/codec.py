"""Facts as messages of the contract and back: without loss within the bounds, strict on the way in.

An engine has read bytes of hostile servers, so whatever it says is either within every rule of
the contract or raises EngineLied. Nothing is guessed, cut or left out on the way in.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.core.facts import (
    AddressFacts,
    CipherSuiteFact,
    CurveFact,
    DeepFacts,
    DeploymentFact,
    Depth,
    Evidence,
    Support,
    TlsVersion,
    TraceStep,
    VersionFact,
    VulnerabilityFact,
)
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.measurement.checks import (
    at_most,
    read_count,
    read_duration,
    read_instant,
    read_seconds,
    read_text,
    read_texts,
    require,
)
from otpc_policy.measurement.fitting import fitted
from otpc_policy.measurement.limits import (
    MAX_CHAIN_BYTES,
    MAX_CHAIN_CERTIFICATES,
    MAX_CONNECTIONS,
    MAX_CURVES,
    MAX_DEPLOYMENT_BYTES,
    MAX_DEPLOYMENTS,
    MAX_STAPLE_BYTES,
    MAX_SUITES,
    MAX_TRACE_STEPS,
)
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import (
    CLIENT_AUTH,
    EVIDENCE,
    HTTP_SERVICE,
    KEY_TYPE,
    PROVEN,
    SUPPORT,
    TLS_SERVICE,
    TLS_VERSION,
    VULNERABILITY,
)

# The lists of pb.CipherSuiteFacts, and what each says of its suites.
_SUITE_LISTS: tuple[tuple[str, Evidence, bool], ...] = (
    ("handshake_completed", Evidence.SERVER_HELLO, True),
    ("accepted", Evidence.SERVER_HELLO, False),
    ("refused_by_alert", Evidence.ALERT, False),
    ("refused_by_close", Evidence.CLOSED_CONFIRMED, False),
    ("unknown", Evidence.NONE, False),
)
_LIST_OF = {(evidence, completed): name for name, evidence, completed in _SUITE_LISTS}
# Most servers accept one of few sets of suites: they share hundreds of facts, as in the scanner.
_SHARED_SUITE_SETS = 256


def encode_facts(facts: AddressFacts) -> pb.AddressFacts:
    """Return the message of facts, cut down to its bounds (see fitting).

    Raises ValueError for facts that no scanner makes: support without its evidence, naive times.
    """
    facts = fitted(facts)
    message = pb.AddressFacts(
        observed_at=encode_instant(facts.observed_at),
        duration=encode_duration(facts.duration),
        connections_used=facts.connections_used,
        reachable=SUPPORT.number[facts.reachable],
        tls=TLS_SERVICE.number[facts.tls],
        versions=map(_encode_version, facts.versions),
        cipher_suites=_encode_suites(facts.cipher_suites),
        client_auth=CLIENT_AUTH.number[facts.client_auth],
        http=HTTP_SERVICE.number[facts.http],
        vulnerabilities=map(_encode_vulnerability, facts.vulnerabilities),
        remarks=facts.remarks,
        intolerances=facts.intolerances,
        trace=_encode_trace(facts.trace),
        deep=None if facts.deep is None else _encode_deep(facts.deep),
    )
    places: dict[bytes, int] = {}
    for deployment in facts.deployments:
        message.deployments.append(_encode_deployment(deployment, places))
    message.certificates.extend(places)
    return message


def decode_facts(message: pb.AddressFacts, *, address: str, depth: Depth) -> AddressFacts:
    """Return the facts of a message. address, depth: of the target that it is about.

    Raises EngineLied.
    """
    require(message.HasField("observed_at") and message.HasField("duration"), "facts: no time")
    is_deep = message.HasField("deep")
    if depth is not Depth.DEEP:
        require(not is_deep and not message.vulnerabilities, "deep: not asked for")
    return AddressFacts(
        address=address,
        observed_at=read_instant(message.observed_at, "observed_at"),
        duration=read_duration(message.duration, "duration"),
        connections_used=read_count(message.connections_used, MAX_CONNECTIONS, "connections_used"),
        depth=depth,
        reachable=SUPPORT.member(message.reachable),
        tls=TLS_SERVICE.member(message.tls),
        versions=_decode_versions(message.versions),
        cipher_suites=_decode_suites(message.cipher_suites),
        deployments=_decode_deployments(message),
        client_auth=CLIENT_AUTH.member(message.client_auth),
        http=HTTP_SERVICE.member(message.http),
        vulnerabilities=_decode_vulnerabilities(message.vulnerabilities),
        remarks=read_texts(message.remarks, "remarks"),
        intolerances=read_texts(message.intolerances, "intolerances"),
        trace=_decode_trace(message.trace),
        deep=_decode_deep(message.deep) if is_deep else None,
    )


def encode_instant(at: datetime) -> Timestamp:
    """Return an instant. Raises ValueError for one without a time zone."""
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    message = Timestamp()
    message.FromDatetime(at)
    return message


def encode_duration(duration: timedelta) -> Duration:
    """Return a duration."""
    message = Duration()
    message.FromTimedelta(duration)
    return message


def _encode_version(fact: VersionFact) -> pb.VersionFact:
    _must_agree(fact.support, fact.evidence)
    return pb.VersionFact(
        version=TLS_VERSION.number[fact.version], evidence=EVIDENCE.number[fact.evidence]
    )


def _decode_versions(messages: Sequence[pb.VersionFact]) -> tuple[VersionFact, ...]:
    at_most(messages, len(TlsVersion), "versions")
    found: dict[TlsVersion, VersionFact] = {}
    for message in messages:
        version, evidence = TLS_VERSION.member(message.version), EVIDENCE.member(message.evidence)
        require(version not in found, "versions: one of them twice")
        found[version] = VersionFact(version, PROVEN[evidence], evidence)
    return tuple(found.values())


def _encode_suites(facts: Iterable[CipherSuiteFact]) -> Iterator[pb.CipherSuiteFacts]:
    by_version: dict[TlsVersion, dict[str, list[int]]] = {}
    for fact in facts:
        _must_agree(fact.support, fact.evidence)
        name = _LIST_OF.get((fact.evidence, fact.handshake_completed))
        if name is None:
            raise ValueError(f"no list of suites holds {fact!r}")
        by_version.setdefault(fact.version, {}).setdefault(name, []).append(fact.code_point)
    for version, lists in sorted(by_version.items()):
        yield pb.CipherSuiteFacts(version=TLS_VERSION.number[version], **lists)


def _decode_suites(messages: Sequence[pb.CipherSuiteFacts]) -> tuple[CipherSuiteFact, ...]:
    """Return the facts in order of versions and numbers."""
    at_most(messages, len(TlsVersion), "cipher_suites")
    found: dict[TlsVersion, tuple[CipherSuiteFact, ...]] = {}
    for message in messages:
        version = TLS_VERSION.member(message.version)
        require(version not in found, "cipher_suites: a version twice")
        lists = [getattr(message, name) for name, _, _ in _SUITE_LISTS]
        for suites in lists:
            at_most(suites, MAX_SUITES, "cipher_suites")
        found[version] = _suite_facts(version, tuple(map(tuple, lists)))
    return tuple(fact for version in sorted(found) for fact in found[version])


@lru_cache(maxsize=_SHARED_SUITE_SETS)
def _suite_facts(
    version: TlsVersion, lists: tuple[tuple[int, ...], ...]
) -> tuple[CipherSuiteFact, ...]:
    """Return the facts of one version. lists: in the order of _SUITE_LISTS."""
    facts: dict[int, CipherSuiteFact] = {}
    for suites, (_, evidence, is_completed) in zip(lists, _SUITE_LISTS, strict=True):
        for code_point in suites:
            require(code_point not in facts, "cipher_suites: a suite twice")
            require(suite_by_code_point(code_point) is not None, "cipher_suites: not registered")
            facts[code_point] = CipherSuiteFact(
                version=version,
                code_point=code_point,
                support=PROVEN[evidence],
                evidence=evidence,
                handshake_completed=is_completed,
            )
    return tuple(facts[code_point] for code_point in sorted(facts))


def _encode_deployment(fact: DeploymentFact, places: dict[bytes, int]) -> pb.DeploymentFact:
    """Return the message. places: of each certificate so far; new ones are added."""
    _must_agree(fact.support, fact.evidence)
    return pb.DeploymentFact(
        version=TLS_VERSION.number[fact.version],
        key_type=KEY_TYPE.number[fact.key_type],
        evidence=EVIDENCE.number[fact.evidence],
        chain=[places.setdefault(certificate, len(places)) for certificate in fact.chain],
        stapled_ocsp_response=fact.stapled_ocsp_response,
    )


def _decode_deployments(facts: pb.AddressFacts) -> tuple[DeploymentFact, ...]:
    at_most(facts.deployments, MAX_DEPLOYMENTS, "deployments")
    at_most(facts.certificates, MAX_DEPLOYMENTS * MAX_CHAIN_CERTIFICATES, "certificates")
    certificates = tuple(facts.certificates)
    require(all(certificates), "certificates: an empty one")
    room = MAX_DEPLOYMENT_BYTES - sum(map(len, certificates))
    found: list[DeploymentFact] = []
    for message in facts.deployments:
        chain = _decode_chain(message.chain, certificates)
        evidence = EVIDENCE.member(message.evidence)
        is_offered = evidence is Evidence.SERVER_HELLO
        require(is_offered == bool(chain), "deployments: a chain that nothing proves, or none")
        staple = None
        if message.HasField("stapled_ocsp_response"):
            staple = message.stapled_ocsp_response
            require(is_offered, "stapled_ocsp_response: without a chain")
            require(len(staple) <= MAX_STAPLE_BYTES, "stapled_ocsp_response: too long")
            room -= len(staple)
        found.append(
            DeploymentFact(
                version=TLS_VERSION.member(message.version),
                key_type=KEY_TYPE.member(message.key_type),
                support=PROVEN[evidence],
                evidence=evidence,
                chain=chain,
                stapled_ocsp_response=staple,
            )
        )
    require(room >= 0, "deployments: too long together")
    return tuple(found)


def _decode_chain(places: Sequence[int], certificates: Sequence[bytes]) -> tuple[bytes, ...]:
    at_most(places, MAX_CHAIN_CERTIFICATES, "chain")
    require(all(place < len(certificates) for place in places), "chain: no such certificate")
    chain = tuple(certificates[place] for place in places)
    require(sum(map(len, chain)) <= MAX_CHAIN_BYTES, "chain: too long")
    return chain


def _encode_vulnerability(fact: VulnerabilityFact) -> pb.VulnerabilityFact:
    return pb.VulnerabilityFact(
        vulnerability=VULNERABILITY.number[fact.vulnerability],
        present=SUPPORT.number[fact.present],
    )


def _decode_vulnerabilities(
    messages: Sequence[pb.VulnerabilityFact],
) -> tuple[VulnerabilityFact, ...]:
    at_most(messages, len(VULNERABILITY.number), "vulnerabilities")
    found = tuple(
        VulnerabilityFact(VULNERABILITY.member(one.vulnerability), SUPPORT.member(one.present))
        for one in messages
    )
    distinct = {one.vulnerability for one in found}
    require(len(distinct) == len(found), "vulnerabilities: one of them twice")
    return found


def _encode_trace(steps: Sequence[TraceStep]) -> pb.Trace:
    places: dict[str, int] = {}

    def column(texts: Iterable[str]) -> list[int]:
        return [places.setdefault(text, len(places)) for text in texts]

    message = pb.Trace(
        purposes=column(step.purpose for step in steps),
        offers=column(step.offered for step in steps),
        answers=column(step.answer for step in steps),
        proofs=column(step.proves for step in steps),
        started_s=[step.started_s for step in steps],
        duration_s=[step.duration_s for step in steps],
    )
    message.texts.extend(places)
    return message


def _decode_trace(message: pb.Trace) -> tuple[TraceStep, ...]:
    at_most(message.started_s, MAX_TRACE_STEPS, "trace")
    at_most(message.texts, 4 * MAX_TRACE_STEPS, "trace.texts")
    # The texts come from few templates: all facts that are kept share them.
    texts = [sys.intern(read_text(text, "trace.texts")) for text in message.texts]
    steps = len(message.started_s)

    def column(places: Sequence[int]) -> list[str]:
        require(len(places) == steps, "trace: columns of unequal length")
        require(all(place < len(texts) for place in places), "trace: no such text")
        return [texts[place] for place in places]

    require(len(message.duration_s) == steps, "trace: columns of unequal length")
    return tuple(
        TraceStep(
            purpose=purpose,
            offered=offered,
            answer=answer,
            proves=proves,
            started_s=read_seconds(started_s, "trace.started_s"),
            duration_s=read_seconds(duration_s, "trace.duration_s"),
        )
        for purpose, offered, answer, proves, started_s, duration_s in zip(
            column(message.purposes),
            column(message.offers),
            column(message.answers),
            column(message.proofs),
            message.started_s,
            message.duration_s,
            strict=True,
        )
    )


def _encode_deep(deep: DeepFacts) -> pb.DeepFacts:
    return pb.DeepFacts(
        early_data=SUPPORT.number[deep.early_data],
        fallback_scsv=SUPPORT.number[deep.fallback_scsv],
        extended_master_secret=SUPPORT.number[deep.extended_master_secret],
        secure_renegotiation=SUPPORT.number[deep.secure_renegotiation],
        client_renegotiation=SUPPORT.number[deep.client_renegotiation],
        curves=[
            pb.CurveFact(curve=one.curve, support=SUPPORT.number[one.support])
            for one in deep.curves
        ],
        contradictions=deep.contradictions,
        connections_used=deep.connections_used,
        duration=encode_duration(deep.duration),
        remarks=deep.remarks,
    )


def _decode_deep(message: pb.DeepFacts) -> DeepFacts:
    at_most(message.curves, MAX_CURVES, "deep.curves")
    require(message.HasField("duration"), "deep: no duration")
    return DeepFacts(
        early_data=SUPPORT.member(message.early_data),
        fallback_scsv=SUPPORT.member(message.fallback_scsv),
        extended_master_secret=SUPPORT.member(message.extended_master_secret),
        secure_renegotiation=SUPPORT.member(message.secure_renegotiation),
        client_renegotiation=SUPPORT.member(message.client_renegotiation),
        curves=tuple(
            CurveFact(read_text(one.curve, "deep.curves"), SUPPORT.member(one.support))
            for one in message.curves
        ),
        contradictions=read_texts(message.contradictions, "deep.contradictions"),
        connections_used=read_count(message.connections_used, MAX_CONNECTIONS, "deep"),
        duration=read_duration(message.duration, "deep.duration"),
        remarks=read_texts(message.remarks, "deep.remarks"),
    )


def _must_agree(support: Support, evidence: Evidence) -> None:
    if PROVEN[evidence] is not support:
        raise ValueError(f"{evidence.name} does not prove {support.name}")
