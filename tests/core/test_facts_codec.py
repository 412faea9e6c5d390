"""Facts survive JSON whole, and what is not exactly facts is refused with its place."""

import dataclasses
import json
import types
import typing
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.core.errors import MalformedFacts
from otpc_policy.core.facts import AddressFacts, EndpointFacts
from otpc_policy.core.facts_codec import dump_facts, load_facts
from otpc_policy.core.json_forms import form_of
from tests.support.facts import make_facts

_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    str: st.text(st.characters(codec="utf-8"), max_size=8),
    bytes: st.binary(max_size=8),
    datetime: st.datetimes(timezones=st.just(UTC)),
    timedelta: st.timedeltas(),
}


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type, every field of a dataclass drawn, so that new fields take part."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return st.builds(
            hint, **{name: any_of(of) for name, of in typing.get_type_hints(hint).items()}
        )
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is tuple:
        return (
            st.lists(any_of(arguments[0]), max_size=2).map(tuple)
            if arguments[-1] is Ellipsis
            else st.tuples(*map(any_of, arguments))
        )
    if typing.get_origin(hint) is frozenset:
        return st.frozensets(any_of(arguments[0]), max_size=3)
    assert isinstance(hint, types.UnionType), hint
    return st.one_of(*(st.none() if one is types.NoneType else any_of(one) for one in arguments))


@settings(max_examples=100, deadline=None)
@given(any_of(EndpointFacts))
def test_any_facts_of_an_endpoint_come_back_as_they_were(facts: EndpointFacts) -> None:
    assert load_facts(dump_facts(facts), EndpointFacts) == facts


@settings(max_examples=100, deadline=None)
@given(any_of(AddressFacts))
def test_any_facts_of_an_address_come_back_as_they_were(facts: AddressFacts) -> None:
    assert load_facts(dump_facts(facts, indent=1), AddressFacts) == facts


def test_real_facts_come_back_and_every_field_is_written() -> None:
    facts = make_facts()
    text = dump_facts(facts)
    assert load_facts(text, EndpointFacts) == facts
    written = json.loads(text)["facts"]
    assert list(written) == [field.name for field in dataclasses.fields(EndpointFacts)]
    assert list(written["addresses"][0]) == [
        field.name for field in dataclasses.fields(AddressFacts)
    ]


def test_a_field_with_a_default_may_be_left_out() -> None:
    document = json.loads(dump_facts(make_facts()))
    del document["facts"]["omitted_families"], document["facts"]["addresses"][0]["remarks"]
    assert load_facts(json.dumps(document), EndpointFacts) == make_facts()


def changed(path: str, value: object) -> str:
    """The document of compliant facts with one value replaced."""
    document = json.loads(dump_facts(make_facts()))
    *steps, last = path.split("/")
    at = document
    for step in steps:
        at = at[int(step) if isinstance(at, list) else step]
    at[int(last) if isinstance(at, list) else last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[]", "holds no facts"),
        ("{}", "holds no facts"),
        ('{"format": 1, "format": 2}', "'format' is there twice"),
        ('{"x": NaN}', "NaN is no number"),
        ('{"x": ' + "1" * 5000 + "}", "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        (changed("format", "facts"), "holds no facts"),
        (changed("version", 2), "is of version 2; this program reads version 1"),
        (changed("version", True), "is of version True"),
        (changed("version", 1.0), "is of version 1.0"),
        (changed("kind", "AddressFacts"), "holds 'AddressFacts'; EndpointFacts expected"),
        (changed("extra", 1), "extra is no field of this format"),
        (changed("facts", None), "facts: None is not an object"),
        (changed("facts/verdict", "ALLOW"), "facts: verdict is no field of EndpointFacts"),
        (
            changed("facts/addresses/0/colour", 1),
            r"facts\.addresses\[0\]: colour is no field of AddressFacts",
        ),
        (
            changed("facts/addresses/0/reachable", "MAYBE"),
            r"facts\.addresses\[0\]\.reachable: 'MAYBE' is not one of YES, NO, UNKNOWN",
        ),
        (changed("facts/addresses/0/reachable", True), r"reachable: True is not one of"),
        (changed("facts/addresses/0/versions", {}), r"versions: \{\} is not a list"),
        (
            changed("facts/addresses/0/versions/5/version", 772),
            r"facts\.addresses\[0\]\.versions\[5\]\.version: 772 is not one of SSL_2_0",
        ),
        (
            changed("facts/addresses/0/cipher_suites/1/handshake_completed", 1),
            r"handshake_completed: 1 is not true or false",
        ),
        (
            changed("facts/addresses/0/cipher_suites/1/code_point", True),
            r"code_point: True is not a whole number",
        ),
        (
            changed("facts/addresses/0/cipher_suites/1/code_point", 49195.0),
            r"code_point: 49195.0 is not a whole number",
        ),
        (
            changed("facts/addresses/0/deployments/0/chain", ["?"]),
            r"chain\[0\]: '\?' is not base64",
        ),
        (
            changed("facts/addresses/0/observed_at", "2026-03-02T12:00:00"),
            r"observed_at: .* is not an instant with an offset",
        ),
        (
            changed("facts/addresses/0/observed_at", "0001-01-01T00:00:00+12:00"),
            r"observed_at: .* is not an instant",
        ),
        (
            changed("facts/addresses/0/duration", "1 s"),
            r"duration: '1 s' is not a duration in seconds",
        ),
        (
            changed("facts/addresses/0/duration", "999999999999999s"),
            r"duration: .* is not a duration",
        ),
        (changed("facts/addresses/0/remarks", ["\ud800"]), r"remarks\[0\]: holds half a character"),
    ],
)
def test_what_is_not_exactly_facts_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(MalformedFacts, match=problem):
        load_facts(text, EndpointFacts)


@pytest.mark.parametrize(
    "name",
    [
        field.name
        for field in dataclasses.fields(AddressFacts)
        if field.default is dataclasses.MISSING
    ],
)
def test_a_field_without_a_default_may_not_be_left_out(name: str) -> None:
    document = json.loads(dump_facts(make_facts()))
    del document["facts"]["addresses"][0][name]
    with pytest.raises(MalformedFacts, match=rf"facts\.addresses\[0\]: {name} is missing"):
        load_facts(json.dumps(document), EndpointFacts)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2)
    ),
    max_leaves=4,
)


def _places(value: Any, path: str = "") -> list[str]:
    steps = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        here
        for step, inner in steps
        for here in (f"{path}{step}", *_places(inner, f"{path}{step}/"))
    ]


PLACES = _places(json.loads(dump_facts(make_facts())))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLACES), _JSON)
def test_any_value_at_any_place_is_read_or_refused_and_nothing_else(
    place: str, value: object
) -> None:
    try:
        facts = load_facts(changed(place, value), EndpointFacts)
    except MalformedFacts:
        return
    assert load_facts(dump_facts(facts), EndpointFacts) == facts


def test_a_naive_instant_is_not_written() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        dump_facts(make_facts(observed_at=datetime(2026, 1, 1)))  # noqa: DTZ001


@dataclasses.dataclass(frozen=True)
class _Circle:
    radius: float


@dataclasses.dataclass(frozen=True)
class _Square:
    side: int
    inside: "tuple[_Circle | _Square, ...]" = ()


@dataclasses.dataclass(frozen=True)
class _Drawing:
    shapes: tuple[_Circle | _Square, ...]
    sizes: frozenset[int]
    corner: tuple[int, str]
    best: _Circle | _Square | None = None


def test_new_fields_may_hold_choices_sets_pairs_and_trees() -> None:
    drawing = _Drawing(
        shapes=(_Circle(1.5), _Square(2, (_Square(1), _Circle(0.5)))),
        sizes=frozenset({3, 1}),
        corner=(4, "x"),
        best=_Circle(2.0),
    )
    text = dump_facts(drawing)
    assert load_facts(text, _Drawing) == drawing
    for wrong, problem in (
        (text.replace('"_Circle"', '"_Line"', 1), "one of _Circle, _Square"),
        (text.replace("[1,3]", "[1,1]"), "same value twice"),
    ):
        with pytest.raises(MalformedFacts, match=problem):
            load_facts(wrong, _Drawing)


def test_a_whole_number_is_a_number_too() -> None:
    assert load_facts(dump_facts(_Circle(2)), _Circle) == _Circle(2.0)
    text = dump_facts(_Circle(2.0))
    assert load_facts(text.replace("2.0", "2"), _Circle) == _Circle(2.0)
    for wrong in ("true", '"2"', "1e999", "1" + "0" * 400):
        with pytest.raises(MalformedFacts, match=r"facts\.radius: "):
            load_facts(text.replace("2.0", wrong), _Circle)


@pytest.mark.parametrize("hint", [object, dict[str, int], int | str, list[int]])
def test_a_type_without_a_form_is_a_bug_that_shows_at_once(hint: Any) -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        form_of(hint)
