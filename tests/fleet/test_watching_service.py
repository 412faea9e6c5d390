"""A real service keeps a real endpoint fresh that nobody asks for, and leaves nothing behind."""

import json
from pathlib import Path

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.catalog.writing import entry
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, nginx
from tests.support.service_process import service_process
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

CHECKS = 'otpc_policy_watch_checks_total{result="allow"}'
ENDPOINTS = 'otpc_policy_watched_endpoints{decision="ALLOW",partner="bank"}'
OBSERVED = 'otpc_policy_watched_oldest_observation_timestamp_seconds{partner="bank"}'


def test_a_watched_endpoint_stays_fresh_without_any_caller(tmp_path: Path) -> None:
    authority = CertificateAuthority.create()
    (tmp_path / "anchor.pem").write_bytes(authority.pem)
    trust = [{"hosts": ["*.bank.test"], "anchor_file": str(tmp_path / "anchor.pem"), "note": "t"}]
    pair = tuple(authority.issue(dns=("api.bank.test",), key=kind) for kind in ("ec256", "rsa2048"))
    partners, folder = tmp_path / "partners", tmp_path / "service"
    partners.mkdir()
    folder.mkdir()
    with nginx(own_listener(), TlsOffer(certificates=pair)) as partner:
        (partners / "bank.toml").write_text(entry("bank", f"api.bank.test:{partner.port}"))
        with service_process(
            folder,
            OTPC_POLICY_TRUST=json.dumps(trust),
            OTPC_POLICY_STATIC_HOSTS=json.dumps({"api.bank.test": partner.address}),
            OTPC_POLICY_PARTNERS_DIR=str(partners),
            OTPC_POLICY_ENGINES="1",
            OTPC_POLICY_WATCH__PARTNERS="true",
            OTPC_POLICY_MINIMUM_REFRESH_INTERVAL_S="1",
            OTPC_POLICY_LIFETIMES__ALLOW_S="20",
        ) as service:
            request = pb.CheckEndpointRequest(
                host="api.bank.test",
                port=partner.port,
                freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_CACHE_ONLY),
            )
            wait_until(lambda: service.metric(CHECKS) >= 1)
            first = service.checks.CheckEndpoint(request, timeout=10)
            assert first.decision == pb.DECISION_ALLOW
            assert service.metric(ENDPOINTS) == 1
            observed = service.metric(OBSERVED)
            wait_until(lambda: service.metric(CHECKS) >= 2, within_s=60)
            again = service.checks.CheckEndpoint(request, timeout=10)
            assert again.decision == pb.DECISION_ALLOW
            assert again.result_info.source == pb.RESULT_SOURCE_CACHE
            # It was measured before the first verdict had expired.
            assert again.result_info.observation_time.ToNanoseconds() < (
                first.result_info.expire_time.ToNanoseconds()
            )
            assert service.metric(OBSERVED) > observed
            (watched,) = service.checks.ListWatched(pb.ListWatchedRequest(), timeout=10).endpoints
            assert (watched.host, watched.port) == ("api.bank.test", partner.port)
            assert (watched.partner_id, watched.decision) == ("bank", pb.DECISION_ALLOW)
            assert watched.next_check_time.ToNanoseconds() < watched.expire_time.ToNanoseconds()
            assert watched.HasField("certificate_end_time")
            assert service.metric('otpc_policy_scans_total{outcome="complete"}') >= 2
