"""Policy documents: TOML, read strictly, every problem reported at once with its file and line.

A document sets every rule and every code, or extends a built-in document and says only what differs.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from otpc_policy.catalog.effective import as_toml, merged, revision_of
from otpc_policy.catalog.schemas.policy import EFFECTS, LIFETIMES, SEVERITIES, DocumentReader
from otpc_policy.catalog.toml_lines import read_toml
from otpc_policy.errors import ConfigurationError
from otpc_policy.policy.model import Policy, PolicySet, ResultLifetimes, RuleSettings
from otpc_policy.policy.registry import FINDING_CODES
from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules import RULES

BUILTIN_NAMES = ("mozilla-intermediate", "otpc-2024-12", "otpc-2024-12-strict")
DEFAULT_NAME = "otpc-2024-12"


def parse_policy(text: str, place: str) -> Policy:
    """Return the policy that a document describes.

    place: the document's name in problems. Raises ConfigurationError with every problem, each as
    "place:line: rules.tls.served.effects.TLS_NOT_SERVED: what is wrong".
    """
    effective, extends = _effective(text, place)
    return _build(effective, extends)


@cache
def load_builtin_policies() -> PolicySet:
    """Return the policies of this package."""
    policies = {name: parse_policy(_builtin_text(name), f"{name}.toml") for name in BUILTIN_NAMES}
    return PolicySet(policies=MappingProxyType(policies), default_name=DEFAULT_NAME)


@cache
def _builtin_effective(name: str) -> dict[str, Any]:
    return _effective(_builtin_text(name), f"{name}.toml")[0]


def _builtin_text(name: str) -> str:
    return (resources.files("otpc_policy.policy") / "builtin" / f"{name}.toml").read_text(
        encoding="utf-8"
    )


def _effective(text: str, place: str) -> tuple[dict[str, Any], str]:
    """Return the document with everything that it inherits, and the name of what it extends."""
    document = read_toml(text, place)
    reader = DocumentReader(document, BUILTIN_NAMES)
    own = reader.read()
    extends = own.pop("extends", "")
    base = _builtin_effective(extends) if extends else {}
    effective = merged(base, own)
    if "extends" not in document.table:
        reader.demand_all(effective)
    if "name" not in own:
        reader.problem(("name",), "is missing")
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return effective, extends


def _build(effective: Mapping[str, Any], extends: str) -> Policy:
    """Return the policy of an effective document, which has been checked."""
    seconds = effective.get("lifetimes", {})
    allow, deny, unknown = (
        timedelta(seconds=seconds[key]) if key in seconds else None for key in LIFETIMES
    )
    return Policy(
        name=effective["name"],
        title=effective["title"],
        source=effective["source"],
        enforcing=effective["enforcing"],
        revision=revision_of(effective),
        rules=tuple(_rule_settings(rule, effective["rules"][rule.id]) for rule in RULES),
        extends=extends,
        lifetimes=ResultLifetimes(allow=allow, deny=deny, unknown=unknown),
        document=as_toml(effective),
    )


def _rule_settings(rule: Rule, settings: Mapping[str, Any]) -> RuleSettings:
    severities, parameters = settings.get("severities", {}), settings.get("parameters", {})
    return RuleSettings(
        id=rule.id,
        summary=settings["summary"],
        citation=settings["citation"],
        effects=MappingProxyType({code: EFFECTS[settings["effects"][code]] for code in rule.codes}),
        severities=MappingProxyType(
            {
                code: SEVERITIES[severities[code]]
                if code in severities
                else FINDING_CODES[code].severity
                for code in rule.codes
            }
        ),
        parameters=MappingProxyType(
            {one.name: one.read(parameters[one.name]) for one in rule.parameters}
        ),
    )
