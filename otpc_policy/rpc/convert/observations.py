"""Measured facts as the FULL view shows them."""

from collections.abc import Container
from dataclasses import replace
from datetime import timedelta

from otpc_policy.core.facts import (
    AddressFacts,
    CipherSuiteFact,
    DeepFacts,
    DeploymentFact,
    EndpointFacts,
    ForbiddenAddress,
    GroupFact,
    KeyExchangeFact,
    TraceStep,
    UnmeasuredAddress,
    VersionFact,
)
from otpc_policy.core.registries.groups import group_name
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.rpc.convert.certificates import CertificateMessages
from otpc_policy.rpc.convert.times import to_duration, to_timestamp
from otpc_policy.rpc.convert.vocabulary import (
    CLIENT_AUTHS,
    EVIDENCES,
    HTTP_SERVICES,
    KEY_TYPES,
    SUPPORTS,
    VERSIONS,
)
from otpc_policy.v1 import policy_pb2 as pb


def observation_message(
    facts: EndpointFacts, hidden: Container[str] = frozenset()
) -> pb.EndpointObservation:
    """Return everything measured about an endpoint, certificates decoded.

    hidden: addresses that are not to be named. An address that was not measured, or must not be, is
    listed too: reachable UNKNOWN, with the reason as its remark; hidden ones once for each reason.
    """
    certificates = CertificateMessages()
    message = pb.EndpointObservation(
        canonical_host=facts.host,
        port=facts.port,
        addresses=(_address(address, certificates) for address in facts.addresses),
    )
    forbidden = [
        replace(each, address="") if each.address in hidden else each for each in facts.forbidden
    ]
    not_measured: tuple[UnmeasuredAddress | ForbiddenAddress, ...] = (
        *facts.unmeasured,
        *dict.fromkeys(forbidden),
    )
    for address in not_measured:
        message.addresses.add(
            address=address.address,
            reachable=pb.SUPPORT_UNKNOWN,
            client_auth=pb.CLIENT_AUTH_UNKNOWN,
            http=pb.HTTP_SERVICE_UNKNOWN,
            extended_master_secret=pb.SUPPORT_UNKNOWN,
            secure_renegotiation=pb.SUPPORT_UNKNOWN,
            compression=pb.SUPPORT_UNKNOWN,
            remarks=[address.reason],
        )
    return message


def _address(facts: AddressFacts, certificates: CertificateMessages) -> pb.AddressObservation:
    return pb.AddressObservation(
        address=facts.address,
        reachable=SUPPORTS[facts.reachable],
        protocols=map(_version, facts.versions),
        cipher_suites=map(_cipher_suite, facts.cipher_suites),
        certificate_deployments=(
            _deployment(deployment, certificates) for deployment in facts.deployments
        ),
        client_auth=CLIENT_AUTHS[facts.client_auth],
        http=HTTP_SERVICES[facts.http],
        connections_used=facts.connections_used,
        duration=to_duration(facts.duration),
        observation_time=to_timestamp(facts.observed_at),
        remarks=facts.remarks,
        intolerances=facts.intolerances,
        groups=map(_group, facts.groups),
        key_exchanges=map(_key_exchange, facts.key_exchanges),
        extended_master_secret=SUPPORTS[facts.handshake.extended_master_secret],
        secure_renegotiation=SUPPORTS[facts.handshake.secure_renegotiation],
        compression=SUPPORTS[facts.handshake.compression],
        seed=facts.seed,
        trace=map(_step, facts.trace),
        deep=_deep(facts, facts.deep) if facts.deep is not None else None,
    )


def _deep(facts: AddressFacts, deep: DeepFacts) -> pb.DeepObservation:
    return pb.DeepObservation(
        vulnerabilities=(
            pb.VulnerabilityObservation(
                name=fact.vulnerability.value, present=SUPPORTS[fact.present]
            )
            for fact in facts.vulnerabilities
        ),
        early_data=SUPPORTS[deep.early_data],
        fallback_scsv=SUPPORTS[deep.fallback_scsv],
        extended_master_secret=SUPPORTS[deep.extended_master_secret],
        secure_renegotiation=SUPPORTS[deep.secure_renegotiation],
        client_renegotiation=SUPPORTS[deep.client_renegotiation],
        curves=(
            pb.CurveObservation(name=fact.curve, support=SUPPORTS[fact.support])
            for fact in deep.curves
        ),
        contradictions=deep.contradictions,
        connections_used=deep.connections_used,
        duration=to_duration(deep.duration),
        remarks=deep.remarks,
    )


def _step(step: TraceStep) -> pb.TraceStep:
    return pb.TraceStep(
        purpose=step.purpose,
        offered=step.offered,
        answer=step.answer,
        proves=step.proves,
        start_offset=to_duration(timedelta(seconds=step.started_s)),
        duration=to_duration(timedelta(seconds=step.duration_s)),
    )


def _version(fact: VersionFact) -> pb.ProtocolObservation:
    return pb.ProtocolObservation(
        version=VERSIONS[fact.version],
        support=SUPPORTS[fact.support],
        evidence=EVIDENCES[fact.evidence],
    )


def _cipher_suite(fact: CipherSuiteFact) -> pb.CipherSuiteObservation:
    known = suite_by_code_point(fact.code_point)
    return pb.CipherSuiteObservation(
        version=VERSIONS[fact.version],
        code_point=fact.code_point,
        iana_name=known.iana_name if known else "",
        openssl_name=known.openssl_name if known else "",
        support=SUPPORTS[fact.support],
        evidence=EVIDENCES[fact.evidence],
        handshake_completed=fact.handshake_completed,
    )


def _group(fact: GroupFact) -> pb.GroupObservation:
    return pb.GroupObservation(
        code_point=fact.code_point,
        name=group_name(fact.code_point),
        support=SUPPORTS[fact.support],
        evidence=EVIDENCES[fact.evidence],
    )


def _key_exchange(fact: KeyExchangeFact) -> pb.KeyExchangeObservation:
    return pb.KeyExchangeObservation(
        version=VERSIONS[fact.version],
        group=fact.group or 0,
        group_name="" if fact.group is None else group_name(fact.group),
        bits=fact.bits,
    )


def _deployment(
    fact: DeploymentFact, certificates: CertificateMessages
) -> pb.CertificateDeployment:
    return pb.CertificateDeployment(
        version=VERSIONS[fact.version],
        key_type=KEY_TYPES[fact.key_type],
        support=SUPPORTS[fact.support],
        evidence=EVIDENCES[fact.evidence],
        certificates=map(certificates.of, fact.chain),
        stapled_ocsp_response=fact.stapled_ocsp_response or b"",
    )
