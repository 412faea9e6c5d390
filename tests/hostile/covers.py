"""Which rows of the table a measurement would meet if it also sent the hellos of some clients.

    python -m tests.hostile.covers [--conjunctions 300] [--seed 1] [--greedy 12] [--named] [CLIENT]

measures one compliant server and takes the hellos that it saw, adds those of the named clients (see
otpc_policy/engine/profiles/recorded), and computes without further connections how many single
properties and conjunctions show their fault to some hello. `--greedy` then adds so many clients one
by one, each time the one that meets the most. With `--named` the server stands behind a router that
leads hellos by the server's name, so that nameless ones meet no fault. `--measurements N` lists the
rows that some of so many measurements did not meet. So a cover can be chosen
before it is built; the command of discriminators.py says what a measurement really holds.
"""

import argparse
import asyncio
import random
import sys
from collections import Counter
from collections.abc import Sequence

from tests.hostile.claims import Truth
from tests.hostile.conjunctions import draw
from tests.hostile.faults import FAULTS, Stacks, make_stacks
from tests.hostile.meeting import ClientHellos, clients_of, hellos_of, names_of
from tests.hostile.rows import EXPLAINED, POLICY, ROWS, Row
from tests.hostile.surveying import PATIENT, Case, running_surveyor
from tests.support.hostile.endpoint import serving
from tests.support.hostile.hello import SeenHello, hello_length


async def _of_the_survey(stacks: Stacks) -> list[ClientHellos]:
    """Return the hellos of a measurement, each as a client of its own."""
    case = Case(name="good", behaviour=serving(stacks.good), truth=Truth())
    async with running_surveyor(PATIENT, stacks.trust, POLICY) as surveyor:
        surveyed = (await surveyor.survey(case))[case.name]
    received = [one.received for one in surveyed.counts.transcripts]
    hellos = [sent[: hello_length(sent)] for sent in received]
    return [
        hellos_of(f"survey-{number}", (sent,), stacks, FAULTS)
        for number, sent in enumerate(hellos)
        if sent
    ]


def _met(
    rows: Sequence[Row], clients: Sequence[ClientHellos], *, is_named: bool = False
) -> set[str]:
    def meets(row: Row) -> bool:
        def is_led_there(hello: SeenHello) -> bool:
            return (hello.server_name is not None or not is_named) and row.is_met_by(hello)

        return bool(names_of(clients, row.fault, is_led_there))

    return {str(row) for row in rows if meets(row)}


def _line(what: str, singles: int, of_singles: int, drawn: int, of_drawn: int) -> str:
    return (
        f"{what}: {singles} of {of_singles} single properties ({singles / of_singles:.1%}),"
        f" {drawn} of {of_drawn} conjunctions ({drawn / max(1, of_drawn):.1%})"
    )


def _show_missed(
    rows: Sequence[Row], stacks: Stacks, clients: Sequence[ClientHellos], measurements: int
) -> int:
    """Print rows that were not always met, and how often; return how many a client is shown."""
    met = Counter[str]()
    for _ in range(measurements):
        met.update(_met(rows, asyncio.run(_of_the_survey(stacks))))
    shown = _met(rows, clients)
    missed = [str(row) for row in rows if met[str(row)] < measurements]
    for name in missed:
        who = "some client" if name in shown else "no client"
        print(f"{met[name]} of {measurements}  {name}  {who} is shown it")
    of_clients = shown.intersection(missed)
    print(f"always met: {len(shown - of_clients)} of {len(shown)} rows that some client is shown")
    return len(of_clients)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--conjunctions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--greedy", type=int, default=0, help="clients to add, best first")
    parser.add_argument("--named", action="store_true", help="only by hellos with a server name")
    parser.add_argument("--measurements", type=int, default=0, help="list rows some of them miss")
    parser.add_argument("names", nargs="*", metavar="CLIENT")
    chosen = parser.parse_args(arguments)
    stacks = make_stacks()
    clients = {one.name: one for one in clients_of(stacks, FAULTS)}
    singles = [row for row in ROWS if str(row) not in EXPLAINED]
    if chosen.measurements:
        return _show_missed(singles, stacks, tuple(clients.values()), chosen.measurements)
    drawn = draw(chosen.conjunctions, random.Random(chosen.seed), list(clients.values()), stacks)
    rows, survey = (*singles, *drawn), asyncio.run(_of_the_survey(stacks))
    met = _met(rows, survey, is_named=chosen.named)
    of_rows = {name: _met(rows, [one], is_named=chosen.named) for name, one in clients.items()}
    in_drawn = {str(row) for row in drawn}

    def show(what: str) -> None:
        conjunctions = len(met & in_drawn)
        print(_line(what, len(met) - conjunctions, len(singles), conjunctions, len(drawn)))

    show("the survey")
    for name in chosen.names:
        met |= of_rows.pop(name)
        show(f"+ {name}")
    for _ in range(chosen.greedy):
        best = max(of_rows, key=lambda name: len(of_rows[name] - met))
        met |= of_rows.pop(best)
        show(f"+ {best}")
    if of_rows:
        of_clients = set[str]().union(*of_rows.values())
        print(f"of what some client meets: {len(met & of_clients)} of {len(of_clients)} rows")
    everybody = met.union(*of_rows.values()) if of_rows else met
    conjunctions = len(everybody & in_drawn)
    total = len(everybody) - conjunctions
    print(_line("with every client", total, len(singles), conjunctions, len(drawn)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
