"""Doubles for the tests of others: the real clients, answered by rules, and closed by default."""

import hashlib
from typing import Any

import grpc
import pytest

from otpc_policy_client import (
    CacheLimits,
    CallError,
    InvalidRequest,
    NotAsJudged,
    ServiceUnavailable,
    TrafficNotPermitted,
    Violation,
    check_request,
)
from otpc_policy_client.testing import NO_RULE, Rules, allow, deny, fail, indeterminate
from tests.client.both import THREADS, both, fake_of
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer
from tests.support.servers.threaded import echo, tls_server

HOST = "partner.test"
AUTHORITY = CertificateAuthority.create()
LEAF, OTHER = (AUTHORITY.issue(dns=(HOST,)) for _ in range(2))


@both
def test_without_a_rule_nothing_is_permitted(kind: str) -> None:
    with fake_of(kind, Rules()) as client:
        verdict = client.check(HOST)
        assert (verdict.permits_traffic, verdict.codes) == (False, (NO_RULE,))
        with pytest.raises(TrafficNotPermitted, match=NO_RULE):
            client.connect(HOST)
        with pytest.raises(CallError, match="UNIMPLEMENTED"):
            client.get_policy("p")


@both
def test_rules_answer_by_host_and_port_in_turn(kind: str) -> None:
    rules = Rules()
    rules.set(HOST, fail(grpc.StatusCode.UNAVAILABLE), allow(), deny("CERTIFICATE_EXPIRED"))
    rules.set(HOST, indeterminate("TARGET_DNS_FAILED"), port=8443)
    with fake_of(kind, rules) as client:
        assert client.check(HOST).permits_traffic  # the first rule was tried again
        for _ in range(2):
            assert client.check(HOST.upper()).codes == ("CERTIFICATE_EXPIRED",)
        assert client.check(HOST, port=8443).codes == ("TARGET_DNS_FAILED",)
        rules.set(HOST, fail(grpc.StatusCode.UNAVAILABLE))
        with pytest.raises(ServiceUnavailable):
            client.check(HOST)
        rules.set(HOST, allow())
        first, second = client.check_batch([check_request(HOST), check_request("other.test")])
        assert (first.permits_traffic, second.permits_traffic) == (True, False)
    assert rules.asked[0] == check_request(HOST)


@both
def test_errors_have_what_the_rule_says(kind: str) -> None:
    rules = Rules()
    wrong = Violation("host", "is empty")
    rules.set(HOST, fail(grpc.StatusCode.INVALID_ARGUMENT, reason="R", violations=[wrong]))
    with fake_of(kind, rules) as client, pytest.raises(InvalidRequest, match="host: is empty") as e:
        client.check(HOST)
    assert (e.value.reason, e.value.violations) == ("R", (wrong,))


def digest(leaf: Any) -> bytes:
    return hashlib.sha256(leaf.der).digest()


@both
def test_a_fake_dials_the_callers_own_server_and_compares_its_leaf(kind: str) -> None:
    rules, at = Rules(), own_listener()
    with (
        tls_server(at, TlsOffer(certificates=(LEAF,)), echo),
        fake_of(kind, rules, timeout_s=20, cache=CacheLimits()) as client,
    ):

        def connect() -> None:
            connection = client.connect(HOST, port=at.port)

            async def end() -> None:
                connection.close()
                await connection.writer.wait_closed()

            if kind == THREADS:
                connection.close()
            else:
                client.run(end())

        rules.set(HOST, allow(addresses=[at.address], leaves=[digest(OTHER)]), port=at.port)
        with pytest.raises(NotAsJudged):
            connect()
        assert [each.observed_leaf_sha256 for each in rules.asked] == [b"", digest(LEAF)]
        # The answer that did not know the leaf is not used again.
        rules.set(HOST, allow(addresses=[at.address], leaves=[digest(LEAF)]), port=at.port)
        connect()
        connect()
    assert [each.observed_leaf_sha256 for each in rules.asked[2:]] == [b""]
