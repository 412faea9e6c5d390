"""Compliant servers with one group, or with a strict view of key shares: they are allowed."""

import pytest

from otpc_policy.policy.finding import Decision
from tests.hostile.faults import EXPIRED, Stacks
from tests.hostile.properties import (
    KEY_SHARE,
    P256,
    SUPPORTED_GROUPS,
    SUPPORTED_VERSIONS,
    X25519,
)
from tests.hostile.surveying import Surveyor
from tests.support.hostile.behaviours import alert
from tests.support.hostile.endpoint import server_context, serving
from tests.support.hostile.hello import SeenHello, read_alert, read_choice
from tests.support.hostile.made_hello import (
    all_of,
    key_shares,
    numbers,
    suites_first,
    versions,
    with_extension,
)
from tests.support.hostile.turns import where
from tests.support.loopback import own_listener
from tests.support.ordinary_clients import GOOD, s_client, tlslite_client
from tests.support.raw_client import answer_to
from tests.support.servers.offer import OTPC_CIPHERS
from tests.support.tcp import counting_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

_ILLEGAL_PARAMETER = 47
_ONE_GROUP = {"x448": ("X448", "X25519:P-256"), "p521": ("secp521r1", "X25519:P-256")}


@pytest.mark.parametrize("group", _ONE_GROUP)
async def test_a_server_with_one_group_is_allowed(
    group: str,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    """ssllabs-scan#939: a certificate that was asked for with other groups is not absent."""
    curve, others = _ONE_GROUP[group]
    leaves = stacks.authority.issue(key="rsa2048"), stacks.authority.issue(key="ec256")
    behaviour = serving(server_context(*leaves, ciphers=OTPC_CIPHERS, curve=curve))
    server = own_listener()
    with counting_server(server, behaviour):
        for version in ("-tls1_2", "-tls1_3"):
            seen = s_client(server, stacks.authority.pem, version)
            assert seen is not None
            assert seen.verified == GOOD
            refused = s_client(server, stacks.authority.pem, version, "-groups", others)
            assert refused is None
    verdict = await anchored.verdict_of(behaviour)
    assert verdict.decision is Decision.ALLOW, [one.message for one in verdict.findings]


def has_misplaced_shares(hello: SeenHello) -> bool:
    """The key shares are not in the order of supported_groups, or not of its groups."""
    groups = hello.groups or ()
    places = [groups.index(one) if one in groups else -1 for one in hello.share_groups]
    return -1 in places or places != sorted(places)


async def test_a_server_that_enforces_the_order_of_key_shares_is_allowed(
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    """RFC 8446 4.2.8: each share corresponds to a group, in the same order, or alert 47."""
    refuse = alert(_ILLEGAL_PARAMETER)
    behaviour, server = where(has_misplaced_shares, refuse, serving(stacks.good)), own_listener()
    swapped = all_of(
        with_extension(SUPPORTED_GROUPS, numbers(P256, X25519)),
        with_extension(SUPPORTED_VERSIONS, versions(0x0304)),
        with_extension(KEY_SHARE, key_shares((X25519, 32), (P256, 65))),
        suites_first(0x1301),
    )(EXPIRED.hello)
    with counting_server(server, behaviour):
        seen = tlslite_client(server, keyShares=["secp256r1", "x25519"])
        assert seen is not None
        assert seen.version == "TLSv1.3"
        received = answer_to(server, bytes(swapped))
    assert read_choice(received) is None
    refusal = read_alert(received)
    assert refusal is not None
    assert refusal.description == _ILLEGAL_PARAMETER
    verdict = await anchored.verdict_of(behaviour)
    assert verdict.decision is Decision.ALLOW, [one.message for one in verdict.findings]
