"""Depth DEEP over gRPC: allows a compliant server, denies a vulnerable server, serves STANDARD."""

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of, summary
from tests.end_to_end.running import Service
from tests.end_to_end.world import World
from tests.support.servers import TlsOffer, nginx
from tests.support.servers.libraries import gnutls_serv

DISPUTED = 'otpc_policy_deep_contradictions_total{subject="cipher_suite"}'


def test_a_compliant_server_is_allowed_and_its_deep_facts_serve_standard_too(
    world: World, service: Service
) -> None:
    partner, disputed = world.partner(), service.metric(DISPUTED)
    with nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at:
        deep = service.check(partner, at, depth=pb.SCAN_DEPTH_DEEP)
        standard = service.check(partner, at)
    assert decision_of(deep) == "ALLOW", summary(deep)
    (address,) = deep.observation.addresses
    assert {fact.name: fact.present for fact in address.deep.vulnerabilities} == dict.fromkeys(
        ("HEARTBLEED", "ROBOT", "CCS_INJECTION", "INSECURE_RENEGOTIATION", "COMPRESSION"),
        pb.SUPPORT_NO,
    )
    assert not address.deep.contradictions
    assert address.connections_used > address.deep.connections_used > 0
    assert (decision_of(standard), standard.result_info.source) == ("ALLOW", pb.RESULT_SOURCE_CACHE)
    assert standard.result_info.observation_time == deep.result_info.observation_time
    assert service.metric(DISPUTED) == disputed


def test_a_vulnerable_server_is_denied_at_deep_and_allowed_at_standard(
    world: World, service: Service
) -> None:
    """gnutls-serv lets a client renegotiate as often as it likes; nothing else is wrong with it."""
    partner = world.partner()
    with gnutls_serv(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at:
        standard = service.check(partner, at)
        deep = service.check(partner, at, depth=pb.SCAN_DEPTH_DEEP)
    assert (decision_of(standard), decision_of(deep)) == ("ALLOW", "DENY"), summary(deep)
    (vulnerable,) = [finding for finding in deep.findings if finding.effect == pb.EFFECT_DENY]
    assert (vulnerable.code, vulnerable.rule_id) == ("TLS_VULNERABLE", "tls.vulnerability")
    assert vulnerable.message.startswith("insecure renegotiation")
