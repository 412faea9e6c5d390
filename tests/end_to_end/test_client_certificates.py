"""HTTP behind mutual TLS, measured by a confined engine that the service has started."""

from pathlib import Path

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import ANCHOR, decision_of, summary
from tests.end_to_end.running import running_service
from tests.end_to_end.world import World
from tests.support.certificates import CertificateAuthority
from tests.support.servers import TlsOffer, nginx, s_server

pytestmark = pytest.mark.long


@pytest.mark.parametrize("server", [s_server, nginx])
def test_http_behind_mutual_tls_is_seen_for_the_partner_and_for_no_other_name(
    world: World, tmp_path: Path, server: object
) -> None:
    clients = CertificateAuthority.create("Clients")
    router = clients.issue(dns=("router.test",), extended_key_usage=("client_auth",))
    certificate, key = router.write(tmp_path, "router")
    partner, other = world.partner(), world.partner()
    settings = world.settings(
        client_certificates={
            "demanding": {
                "hosts": [partner.name],
                "certificate_file": str(certificate),
                "key_file": str(key),
            }
        }
    )
    with running_service(settings) as service:
        for one, sees in ((partner, True), (other, False)):
            offer = TlsOffer(certificates=world.pair(one.name), client_ca=clients.pem)
            serve = s_server if server is s_server else nginx
            with serve(one.listener(), offer) as at:
                # In a process of its own that may open no file.
                depth = pb.SCAN_DEPTH_DEEP if server is s_server else pb.SCAN_DEPTH_STANDARD
                response = service.check(one, at, depth=depth)
            # Whether clients can renegotiate is seen in whole handshakes alone.
            expected = "ALLOW" if sees or server is nginx else "INDETERMINATE"
            assert decision_of(response) == expected, summary(response)
            (seen,) = response.observation.addresses
            codes = {finding.code for finding in response.findings}
            if sees or server is nginx:
                assert seen.http == pb.HTTP_SERVICE_SERVED
                assert codes == {ANCHOR}
            else:
                assert seen.http == pb.HTTP_SERVICE_NOT_OBSERVABLE
                assert codes == {ANCHOR, "HTTP_NOT_OBSERVABLE", "MEASUREMENT_INCOMPLETE"}
            if server is s_server:
                assert seen.client_auth == pb.CLIENT_AUTH_REQUIRED
                is_known = seen.deep.client_renegotiation != pb.SUPPORT_UNKNOWN
                assert is_known is sees
