"""Conjunctions: a fault that is shown only to hellos with two of the table's properties at once.

They are drawn at random from an injected source. A conjunction that no hello can have says nothing,
so each that is drawn has a witness that is shown its fault: a recorded client, or else a hello made
by hand, which asks for the fault in a plain shape with both properties. What is explained for one
property (rows.EXPLAINED) is so for the two, and is not drawn.
"""

from collections.abc import Sequence
from itertools import permutations
from random import Random

from tests.hostile.faults import EXPIRED, NULL, OTHER_NAME, TLS10, Fault, Stacks
from tests.hostile.meeting import ClientHellos, is_shown, names_of
from tests.hostile.properties import Property
from tests.hostile.rows import ALL_PROPERTIES, EXPLAINED, Row
from tests.support.hostile.hello import SeenHello, read_client_hello
from tests.support.hostile.made_hello import all_of

# The faults of issue 13's table; an expired ECDSA leaf is another form of an expired one.
CONJUNCTION_FAULTS: tuple[Fault, ...] = (TLS10, NULL, EXPIRED, OTHER_NAME)
# A draw that finds no witness so often has run out of properties.
_DRAWS_FOR_EACH = 1000
_Sided = tuple[Property, bool]


def both(first: _Sided, second: _Sided) -> Property:
    """Return the property of hellos that have the one (or have it not) and the other."""

    def claim(hello: SeenHello) -> bool:
        return all(one.is_had_by(hello) is wanted for one, wanted in (first, second))

    given = all_of(*(one.given if wanted else one.taken for one, wanted in (first, second)))
    taken = first[0].taken if first[1] else first[0].given
    name = "+".join(
        f"{one.name}-{'with' if wanted else 'without'}" for one, wanted in (first, second)
    )
    return Property(name=name, is_had_by=claim, given=given, taken=taken, is_conjunction=True)


def draw(count: int, chance: Random, clients: Sequence[ClientHellos], stacks: Stacks) -> list[Row]:
    """Return so many conjunctions of different properties, each with a witness."""
    rows: dict[str, Row] = {}
    for _ in range(count * _DRAWS_FOR_EACH):
        if len(rows) == count:
            break
        pair = chance.sample(ALL_PROPERTIES, 2)
        sided = [(one, chance.random() < 0.5) for one in pair]
        fault = chance.choice(CONJUNCTION_FAULTS)
        single = (Row(property=one, with_property=side, fault=fault) for one, side in sided)
        if any(str(row) in EXPLAINED for row in single):
            continue
        row = Row(property=both(sided[0], sided[1]), with_property=True, fault=fault)
        if names_of(clients, fault, row.is_met_by) or _can_be_made(sided, row, stacks):
            rows.setdefault(str(row), row)
    return list(rows.values())


def _can_be_made(sided: Sequence[_Sided], row: Row, stacks: Stacks) -> bool:
    """A change may undo the other, so both orders are tried."""
    for first, second in permutations(sided):
        try:
            made = bytes(both(first, second).given(row.fault.hello))
        except (AssertionError, KeyError):
            continue
        hello = read_client_hello(made)
        if hello is not None and row.is_met_by(hello) and is_shown(stacks, row.fault, made):
            return True
    return False
