"""Values as JSON and back, by the type hints of their dataclasses: no loss on the way out, nothing guessed on the way in."""

import base64
import binascii
import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, NamedTuple

_SECONDS = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,6}))?s\Z")
_MICROSECOND = timedelta(microseconds=1)


class Refused(Exception):
    """A value does not fit its type. path: grows on the way up, innermost step first."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[str] = []


class Form(NamedTuple):
    """How values of one type are written and read. decode raises Refused."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


@cache
def form_of(hint: Any) -> Form:
    """Return the form of a type. Raises TypeError for one that has none: values must not be written half."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_form(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _dataclass_form(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _items_form(arguments[0], tuple)
    if origin is tuple and arguments:
        return _fixed_form(arguments)
    if origin is frozenset:
        return _items_form(arguments[0], frozenset)
    if origin in (typing.Union, types.UnionType):
        return _union_form(arguments)
    raise TypeError(f"values of type {hint!r} have no form in JSON")


def _enum_form(kind: type[Enum]) -> Form:
    def decode(value: object) -> Enum:
        if not isinstance(value, str) or value not in kind.__members__:
            raise Refused(f"{value!r} is not one of {', '.join(kind.__members__)}")
        return kind[value]

    return Form(lambda member: member.name, decode)


def _dataclass_form(kind: type) -> Form:
    # Looked up when first used: a dataclass may hold others of its own kind.
    @cache
    def fields() -> dict[str, Form]:
        hints = typing.get_type_hints(kind)
        return {field.name: form_of(hints[field.name]) for field in dataclasses.fields(kind)}

    required = [
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]

    def encode(value: object) -> dict[str, object]:
        return {name: form.encode(getattr(value, name)) for name, form in fields().items()}

    def decode(value: object) -> object:
        table = _expected(value, dict, "an object")
        if unknown := [name for name in table if name not in fields()]:
            raise Refused(
                f"{unknown[0]} is no field of {kind.__name__}; there are {', '.join(fields())}"
            )
        if missing := [name for name in required if name not in table]:
            raise Refused(f"{missing[0]} is missing")
        try:
            return kind(
                **{
                    name: _decoded_at(f".{name}", fields()[name], item)
                    for name, item in table.items()
                }
            )
        except ValueError as error:
            raise Refused(str(error)) from None

    return Form(encode, decode)


def _items_form(item_hint: Any, collection: Callable[[Any], Any]) -> Form:
    item = form_of(item_hint)
    in_order: Callable[[Any], Any] = list if collection is tuple else sorted

    def decode(value: object) -> object:
        values = _expected(value, list, "a list")
        decoded = collection(
            _decoded_at(f"[{index}]", item, one) for index, one in enumerate(values)
        )
        if len(decoded) != len(values):
            raise Refused("holds the same value twice")
        return decoded

    return Form(lambda values: in_order(item.encode(one) for one in values), decode)


def _fixed_form(hints: tuple[Any, ...]) -> Form:
    forms = [form_of(hint) for hint in hints]

    def decode(value: object) -> object:
        values = _expected(value, list, "a list")
        if len(values) != len(forms):
            raise Refused(f"holds {len(values)} values; {len(forms)} expected")
        return tuple(
            _decoded_at(f"[{index}]", form, one)
            for index, (form, one) in enumerate(zip(forms, values, strict=True))
        )

    return Form(
        lambda values: [form.encode(one) for form, one in zip(forms, values, strict=True)], decode
    )


def _union_form(hints: tuple[Any, ...]) -> Form:
    """A value or None; of several dataclasses each is written beside its name."""
    some = [hint for hint in hints if hint is not types.NoneType]
    may_be_none = len(some) < len(hints)
    if len(some) == 1:
        only = form_of(some[0])
        return Form(
            lambda value: None if value is None else only.encode(value),
            lambda value: None if value is None else only.decode(value),
        )
    if not all(isinstance(hint, type) and dataclasses.is_dataclass(hint) for hint in some):
        raise TypeError(
            f"a choice of {some} has no form in JSON: only dataclasses can be told apart"
        )
    kinds = {hint.__name__: form_of(hint) for hint in some}

    def encode(value: object) -> object:
        return (
            None
            if value is None
            else {"kind": type(value).__name__, "value": kinds[type(value).__name__].encode(value)}
        )

    def decode(value: object) -> object:
        if value is None and may_be_none:
            return None
        table = _expected(value, dict, "an object")
        if (
            set(table) != {"kind", "value"}
            or not isinstance(table["kind"], str)
            or table["kind"] not in kinds
        ):
            raise Refused(f'must hold "kind", one of {", ".join(kinds)}, and "value"')
        return _decoded_at(".value", kinds[table["kind"]], table["value"])

    return Form(encode, decode)


def _decoded_at(step: str, form: Form, value: object) -> object:
    try:
        return form.decode(value)
    except Refused as refused:
        refused.path.append(step)
        raise


def _expected(value: object, kind: type, described: str) -> Any:
    # Not isinstance: True is an int to Python, and must not become one here.
    if type(value) is not kind:
        raise Refused(f"{value!r:.80} is not {described}")
    return value


def _read_text(value: object) -> str:
    text: str = _expected(value, str, "a text")
    if not text.isascii() and any("\ud800" <= one <= "\udfff" for one in text):
        raise Refused("holds half a character (a lone surrogate)")
    return text


def _read_float(value: object) -> float:
    # A whole number is a number too; JSON itself knows no difference.
    number = (
        float(_expected(value, int if type(value) is int else float, "a number"))
        if not _is_huge(value)
        else math.inf
    )
    if not math.isfinite(number):
        raise Refused(f"{value!r:.80} is not finite")
    return number


def _is_huge(value: object) -> bool:
    return type(value) is int and value.bit_length() > 1000


def _read_bytes(value: object) -> bytes:
    text: str = _expected(value, str, "bytes in base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(f"{text!r:.80} is not base64") from None


def _read_instant(value: object) -> datetime:
    text: str = _expected(value, str, "an instant")
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Refused(f"{text!r:.80} is not an instant with an offset, such as 2026-03-02T12:00:00Z")


def _write_instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _read_duration(value: object) -> timedelta:
    text: str = _expected(value, str, "a duration")
    found = _SECONDS.match(text)
    try:
        if found is not None:
            duration = timedelta(
                seconds=int(found[2]), microseconds=int((found[3] or "").ljust(6, "0"))
            )
            return -duration if found[1] else duration
    except OverflowError:
        pass
    raise Refused(f'{text!r:.80} is not a duration in seconds, such as "0.25s"')


def _write_duration(duration: timedelta) -> str:
    whole, rest = divmod(abs(duration) // _MICROSECOND, 1_000_000)
    return f"{'-' if duration < timedelta() else ''}{whole}.{rest:06}s"


def _as_it_is(value: object) -> object:
    return value


_SCALARS: dict[Any, Form] = {
    bool: Form(_as_it_is, lambda value: _expected(value, bool, "true or false")),
    int: Form(_as_it_is, lambda value: _expected(value, int, "a whole number")),
    float: Form(float, _read_float),
    str: Form(_as_it_is, _read_text),
    bytes: Form(lambda value: base64.b64encode(value).decode("ascii"), _read_bytes),
    datetime: Form(_write_instant, _read_instant),
    timedelta: Form(_write_duration, _read_duration),
}
