"""The properties that are held out: each is a property of its own, and can be had or not had.

That a survey holds them is measured by discriminators.py, and asserted nowhere: that would make
them part of the list that they are to go beyond.
"""

from collections.abc import Mapping, Sequence

import pytest

from otpc_policy.engine.profiles.recorded_clients import recorded_clients
from tests.hostile.faults import EXPIRED, FAULTS, Stacks
from tests.hostile.further_properties import FURTHER_EXPLAINED, FURTHER_PROPERTIES
from tests.hostile.meeting import is_shown, sent_by
from tests.hostile.properties import Property
from tests.hostile.rows import ALL_PROPERTIES, rows_of
from tests.support.hostile.hello import SeenHello, read_client_hello

pytestmark = pytest.mark.asyncio(loop_scope="package")

# What "the cover's author did not list" is judged by; a share of fewer says little.
_AT_LEAST = 25
_BY_NAME: Mapping[str, Property] = {one.name: one for one in FURTHER_PROPERTIES}


def _read(sent: bytes) -> SeenHello:
    hello = read_client_hello(sent)
    assert hello is not None
    return hello


def _known_hellos() -> Sequence[SeenHello]:
    """Return hellos of recorded clients, and those made by hand."""
    sent = [hello for client in recorded_clients().values() for hello in sent_by(client)]
    for one in (*ALL_PROPERTIES, *FURTHER_PROPERTIES):
        sent += [bytes(change(EXPIRED.hello)) for change in (one.given, one.taken)]
    return list(map(_read, sent))


@pytest.mark.parametrize("name", _BY_NAME)
async def test_a_hello_made_by_hand_has_the_property_or_not_and_is_shown_each_fault(
    name: str, stacks: Stacks
) -> None:
    one = _BY_NAME[name]
    for fault in FAULTS:
        given, taken = one.given(fault.hello), one.taken(fault.hello)
        assert one.is_had_by(_read(bytes(given))), fault.name
        assert not one.is_had_by(_read(bytes(taken))), fault.name
        assert is_shown(stacks, fault, bytes(given)), fault.name
        assert is_shown(stacks, fault, bytes(taken)), fault.name


async def test_none_of_them_is_listed_under_another_name() -> None:
    assert len(_BY_NAME) == len(FURTHER_PROPERTIES) >= _AT_LEAST
    hellos = _known_hellos()
    profiles = {
        one.name: tuple(map(one.is_had_by, hellos))
        for one in (*ALL_PROPERTIES, *FURTHER_PROPERTIES)
    }
    names: dict[tuple[bool, ...], list[str]] = {}
    for name, profile in profiles.items():
        names.setdefault(profile, []).append(name)
    assert [alike for alike in names.values() if len(alike) > 1 and _BY_NAME.keys() & alike] == []


async def test_every_explanation_of_theirs_explains_a_row() -> None:
    assert set(FURTHER_EXPLAINED) <= {str(row) for row in rows_of(FURTHER_PROPERTIES)}
