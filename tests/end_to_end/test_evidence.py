"""A compliant partner's observation: every version, suite and chain, each with its evidence."""

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.protocol_cases import COMPLIANT_SERVERS
from tests.end_to_end.running import Service
from tests.end_to_end.world import World
from tests.support.servers import TlsOffer

SIX = {0xC02B, 0xC02F, 0xCCA9, 0xCCA8, 0xC023, 0xC027}
# Caddy has no suites with CBC and SHA-256.
FOUR = SIX - {0xC023, 0xC027}
PROOFS_OF_ABSENCE = {pb.EVIDENCE_ALERT, pb.EVIDENCE_CLOSED_CONFIRMED, pb.EVIDENCE_LOWER_VERSION}


@pytest.mark.parametrize("name", COMPLIANT_SERVERS)
def test_a_compliant_server_is_seen_whole(name: str, world: World, service: Service) -> None:
    partner = world.partner()
    rsa, ecdsa = world.pair(partner.name)
    with COMPLIANT_SERVERS[name](partner.listener(), TlsOffer(certificates=(rsa, ecdsa))) as at:
        response = service.check(partner, at)
    assert decision_of(response) == "ALLOW", summary(response)
    (seen,) = response.observation.addresses
    assert (seen.address, seen.reachable, seen.http, seen.client_auth) == (
        at.address,
        pb.SUPPORT_YES,
        pb.HTTP_SERVICE_SERVED,
        pb.CLIENT_AUTH_NONE,
    )

    offered = {fact.version for fact in seen.protocols if fact.support == pb.SUPPORT_YES}
    refused = {fact.version for fact in seen.protocols if fact.support == pb.SUPPORT_NO}
    assert offered == {pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3}
    assert refused == {
        pb.TLS_VERSION_SSL_2_0,
        pb.TLS_VERSION_SSL_3_0,
        pb.TLS_VERSION_TLS_1_0,
        pb.TLS_VERSION_TLS_1_1,
    }

    accepted = {
        fact.code_point
        for fact in seen.cipher_suites
        if fact.version == pb.TLS_VERSION_TLS_1_2 and fact.support == pb.SUPPORT_YES
    }
    assert accepted == (FOUR if name == "Caddy" else SIX)
    assert all(
        fact.evidence == pb.EVIDENCE_SERVER_HELLO
        for fact in seen.cipher_suites
        if fact.support == pb.SUPPORT_YES
    )
    facts = [(fact.support, fact.evidence) for fact in seen.cipher_suites] + [
        (fact.support, fact.evidence) for fact in seen.protocols
    ]
    assert {
        evidence for support, evidence in facts if support == pb.SUPPORT_NO
    } <= PROOFS_OF_ABSENCE
    assert not [fact for fact in facts if fact[0] == pb.SUPPORT_UNKNOWN]
    assert (
        len(
            {
                fact.code_point
                for fact in seen.cipher_suites
                if fact.version == pb.TLS_VERSION_TLS_1_2
            }
        )
        > 150
    ), "everything that can be offered was"

    served = {
        (fact.version, fact.key_type): tuple(certificate.der for certificate in fact.certificates)
        for fact in seen.certificate_deployments
        if fact.support == pb.SUPPORT_YES
    }
    assert served == {
        (version, key_type): leaf.chain_der
        for version in (pb.TLS_VERSION_TLS_1_2, pb.TLS_VERSION_TLS_1_3)
        for key_type, leaf in ((pb.KEY_TYPE_RSA, rsa), (pb.KEY_TYPE_ECDSA, ecdsa))
    }
    assert seen.connections_used > 0


def test_findings_carry_evidence_and_remedy_in_the_full_view_alone(
    world: World, service: Service
) -> None:
    partner = world.partner()
    weak = TlsOffer(
        certificates=world.pair(partner.name),
        ciphers="ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES256-GCM-SHA384",
    )
    with COMPLIANT_SERVERS["nginx"](partner.listener(), weak) as at:
        full = service.check(partner, at)
        basic = service.check(partner, at, view=pb.VIEW_BASIC)
    assert [finding.code for finding in basic.findings] == [
        finding.code for finding in full.findings
    ]
    denying = full.findings[0]
    assert denying.code == "CIPHER_SUITE_NONE_REQUIRED"
    assert denying.evidence
    assert "ssl_ciphers" in denying.remediation
    assert "jdk.tls.disabledAlgorithms" in denying.remediation
    assert denying.citation
    assert not any(finding.evidence for finding in basic.findings)
    assert not basic.HasField("observation")
    assert list(basic.judged_addresses) == [at.address]
