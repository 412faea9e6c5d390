"""All chain cases, made once."""

from functools import cache

from tests.chains.case import ChainCase
from tests.chains.complexity_cases import complexity_cases
from tests.chains.constraint_cases import constraint_cases
from tests.chains.encoding_cases import encoding_cases
from tests.chains.extension_cases import extension_cases
from tests.chains.key_cases import key_cases
from tests.chains.limit_cases import limit_cases
from tests.chains.name_cases import name_cases
from tests.chains.path_cases import path_cases
from tests.chains.permission_cases import permission_cases
from tests.chains.right_cases import right_cases
from tests.chains.unread_cases import unread_cases
from tests.chains.validity_cases import validity_cases

# The headings of the table, in its order.
GROUPS = {
    "Paths": path_cases,
    "Validity": validity_cases,
    "The right to issue and to serve": right_cases,
    "Names": name_cases,
    "Name constraints": constraint_cases,
    "What costs too much": complexity_cases,
    "Other extensions": extension_cases,
    "Keys and signatures": key_cases,
    "Encoding": encoding_cases,
    "What is not read": unread_cases,
    "Mozilla's limits on its roots": limit_cases,
    "What only the operator's trust permits": permission_cases,
}


@cache
def grouped_cases() -> dict[str, tuple[ChainCase, ...]]:
    """Return the cases by heading."""
    return {heading: tuple(make()) for heading, make in GROUPS.items()}


def all_cases() -> list[ChainCase]:
    """Return every case."""
    return [case for cases in grouped_cases().values() for case in cases]
