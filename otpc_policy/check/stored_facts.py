"""Facts under the name of their content, and the key that a store keeps them under.

The name is what verdicts and built answers are kept by, so that none of them has to know where
facts came from, whether they are still stored, or whether two fronts hold the same.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Final, NamedTuple, Self

from otpc_policy.core.facts import AddressFacts, CipherSuiteFact, Depth
from otpc_policy.core.facts_codec import dump_facts

# All of a CipherSuiteFact except its code point.
_FOUND: Final = attrgetter("version", "support", "evidence", "handshake_completed")


class FactsKey(NamedTuple):
    """What a measurement was of. Keys that differ in any field never share facts.

    host, server_name: canonical. probe_revision: of the scanner that measured.
    perspective: the place on the network that was measured from.
    """

    # A named tuple: every look-up hashes it, and a tuple's hash takes a quarter of the time.
    host: str
    port: int
    server_name: str
    address: str
    depth: Depth
    probe_revision: str
    perspective: str


@dataclass(frozen=True, slots=True)
class StoredFacts:
    """The facts of one address and their name. Two are equal if their names are.

    facts_id: SHA-256, in hexadecimal, of the facts as facts_codec writes them, with the cipher
    suites in runs of those of which the same was found, since there are hundreds. That form is
    canonical: fields in a fixed order, instants in UTC, no choice of spelling. So equal facts have
    one name wherever they were measured or read.
    leaves: SHA-256 of each leaf in the facts.
    """

    facts: AddressFacts = field(compare=False)
    facts_id: str
    leaves: tuple[bytes, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        leaves = {each.chain[0] for each in self.facts.deployments if each.chain}
        hashed = tuple(hashlib.sha256(leaf).digest() for leaf in leaves)
        object.__setattr__(self, "leaves", hashed)

    @classmethod
    def of(cls, facts: AddressFacts) -> Self:
        """Name facts, once: when they have been measured, or read from outside this process.

        Takes a fifth of a millisecond. Raises ValueError for facts that could not be read again.
        """
        others = dump_facts(replace(facts, cipher_suites=()))
        named = f"{others}\n{_in_runs(facts.cipher_suites)}"
        return cls(facts, hashlib.sha256(named.encode()).hexdigest())


def _in_runs(suites: Iterable[CipherSuiteFact]) -> str:
    return "\n".join(
        f"{version.value} {support.value} {evidence.value} {is_completed}:"
        f" {[fact.code_point for fact in run]}"
        for (version, support, evidence, is_completed), run in groupby(suites, _FOUND)
    )
