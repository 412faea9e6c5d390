"""Groups, key exchanges and extensions as messages of the contract and back.

An engine one release older sends none of them: they are unknown then.
"""

from collections.abc import Sequence

from otpc_policy.core.facts import (
    Evidence,
    GroupFact,
    HandshakeFacts,
    KeyExchangeFact,
    TlsVersion,
)
from otpc_policy.core.registries.groups import group_bits, named_groups
from otpc_policy.measurement.checks import at_most, read_count, require
from otpc_policy.measurement.limits import MAX_GROUPS, MAX_KEY_EXCHANGES, MAX_PRIME_BITS
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import EVIDENCE, PROVEN, SUPPORT, TLS_VERSION, must_agree

# In place of a curve: a finite field has no number.
_FINITE_FIELD = 0


def encode_group(fact: GroupFact) -> pb.GroupFact:
    """Return the message. Raises ValueError for support without its evidence."""
    must_agree(fact.support, fact.evidence)
    return pb.GroupFact(group=fact.code_point, evidence=EVIDENCE.number[fact.evidence])


def decode_groups(messages: Sequence[pb.GroupFact]) -> tuple[GroupFact, ...]:
    """Return the facts in order of numbers. Raises EngineLied."""
    at_most(messages, MAX_GROUPS, "groups")
    found: dict[int, GroupFact] = {}
    for message in messages:
        evidence = EVIDENCE.member(message.evidence)
        require(message.group not in found, "groups: one of them twice")
        require(message.group in named_groups(), "groups: not registered")
        require(evidence is not Evidence.LOWER_VERSION, "groups: no evidence about a group")
        found[message.group] = GroupFact(
            code_point=message.group, support=PROVEN[evidence], evidence=evidence
        )
    return tuple(found[group] for group in sorted(found))


def encode_key_exchange(fact: KeyExchangeFact) -> pb.KeyExchangeFact:
    """Return the message."""
    return pb.KeyExchangeFact(
        version=TLS_VERSION.number[fact.version],
        group=_FINITE_FIELD if fact.group is None else fact.group,
        bits=fact.bits,
    )


def decode_key_exchanges(messages: Sequence[pb.KeyExchangeFact]) -> tuple[KeyExchangeFact, ...]:
    """Return the facts, one for each version and curve or finite field. Raises EngineLied."""
    at_most(messages, MAX_KEY_EXCHANGES, "key_exchanges")
    found: dict[tuple[TlsVersion, int], KeyExchangeFact] = {}
    for message in messages:
        version, group = TLS_VERSION.member(message.version), message.group
        require(version < TlsVersion.TLS_1_3, "key_exchanges: of TLS 1.3")
        require((version, group) not in found, "key_exchanges: one of them twice")
        if group == _FINITE_FIELD:
            bits = read_count(message.bits, MAX_PRIME_BITS, "key_exchanges.bits")
        else:
            bits = message.bits
            require(group_bits(group) == bits, "key_exchanges: not the size of a known curve")
        found[version, group] = KeyExchangeFact(
            version=version, group=None if group == _FINITE_FIELD else group, bits=bits
        )
    return tuple(found.values())


def encode_handshake(facts: HandshakeFacts) -> pb.HandshakeFacts:
    """Return the message."""
    return pb.HandshakeFacts(
        extended_master_secret=SUPPORT.number[facts.extended_master_secret],
        secure_renegotiation=SUPPORT.number[facts.secure_renegotiation],
        compression=SUPPORT.number[facts.compression],
    )


def decode_handshake(message: pb.HandshakeFacts) -> HandshakeFacts:
    """Return the facts. Raises EngineLied."""
    return HandshakeFacts(
        extended_master_secret=SUPPORT.member(message.extended_master_secret),
        secure_renegotiation=SUPPORT.member(message.secure_renegotiation),
        compression=SUPPORT.member(message.compression),
    )
