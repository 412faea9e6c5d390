"""What a host turned into, between the programs: the front believes no address before its guard."""

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from ipaddress import ip_network

import pytest

from otpc_policy.core.addresses import AddressVetting, Resolution, VettedAddress
from otpc_policy.core.facts import (
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    UnmeasuredAddress,
)
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.resolution_codec import (
    decode_resolution,
    encode_resolution,
)
from otpc_policy.measurement.v1 import measurement_pb2 as pb

HOST = "partner.test"
OPEN = AddressVetting([ip_network("127.0.0.0/8"), ip_network("::1/128")])
CLOSED = AddressVetting()
TTL = timedelta(seconds=30, microseconds=500_001)


def vetted(text: str) -> VettedAddress:
    one = OPEN.vet(text)
    assert isinstance(one, VettedAddress)
    return one


RESOLVED = Resolution(
    status=ResolutionStatus.RESOLVED,
    addresses=(vetted("127.0.0.1"), vetted("9.9.9.9"), vetted("2620:fe::fe")),
    left_out=(UnmeasuredAddress("127.0.0.9", "only 8 addresses are measured"),),
    omitted_families=("IPv6",),
    ttl=TTL,
)
PARTLY = Resolution(
    status=ResolutionStatus.RESOLVED,
    addresses=(vetted("127.0.0.1"),),
    failure=ResolutionFailure.SERVFAIL,
    unresolved_families=("IPv6",),
    is_stale=True,
    ttl=TTL,
)
FORBIDDEN = Resolution(
    status=ResolutionStatus.FORBIDDEN,
    forbidden=(ForbiddenAddress("169.254.169.254", "metadata or host service of a cloud"),),
    failure=ResolutionFailure.TIMEOUT,
    is_stale=True,
    ttl=TTL,
)
FAILED = Resolution(
    status=ResolutionStatus.FAILED, failure=ResolutionFailure.NXDOMAIN, ttl=timedelta(seconds=5)
)
EVERY = {"resolved": RESOLVED, "partly": PARTLY, "forbidden": FORBIDDEN, "failed": FAILED}


def sent(resolution: Resolution, host: str = HOST) -> pb.ResolveResponse:
    message = encode_resolution(host, resolution)
    return pb.ResolveResponse.FromString(message.SerializeToString())


@pytest.mark.parametrize("resolution", EVERY.values(), ids=EVERY.keys())
def test_nothing_is_lost(resolution: Resolution) -> None:
    assert decode_resolution(sent(resolution), host=HOST, vetting=OPEN) == resolution


def test_every_field_has_been_sent_with_a_value_of_its_own() -> None:
    plain = Resolution(status=ResolutionStatus.RESOLVED)
    for name in (field.name for field in fields(Resolution)):
        assert any(getattr(one, name) != getattr(plain, name) for one in EVERY.values()), name


@pytest.mark.parametrize("failure", ResolutionFailure)
def test_every_failure_travels(failure: ResolutionFailure) -> None:
    if failure is not ResolutionFailure.NONE:
        found = Resolution(status=ResolutionStatus.FAILED, failure=failure, ttl=TTL)
        assert decode_resolution(sent(found), host=HOST, vetting=OPEN).failure is failure


def test_what_the_front_forbids_is_as_stale_as_what_the_engine_found() -> None:
    found = decode_resolution(sent(PARTLY), host=HOST, vetting=CLOSED)
    assert found.status is ResolutionStatus.FORBIDDEN
    assert (found.failure, found.is_stale, found.ttl) == (PARTLY.failure, True, TTL)
    assert found.unresolved_families == ()


def test_an_address_that_the_front_does_not_open_is_forbidden_whatever_the_engine_opens() -> None:
    found = decode_resolution(sent(RESOLVED), host=HOST, vetting=CLOSED)
    assert found.status is ResolutionStatus.FORBIDDEN
    assert found.addresses == ()
    assert [one.address for one in found.forbidden] == ["127.0.0.1"]


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"])
def test_a_metadata_address_is_forbidden_even_in_an_open_range(address: str) -> None:
    everything = AddressVetting([ip_network("0.0.0.0/0"), ip_network("::/0")])
    message = pb.ResolveResponse(
        host=HOST,
        status=pb.RESOLUTION_STATUS_RESOLVED,
        addresses=[address],
        failure=pb.RESOLUTION_FAILURE_NONE,
    )
    message.valid_for.seconds = 1
    found = decode_resolution(message, host=HOST, vetting=everything)
    assert found.status is ResolutionStatus.FORBIDDEN


def test_an_address_as_a_host_is_itself() -> None:
    own = Resolution(status=ResolutionStatus.RESOLVED, addresses=(vetted("127.0.0.1"),))
    for host in ("127.0.0.1", "::ffff:7f00:1"):
        back = decode_resolution(sent(own, host), host=host, vetting=OPEN)
        assert back == own
    with pytest.raises(EngineLied, match="not the host itself"):
        decode_resolution(sent(own, "127.0.0.2"), host="127.0.0.2", vetting=OPEN)


def unresolved(message: pb.ResolveResponse, *families: str) -> None:
    message.failure = pb.RESOLUTION_FAILURE_TIMEOUT
    message.unresolved_families.extend(families)


def without_addresses(message: pb.ResolveResponse) -> pb.ResolveResponse:
    return pb.ResolveResponse(
        host=message.host,
        status=message.status,
        failure=message.failure,
        valid_for=message.valid_for,
    )


NXDOMAIN, NODATA = pb.RESOLUTION_FAILURE_NXDOMAIN, pb.RESOLUTION_FAILURE_NODATA
Forge = Callable[[pb.ResolveResponse], object]
LIES: dict[str, Forge] = {
    "another host": lambda m: setattr(m, "host", "other.test"),
    "no status": lambda m: m.ClearField("status"),
    "a ninth address": lambda m: m.addresses.extend(f"9.9.9.{n}" for n in range(10, 16)),
    "an address twice": lambda m: m.addresses.append("9.9.9.9"),
    "a name as an address": lambda m: m.addresses.append("localhost"),
    "a mapped address": lambda m: m.addresses.append("::ffff:9.9.9.10"),
    "an address in odd form": lambda m: m.addresses.append("2620:FE::9"),
    "an address with a zone": lambda m: m.addresses.append("fe80::1%eth0"),
    "an address of letters": lambda m: m.addresses.append("1" * 100_000),
    "forbidden and resolved": lambda m: m.forbidden.add(address="10.0.0.1"),
    "addresses of a failure": lambda m: setattr(m, "status", pb.RESOLUTION_STATUS_FAILED),
    "forbidden, and none is": lambda m: setattr(m, "status", pb.RESOLUTION_STATUS_FORBIDDEN),
    "a note about no address": lambda m: m.left_out.add(reason="why"),
    "too many notes": lambda m: m.left_out.extend([m.left_out[0]] * 1000),
    "a note with an escape": lambda m: setattr(m.left_out[0], "reason", "\x1b"),
    "no family": lambda m: m.omitted_families.append("IPv5"),
    "a family twice": lambda m: m.omitted_families.append("IPv6"),
    "valid for too long": lambda m: setattr(m.valid_for, "seconds", 61),
    "valid for less than nothing": lambda m: setattr(m.valid_for, "seconds", -1),
    "no validity": lambda m: m.ClearField("valid_for"),
    "no failure": lambda m: m.ClearField("failure"),
    "a failure without a meaning": lambda m: setattr(m, "failure", 99),
    "resolved, and there is no such name": lambda m: setattr(m, "failure", NXDOMAIN),
    "resolved, and there is no address": lambda m: setattr(m, "failure", NODATA),
    "unresolved for no reason": lambda m: m.unresolved_families.append("IPv4"),
    "stale for no reason": lambda m: setattr(m, "stale", True),
    "unresolved and not dialled": lambda m: unresolved(m, "IPv6"),
    "unresolved, and no family": lambda m: unresolved(m, "IPv5"),
    "unresolved twice": lambda m: unresolved(m, "IPv4", "IPv4"),
    "resolved to nothing": lambda m: m.CopyFrom(without_addresses(m)),
}
LIES_OF_A_FAILURE: dict[str, Forge] = {
    "failed for no reason": lambda m: setattr(m, "failure", pb.RESOLUTION_FAILURE_NONE),
    "a family of no host": lambda m: m.unresolved_families.append("IPv4"),
    "a family left out of no host": lambda m: m.omitted_families.append("IPv4"),
    "stale without an address": lambda m: setattr(m, "stale", True),
}


@pytest.mark.parametrize("forge", LIES.values(), ids=LIES.keys())
def test_what_breaks_the_contract_is_a_lie(forge: Forge) -> None:
    message = sent(RESOLVED)
    forge(message)
    with pytest.raises(EngineLied):
        decode_resolution(message, host=HOST, vetting=OPEN)


@pytest.mark.parametrize("forge", LIES_OF_A_FAILURE.values(), ids=LIES_OF_A_FAILURE.keys())
def test_a_failure_has_a_reason_and_nothing_else(forge: Forge) -> None:
    message = sent(FAILED)
    forge(message)
    with pytest.raises(EngineLied):
        decode_resolution(message, host=HOST, vetting=OPEN)
