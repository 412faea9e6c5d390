"""Servers that show a fault to some hellos only, and how often a check sees it.

A row is a property of hellos, a polarity and a fault: a server that is compliant, except to the
hellos that have the property (or have it not). Five faults: TLS 1.0 from an old stack, suites
without encryption over TLS 1.2, expired certificates, only an expired ECDSA certificate in addition
to a good RSA certificate, and certificates for another name. The server reads the hello, whatever
its format and number of records, and answers with one of two real OpenSSL stacks. A conjunction is
a row whose property is two of them at once (conjunctions.py).

    python -m tests.hostile.discriminators --runs 20 [NAME ...]
    python -m tests.hostile.discriminators --properties all --conjunctions 300 --seed 7 --runs 20

asks about every row so many times, or about rows whose names contain one of the words, and prints
in how many of the runs the row held: not ALLOW, while its twin without the fault was ALLOW. With
each row stand the recorded clients that its server shows the fault to (meeting.py). `table.toml`
lists the rows that do not hold yet; `--write-table` writes it from the results.
"""

import argparse
import asyncio
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.faults import FAULTS, Fault, Stacks, make_stacks
from tests.hostile.meeting import clients_of, names_of
from tests.hostile.properties import PROPERTIES, Property
from tests.hostile.surveying import (
    PATIENT,
    Case,
    Surveyed,
    Surveyor,
    objection,
    running_surveyor,
)
from tests.hostile.wider_properties import WIDER_PROPERTIES
from tests.support.hostile.endpoint import serving
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.made_hello import MadeHello
from tests.support.hostile.turns import where
from tests.support.tcp import Behaviour

POLICY = "otpc-2024-12"
ALL_PROPERTIES: tuple[Property, ...] = (*PROPERTIES, *WIDER_PROPERTIES)
_TABLE = Path(__file__).with_name("table.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A server that shows the fault to hellos with the property, or to hellos without it."""

    property: Property
    with_property: bool
    fault: Fault

    def __str__(self) -> str:
        if self.property.is_conjunction:
            return f"{self.property.name}-{self.fault.name}"
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


def rows_of(properties: Iterable[Property]) -> tuple[Row, ...]:
    """Return the rows of properties: both polarities, every fault."""
    return tuple(
        Row(property=one, with_property=with_property, fault=fault)
        for one, with_property, fault in product(properties, (True, False), FAULTS)
    )


ROWS: tuple[Row, ...] = rows_of(ALL_PROPERTIES)

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
    "server-name-without-other-name": _NAMELESS,
    "no-groups-with-expired": _NO_GROUPS,
    "no-groups-with-expired-ecdsa": _NO_GROUPS,
    "no-groups-with-other-name": _NO_GROUPS,
    "key-share-before-groups-with-tls10": _TLS13_ONLY,
    "key-share-before-groups-with-null": _TLS13_ONLY,
    "begins-with-tls13-with-tls10": _TLS13_ONLY,
    "begins-with-tls13-with-null": _TLS13_ONLY,
    "tls12-before-tls13-with-tls10": _TLS13_ONLY,
    "tls12-before-tls13-with-null": _TLS13_ONLY,
    "over-1460-bytes-with-tls10": _NEVER_SO_LONG,
    "over-1460-bytes-with-null": _NEVER_SO_LONG,
}


def _listed(state: str) -> frozenset[str]:
    """Return the names of rows in a state, from table.toml."""
    tables = tomllib.loads(_TABLE.read_text(encoding="utf-8"))[state]
    return frozenset(
        f"{name}-{fault}" for fault, names in tables.items() if fault != "reason" for name in names
    )


# Rows that were ALLOW when the table was last written: some recorded client is shown the fault, or
# none is. They are printed and not asserted; a survey that meets them takes them out.
NOT_YET: frozenset[str] = _listed("not_yet")
NO_CLIENT: frozenset[str] = _listed("no_client")


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
    servers = {
        twin_name(row): _twin(row, stacks) for row in rows if not row.property.is_conjunction
    }
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
    by_property: dict[str, list[Row]] = {}
    for row in rows:
        by_property.setdefault(row.property.name, []).append(row)
    yield from by_property.values()


@dataclass(slots=True)
class Tally:
    """What came of asking about a row several times. last_failure: empty if it always held."""

    held: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""

    @property
    def is_allowed(self) -> bool:
        """The fault was allowed at least once."""
        return bool(self.decisions[Decision.ALLOW.value])

    def add(self, row: Row, surveyed: Mapping[str, Surveyed]) -> None:
        """Count one more measurement."""
        one, twin = surveyed[str(row)], surveyed.get(twin_name(row))
        wrong = failure(row, one) or (twin_failure(row, twin) if twin is not None else "")
        self.held += not wrong
        self.decisions[one.verdict.decision.value] += 1
        self.last_failure = wrong or self.last_failure


Report = Callable[[Row, Tally], None]


async def tally_rows(
    surveyor: Surveyor, stacks: Stacks, groups: Iterable[Sequence[Row]], runs: int, report: Report
) -> None:
    """Ask about groups of rows so many times, and report each row when that is done."""
    for group in groups:
        tallies = {str(row): Tally() for row in group}
        for _ in range(runs):
            surveyed = await survey_rows(surveyor, stacks, group)
            for row in group:
                tallies[str(row)].add(row, surveyed)
        for row in group:
            report(row, tallies[str(row)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a row. clients: names of those that its server shows the fault to."""

    row: Row
    tally: Tally
    clients: tuple[str, ...]
    runs: int

    @property
    def is_held(self) -> bool:
        """It held in every run."""
        return self.tally.held == self.runs

    @property
    def note(self) -> str:
        """Why it need not hold, or what was wrong."""
        name = str(self.row)
        if name in EXPLAINED:
            return f"explained: {EXPLAINED[name]}"
        if self.is_held:
            return ""
        return (
            f"{'' if self.clients else 'no recorded client is shown it: '}{self.tally.last_failure}"
        )

    def __str__(self) -> str:
        counts = self.tally.decisions.items()
        decisions = ", ".join(f"{one} {count}" for one, count in sorted(counts))
        shown = ", ".join(self.clients[:3]) + (" ..." if len(self.clients) > 3 else "")
        clients = f"{len(self.clients)} clients ({shown})" if shown else "no client"
        line = f"{self.tally.held} of {self.runs}  {self.row}  {decisions}  {clients}  {self.note}"
        return line.rstrip()


def _summary(kind: str, results: Sequence[Result]) -> str:
    met = [one for one in results if one.clients and str(one.row) not in EXPLAINED]
    held, met_held = (sum(one.is_held for one in some) for some in (results, met))
    return (
        f"{kind}: {held} of {len(results)} held in every run ({held / max(1, len(results)):.1%});"
        f" of those that a recorded client is shown, {met_held} of {len(met)}"
        f" ({met_held / max(1, len(met)):.1%})"
    )


def _table_text(results: Iterable[Result]) -> str:
    """Return table.toml: the rows that were allowed, and need not be otherwise explained."""
    reasons = {
        "not_yet": "Recorded clients are shown the fault; no hello of the survey is.",
        "no_client": "No recorded client is shown the fault, so a router is not either.",
    }
    lines = ["# Written by `python -m tests.hostile.discriminators --write-table`, not by hand."]
    allowed = [one for one in results if one.tally.is_allowed and str(one.row) not in EXPLAINED]
    for state, reason in reasons.items():
        lines += ["", f"[{state}]", f'reason = "{reason}"']
        for fault in FAULTS:
            names = sorted(
                str(one.row).removesuffix(f"-{fault.name}")
                for one in allowed
                if one.row.fault is fault and bool(one.clients) == (state == "not_yet")
            )
            lines += [f"{fault.name} = [", *(f'  "{name}",' for name in names), "]"]
    return "\n".join(lines) + "\n"


def _share(rows: Sequence[Row], share: str) -> list[list[Row]]:
    number, of = map(int, share.split("/"))
    return list(rows_by_property(rows))[number - 1 :: of]


async def _run(chosen: argparse.Namespace) -> int:
    """Ask about the rows, print each and a summary; return how many did not hold that must."""
    from tests.hostile.conjunctions import draw  # it needs the rows of this module

    stacks = make_stacks()
    clients = clients_of(stacks, FAULTS)
    singles: list[Result] = []
    conjunctions: list[Result] = []
    known = {str(row) for row in ROWS}

    def report(row: Row, tally: Tally) -> None:
        result = Result(
            row=row,
            tally=tally,
            clients=names_of(clients, row.fault, row.is_met_by),
            runs=chosen.runs,
        )
        (singles if str(row) in known else conjunctions).append(result)
        if not result.is_held or not chosen.quiet:
            print(result, flush=True)

    properties = {"all": ALL_PROPERTIES, "usual": PROPERTIES, "none": ()}[chosen.properties]
    rows = [row for row in rows_of(properties) if _is_named(row, chosen.names)]
    drawn = draw(chosen.conjunctions, random.Random(chosen.seed), clients, stacks)
    async with running_surveyor(PATIENT, stacks.trust, POLICY) as surveyor:
        await tally_rows(surveyor, stacks, _share(rows, chosen.share), chosen.runs, report)
        groups = [drawn[at : at + 24] for at in range(0, len(drawn), 24)]
        of = int(chosen.share.partition("/")[2])
        mine = groups[int(chosen.share.partition("/")[0]) - 1 :: of]
        await tally_rows(surveyor, stacks, mine, chosen.runs, report)
    if singles:
        print(_summary("single properties", singles))
    if conjunctions:
        print(_summary("conjunctions", conjunctions))
    if chosen.write_table:
        _TABLE.write_text(_table_text(singles), encoding="utf-8")
    excused = {*EXPLAINED, *NOT_YET, *NO_CLIENT}
    return sum(not one.is_held and str(one.row) not in excused for one in singles)


def _is_named(row: Row, words: Sequence[str]) -> bool:
    return not words or any(word in str(row) for word in words)


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every single property held that has no explanation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1, help="how often each row is asked about")
    parser.add_argument("--properties", choices=("all", "usual", "none"), default="all")
    parser.add_argument("--conjunctions", type=int, default=0, help="how many to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the conjunctions")
    parser.add_argument("--share", default="1/1", help="of N processes the how manieth, as 1/2")
    parser.add_argument("--quiet", action="store_true", help="print only what did not hold")
    parser.add_argument("--write-table", action="store_true", help="write what was allowed")
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of rows")
    missed = asyncio.run(_run(parser.parse_args(arguments)))
    print(f"{missed} single properties did not hold, and nothing says why")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
