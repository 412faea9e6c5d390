"""The JSON form of facts, derived from the type hints of their dataclasses: VERSION 2.

A schema of pydantic-core does the work in both directions. It is built here and not by
pydantic.TypeAdapter, which reads more than it should: "771" and 771.0 where a version stands,
instants without an offset, "1700000000" as an instant. It also takes 60 ms to build; this takes
less than 10.

What values look like:

    dataclass           object, every field by its name
    tuple, frozenset    list
    Enum                its value: a word, or for a TLS version its number on the wire
    datetime            "2026-03-02T12:00:00Z" (RFC 3339; read with any offset, written in UTC)
    timedelta           seconds, "0.250000s"
    bytes               base64 (RFC 4648 section 4)
    bool, int, str      as in JSON
    float               a finite number
    X | None            the form of X, or null
"""

import base64
import binascii
import dataclasses
import math
import re
import types
import typing
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from pydantic_core import CoreSchema, core_schema

_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
_SECONDS = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,6}))?s")
_MICROSECOND = timedelta(microseconds=1)


def schema_of(hint: Any) -> CoreSchema:
    """Return the schema of a type: it validates decoded JSON and serializes to JSON.

    Raises TypeError for a type that has no form, so that nothing is written in part.
    """
    if hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum_schema(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass_schema(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and arguments:
        return _tuple_schema(arguments)
    if origin is frozenset:
        return _frozenset_schema(arguments[0])
    if origin in (typing.Union, types.UnionType) and types.NoneType in arguments:
        some = [argument for argument in arguments if argument is not types.NoneType]
        if len(some) == 1:
            return core_schema.nullable_schema(schema_of(some[0]))
    raise TypeError(f"values of type {hint!r} have no form in JSON")


def _enum_schema(kind: type[Enum]) -> CoreSchema:
    schema = core_schema.enum_schema(kind, list(kind.__members__.values()))
    if issubclass(kind, int):
        # By itself, a member with a number would also be read from 771.0 and "771".
        return core_schema.chain_schema([core_schema.int_schema(strict=True), schema])
    return schema


def _dataclass_schema(kind: type[Any]) -> CoreSchema:
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    arguments = [
        core_schema.dataclass_field(
            field.name, _with_default(schema_of(hints[field.name]), field), kw_only=True
        )
        for field in fields
    ]
    return core_schema.dataclass_schema(
        kind,
        core_schema.dataclass_args_schema(kind.__name__, arguments, extra_behavior="forbid"),
        [field.name for field in fields],
        post_init=hasattr(kind, "__post_init__"),
        slots="__slots__" in vars(kind),
    )


def _with_default(schema: CoreSchema, field: "dataclasses.Field[Any]") -> CoreSchema:
    if field.default is not dataclasses.MISSING:
        return core_schema.with_default_schema(schema, default=field.default)
    if field.default_factory is not dataclasses.MISSING:
        return core_schema.with_default_schema(schema, default_factory=field.default_factory)
    return schema


def _tuple_schema(arguments: tuple[Any, ...]) -> CoreSchema:
    is_variadic = arguments[-1] is Ellipsis
    items = [schema_of(argument) for argument in arguments if argument is not Ellipsis]
    # Stopping at the first fault bounds what a document full of faults costs.
    return core_schema.tuple_schema(
        items, variadic_item_index=0 if is_variadic else None, fail_fast=True
    )


def _frozenset_schema(item: Any) -> CoreSchema:
    return core_schema.no_info_after_validator_function(
        _without_repetition,
        core_schema.tuple_schema([schema_of(item)], variadic_item_index=0, fail_fast=True),
        serialization=core_schema.plain_serializer_function_ser_schema(
            sorted, return_schema=core_schema.list_schema(schema_of(item))
        ),
    )


def _without_repetition(items: tuple[Any, ...]) -> frozenset[Any]:
    if len(distinct := frozenset(items)) != len(items):
        raise ValueError("contains a value twice")
    return distinct


def _read_bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{text!r:.80} is not base64") from None


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _read_instant(text: str) -> datetime:
    try:
        if _INSTANT.fullmatch(text):
            return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{text!r:.80} is not an instant with an offset, such as 2026-03-02T12:00:00Z")


def _write_instant(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"{at!r} has no time zone")
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _read_duration(text: str) -> timedelta:
    found = _SECONDS.fullmatch(text)
    try:
        if found is not None:
            microseconds = int((found[3] or "").ljust(6, "0"))
            duration = timedelta(seconds=int(found[2]), microseconds=microseconds)
            return -duration if found[1] else duration
    except OverflowError:
        pass
    raise ValueError(f'{text!r:.80} is not a duration in seconds, such as "0.25s"')


def _write_duration(duration: timedelta) -> str:
    whole, rest = divmod(abs(duration) // _MICROSECOND, 1_000_000)
    return f"{'-' if duration < timedelta() else ''}{whole}.{rest:06}s"


def _write_float(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{number!r} is not finite")
    return float(number)


def _text_schema(
    read: core_schema.NoInfoValidatorFunction, write: core_schema.SerializerFunction
) -> CoreSchema:
    return core_schema.no_info_after_validator_function(
        read,
        core_schema.str_schema(strict=True),
        serialization=core_schema.plain_serializer_function_ser_schema(
            write, return_schema=core_schema.str_schema()
        ),
    )


_SCALARS: dict[Any, CoreSchema] = {
    bool: core_schema.bool_schema(strict=True),
    int: core_schema.int_schema(strict=True),
    float: core_schema.float_schema(
        strict=True,
        allow_inf_nan=False,
        serialization=core_schema.plain_serializer_function_ser_schema(
            _write_float, return_schema=core_schema.float_schema()
        ),
    ),
    # pydantic-core finds lone surrogates, which UTF-8 cannot express, only if it checks a length.
    str: core_schema.str_schema(strict=True, min_length=0),
    bytes: _text_schema(_read_bytes, _write_bytes),
    datetime: _text_schema(_read_instant, _write_instant),
    timedelta: _text_schema(_read_duration, _write_duration),
}
