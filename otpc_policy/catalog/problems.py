"""What is wrong with a document, in sentences for its author.

pydantic reports the kind of an error and the path to it. This module holds the only translation of
kinds into sentences, and it uses none of pydantic's own texts. Our own validators raise ValueError
with the sentence as their text.

A sentence continues after "file:line: key: ", so it has no subject: "must be text".
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from otpc_policy.catalog.toml_lines import KeyPath, TomlLines
from otpc_policy.core.errors import ConfigurationError

INSTANT = "must be a date and time with a zone, such as 2027-01-01T00:00:00Z"

# pydantic's mark of an error in a key itself; the key stands before it.
_KEY_ITSELF = "[key]"

_SENTENCES: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "path_type": "must be a path",
    "enum": "must be {expected}",
}
_FALLBACK = "has a value that cannot be used"


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. path: to the key in the document. is_missing: the key is required and absent."""

    path: KeyPath
    sentence: str
    is_missing: bool = False

    @property
    def key(self) -> str:
        """The path for people, such as "trusted.0.ends"; empty for the document itself."""
        return ".".join(map(str, self.path))


UnknownKey = Callable[[KeyPath, tuple[str, ...]], str]


def unknown_key(_path: KeyPath, expected: tuple[str, ...]) -> str:
    """Return the sentence for a key that its table does not know."""
    return f"unknown key; expected one of {', '.join(expected)}" if expected else "unknown key"


def about_the_table(sentence: str) -> PydanticCustomError:
    """Return an error of a field validator that concerns the table around the field.

    A rule about several keys is checked at the last of them, and not in a validator of the model,
    because those run only once every field is valid, so that its problem would be reported late.
    """
    return PydanticCustomError("about_the_table", "{sentence}", {"sentence": sentence})


def problems_of(
    error: ValidationError,
    schema: type[BaseModel],
    *,
    at: KeyPath = (),
    unknown: UnknownKey = unknown_key,
) -> list[Problem]:
    """Return every problem that a schema has with a table, in the order of its keys.

    schema: the model that raised the error. at: path to the table. unknown: words unknown keys.
    """
    found = error.errors(include_url=False, include_input=False)
    problems = (_problem(details, schema, unknown) for details in found)
    return [replace(problem, path=(*at, *problem.path)) for problem in problems]


def refusal(problems: Iterable[Problem], lines: TomlLines) -> ConfigurationError:
    """Return the error that reports these problems as "place:line: key: sentence", by line."""
    placed = [(lines.line_of(problem.path), problem) for problem in problems]
    placed.sort(key=lambda pair: pair[0])
    return ConfigurationError(
        [
            f"{lines.place}:{line}: {problem.key}: {problem.sentence}"
            if problem.path
            else f"{lines.place}:{line}: {problem.sentence}"
            for line, problem in placed
        ]
    )


def _problem(details: ErrorDetails, schema: type[BaseModel], unknown: UnknownKey) -> Problem:
    path, context = details["loc"], details.get("ctx", {})
    if path and path[-1] == _KEY_ITSELF:
        path = path[:-1]
    match details["type"]:
        case "value_error":
            return Problem(path, str(context["error"]))
        case "extra_forbidden":
            expected = tuple(_table_at(schema, path[:-1]).model_fields)
            return Problem(path, unknown(path, expected))
        case "about_the_table":
            return Problem(path[:-1], context["sentence"])
        case kind:
            bounds = {name: _without_fraction(value) for name, value in context.items()}
            sentence = _SENTENCES.get(kind, _FALLBACK).format_map(bounds)
            return Problem(path, sentence, is_missing=kind == "missing")


def _without_fraction(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _table_at(schema: type[BaseModel], path: KeyPath) -> type[BaseModel]:
    """Return the model of the table at a path, which the models above it have accepted so far."""
    for step in path:
        if isinstance(step, str):
            schema = _model_in(schema.model_fields[step].annotation) or schema
    return schema


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model among the types of an annotation; no field has two."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((model for model in found if model is not None), None)
