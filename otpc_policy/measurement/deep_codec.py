"""What only a DEEP measurement shows, as messages of the contract and back."""

from collections.abc import Sequence

from otpc_policy.core.facts import CurveFact, DeepFacts, VulnerabilityFact
from otpc_policy.measurement.checks import (
    at_most,
    read_count,
    read_duration,
    read_text,
    read_texts,
    require,
)
from otpc_policy.measurement.limits import MAX_CONNECTIONS, MAX_CURVES
from otpc_policy.measurement.times import encode_duration
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import SUPPORT, VULNERABILITY


def encode_vulnerability(fact: VulnerabilityFact) -> pb.VulnerabilityFact:
    """Return the message."""
    return pb.VulnerabilityFact(
        vulnerability=VULNERABILITY.number[fact.vulnerability],
        present=SUPPORT.number[fact.present],
    )


def decode_vulnerabilities(
    messages: Sequence[pb.VulnerabilityFact],
) -> tuple[VulnerabilityFact, ...]:
    """Return the facts, one for each vulnerability. Raises EngineLied."""
    at_most(messages, len(VULNERABILITY.number), "vulnerabilities")
    found = tuple(
        VulnerabilityFact(VULNERABILITY.member(one.vulnerability), SUPPORT.member(one.present))
        for one in messages
    )
    distinct = {one.vulnerability for one in found}
    require(len(distinct) == len(found), "vulnerabilities: one of them twice")
    return found


def encode_deep(deep: DeepFacts) -> pb.DeepFacts:
    """Return the message."""
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


def decode_deep(message: pb.DeepFacts) -> DeepFacts:
    """Return the facts. Raises EngineLied."""
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
