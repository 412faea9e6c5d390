"""Certificate chains as messages of the contract and back: each certificate is carried once."""

from collections.abc import Iterable, Sequence

from otpc_policy.core.facts import DeploymentFact, Evidence
from otpc_policy.measurement.checks import at_most, require
from otpc_policy.measurement.limits import (
    MAX_CHAIN_BYTES,
    MAX_CHAIN_CERTIFICATES,
    MAX_DEPLOYMENT_BYTES,
    MAX_DEPLOYMENTS,
    MAX_STAPLE_BYTES,
)
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import (
    EVIDENCE,
    KEY_TYPE,
    PROVEN,
    TLS_VERSION,
    must_agree,
)


def encode_deployments(deployments: Iterable[DeploymentFact], message: pb.AddressFacts) -> None:
    """Write the deployments and their certificates into the message."""
    places: dict[bytes, int] = {}
    for deployment in deployments:
        message.deployments.append(_encode_deployment(deployment, places))
    message.certificates.extend(places)


def decode_deployments(facts: pb.AddressFacts) -> tuple[DeploymentFact, ...]:
    """Return the deployments. Raises EngineLied."""
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


def _encode_deployment(fact: DeploymentFact, places: dict[bytes, int]) -> pb.DeploymentFact:
    """Return the message. places: of each certificate so far; new ones are added."""
    must_agree(fact.support, fact.evidence)
    return pb.DeploymentFact(
        version=TLS_VERSION.number[fact.version],
        key_type=KEY_TYPE.number[fact.key_type],
        evidence=EVIDENCE.number[fact.evidence],
        chain=[places.setdefault(certificate, len(places)) for certificate in fact.chain],
        stapled_ocsp_response=fact.stapled_ocsp_response,
    )


def _decode_chain(places: Sequence[int], certificates: Sequence[bytes]) -> tuple[bytes, ...]:
    at_most(places, MAX_CHAIN_CERTIFICATES, "chain")
    require(all(place < len(certificates) for place in places), "chain: no such certificate")
    chain = tuple(certificates[place] for place in places)
    require(sum(map(len, chain)) <= MAX_CHAIN_BYTES, "chain: too long")
    return chain
