"""Facts as JSON documents and back, without loss: for files of saved facts, and for caches outside this process.

The form follows the type hints of the dataclasses in otpc_policy.core.facts, so a new field needs no line here. Decoding is
strict: whatever the hints do not say is refused with its place, never guessed. A field with a default may be left out;
its default says that nothing is known. Raise VERSION when the meaning of something that is there changes.
"""

import json
from typing import Any, TypeVar, cast

from otpc_policy.core.errors import MalformedFacts
from otpc_policy.core.json_forms import Refused, form_of

FORMAT = "otpc-policy facts"
VERSION = 1

F = TypeVar("F")


def dump_facts(facts: object, *, indent: int | None = None) -> str:
    """Return a dataclass of facts as a JSON document that names its format, version and kind."""
    kind: Any = type(facts)
    document = {
        "format": FORMAT,
        "version": VERSION,
        "kind": kind.__name__,
        "facts": form_of(kind).encode(facts),
    }
    return json.dumps(
        document, indent=indent, allow_nan=False, separators=None if indent else (",", ":")
    )


def load_facts(text: str, kind: type[F]) -> F:
    """Return the facts of a document. Raises MalformedFacts with the place of the first thing that is wrong."""
    try:
        document = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except ValueError as error:
        raise MalformedFacts(f"is no JSON that can be used: {error}") from None
    except RecursionError:
        raise MalformedFacts("is nested too deeply") from None
    return read_facts(document, kind)


def read_facts(document: object, kind: type[F]) -> F:
    """Return the facts of a document that has been decoded from JSON or TOML already. Raises MalformedFacts."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MalformedFacts(f'holds no facts: "format" must be "{FORMAT}"')
    if type(document.get("version")) is not int or document["version"] != VERSION:
        raise MalformedFacts(
            f"is of version {document.get('version')!r}; this program reads version {VERSION}: save the facts again"
        )
    if document.get("kind") != kind.__name__:
        raise MalformedFacts(f"holds {document.get('kind')!r}; {kind.__name__} expected")
    if unknown := set(document) - {"format", "version", "kind", "facts"}:
        raise MalformedFacts(f"{sorted(unknown)[0]} is no field of this format")
    try:
        return cast(F, form_of(cast(Any, kind)).decode(document.get("facts")))
    except Refused as refused:
        raise MalformedFacts(f"facts{''.join(reversed(refused.path))}: {refused.reason}") from None


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(
            f"{next(name for name in names if names.count(name) > 1)!r} is there twice"
        )
    return table


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
