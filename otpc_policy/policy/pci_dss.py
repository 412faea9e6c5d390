"""Which requirements of PCI DSS 4.0.1 a rule bears on. A mapping, not a policy: see the data."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType


@cache
def pci_dss_requirements() -> Mapping[str, tuple[str, ...]]:
    """Return the requirement numbers by rule id; empty where no requirement asks for the rule."""
    text = (resources.files("otpc_policy.policy") / "pci_dss.toml").read_text(encoding="utf-8")
    found = {rule: tuple(requirements) for rule, requirements in tomllib.loads(text).items()}
    return MappingProxyType(found)
