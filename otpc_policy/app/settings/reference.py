"""A reference of all settings, made from the model: for --help and to test the example file."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from otpc_policy.app.settings.model import Settings
from otpc_policy.app.settings.sources import CONFIG_VARIABLE, variable_name


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDescription:
    """A setting. key: as in the file, such as "scan.workers". default: as text, "" if none."""

    key: str
    variable: str
    default: str
    description: str


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
            )


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple) and all(isinstance(item, Enum) for item in value):
        return ",".join(str(item.value) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None or value in ((), {}) else str(value)
