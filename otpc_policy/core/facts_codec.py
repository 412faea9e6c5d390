"""Facts as JSON documents and back, without loss: saved facts, and caches outside this process.

A document is an object of four fields:

    {"format": "otpc-policy facts", "version": 2, "kind": "EndpointFacts", "facts": {...}}

facts_form says what values look like; it follows the dataclasses in otpc_policy.core.facts, so a
new field needs no line here. Reading is strict: unknown and repeated keys, missing fields, values
of another type and numbers that are not finite are refused with their place. A field with a
default may be left out; its default says that nothing is known. Documents of VERSION 1 are read as
well (facts_version_1). Raise VERSION when the meaning of something that is there changes.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar, cast

from pydantic_core import ErrorDetails, SchemaSerializer, SchemaValidator, ValidationError
from pydantic_core import core_schema as cs

from otpc_policy.core.errors import MalformedFacts
from otpc_policy.core.facts_form import schema_of
from otpc_policy.core.facts_version_1 import to_version_2

FORMAT = "otpc-policy facts"
VERSION = 2

# A full measurement of an address takes 70,000, and at most eight addresses are measured. The rest
# is for the chains of hostile servers: ten of 256 KiB each fit. The largest document of facts takes
# 0.1 s to read, the worst of anything else 0.7 s; a reader on an event loop needs a lower limit.
MAXIMUM_CHARACTERS = 4 * 2**20
# Facts are nested 8 deep.
MAXIMUM_NESTING = 32

_NOT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_AS_LISTS = bytes.maketrans(b"{}", b"[]")
_FAULTS = {
    "bool_type": "is not true or false",
    "dataclass_type": "is not an object",
    "finite_number": "is not finite",
    "float_type": "is not a number",
    "int_type": "is not a whole number",
    "string_type": "is not a text",
    "string_unicode": "contains a lone surrogate",
    "tuple_type": "is not a list",
}

F = TypeVar("F")


def dump_facts(facts: object, *, indent: int | None = None) -> str:
    """Return a dataclass of facts as a JSON document, in ASCII.

    Raises ValueError for a value that could not be read again: an instant without an offset, a
    number that is not finite. TypeError for a field whose type has no form.
    """
    kind: Any = type(facts)
    document = {"format": FORMAT, "version": VERSION, "kind": kind.__name__, "facts": facts}
    written = _serializer(kind).to_json(
        document, indent=indent, ensure_ascii=True, warnings="error"
    )
    return written.decode("ascii")


def load_facts(text: str, kind: type[F]) -> F:
    """Return the facts of a document.

    Raises MalformedFacts with the place of the first thing that is wrong.
    """
    document = _parse(text)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MalformedFacts(f'holds no facts: "format" must be "{FORMAT}"')
    version = document.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise MalformedFacts(
            f"is of version {version!r:.40}; this program reads versions 1 to {VERSION}"
        )
    if document.get("kind") != kind.__name__:
        raise MalformedFacts(f"holds {document.get('kind')!r:.80}; {kind.__name__} expected")
    if unknown := document.keys() - {"format", "version", "kind", "facts"}:
        raise MalformedFacts(f"{min(unknown)!r:.80} is not a field of this format")
    facts = document.get("facts")
    if version == 1:
        to_version_2(facts)
    try:
        return cast(F, _validator(cast(Any, kind)).validate_python(facts))
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        raise MalformedFacts(_described(details)) from None


@cache
def _validator(kind: type[Any]) -> SchemaValidator:
    return SchemaValidator(schema_of(kind))


@cache
def _serializer(kind: type[Any]) -> SchemaSerializer:
    fields = {
        "format": cs.typed_dict_field(cs.str_schema()),
        "version": cs.typed_dict_field(cs.int_schema()),
        "kind": cs.typed_dict_field(cs.str_schema()),
        "facts": cs.typed_dict_field(schema_of(kind)),
    }
    return SchemaSerializer(cs.typed_dict_schema(fields))


def _parse(text: str) -> object:
    # Nothing is parsed before it is known to be small enough to be parsed.
    if len(text) > MAXIMUM_CHARACTERS:
        raise MalformedFacts(f"is longer than {MAXIMUM_CHARACTERS} characters")
    if _is_nested_too_deeply(text.encode("utf-8", "replace")):
        raise MalformedFacts("is nested too deeply")
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except ValueError as error:
        raise MalformedFacts(f"is not valid JSON: {error}") from None


def _is_nested_too_deeply(document: bytes) -> bool:
    """Find out without a parser, so that none is led deeper than twice MAXIMUM_NESTING.

    What is left after strings are cut out is brackets; each round removes the innermost pairs. A
    few that are left may be unmatched ones, which the parser can name better.
    """
    unescaped = document.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = unescaped.translate(_AS_LISTS, _NOT_MARKS)
    # Two quotes side by side end one string and begin another, or hold nothing: the rest stays
    # inside or outside of strings as it was.
    brackets = b"".join(marks.replace(b'""', b"").split(b'"')[::2])
    for _ in range(MAXIMUM_NESTING):
        brackets = brackets.replace(b"[]", b"")
    return len(brackets) > MAXIMUM_NESTING


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"duplicate key {name!r:.80}")
    return table


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _described(error: ErrorDetails) -> str:
    """Return a fault with its place, in our words."""
    place: list[int | str] = ["facts", *error["loc"]]
    if error["type"] == "missing":
        return f"{_path(place[:-1])}: {place[-1]} is missing"
    if error["type"] == "unexpected_keyword_argument":
        return f"{_path(place[:-1])}: unknown field {place[-1]!r:.80}"
    return f"{_path(place)}: {_fault(error)}"


def _fault(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx", {})
    shown = _shown(error["input"])
    if error["type"] == "value_error":
        return str(context["error"])
    if error["type"] == "enum":
        return f"{shown} is not {context['expected']}"
    return f"{shown} {_FAULTS.get(error['type'], 'does not fit: ' + error['msg'])}"


def _shown(value: object) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{value!r:.80}"


def _path(place: Sequence[int | str]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".")
