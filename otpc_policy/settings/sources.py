"""Where settings are read from: the environment and one TOML file. Nothing else in the package reads either.

A source returns nested dictionaries and remembers what it read, so that a problem can be reported at its place.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from otpc_policy.core.errors import ConfigurationError

ENVIRONMENT_PREFIX = "OTPC_POLICY_"
NESTED_DELIMITER = "__"
CONFIG_VARIABLE = ENVIRONMENT_PREFIX + "CONFIG"

# Kubernetes puts these into every container beside a Service named "otpc-policy"; they are no settings of ours.
# Source: Kubernetes, "Service", section "Environment variables".
_SERVICE_LINK = re.compile(r"OTPC_POLICY_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)\Z")


@dataclass(frozen=True, slots=True)
class Source:
    """What one source said. tree: nested dictionaries by setting. kind: "argument", "variable" or a file's path."""

    kind: str
    tree: Mapping[str, object]

    def holds(self, location: Sequence[str | int]) -> bool:
        """This source set the value at the location, or an ancestor of it that is no table."""
        node: object = self.tree
        for step in location:
            if isinstance(node, Mapping) and step in node:
                node = node[step]
            elif isinstance(node, Mapping):
                return False
            elif isinstance(node, Sequence) and not isinstance(node, str) and isinstance(step, int) and step < len(node):
                node = node[step]
            else:
                return True
        return True

    def place(self, location: Sequence[str | int]) -> str:
        """Name the value at the location as the operator wrote it."""
        if self.kind == "variable":
            return variable_name(self._named(location))
        key = ".".join(str(step) for step in location)
        return key if self.kind == "argument" else f"{self.kind}: {key}"

    def _named(self, location: Sequence[str | int]) -> Sequence[str | int]:
        """Cut the location where a single variable holds all below it."""
        node: object = self.tree
        for depth, step in enumerate(location):
            if not isinstance(node, Mapping) or step not in node:
                return location[:depth]
            node = node[step]
        return location


def variable_name(location: Sequence[str | int]) -> str:
    """Return the environment variable of a setting, such as OTPC_POLICY_SCAN__WORKERS."""
    return ENVIRONMENT_PREFIX + NESTED_DELIMITER.join(str(step).upper() for step in location)


def read_environment(environ: Mapping[str, str], tables: frozenset[str], lists: frozenset[str]) -> Source:
    """Return what the variables with our prefix say; one with an unknown name is kept, so that it is refused.

    tables: settings whose fields have variables of their own. lists: settings that also accept "a,b".
    """
    tree: dict[str, object] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable == CONFIG_VARIABLE or _SERVICE_LINK.match(variable):
            continue
        name, nested, field = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition(NESTED_DELIMITER)
        value = _value(text, is_list=name in lists)
        table = tree.setdefault(name, {}) if nested and name in tables else None
        if isinstance(table, dict):
            table[field] = value
        else:
            tree[name + nested + field] = value
    return Source("variable", tree)


def _value(text: str, *, is_list: bool) -> object:
    """Return JSON where it is JSON (tables, lists), else the text, for the setting's own type to judge."""
    stripped = text.strip()
    if stripped.startswith(("[", "{")):
        try:
            return json.loads(stripped)
        except ValueError:
            return stripped
    return [item.strip() for item in stripped.split(",") if item.strip()] if is_list else stripped


def read_file(path: Path) -> Source:
    """Return what a TOML file says. Paths in it (keys ending in _file, _files or _dir) are relative to its folder.

    Raises ConfigurationError if it cannot be read.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror or 'cannot be read'}"]) from None
    except UnicodeDecodeError:
        raise ConfigurationError([f"{path}: is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{path}: is no TOML: {error}"]) from None
    return Source(str(path), {key: _anchored(key, value, path.parent) for key, value in tree.items()})


def config_path(argument: object) -> Path | None:
    """Return the file to read: the argument, else OTPC_POLICY_CONFIG, else none."""
    chosen = argument or os.environ.get(CONFIG_VARIABLE)
    return Path(str(chosen)) if chosen else None


def _anchored(key: str, value: object, folder: Path) -> object:
    if isinstance(value, dict):
        return {name: _anchored(name, item, folder) for name, item in value.items()}
    if isinstance(value, list):
        return [_anchored(key, item, folder) for item in value]
    if isinstance(value, str) and value and key.endswith(("_file", "_files", "_dir")):
        return str(folder / value)
    return value
