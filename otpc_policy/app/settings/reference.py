"""A reference of all settings, made from the model: for --help, docs/settings.md and tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from otpc_policy.app.settings.model import Settings
from otpc_policy.app.settings.sources import CONFIG_VARIABLE, variable_name


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDescription:
    """A setting. key: as in the file, such as "scan.workers". default: as text, "" if none.

    bounds: of a number, or the words that it may be; "" where neither can be said so briefly.
    """

    key: str
    variable: str
    default: str
    description: str
    bounds: str = ""


def describe_settings() -> tuple[SettingDescription, ...]:
    """Return every setting in the order of the model."""
    config = SettingDescription(
        key="",
        variable=CONFIG_VARIABLE,
        default="",
        description="The TOML file to read, as --config.",
    )
    return (config, *_describe(Settings, ()))


def _describe(model: type[BaseModel], above: tuple[str, ...]) -> Iterator[SettingDescription]:
    for name, field in model.model_fields.items():
        location = (*above, name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _describe(field.annotation, location)
        else:
            yield SettingDescription(
                key=".".join(location),
                variable=variable_name(location),
                default=_default(field),
                description=field.description or "",
                bounds=_bounds(field),
            )


def _bounds(field: FieldInfo) -> str:
    if isinstance(field.annotation, type) and issubclass(field.annotation, Enum):
        return ", ".join(str(member.value) for member in field.annotation)
    # A field's own bounds come with those of its type; the strictest one counts.
    lower = max((bound for name in ("ge", "gt") for bound in _of(field, name, ">")), default=None)
    upper = min((bound for name in ("le", "lt") for bound in _of(field, name, "<")), default=None)
    return ", ".join(f"{sign} {number:,}" for number, sign in filter(None, (lower, upper)))


def _of(field: FieldInfo, name: str, sign: str) -> Iterator[tuple[float, str]]:
    """Yield the bounds of one kind, each with its sign."""
    whole = sign if name.endswith("t") else f"{sign}="
    for one in field.metadata:
        if (number := getattr(one, name, None)) is not None:
            yield number, whole


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple) and all(isinstance(item, Enum) for item in value):
        return ",".join(str(item.value) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value in ((), {}) else str(value)
