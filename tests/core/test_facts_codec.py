"""Facts survive JSON whole, and what is not exactly facts is refused with its place."""

import dataclasses
import json
import types
import typing
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.core.errors import MalformedFacts
from otpc_policy.core.facts import (
    AddressFacts,
    CurveFact,
    DeepFacts,
    EndpointFacts,
    HandshakeFacts,
    KeyType,
    Support,
    TlsVersion,
)
from otpc_policy.core.facts_codec import (
    MAXIMUM_CHARACTERS,
    MAXIMUM_NESTING,
    dump_facts,
    load_facts,
)
from otpc_policy.core.facts_form import schema_of
from tests.core.facts_of_version_1 import dump_version_1
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
# Written by the last program that wrote VERSION 1.
VERSION_1 = Path(__file__).with_name("version-1.facts.json").read_text(encoding="utf-8")


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type, every field of a dataclass drawn, so that new fields take part."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        return st.builds(hint, **{name: any_of(of) for name, of in hints.items()})
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


@settings(max_examples=100, deadline=None)
@given(st.one_of(any_of(EndpointFacts), any_of(AddressFacts)))
def test_any_facts_of_version_1_are_read_as_they_were(facts: Any) -> None:
    assert load_facts(dump_version_1(facts), type(facts)) == facts


def restricted(written: Any, known: Any) -> Any:
    """Return what is written without the fields that came later than what is known."""
    if isinstance(known, dict):
        return {key: restricted(written[key], value) for key, value in known.items()}
    if isinstance(known, list):
        return [restricted(*pair) for pair in zip(written, known, strict=True)]
    return written


def test_a_file_of_version_1_is_read_without_loss() -> None:
    facts = load_facts(VERSION_1, EndpointFacts)
    assert restricted(json.loads(dump_version_1(facts)), json.loads(VERSION_1)) == json.loads(
        VERSION_1
    )
    assert load_facts(dump_facts(facts), EndpointFacts) == facts
    (address,) = facts.addresses
    assert [fact.version for fact in address.versions] == list(TlsVersion)
    assert address.observed_at == datetime(2026, 3, 2, 11, 59, 0, 250_000, tzinfo=UTC)
    assert address.duration == timedelta(milliseconds=300, microseconds=7)
    assert address.cipher_suites[1].version is TlsVersion.SSL_2_0
    assert address.deployments[0].chain == (bytes(range(256)), b"\x00")
    assert address.deployments[0].stapled_ocsp_response == b"\xff\xfe\xfd"
    assert address.deployments[1].key_type is KeyType.EDDSA
    assert address.remarks == ('Umlaute: äöü → 🔒, "quoted" \\ [bracketed] {braced}',)
    assert isinstance(address.deep, DeepFacts)
    assert address.deep.duration == timedelta(seconds=-1, microseconds=1)
    assert address.deep.curves[0] == CurveFact("secp256r1", Support.YES)


def test_real_facts_come_back_and_every_field_is_written() -> None:
    facts = make_facts()
    text = dump_facts(facts)
    assert load_facts(text, EndpointFacts) == facts
    written = json.loads(text)["facts"]
    assert list(written) == [field.name for field in dataclasses.fields(EndpointFacts)]
    assert list(written["addresses"][0]) == [
        field.name for field in dataclasses.fields(AddressFacts)
    ]


def test_values_are_written_as_the_form_says() -> None:
    chain = (b"\xfb\xff", b"")
    document = json.loads(dump_facts(make_facts(remarks=("Ä",), duration=timedelta(seconds=1.5))))
    address = document["facts"]["addresses"][0]
    assert document["version"] == 2
    assert address["versions"][4] == {"version": 771, "support": "YES", "evidence": "SERVER_HELLO"}
    assert (address["observed_at"], address["duration"]) == ("2026-03-02T11:59:00Z", "1.500000s")
    assert address["deep"] is None
    assert "\\u00c4" in dump_facts(make_facts(remarks=("Ä",)))
    (deployment, *_) = make_facts().addresses[0].deployments
    written = dump_facts(make_facts(deployments=(dataclasses.replace(deployment, chain=chain),)))
    assert json.loads(written)["facts"]["addresses"][0]["deployments"][0]["chain"] == ["+/8=", ""]


def test_a_field_with_a_default_may_be_left_out() -> None:
    document = json.loads(dump_facts(make_facts()))
    del document["facts"]["omitted_families"], document["facts"]["addresses"][0]["remarks"]
    assert load_facts(json.dumps(document), EndpointFacts) == make_facts()


def test_facts_from_before_groups_were_measured_are_read_and_know_none() -> None:
    document = json.loads(dump_facts(make_facts()))
    for field in ("groups", "key_exchanges", "handshake"):
        del document["facts"]["addresses"][0][field]
    for known in (json.dumps(document), VERSION_1):
        (address,) = load_facts(known, EndpointFacts).addresses
        assert (address.groups, address.key_exchanges) == ((), ())
        assert address.handshake == HandshakeFacts()


def changed(path: str, value: object, document: str = "") -> str:
    """The document of compliant facts, or another, with one value replaced."""
    whole = json.loads(document or dump_facts(make_facts()))
    *steps, last = path.split("/")
    at = whole
    for step in steps:
        at = at[int(step) if isinstance(at, list) else step]
    at[int(last) if isinstance(at, list) else last] = value
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not valid JSON"),
        ("{", "is not valid JSON"),
        ("{]", "is not valid JSON"),
        ("]{", "is not valid JSON"),
        ("[1,]", "is not valid JSON"),
        ('"\\', "is not valid JSON"),
        ("[]", "holds no facts"),
        ("{}", "holds no facts"),
        ('{"format": 1, "format": 2}', "duplicate key 'format'"),
        ('{"a": {"b": [{"c": 1, "d": 2, "c": 1}]}}', "duplicate key 'c'"),
        ('{"x": NaN}', "NaN is not a JSON number"),
        ('{"x": -Infinity}', "-Infinity is not a JSON number"),
        ('{"x": ' + "1" * 5000 + "}", "is not valid JSON"),
        (changed("format", "facts"), "holds no facts"),
        (changed("version", 3), "is of version 3; this program reads versions 1 to 2"),
        (changed("version", 0), "is of version 0"),
        (changed("version", True), "is of version True"),
        (changed("version", 2.0), r"is of version 2\.0"),
        (changed("version", [[1]]), r"is of version \[\[1\]\]"),
        (changed("kind", "AddressFacts"), "holds 'AddressFacts'; EndpointFacts expected"),
        (changed("extra", 1), "'extra' is not a field of this format"),
        (changed("facts", None), "facts: None is not an object"),
        (changed("facts", []), "facts: a list is not an object"),
        (changed("facts/verdict", "ALLOW"), "facts: unknown field 'verdict'"),
        (
            changed("facts/addresses/0/colour", 1),
            r"facts\.addresses\[0\]: unknown field 'colour'",
        ),
        (
            changed("facts/addresses/0/reachable", "MAYBE"),
            r"facts\.addresses\[0\]\.reachable: 'MAYBE' is not 'YES', 'NO' or 'UNKNOWN'",
        ),
        (changed("facts/addresses/0/reachable", True), r"reachable: True is not 'YES'"),
        (changed("facts/addresses/0/reachable", []), r"reachable: a list is not 'YES'"),
        (changed("facts/addresses/0/versions", {}), r"versions: an object is not a list"),
        (changed("facts/addresses/0/versions", "ab"), r"versions: 'ab' is not a list"),
        (
            changed("facts/addresses/0/versions/5/version", 773),
            r"facts\.addresses\[0\]\.versions\[5\]\.version: 773 is not 2, 768, 769, 770, 771 or",
        ),
        (changed("facts/addresses/0/versions/5/version", "TLS_1_3"), r"version: 'TLS_1_3' is not"),
        (changed("facts/addresses/0/versions/5/version", "772"), r"version: '772' is not a whole"),
        (changed("facts/addresses/0/versions/5/version", 772.0), r"version: 772.0 is not a whole"),
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
            changed("facts/addresses/0/cipher_suites/1/code_point", "49195"),
            r"code_point: '49195' is not a whole number",
        ),
        (changed("facts/addresses/0/deployments/0/chain", ["?"]), r"chain\[0\]: '\?' is not base"),
        (changed("facts/addresses/0/deployments/0/chain", ["YWI"]), r"chain\[0\]: 'YWI' is not ba"),
        (changed("facts/addresses/0/deployments/0/chain", ["-_-_"]), r"'-_-_' is not base64"),
        (changed("facts/addresses/0/deployments/0/chain", [1]), r"chain\[0\]: 1 is not a text"),
        *(
            (changed("facts/addresses/0/observed_at", at), r"observed_at: .* is not an instant wit")
            for at in (
                "2026-03-02T12:00:00",
                "0001-01-01T00:00:00+12:00",
                "2026-03-02T12:00:00.1234567Z",
                "2026-03-02",
                "2026-W10-1T12:00:00Z",
                "2026-13-02T12:00:00Z",
                "1700000000",
                "2026-03-02T12:00:00Z\n",
            )
        ),
        (changed("facts/addresses/0/observed_at", 1700000000), r"observed_at: 17.* is not a text"),
        *(
            (changed("facts/addresses/0/duration", duration), r"duration: .* is not a duration")
            for duration in ("1 s", "PT1S", "1", "1.1234567s", "999999999999999s", "1s\n")
        ),
        (changed("facts/addresses/0/remarks", ["\ud800"]), r"remarks\[0\]: .* a lone surrogate"),
    ],
)
def test_what_is_not_exactly_facts_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(MalformedFacts, match=problem):
        load_facts(text, EndpointFacts)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (
            "facts/addresses/0/versions/5/version",
            772,
            r"facts\.addresses\[0\]\.versions\[5\]\.version: 772 is not one of SSL_2_0, SSL_3_0",
        ),
        (
            "facts/addresses/0/cipher_suites/2/version",
            "TLS_2_0",
            r"facts\.addresses\[0\]\.cipher_suites\[2\]\.version: 'TLS_2_0' is not one of SSL_2_0",
        ),
        ("facts/addresses/0/deployments/0/version", ["TLS_1_2"], r"\['TLS_1_2'\] is not one of"),
        ("facts/addresses/0/versions/5", 7, r"versions\[5\]: 7 is not an object"),
        ("facts/addresses/0/versions", 7, r"versions: 7 is not a list"),
        ("facts/addresses/0", 7, r"facts\.addresses\[0\]: 7 is not an object"),
        ("facts/addresses", {}, r"facts\.addresses: an object is not a list"),
        ("facts", [], "facts: a list is not an object"),
        ("facts/colour", 1, "facts: unknown field 'colour'"),
    ],
)
def test_what_is_not_exactly_facts_of_version_1_is_refused_with_its_place(
    path: str, value: object, problem: str
) -> None:
    with pytest.raises(MalformedFacts, match=problem):
        load_facts(changed(path, value, VERSION_1), EndpointFacts)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 1_000 + "1" + "}" * 1_000,
        "[" * 2 * MAXIMUM_NESTING + "]" * 2 * MAXIMUM_NESTING,
        '[{"a":' * MAXIMUM_NESTING + "1" + "}]" * MAXIMUM_NESTING,
        '["\\"", ' + "[" * 200 + "]" * 200 + "]",
        '["\\\\", ' + "[" * 200 + "]" * 200 + "]",
    ],
)
def test_a_document_that_is_nested_too_deeply_is_not_parsed(text: str) -> None:
    with pytest.raises(MalformedFacts, match="is nested too deeply"):
        load_facts(text, EndpointFacts)


def test_a_document_at_the_limit_of_nesting_is_parsed() -> None:
    with pytest.raises(MalformedFacts, match="holds no facts"):
        load_facts("[" * MAXIMUM_NESTING + "]" * MAXIMUM_NESTING, EndpointFacts)


@pytest.mark.parametrize(
    "text", ["[" * 200, "{" * 200, '"[', '\\"[[', '"\\\\"]', "\\" * 7, "}" * 9]
)
def test_brackets_within_texts_are_no_nesting(text: str) -> None:
    facts = make_facts(remarks=(text, text))
    assert load_facts(dump_facts(facts), EndpointFacts) == facts


def test_a_document_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(MalformedFacts, match="is longer than 4194304 characters"):
        load_facts(" " * (MAXIMUM_CHARACTERS + 1), EndpointFacts)


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


DOCUMENTS = (dump_facts(make_facts()), VERSION_1)
PLACES = [(document, place) for document in DOCUMENTS for place in _places(json.loads(document))]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), _JSON)
def test_any_value_at_any_place_is_read_or_refused_and_nothing_else(
    place: tuple[str, str], value: object
) -> None:
    document, path = place
    try:
        facts = load_facts(changed(path, value, document), EndpointFacts)
    except MalformedFacts:
        return
    assert load_facts(dump_facts(facts), EndpointFacts) == facts


@settings(max_examples=300, deadline=None)
@given(st.text('[]{}":,\\1a ', max_size=30) | _JSON.map(json.dumps))
def test_any_text_is_refused_and_nothing_else(text: str) -> None:
    with pytest.raises(MalformedFacts):
        load_facts(text, EndpointFacts)


def test_what_could_not_be_read_again_is_not_written() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        dump_facts(make_facts(observed_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    with pytest.raises(ValueError, match="is not finite"):
        dump_facts(_Circle(float("nan")))
    with pytest.raises(ValueError, match="Expected"):
        dump_facts(make_facts(reachable="YES"))
    with pytest.raises(ValueError, match="surrogates not allowed"):
        dump_facts(make_facts(remarks=("\ud800",)))


@dataclasses.dataclass(frozen=True)
class _Circle:
    radius: float


class _Colour(IntEnum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class _Drawing:
    shapes: tuple[_Circle, ...]
    sizes: frozenset[int]
    colours: frozenset[_Colour]
    corner: tuple[int, str]
    best: _Circle | None = None
    layers: tuple[tuple[int, ...], ...] = dataclasses.field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.corner == (0, ""):
            raise ValueError("a corner needs a name")


def test_new_fields_may_hold_sets_pairs_and_lists_of_lists() -> None:
    drawing = _Drawing(
        shapes=(_Circle(1.5), _Circle(2)),
        sizes=frozenset({3, 1}),
        colours=frozenset({_Colour.BLUE, _Colour.RED}),
        corner=(4, "x"),
        best=_Circle(2.0),
        layers=((1, 2), ()),
    )
    text = dump_facts(drawing)
    assert load_facts(text, _Drawing) == drawing
    assert '"sizes":[1,3],"colours":[1,2],"corner":[4,"x"]' in text
    for place, wrong, problem in (
        ("sizes", [1, 1], "sizes: contains a value twice"),
        ("colours", [1, 3], r"colours\[1\]: 3 is not 1 or 2"),
        ("corner", [4], r"corner\[1\] is missing|corner: 1 is missing"),
        ("corner", [4, "x", 5], "corner: "),
        ("corner", [0, ""], "facts: a corner needs a name"),
        ("layers", [[1], 2], r"layers\[1\]: 2 is not a list"),
    ):
        with pytest.raises(MalformedFacts, match=problem):
            load_facts(changed(f"facts/{place}", wrong, text), _Drawing)


def test_a_whole_number_is_a_number_too() -> None:
    assert load_facts(dump_facts(_Circle(2)), _Circle) == _Circle(2.0)
    text = dump_facts(_Circle(2.0))
    assert load_facts(text.replace("2.0", "2"), _Circle) == _Circle(2.0)
    for wrong in ("true", '"2"', "1e999", "1" + "0" * 400):
        with pytest.raises(MalformedFacts, match=r"facts\.radius: "):
            load_facts(text.replace("2.0", wrong), _Circle)


@pytest.mark.parametrize("hint", [object, dict[str, int], int | str, list[int], int | str | None])
def test_a_type_without_a_form_is_a_bug_that_shows_at_once(hint: Any) -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        schema_of(hint)
