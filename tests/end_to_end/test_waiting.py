"""Callers that cannot wait, and callers that come all at once."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of
from tests.end_to_end.running import Service, request_for
from tests.end_to_end.world import World
from tests.support.loopback import own_listener
from tests.support.relay import relay
from tests.support.servers import TlsOffer, nginx


def test_a_caller_with_300_ms_is_answered_in_time_and_the_next_one_gets_the_finished_answer(
    world: World, service: Service
) -> None:
    partner = world.partner()
    with (
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name))) as far,
        relay(partner.listener(), far, round_trip_s=0.1) as counts,
    ):
        at = counts.listener
        began = time.monotonic()
        first = service.check(partner, at, timeout_s=0.3)
        assert time.monotonic() - began < 0.3
        assert decision_of(first) == "INDETERMINATE"
        assert {finding.code for finding in first.findings} == {"CHECK_IN_PROGRESS"}
        assert first.retry_after.ToTimedelta().total_seconds() > 0
        second = service.check(partner, at)
        used = counts.connections
        third = service.check(partner, at, timeout_s=0.3)
    assert (decision_of(second), decision_of(third)) == ("ALLOW", "ALLOW")
    assert second.result_info.source in (pb.RESULT_SOURCE_SHARED, pb.RESULT_SOURCE_CACHE)
    assert third.result_info.source == pb.RESULT_SOURCE_CACHE
    assert counts.connections == used == third.observation.addresses[0].connections_used


@pytest.mark.long
def test_a_caller_who_cannot_wait_for_a_long_list_is_told_what_denies_already(
    world: World, service: Service
) -> None:
    partner = world.partner()
    everything = TlsOffer(
        certificates=world.pair(partner.name),
        versions=("1.0", "1.1", "1.2", "1.3"),
        ciphers="ALL:COMPLEMENTOFALL:@SECLEVEL=0",
    )
    with (
        nginx(own_listener(), everything) as far,
        relay(partner.listener(), far, round_trip_s=0.3) as counts,
    ):
        at = counts.listener
        first = pb.CheckEndpointResponse()
        # Which hello shows what denies is drawn for each measurement: it may be among the last.
        for _ in range(15):
            if first.decision == pb.DECISION_DENY:
                break
            # A busy machine may answer after the deadline.
            with suppress(grpc.RpcError):
                first = service.check(partner, at, timeout_s=1.0)
        second = service.check(partner, at)
    codes = {finding.code for finding in first.findings}
    assert decision_of(first) == decision_of(second) == "DENY"
    assert codes >= {"CHECK_IN_PROGRESS", "TLS_VERSION_BELOW_MINIMUM"}
    assert "CHECK_IN_PROGRESS" not in {finding.code for finding in second.findings}
    assert len(_accepted(second)) > len(_accepted(first))


def _accepted(response: pb.CheckEndpointResponse) -> list[pb.CipherSuiteObservation]:
    return [
        suite
        for address in response.observation.addresses
        for suite in address.cipher_suites
        if suite.support == pb.SUPPORT_YES
    ]


def test_a_caller_that_hangs_up_does_not_end_the_measurement(
    world: World, service: Service
) -> None:
    partner = world.partner()
    with (
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name))) as far,
        relay(partner.listener(), far, round_trip_s=0.05) as counts,
    ):
        at = counts.listener
        gone = service.stub.CheckEndpoint.future(request_for(partner, at))
        while not counts.connections:
            assert not gone.done()
        gone.cancel()
        response = service.check(partner, at)
    assert decision_of(response) == "ALLOW"
    assert response.result_info.source in (pb.RESULT_SOURCE_SHARED, pb.RESULT_SOURCE_CACHE)
    assert counts.connections == response.observation.addresses[0].connections_used


def test_a_hundred_callers_at_once_cause_one_scan(world: World, service: Service) -> None:
    partner = world.partner()
    with (
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name))) as far,
        relay(partner.listener(), far, round_trip_s=0.05) as counts,
        ThreadPoolExecutor(max_workers=4) as pool,
    ):
        at = counts.listener
        calls = list(
            pool.map(
                lambda _number: service.stub.CheckEndpoint.future(
                    request_for(partner, at), timeout=30
                ),
                range(100),
            )
        )
        responses = [call.result() for call in calls]
    assert {decision_of(response) for response in responses} == {"ALLOW"}
    assert {response.observation.addresses[0].connections_used for response in responses} == {
        counts.connections
    }
    sources = Counter(response.result_info.source for response in responses)
    assert sources[pb.RESULT_SOURCE_MEASURED] == 1
    assert set(sources) <= {
        pb.RESULT_SOURCE_MEASURED,
        pb.RESULT_SOURCE_SHARED,
        pb.RESULT_SOURCE_CACHE,
    }


def test_a_refresh_measures_again(world: World, service: Service) -> None:
    partner = world.partner()
    with (
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name))) as near,
        relay(partner.listener(), near) as counts,
    ):
        service.check(partner, counts.listener)
        used = counts.connections
        again = service.check(
            partner, counts.listener, freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_REFRESH)
        )
    assert again.result_info.source == pb.RESULT_SOURCE_MEASURED
    assert counts.connections > used


def test_cache_only_opens_no_connection(world: World, service: Service) -> None:
    partner = world.partner()
    with (
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name))) as near,
        relay(partner.listener(), near) as counts,
    ):
        response = service.check(
            partner, counts.listener, freshness=pb.Freshness(mode=pb.FRESHNESS_MODE_CACHE_ONLY)
        )
    assert decision_of(response) == "INDETERMINATE"
    assert {finding.code for finding in response.findings} == {"NO_CACHED_RESULT"}
    assert counts.connections == 0


def test_a_batch_measures_identical_items_once_and_keeps_order(
    world: World, service: Service
) -> None:
    partner = world.partner()
    with (
        nginx(own_listener(), TlsOffer(certificates=world.pair(partner.name))) as near,
        relay(partner.listener(), near) as counts,
    ):
        good = request_for(partner, counts.listener)
        batch = pb.BatchCheckEndpointsRequest(
            requests=[good, pb.CheckEndpointRequest(host="https://not-a-host"), good]
        )
        results = service.stub.BatchCheckEndpoints(batch, timeout=30).results
    assert [result.request_index for result in results] == [0, 1, 2]
    assert [result.WhichOneof("outcome") for result in results] == ["response", "error", "response"]
    assert results[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert {decision_of(results[index].response) for index in (0, 2)} == {"ALLOW"}
    assert counts.connections == results[0].response.observation.addresses[0].connections_used
