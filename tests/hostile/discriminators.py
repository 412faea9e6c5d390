"""Asks about the rows of the table, and prints how often each held.

    python -m tests.hostile.discriminators --runs 20 [NAME ...]
    python -m tests.hostile.discriminators --properties all --conjunctions 300 --seed 7 --runs 20
    python -m tests.hostile.discriminators --properties further --runs 20

asks about every row (rows.py) so many times, or about rows whose names contain one of the words,
and about conjunctions of two properties (conjunctions.py). A row held if the verdict was not ALLOW,
while its twin without the fault was ALLOW. With each row stand the counts of verdicts and the
recorded clients that its server shows the fault to (meeting.py). A survey draws its hellos anew, so
a row may hold always (in every run), sometimes or never. `table.toml` lists the rows that do not
hold always; `--write-table` writes it from the results. The properties that are held out
(further_properties.py) are asked about with `--properties further`, and stand in no table.
"""

import argparse
import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.hostile.conjunctions import draw
from tests.hostile.faults import FAULTS, Stacks, make_stacks
from tests.hostile.further_properties import FURTHER_EXPLAINED, FURTHER_PROPERTIES
from tests.hostile.meeting import clients_of, names_of
from tests.hostile.properties import PROPERTIES, Property
from tests.hostile.rows import (
    ALL_PROPERTIES,
    EXPLAINED,
    NO_CLIENT,
    NOT_YET,
    POLICY,
    TABLE,
    Row,
    failure,
    rows_by_property,
    rows_of,
    survey_rows,
    twin_failure,
    twin_name,
)
from tests.hostile.surveying import PATIENT, Surveyed, Surveyor, running_surveyor

_EXPLAINED = {**EXPLAINED, **FURTHER_EXPLAINED}
_SETS: Mapping[str, Sequence[Property]] = {
    "all": ALL_PROPERTIES,
    "usual": PROPERTIES,
    "further": FURTHER_PROPERTIES,
    "none": (),
}
# Servers that are measured at a time.
_GROUP = 24


@dataclass(slots=True)
class Tally:
    """What came of asking about a row several times. last_failure: empty if it always held."""

    held: int = 0
    decisions: Counter[str] = field(default_factory=Counter)
    last_failure: str = ""

    def add(self, row: Row, surveyed: Mapping[str, Surveyed]) -> None:
        """Count one more measurement."""
        one, twin = surveyed[str(row)], surveyed.get(twin_name(row))
        wrong = failure(row, one) or (twin_failure(row, twin) if twin is not None else "")
        self.held += not wrong
        self.decisions[one.verdict.decision.value] += 1
        self.last_failure = wrong or self.last_failure


ALWAYS, SOMETIMES, NEVER = "always", "sometimes", "never"
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
    def how_often(self) -> str:
        """ALWAYS, SOMETIMES or NEVER: of the runs, those in which it held."""
        return ALWAYS if self.is_held else SOMETIMES if self.tally.held else NEVER

    @property
    def note(self) -> str:
        """Why it need not hold, or what was wrong."""
        name = str(self.row)
        if name in _EXPLAINED:
            return f"explained: {_EXPLAINED[name]}"
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
    """Return how many rows hold always, and how many sometimes and never.

    Rows that need not hold are left out, and counted.
    """
    explained = [one for one in results if str(one.row) in _EXPLAINED]
    judged = [one for one in results if one not in explained]
    met = [one for one in judged if one.clients]
    return "\n".join(
        f"{kind}, {who}: {_counts(some)}"
        for who, some in (
            (f"all but {len(explained)} explained", judged),
            ("those that a recorded client is shown", met),
        )
    )


def _counts(results: Sequence[Result]) -> str:
    count = Counter(one.how_often for one in results)
    shares = (f"{how_often} {count[how_often]}" for how_often in (ALWAYS, SOMETIMES, NEVER))
    return f"{', '.join(shares)} of {len(results)} ({count[ALWAYS] / max(1, len(results)):.1%})"


def table_text(results: Sequence[Result], runs: int) -> str:
    """Return table.toml: how often rows hold that need not be explained, if not always."""
    reasons = {
        "not_yet": "Recorded clients are shown the fault; the survey is not, or not always.",
        "no_client": "No recorded client is shown the fault; hellos made by hand are.",
    }
    judged = [one for one in results if str(one.row) not in EXPLAINED]
    always = sum(one.is_held for one in judged)
    lines = [
        "# Written by `python -m tests.hostile.discriminators --write-table`, not by hand.",
        "# Every row that is neither here nor explained held in each of so many runs.",
        "",
        f"runs = {runs}",
        f"always = {always}",
    ]
    for state, reason in reasons.items():
        lines += ["", f"[{state}]", f'reason = "{reason}"']
        for how_often in (SOMETIMES, NEVER):
            lines += ["", f"[{state}.{how_often}]"]
            for fault in FAULTS:
                names = sorted(
                    str(one.row).removesuffix(f"-{fault.name}")
                    for one in judged
                    if one.how_often == how_often
                    and one.row.fault is fault
                    and bool(one.clients) == (state == "not_yet")
                )
                lines += [f"{fault.name} = [", *(f'  "{name}",' for name in names), "]"]
    return "\n".join(lines) + "\n"


def _share(groups: Sequence[Sequence[Row]], share: str) -> Sequence[Sequence[Row]]:
    """Return every Nth group. share: as "1/2", the first of two processes."""
    number, of = map(int, share.split("/"))
    return groups[number - 1 :: of]


async def _run(chosen: argparse.Namespace) -> int:
    """Ask about the rows, print each and a summary; return how many did not hold that must."""
    stacks = make_stacks()
    clients = clients_of(stacks, FAULTS)
    singles: list[Result] = []
    conjunctions: list[Result] = []

    def report(row: Row, tally: Tally) -> None:
        result = Result(
            row=row,
            tally=tally,
            clients=names_of(clients, row.fault, row.is_met_by),
            runs=chosen.runs,
        )
        (conjunctions if row.property.is_conjunction else singles).append(result)
        if not result.is_held or not chosen.quiet:
            print(result, flush=True)

    rows = [row for row in rows_of(_SETS[chosen.properties]) if _is_named(row, chosen.names)]
    drawn = draw(chosen.conjunctions, Random(chosen.seed), clients, stacks)
    in_groups = [drawn[at : at + _GROUP] for at in range(0, len(drawn), _GROUP)]
    async with running_surveyor(PATIENT, stacks.trust, POLICY) as surveyor:
        for groups in (list(rows_by_property(rows)), in_groups):
            mine = _share(groups, chosen.share)
            await tally_rows(surveyor, stacks, mine, chosen.runs, report)
    if singles:
        print(_summary(f"properties ({chosen.properties})", singles))
    if conjunctions:
        print(_summary("conjunctions", conjunctions))
    if chosen.write_table:
        TABLE.write_text(table_text(singles, chosen.runs), encoding="utf-8")
    excused = {*_EXPLAINED, *NOT_YET, *NO_CLIENT}
    return sum(not one.is_held and str(one.row) not in excused for one in singles)


def _is_named(row: Row, words: Sequence[str]) -> bool:
    return not words or any(word in str(row) for word in words)


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0 if every single property held that has no explanation."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=1, help="how often each row is asked about")
    parser.add_argument("--properties", choices=tuple(_SETS), default="all")
    parser.add_argument("--conjunctions", type=int, default=0, help="how many to draw")
    parser.add_argument("--seed", type=int, default=0, help="of the conjunctions")
    parser.add_argument("--share", default="1/1", help="of N processes the how manieth, as 1/2")
    parser.add_argument("--quiet", action="store_true", help="print only what did not hold")
    parser.add_argument("--write-table", action="store_true", help="write what was allowed")
    parser.add_argument("names", nargs="*", metavar="NAME", help="part of the names of rows")
    chosen = parser.parse_args(arguments)
    if chosen.write_table and (chosen.names or chosen.properties != "all" or chosen.share != "1/1"):
        parser.error("--write-table needs every row")
    missed = asyncio.run(_run(chosen))
    print(f"{missed} single properties did not hold, and nothing says why")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
