"""The service measures none of its own ports, whatever name or address leads to them."""

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of
from tests.end_to_end.running import Service, running_service
from tests.end_to_end.world import World
from tests.support.loopback import Listener


def at(address: str) -> Listener:
    host, _, port = address.rpartition(":")
    return Listener(host, int(port))


@pytest.mark.parametrize(
    ("listen", "host"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        ("127.0.0.1:0", "self.partner.test"),
        ("127.0.0.1:0", "[::ffff:127.0.0.1]"),
        ("0.0.0.0:0", "127.0.0.77"),
        ("[::]:0", "self.partner.test"),
        ("[::]:0", "[::1]"),
    ],
)
def test_neither_port_of_the_service_is_measured(world: World, listen: str, host: str) -> None:
    hosts = {"self.partner.test": ["127.0.0.1"]}
    changed = {"listen": listen, "ops_listen": listen, "dangerously_listen_without_tls": True}
    settings = world.settings(hosts=hosts).model_copy(update=changed)
    with running_service(settings) as service:
        for own in (service.address, service.ops_address):
            response = service.check(host, at(own))
            assert decision_of(response) == "DENY"
            (finding,) = response.findings
            assert finding.code == "TARGET_ADDRESS_FORBIDDEN"
            assert "this service itself listens" in finding.message
            assert response.result_info.source == pb.RESULT_SOURCE_UNSPECIFIED


def test_another_port_of_the_same_address_is_measured(service: Service) -> None:
    other = Listener("127.0.0.1", at(service.address).port - 1)
    codes = {finding.code for finding in service.check("127.0.0.1", other).findings}
    assert "TARGET_ADDRESS_FORBIDDEN" not in codes
