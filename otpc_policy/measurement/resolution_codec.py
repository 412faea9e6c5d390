"""Resolutions as messages of the contract and back. The front vets every address once more."""

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from otpc_policy.core.addresses import (
    MAXIMUM_ADDRESSES,
    AddressVetting,
    Resolution,
    VettedAddress,
)
from otpc_policy.core.endpoint import is_ip_literal
from otpc_policy.core.facts import (
    ForbiddenAddress,
    ResolutionFailure,
    ResolutionStatus,
    UnmeasuredAddress,
)
from otpc_policy.core.registries.networks import unwrap
from otpc_policy.measurement.checks import at_most, read_duration, read_text, require
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.fitting import fitted_text
from otpc_policy.measurement.limits import MAX_ADDRESS_NOTES, MAX_ADDRESS_VALIDITY_S
from otpc_policy.measurement.times import encode_duration
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import RESOLUTION_FAILURE, RESOLUTION_STATUS

_FAMILIES: Final = ("IPv4", "IPv6")
# They answer the question for the whole name, so they leave no address to go with them.
_DENIALS: Final = (ResolutionFailure.NXDOMAIN, ResolutionFailure.NODATA)


def encode_resolution(host: str, found: Resolution) -> pb.ResolveResponse:
    """Return the message. Of too many notes the first are kept: one says as much as all.

    found: its ttl is what is left of it now.
    """
    return pb.ResolveResponse(
        host=host,
        status=RESOLUTION_STATUS.number[found.status],
        addresses=[address.text for address in found.addresses],
        left_out=[
            pb.AddressNote(address=one.address, reason=fitted_text(one.reason))
            for one in found.left_out[:MAX_ADDRESS_NOTES]
        ],
        omitted_families=found.omitted_families,
        forbidden=[
            pb.AddressNote(address=one.address, reason=fitted_text(one.reason))
            for one in found.forbidden[:MAX_ADDRESS_NOTES]
        ],
        failure=RESOLUTION_FAILURE.number[found.failure],
        unresolved_families=found.unresolved_families,
        stale=found.is_stale,
        valid_for=encode_duration(found.ttl),
    )


def decode_resolution(
    message: pb.ResolveResponse, *, host: str, vetting: AddressVetting
) -> Resolution:
    """Return what the host resolved to; FORBIDDEN where the engine offers what vetting refuses.

    host: that was asked about. Raises EngineLied.
    """
    require(message.host == host, "host: not the one that was asked about")
    status = RESOLUTION_STATUS.member(message.status)
    at_most(message.addresses, MAXIMUM_ADDRESSES, "addresses")
    require(message.HasField("valid_for"), "valid_for: unset")
    ttl = read_duration(message.valid_for, "valid_for")
    require(ttl.total_seconds() <= MAX_ADDRESS_VALIDITY_S, "valid_for: too long")
    is_resolved = status is ResolutionStatus.RESOLVED
    has_addresses = bool(message.addresses or message.left_out)
    require(is_resolved == has_addresses, "addresses: none of a host that has some, or the reverse")
    require((status is ResolutionStatus.FORBIDDEN) == bool(message.forbidden), "forbidden: amiss")
    omitted = _families(message.omitted_families, "omitted_families")
    require(is_resolved or not omitted, "omitted_families: of no host")
    resolution = Resolution(
        status=status,
        left_out=tuple(UnmeasuredAddress(*one) for one in _notes(message.left_out, "left_out")),
        omitted_families=omitted,
        forbidden=tuple(ForbiddenAddress(*one) for one in _notes(message.forbidden, "forbidden")),
        failure=_failure(message, status),
        unresolved_families=_families(message.unresolved_families, "unresolved_families"),
        is_stale=message.stale,
        ttl=ttl,
    )
    both = set(omitted) & set(resolution.unresolved_families)
    require(not both, "unresolved_families: not dialled")
    return _vetted(resolution, _literals(message, host), vetting) if is_resolved else resolution


def _failure(message: pb.ResolveResponse, status: ResolutionStatus) -> ResolutionFailure:
    """Return why DNS gave no address, or not all: every gap has a reason that can explain it."""
    failure = RESOLUTION_FAILURE.member(message.failure)
    is_unresolved, is_stale = bool(message.unresolved_families), message.stale
    if status is ResolutionStatus.FAILED:
        require(failure is not ResolutionFailure.NONE, "failure: none, and there is no address")
    else:
        require(failure not in _DENIALS, "failure: there is no address, and there are some")
    if is_unresolved or is_stale:
        require(failure is not ResolutionFailure.NONE, "failure: none, and something is missing")
    require(
        not is_unresolved or status is ResolutionStatus.RESOLVED, "unresolved_families: of no host"
    )
    require(not is_stale or status is not ResolutionStatus.FAILED, "stale: without an address")
    return failure


def _families(names: Sequence[str], field: str) -> tuple[str, ...]:
    at_most(names, len(_FAMILIES), field)
    families = tuple(names)
    require(set(families) <= set(_FAMILIES), f"{field}: not a family")
    require(len(set(families)) == len(families), f"{field}: one of them twice")
    return families


def _literals(message: pb.ResolveResponse, host: str) -> tuple[str, ...]:
    literals = tuple(_literal(text, "addresses") for text in message.addresses)
    require(len(set(literals)) == len(literals), "addresses: one of them twice")
    if is_ip_literal(host):
        left_out = [one.address for one in message.left_out]
        require(
            {*literals, *left_out} <= {str(unwrap(ip_address(host)))},
            "addresses: not the host itself",
        )
    return literals


def _vetted(resolution: Resolution, literals: Sequence[str], vetting: AddressVetting) -> Resolution:
    vetted: list[VettedAddress] = []
    forbidden: list[ForbiddenAddress] = []
    for literal in literals:
        address = vetting.vet(literal)
        if isinstance(address, ForbiddenAddress):
            forbidden.append(address)
        else:
            vetted.append(address)
    if not forbidden:
        return replace(resolution, addresses=tuple(vetted))
    return resolution.forbidding(forbidden)


def _notes(messages: Sequence[pb.AddressNote], field: str) -> list[tuple[str, str]]:
    at_most(messages, MAX_ADDRESS_NOTES, field)
    return [(_literal(one.address, field), read_text(one.reason, field)) for one in messages]


def _literal(text: str, field: str) -> str:
    """Return an IP literal in canonical form, neither IPv4-mapped nor with a zone."""
    try:
        canonical = str(unwrap(ip_address(text)))
    except ValueError:
        canonical = ""
    if not canonical or canonical != text or "%" in text:
        raise EngineLied(f"{field}: not an address in canonical form")
    return text
