"""A service whose engines reach partners through an HTTP proxy alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import ANCHOR, decision_of, summary
from tests.end_to_end.running import running_service
from tests.end_to_end.world import METADATA_ADDRESS, World
from tests.support.connect_proxy import ConnectProxy, connect_proxy, says, status
from tests.support.loopback import Listener
from tests.support.servers import TlsOffer, nginx

pytestmark = pytest.mark.long


def through(proxy: ConnectProxy, folder: Path, password: str = "s3cret") -> Mapping[str, Any]:
    file = folder / "password"
    file.write_text(password, encoding="utf-8")
    file.chmod(0o600)
    return {
        "egress_proxy": proxy.url,
        "egress_proxy_user": "router",
        "egress_proxy_password_file": str(file),
    }


def test_a_partner_is_judged_through_the_proxy_and_at_every_depth(
    world: World, tmp_path: Path
) -> None:
    partner = world.partner()
    with connect_proxy(credentials="router:s3cret") as proxy:
        settings = world.settings(**through(proxy, tmp_path))
        with (
            running_service(settings) as service,
            nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at,
        ):
            response = service.check(partner, at, depth=pb.SCAN_DEPTH_DEEP)
            asked = set(proxy.asked)
            forbidden = service.check(world.forbidden, Listener(METADATA_ADDRESS, 443))
            assert set(proxy.asked) == asked == {f"{at.address}:{at.port}"}
    assert decision_of(response) == "ALLOW", summary(response)
    assert {finding.code for finding in response.findings} == {ANCHOR}
    assert response.observation.addresses[0].http == pb.HTTP_SERVICE_SERVED
    assert response.observation.addresses[0].connections_used == len(proxy.asked)
    assert {finding.code for finding in forbidden.findings} == {"TARGET_ADDRESS_FORBIDDEN"}


def test_wrong_credentials_are_the_operators_fault_and_never_the_partners(
    world: World, tmp_path: Path
) -> None:
    partner = world.partner()
    with connect_proxy(credentials="router:s3cret") as proxy:
        settings = world.settings(**through(proxy, tmp_path, "wrong"))
        with (
            running_service(settings) as service,
            nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at,
        ):
            response = service.check(partner, at)
    assert decision_of(response) == "INDETERMINATE"
    (finding,) = response.findings
    assert finding.code == "SCAN_FAILED"
    assert "egress proxy" in finding.message
    assert "egress_proxy" in finding.remediation
    assert "not the partner's fault" in finding.remediation


@pytest.mark.parametrize(
    "mood", [status(403), status(502), says(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 502 Bad\r\n\r\n")]
)
def test_what_a_proxy_refuses_is_unknown(world: World, tmp_path: Path, mood: object) -> None:
    partner = world.partner()
    with connect_proxy(mood, credentials="router:s3cret") as proxy:  # type: ignore[arg-type]
        settings = world.settings(**through(proxy, tmp_path))
        with (
            running_service(settings) as service,
            nginx(partner.listener(), TlsOffer(certificates=world.pair(partner.name))) as at,
        ):
            response = service.check(partner, at)
    assert decision_of(response) == "INDETERMINATE", summary(response)
    assert not {finding.code for finding in response.findings if finding.effect == pb.EFFECT_DENY}
