"""The enums of facts as numbers of the contract, and back. Both have the same names."""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from google.protobuf.descriptor import EnumDescriptor

from otpc_policy.core import facts
from otpc_policy.core.fetching import FetchOutcome
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.v1 import measurement_pb2 as pb

E = TypeVar("E", bound=Enum)


class Words(Generic[E]):
    """The members of one enum and their numbers. Every member has one, or this raises KeyError."""

    def __init__(self, kind: type[E], descriptor: EnumDescriptor) -> None:
        zero = descriptor.values_by_number[0].name
        prefix = zero.removesuffix("UNSPECIFIED")
        # Any: the stubs have a type of their own for the numbers of each enum.
        self.number: Mapping[E, Any] = {
            member: descriptor.values_by_name[prefix + member.name].number for member in kind
        }
        self._members: dict[int, E] = {number: member for member, number in self.number.items()}
        self._name = descriptor.name

    def member(self, number: int) -> E:
        """Return the member. Raises EngineLied where the number has none."""
        member = self._members.get(number)
        if member is None:
            raise EngineLied(f"{self._name}: a number without a meaning")
        return member


_ENUMS = pb.DESCRIPTOR.enum_types_by_name

SUPPORT = Words(facts.Support, _ENUMS["Support"])
EVIDENCE = Words(facts.Evidence, _ENUMS["Evidence"])
TLS_VERSION = Words(facts.TlsVersion, _ENUMS["TlsVersion"])
KEY_TYPE = Words(facts.KeyType, _ENUMS["KeyType"])
CLIENT_AUTH = Words(facts.ClientAuth, _ENUMS["ClientAuth"])
HTTP_SERVICE = Words(facts.HttpService, _ENUMS["HttpService"])
TLS_SERVICE = Words(facts.TlsService, _ENUMS["TlsService"])
VULNERABILITY = Words(facts.Vulnerability, _ENUMS["Vulnerability"])
DEPTH = Words(facts.Depth, _ENUMS["Depth"])
RESOLUTION_STATUS = Words(facts.ResolutionStatus, _ENUMS["ResolutionStatus"])
RESOLUTION_FAILURE = Words(facts.ResolutionFailure, _ENUMS["ResolutionFailure"])
FETCH_OUTCOME = Words(FetchOutcome, _ENUMS["FetchOutcome"])

# What each kind of evidence proves; the contract sends the evidence alone.
PROVEN: Mapping[facts.Evidence, facts.Support] = {
    facts.Evidence.NONE: facts.Support.UNKNOWN,
    facts.Evidence.SERVER_HELLO: facts.Support.YES,
    facts.Evidence.ALERT: facts.Support.NO,
    facts.Evidence.CLOSED_CONFIRMED: facts.Support.NO,
    facts.Evidence.LOWER_VERSION: facts.Support.NO,
}


def must_agree(support: facts.Support, evidence: facts.Evidence) -> None:
    """Raise ValueError where the evidence proves something else: no scanner makes that."""
    if PROVEN[evidence] is not support:
        raise ValueError(f"{evidence.name} does not prove {support.name}")
