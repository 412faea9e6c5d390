"""Facts as messages of the contract and back: without loss within the bounds, strict on the way in.

An engine has read bytes of hostile servers, so whatever it says is either within every rule of
the contract or raises EngineLied. Nothing is guessed, cut or left out on the way in.
"""

from collections.abc import Sequence

from otpc_policy.core.facts import (
    SEED_BYTES,
    AddressFacts,
    Depth,
    HandshakeFacts,
    TlsVersion,
    VersionFact,
)
from otpc_policy.measurement.checks import (
    at_most,
    read_count,
    read_duration,
    read_instant,
    read_texts,
    require,
)
from otpc_policy.measurement.deep_codec import (
    decode_deep,
    decode_vulnerabilities,
    encode_deep,
    encode_vulnerability,
)
from otpc_policy.measurement.deployment_codec import decode_deployments, encode_deployments
from otpc_policy.measurement.fitting import fitted
from otpc_policy.measurement.key_exchange_codec import (
    decode_groups,
    decode_handshake,
    decode_key_exchanges,
    encode_group,
    encode_handshake,
    encode_key_exchange,
)
from otpc_policy.measurement.limits import MAX_CONNECTIONS
from otpc_policy.measurement.suite_codec import decode_suites, encode_suites
from otpc_policy.measurement.times import encode_duration, encode_instant
from otpc_policy.measurement.trace_codec import decode_trace, encode_trace
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import (
    CLIENT_AUTH,
    EVIDENCE,
    HTTP_SERVICE,
    PROVEN,
    SUPPORT,
    TLS_SERVICE,
    TLS_VERSION,
    must_agree,
)


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
        cipher_suites=encode_suites(facts.cipher_suites),
        client_auth=CLIENT_AUTH.number[facts.client_auth],
        http=HTTP_SERVICE.number[facts.http],
        vulnerabilities=map(encode_vulnerability, facts.vulnerabilities),
        remarks=facts.remarks,
        intolerances=facts.intolerances,
        trace=encode_trace(facts.trace),
        deep=None if facts.deep is None else encode_deep(facts.deep),
        groups=map(encode_group, facts.groups),
        key_exchanges=map(encode_key_exchange, facts.key_exchanges),
        handshake=encode_handshake(facts.handshake),
        seed=bytes.fromhex(facts.seed),
    )
    encode_deployments(facts.deployments, message)
    return message


def decode_facts(
    message: pb.AddressFacts, *, address: str, depth: Depth, probe_revision: str
) -> AddressFacts:
    """Return the facts of a message.

    address, depth: of the target that it is about. probe_revision: of the engine.

    Raises EngineLied.
    """
    require(message.HasField("observed_at") and message.HasField("duration"), "facts: no time")
    is_deep = message.HasField("deep")
    if depth is not Depth.DEEP:
        require(not is_deep and not message.vulnerabilities, "deep: not asked for")
    return AddressFacts(
        address=address,
        probe_revision=probe_revision,
        observed_at=read_instant(message.observed_at, "observed_at"),
        duration=read_duration(message.duration, "duration"),
        connections_used=read_count(message.connections_used, MAX_CONNECTIONS, "connections_used"),
        depth=depth,
        reachable=SUPPORT.member(message.reachable),
        tls=TLS_SERVICE.member(message.tls),
        versions=_decode_versions(message.versions),
        cipher_suites=decode_suites(message.cipher_suites),
        deployments=decode_deployments(message),
        client_auth=CLIENT_AUTH.member(message.client_auth),
        http=HTTP_SERVICE.member(message.http),
        vulnerabilities=decode_vulnerabilities(message.vulnerabilities),
        remarks=read_texts(message.remarks, "remarks"),
        intolerances=read_texts(message.intolerances, "intolerances"),
        trace=decode_trace(message.trace),
        deep=decode_deep(message.deep) if is_deep else None,
        groups=decode_groups(message.groups),
        key_exchanges=decode_key_exchanges(message.key_exchanges),
        handshake=decode_handshake(message.handshake)
        if message.HasField("handshake")
        else HandshakeFacts(),
        seed=_decode_seed(message.seed),
    )


def _decode_seed(seed: bytes) -> str:
    """An engine that draws nothing has none."""
    require(len(seed) in (0, SEED_BYTES), "seed: of another length")
    return seed.hex()


def _encode_version(fact: VersionFact) -> pb.VersionFact:
    must_agree(fact.support, fact.evidence)
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
