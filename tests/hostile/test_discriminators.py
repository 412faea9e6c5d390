"""A fault that only some hellos meet is never allowed: every property of a hello, both polarities.

The rows are in rows.py; discriminators.py asks about each of them many times.
test_discriminator_routes.py, test_discriminator_clients.py and test_discriminator_table.py show
that the faults can be met, and by whom. What table.toml lists is not asserted here. The wider
properties are measured with three of the five faults: the command asks about all.
"""

from collections.abc import Mapping

import pytest

from otpc_policy.policy.finding import Decision
from tests.hostile.faults import EXPIRED, NULL, TLS10, Stacks
from tests.hostile.properties import PROPERTIES
from tests.hostile.rows import (
    ALL_PROPERTIES,
    EXPLAINED,
    NO_CLIENT,
    NOT_YET,
    ROWS,
    Row,
    failure,
    survey_rows,
    twin_failure,
    twin_name,
)
from tests.hostile.surveying import Surveyed, Surveyor

pytestmark = pytest.mark.asyncio(loop_scope="package")

Results = Mapping[str, Surveyed]


MEASURED = [
    row for row in ROWS if row.property in PROPERTIES or row.fault in (TLS10, NULL, EXPIRED)
]


class Measurements:
    """Measures the rows of a property together, when the first of them is asked for."""

    def __init__(self, surveyor: Surveyor, stacks: Stacks) -> None:
        self._surveyor, self._stacks = surveyor, stacks
        self._results: dict[str, Results] = {}

    async def of(self, row: Row) -> Results:
        """Return the results for the row's server, its twin and others, by name."""
        name = row.property.name
        if name not in self._results:
            rows = [one for one in MEASURED if one.property is row.property]
            self._results[name] = await survey_rows(self._surveyor, self._stacks, rows)
        return self._results[name]


@pytest.fixture(scope="module")
def measurements(anchored: Surveyor, stacks: Stacks) -> Measurements:
    return Measurements(anchored, stacks)


def parameter(row: Row) -> object:
    """Return the row as a parameter; the rows of a property stay in one process."""
    return pytest.param(row, id=str(row), marks=pytest.mark.xdist_group(row.property.name))


OPEN = NOT_YET | NO_CLIENT
HELD = [parameter(row) for row in MEASURED if str(row) not in EXPLAINED and str(row) not in OPEN]
NOT_HELD = [parameter(row) for row in MEASURED if str(row) in EXPLAINED]
_OF_THE_ADDRESS = ("server-name-without-tls10", "server-name-without-null")
NAMELESS = [parameter(row) for row in ROWS if str(row) in _OF_THE_ADDRESS]
TWINS = [parameter(next(row for row in ROWS if row.property is one)) for one in ALL_PROPERTIES]


@pytest.mark.parametrize("row", HELD)
async def test_a_fault_that_some_hellos_meet_is_never_allowed(
    row: Row,
    measurements: Measurements,
) -> None:
    """DESIGN, promise 1: an ALLOW holds for the client that will connect."""
    results = await measurements.of(row)
    assert failure(row, results[str(row)]) == ""


@pytest.mark.parametrize("row", NAMELESS)
async def test_what_is_served_to_clients_that_name_no_server_is_denied(
    row: Row,
    measurements: Measurements,
) -> None:
    """The default host of a shared address counts: versions and suites are of the address."""
    results = await measurements.of(row)
    assert results[str(row)].verdict.decision is Decision.DENY


@pytest.mark.parametrize("row", TWINS)
async def test_a_compliant_server_that_tells_hellos_apart_is_allowed(
    row: Row,
    measurements: Measurements,
) -> None:
    results = await measurements.of(row)
    assert twin_failure(row, results[twin_name(row)]) == ""


@pytest.mark.parametrize("row", NOT_HELD)
async def test_an_explained_row_is_allowed_only_where_the_fault_was_not_shown(
    row: Row,
    measurements: Measurements,
) -> None:
    """Each explanation is shown to be true in test_discriminator_clients.py."""
    one = (await measurements.of(row))[str(row)]
    met = [seen for seen in one.seen if seen.hello is not None and row.is_met_by(seen.hello)]
    shown = any(row.fault.is_shown(seen) for seen in met)
    assert one.verdict.decision is Decision.ALLOW or shown


async def test_every_explanation_explains_a_row() -> None:
    assert set(EXPLAINED) <= {str(row) for row in ROWS}
