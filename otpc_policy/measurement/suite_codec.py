"""Cipher suites as messages of the contract and back: packed, because hundreds are refused."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from otpc_policy.core.facts import CipherSuiteFact, Evidence, TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from otpc_policy.measurement.checks import at_most, require
from otpc_policy.measurement.limits import MAX_SUITES
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import PROVEN, TLS_VERSION, must_agree

# The lists of pb.CipherSuiteFacts, and what each says of its suites.
_SUITE_LISTS: tuple[tuple[str, Evidence, bool], ...] = (
    ("handshake_completed", Evidence.SERVER_HELLO, True),
    ("accepted", Evidence.SERVER_HELLO, False),
    ("refused_by_alert", Evidence.ALERT, False),
    ("refused_by_close", Evidence.CLOSED_CONFIRMED, False),
    ("unknown", Evidence.NONE, False),
)
_LIST_OF = {(evidence, completed): name for name, evidence, completed in _SUITE_LISTS}
# Most servers accept one of few sets of suites: they share hundreds of facts, as in the scanner.
_SHARED_SUITE_SETS = 256


def encode_suites(facts: Iterable[CipherSuiteFact]) -> Iterator[pb.CipherSuiteFacts]:
    """Yield a message for each version. Raises ValueError for a fact that no list holds."""
    by_version: dict[TlsVersion, dict[str, list[int]]] = {}
    for fact in facts:
        must_agree(fact.support, fact.evidence)
        name = _LIST_OF.get((fact.evidence, fact.handshake_completed))
        if name is None:
            raise ValueError(f"no list of suites holds {fact!r}")
        by_version.setdefault(fact.version, {}).setdefault(name, []).append(fact.code_point)
    for version, lists in sorted(by_version.items()):
        yield pb.CipherSuiteFacts(version=TLS_VERSION.number[version], **lists)


def decode_suites(messages: Sequence[pb.CipherSuiteFacts]) -> tuple[CipherSuiteFact, ...]:
    """Return the facts in order of versions and numbers. Raises EngineLied."""
    at_most(messages, len(TlsVersion), "cipher_suites")
    found: dict[TlsVersion, tuple[CipherSuiteFact, ...]] = {}
    for message in messages:
        version = TLS_VERSION.member(message.version)
        require(version not in found, "cipher_suites: a version twice")
        lists = [getattr(message, name) for name, _, _ in _SUITE_LISTS]
        for suites in lists:
            at_most(suites, MAX_SUITES, "cipher_suites")
        found[version] = _suite_facts(version, tuple(map(tuple, lists)))
    return tuple(fact for version in sorted(found) for fact in found[version])


@lru_cache(maxsize=_SHARED_SUITE_SETS)
def _suite_facts(
    version: TlsVersion, lists: tuple[tuple[int, ...], ...]
) -> tuple[CipherSuiteFact, ...]:
    """Return the facts of one version. lists: in the order of _SUITE_LISTS."""
    facts: dict[int, CipherSuiteFact] = {}
    for suites, (_, evidence, is_completed) in zip(lists, _SUITE_LISTS, strict=True):
        for code_point in suites:
            require(code_point not in facts, "cipher_suites: a suite twice")
            require(suite_by_code_point(code_point) is not None, "cipher_suites: not registered")
            facts[code_point] = CipherSuiteFact(
                version=version,
                code_point=code_point,
                support=PROVEN[evidence],
                evidence=evidence,
                handshake_completed=is_completed,
            )
    return tuple(facts[code_point] for code_point in sorted(facts))
