"""Where settings are read from: arguments, the environment and one TOML file.

Nothing else in the package reads the latter two. Each source is a layer of nested tables that knows
where each of its values was set, so that a problem can be reported there.
"""

import json
import os
import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from otpc_policy.catalog.files import read_text
from otpc_policy.catalog.toml_lines import KeyPath, TomlLines, decode_toml

ENVIRONMENT_PREFIX = "OTPC_POLICY_"
NESTED_DELIMITER = "__"
CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"

# How the keys of paths end.
_PATHS = ("_file", "_files", "_dir", "_signing_key")

# Kubernetes sets these in every container next to a Service named "otpc-policy".
# Source: Kubernetes, "Service", section "Environment variables".
_SERVICE_LINK = re.compile(
    r"OTPC_POLICY_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)\Z"
)


class Layer(PydanticBaseSettingsSource):
    """A source of settings. tree: nested tables by setting."""

    def __init__(self, model: type[BaseSettings], tree: Mapping[str, Any]) -> None:
        super().__init__(model)
        self.tree = tree

    def __call__(self) -> dict[str, Any]:
        """Return everything that this source sets."""
        return dict(self.tree)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of a field from this source, in the form pydantic-settings expects."""
        return self.tree.get(field_name), field_name, False

    def holds(self, path: KeyPath) -> bool:
        """Whether this source sets the value at the path, or a scalar or list above it."""
        node: object = self.tree
        for step in path:
            if isinstance(node, Mapping):
                if step not in node:
                    return False
                node = node[step]
            elif isinstance(node, list | tuple) and isinstance(step, int) and step < len(node):
                node = node[step]
            else:
                return True
        return True

    @abstractmethod
    def place_of(self, path: KeyPath) -> str:
        """Return where a value was set, with its key, for people."""


class Arguments(Layer):
    """Settings from the program itself: command-line options."""

    def place_of(self, path: KeyPath) -> str:
        """Return the key."""
        return _dotted(path)


class Environment(Layer):
    """Settings from environment variables with our prefix."""

    def place_of(self, path: KeyPath) -> str:
        """Return the variable, and the path inside it if it holds a list or a table."""
        node: object = self.tree
        named = 0
        while named < len(path) and isinstance(node, Mapping) and path[named] in node:
            node = node[path[named]]
            named += 1
        variable, rest = variable_name(path[:named]), path[named:]
        return f"{variable}: {_dotted(rest)}" if rest else variable


class File(Layer):
    """Settings from a TOML file."""

    def __init__(
        self, model: type[BaseSettings], tree: Mapping[str, Any], lines: TomlLines
    ) -> None:
        super().__init__(model, tree)
        self._lines = lines

    def place_of(self, path: KeyPath) -> str:
        """Return file, line and key."""
        return f"{self._lines.at(path)}: {_dotted(path)}"


def read_layers(
    model: type[BaseSettings], config: Path | str | None, arguments: Mapping[str, Any]
) -> tuple[Layer, ...]:
    """Return all sources; each takes precedence over those after it.

    config: the file to read (default: the variable OTPC_POLICY_CONFIG, else none).
    Raises ConfigurationError if the file cannot be read.
    """
    path = config or os.environ.get(CONFIG_VARIABLE)
    layers: tuple[Layer, ...] = (Arguments(model, arguments), read_environment(model, os.environ))
    return (*layers, read_file(model, Path(path))) if path else layers


def variable_name(path: Sequence[str | int]) -> str:
    """Return the environment variable of a setting, such as OTPC_POLICY_SCAN__WORKERS."""
    return ENVIRONMENT_PREFIX + NESTED_DELIMITER.join(str(step).upper() for step in path)


def read_environment(model: type[BaseSettings], environ: Mapping[str, str]) -> Environment:
    """Return the settings from the variables with our prefix.

    Fields of a table have variables of their own; a list may be written "a,b". A variable with an
    unknown name is kept, so that it is refused.
    """
    tables, lists = frozenset(_tables(model)), frozenset(_lists(model))
    tree: dict[str, Any] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if _SERVICE_LINK.match(variable):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        name, nested, field = key.partition(NESTED_DELIMITER)
        value = _value(text, is_list=key in lists)
        table = tree.setdefault(name, {}) if nested and name in tables else None
        if isinstance(table, dict):
            table[field] = value
        else:
            tree[key] = value
    return Environment(model, tree)


def read_file(model: type[BaseSettings], path: Path) -> File:
    """Return the settings from a TOML file.

    Paths in it (keys ending in _file, _files, _dir or _signing_key) are relative to its folder.
    Raises ConfigurationError if it cannot be read.
    """
    place = str(path)
    text = read_text(place)
    tree = decode_toml(text, place)
    anchored = {key: _anchored(key, value, path.parent) for key, value in tree.items()}
    return File(model, anchored, TomlLines(text, place))


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _tables(model: type[BaseSettings]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name


def _lists(model: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield the settings that are lists of scalars, those of tables as their variables name them.

    above: the table, with the delimiter.
    """
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _lists(field.annotation, f"{above}{name}{NESTED_DELIMITER}")
        elif get_origin(field.annotation) is tuple:
            item = get_args(field.annotation)[0]
            if not (isinstance(item, type) and issubclass(item, BaseModel)):
                yield above + name


def _value(text: str, *, is_list: bool) -> object:
    """Return decoded JSON (tables, lists), else the text, for the setting's type to parse."""
    stripped = text.strip()
    if stripped.startswith(("[", "{")):
        try:
            return json.loads(stripped)
        except ValueError:
            return stripped
    if is_list:
        return [item.strip() for item in stripped.split(",") if item.strip()]
    return stripped


def _anchored(key: str, value: object, folder: Path) -> object:
    if isinstance(value, dict):
        return {name: _anchored(name, item, folder) for name, item in value.items()}
    if isinstance(value, list):
        return [_anchored(key, item, folder) for item in value]
    if isinstance(value, str) and value and key.endswith(_PATHS):
        return str(folder / value)
    return value
