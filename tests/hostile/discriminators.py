"""Servers that show a fault to some hellos only, and how often a check sees it.

A row is a property of hellos, a polarity and a fault: a server that is compliant, except to the
hellos that have the property (or have it not). Four faults: TLS 1.0 from an old stack, suites
without encryption over TLS 1.2, expired certificates, or only an expired ECDSA certificate in
addition to a good RSA certificate. The server reads the hello, whatever its format and number of
records, and answers with one of two real OpenSSL stacks.

    python -m tests.hostile.discriminators --runs 20 [NAME ...]

asks about every row so many times, or about rows whose names contain one of the words, and prints
in how many of the runs the row held: not ALLOW, while its twin without the fault was ALLOW.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.faults import FAULTS, Fault, Stacks, make_stacks
from tests.hostile.properties import PROPERTIES, Property
from tests.hostile.surveying import (
    PATIENT,
    Case,
    Surveyed,
    Surveyor,
    objection,
    running_surveyor,
)
from tests.support.hostile.endpoint import serving
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.made_hello import MadeHello
from tests.support.hostile.turns import where
from tests.support.tcp import Behaviour

POLICY = "otpc-2024-12"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A server that shows the fault to hellos with the property, or to hellos without it."""

    property: Property
    with_property: bool
    fault: Fault

    def __str__(self) -> str:
        polarity = "with" if self.with_property else "without"
        return f"{self.property.name}-{polarity}-{self.fault.name}"

    def is_met_by(self, hello: SeenHello) -> bool:
        """The hello reaches the stack that has the fault."""
        return self.fault.concerns(hello) and self.property.is_had_by(hello) is self.with_property

    def server(self, stacks: Stacks) -> Behaviour:
        """Return the server."""
        return where(self.is_met_by, serving(self.fault.stack(stacks)), serving(stacks.good))

    def hello(self, *, met: bool) -> MadeHello:
        """Return a hello that asks for the fault, from a client that meets it, or does not."""
        has_it = met is self.with_property
        return (self.property.given if has_it else self.property.taken)(self.fault.hello)


def _all_rows() -> Iterator[Row]:
    for one, with_property, fault in product(PROPERTIES, (True, False), FAULTS):
        yield Row(property=one, with_property=with_property, fault=fault)


ROWS: tuple[Row, ...] = tuple(_all_rows())

_NAMELESS = "Clients of this partner name the server (RFC 6066 3): none is shown the certificate."
_NO_GROUPS = "OpenSSL serves the six suites and TLS 1.3 only to clients that send supported_groups."
_TLS13_ONLY = "Only clients of TLS 1.3 send its suites or key shares, and they are given TLS 1.3."
_NEVER_SO_LONG = (
    "A ClientHello exceeds one TCP segment by the key share of a hybrid group, new in TLS 1.3;"
    " no client offers TLS 1.0 or NULL suites alone in so long a hello."
)
# Rows that need not hold, each with a reason that test_discriminator_clients.py shows to be true.
EXPLAINED: Mapping[str, str] = {
    "server-name-without-expired": _NAMELESS,
    "server-name-without-expired-ecdsa": _NAMELESS,
    "no-groups-with-expired": _NO_GROUPS,
    "no-groups-with-expired-ecdsa": _NO_GROUPS,
    "key-share-before-groups-with-tls10": _TLS13_ONLY,
    "key-share-before-groups-with-null": _TLS13_ONLY,
    "begins-with-tls13-with-tls10": _TLS13_ONLY,
    "begins-with-tls13-with-null": _TLS13_ONLY,
    "tls12-before-tls13-with-tls10": _TLS13_ONLY,
    "tls12-before-tls13-with-null": _TLS13_ONLY,
    "over-1460-bytes-with-tls10": _NEVER_SO_LONG,
    "over-1460-bytes-with-null": _NEVER_SO_LONG,
}


def twin_name(row: Row) -> str:
    """Return the name of the row's twin; the rows of a property share it."""
    return f"{row.property.name}-twin"


def _twin(row: Row, stacks: Stacks) -> Behaviour:
    """Return a server that tells the same hellos apart, and is compliant to all of them."""
    return where(row.property.is_had_by, serving(stacks.other), serving(stacks.good))


async def survey_rows(
    surveyor: Surveyor,
    stacks: Stacks,
    rows: Sequence[Row],
) -> Mapping[str, Surveyed]:
    """Measure the servers of these rows, and their twins; the results by name."""
    servers = {twin_name(row): _twin(row, stacks) for row in rows}
    servers |= {str(row): row.server(stacks) for row in rows}
    cases = [Case(name=name, behaviour=one, truth=Truth()) for name, one in servers.items()]
    return await surveyor.survey(*cases)


def failure(row: Row, surveyed: Surveyed) -> str:
    """Return what is wrong with the verdict about the row's server, and what the check met.

    Empty if the row holds.
    """
    wrong = objection(surveyed.verdict, row.fault.code)
    if surveyed.verdict.decision is not Decision.ALLOW:
        return wrong
    met = [one for one in surveyed.seen if one.hello is not None and row.is_met_by(one.hello)]
    shown = sum(map(row.fault.is_shown, met))
    reached = f"of {len(surveyed.seen)} hellos {len(met)} reached the faulty stack"
    return f"{wrong}; {reached}, and {shown} of them were shown the fault"


def twin_failure(row: Row, surveyed: Surveyed) -> str:
    """Return what is wrong with the verdict about the row's twin; empty if nothing is."""
    verdict = surveyed.verdict
    if verdict.decision is Decision.ALLOW:
        return ""
    reasons = "; ".join(finding.message for finding in verdict.findings)
    return f"the twin without the fault is {verdict.decision.value}: {reasons}"


def rows_by_property(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each property: as many servers as are measured at a time."""
    for one in PROPERTIES:
        chosen = [row for row in rows if row.property is one]
        if chosen:
            yield chosen


@dataclass(slots=True)
class _Tally:
    """What came of asking about a row several times. last_failure: empty if it always held."""

    held: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""

    def add(self, row: Row, surveyed: Mapping[str, Surveyed]) -> None:
        one = surveyed[str(row)]
        wrong = failure(row, one) or twin_failure(row, surveyed[twin_name(row)])
        self.held += not wrong
        self.decisions[one.verdict.decision.value] += 1
        self.last_failure = wrong or self.last_failure


async def _count(rows: Sequence[Row], runs: int) -> int:
    """Ask about the rows, print a line for each, and return how many did not hold in every run.

    Rows that have an explanation do not count.
    """
    stacks, missed = make_stacks(), 0
    async with running_surveyor(PATIENT, stacks.trust, POLICY) as surveyor:
        for group in rows_by_property(rows):
            tallies = {str(row): _Tally() for row in group}
            for _ in range(runs):
                surveyed = await survey_rows(surveyor, stacks, group)
                for row in group:
                    tallies[str(row)].add(row, surveyed)
            for name, tally in tallies.items():
                missed += name not in EXPLAINED and tally.held < runs
                decisions = ", ".join(f"{one} {count}" for one, count in tally.decisions.items())
                note = EXPLAINED.get(name, tally.last_failure)
                line = f"{tally.held} of {runs}  {name}  {decisions}  {note}"
                print(line.rstrip(), flush=True)
    return missed


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every row held that has no explanation."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1, help="how often each row is asked about")
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of rows")
    chosen = parser.parse_args(arguments)
    rows = [row for row in ROWS if not chosen.names or any(one in str(row) for one in chosen.names)]
    missed = asyncio.run(_count(rows, chosen.runs))
    must = [row for row in rows if str(row) not in EXPLAINED]
    print(f"{len(must) - missed} of {len(must)} rows held in every run")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
