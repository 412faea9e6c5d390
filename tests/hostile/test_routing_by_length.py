"""HAProxy routes by the length of a hello in one line: short and long ones meet other servers."""

from collections.abc import Iterator, Mapping
from itertools import product

import pytest

from otpc_policy.policy.finding import Decision
from tests.hostile.faults import TLS10, Stacks
from tests.hostile.surveying import Surveyor, objection
from tests.support.hostile.endpoint import serving
from tests.support.hostile.hello import read_choice
from tests.support.hostile.made_hello import with_wire_size
from tests.support.hostile.turns import where
from tests.support.loopback import Listener, free_port, own_address, own_listener
from tests.support.ordinary_clients import GOOD, s_client
from tests.support.raw_client import answer_to
from tests.support.servers.proxies import Route, routing_haproxy
from tests.support.tcp import counting_servers

pytestmark = [
    pytest.mark.asyncio(loop_scope="package"),
    pytest.mark.xdist_group("routing by length"),
]

SIZES = (150, 250, 360, 500)
WAYS = ("gt", "le")


@pytest.fixture(scope="module")
def fronts(stacks: Stacks) -> Iterator[Mapping[str, Listener]]:
    """Yield where HAProxy listens: for each length, those that pass to TLS 1.0 and "twin"."""
    address = own_address()
    listeners = [Listener(address, free_port(address)) for _ in range(1 + len(SIZES) * len(WAYS))]
    good, old = own_listener(), own_listener()
    names = [f"{way}-{size}" for way, size in product(WAYS, SIZES)]
    routes = [
        Route(listener=listener, condition=f"req.len {way} {size}", then=old, otherwise=good)
        for listener, (way, size) in zip(listeners, product(WAYS, SIZES), strict=False)
    ]
    twin = Route(listener=listeners[-1], condition="req.len gt 360", then=good, otherwise=good)
    servers = {
        good: serving(stacks.good),
        old: where(TLS10.concerns, serving(stacks.old), serving(stacks.good)),
    }
    with counting_servers(servers), routing_haproxy([*routes, twin]):
        yield dict(zip([*names, "twin"], listeners, strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS, ids=["longer-meets-tls10", "shorter-meets-tls10"])
async def test_tls_1_0_for_hellos_of_some_lengths_is_never_allowed(
    way: str,
    size: int,
    fronts: Mapping[str, Listener],
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    front = fronts[f"{way}-{size}"]
    for length in (size, size + 1):
        received = answer_to(front, bytes(with_wire_size(length)(TLS10.hello)))
        is_met = (length > size) is (way == "gt")
        assert (read_choice(received) is not None) is is_met
    received = answer_to(front, TLS10.hello.in_ssl2_format())
    assert (read_choice(received) is not None) is (way == "le")
    seen = s_client(front, stacks.authority.pem)
    assert seen is not None
    assert seen.verified == GOOD
    assert objection(await anchored.judge(front), TLS10.code) == ""


async def test_a_compliant_server_behind_such_a_router_is_allowed(
    fronts: Mapping[str, Listener],
    anchored: Surveyor,
) -> None:
    verdict = await anchored.judge(fronts["twin"])
    assert verdict.decision is Decision.ALLOW, [one.message for one in verdict.findings]
