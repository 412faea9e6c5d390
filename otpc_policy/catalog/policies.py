"""Policies: TOML documents to values, those of this package and those of the operator.

A document sets every rule and every code, or extends a built-in document and says only what
differs.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from otpc_policy.catalog.effective import as_toml, merged, revision_of
from otpc_policy.catalog.files import POLICY_TEST_SUFFIX, documents_in, read_text
from otpc_policy.catalog.problems import refusal
from otpc_policy.catalog.schemas.policy import (
    BUILTIN_NAMES,
    LifetimesTable,
    RuleTable,
    policy_problems,
    policy_schema,
)
from otpc_policy.catalog.signatures import ReadDocument, document_reader
from otpc_policy.catalog.sources import CatalogSources
from otpc_policy.catalog.toml_lines import TomlLines, decode_toml
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.policy.model import Policy, PolicySet, ResultLifetimes, RuleSettings
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules import RULES

DEFAULT_NAME = "otpc-2024-12"


def parse_policy(text: str, place: str) -> Policy:
    """Return the policy that a document describes. place: its name in problems.

    Raises ConfigurationError with every problem, each as
    "place:line: rules.tls.served.effects.TLS_NOT_SERVED: what is wrong".
    """
    table = decode_toml(text, place)
    return _policy(_effective(table, TomlLines(text, place)), table.get("extends", ""))


@cache
def load_builtin_policies() -> PolicySet:
    """Return the policies of this package."""
    policies = {name: parse_policy(_builtin_text(name), f"{name}.toml") for name in BUILTIN_NAMES}
    return PolicySet(policies=MappingProxyType(policies), default_name=DEFAULT_NAME)


def load_policies(sources: CatalogSources, read: ReadDocument | None = None) -> PolicySet:
    """Return the built-in policies and the operator's.

    read: reads the documents; by default as the sources say.
    Raises ConfigurationError with the problems of every document.
    """
    read = read or document_reader(sources.catalog_signing_key, read_text)
    policies = dict(load_builtin_policies().policies)
    problems: list[str] = []
    try:
        places = policy_places(sources)
    except ConfigurationError as error:
        places = tuple(map(str, sources.policy_files))
        problems.extend(error.problems)
    for place in places:
        try:
            policy = parse_policy(read(place), place)
        except ConfigurationError as error:
            problems.extend(error.problems)
            continue
        if policy.name in policies:
            problems.append(f"{place}: name: another policy is named {policy.name!r} already")
        policies[policy.name] = policy
    if not problems:
        problems.extend(_unknown_names(sources, policies))
    if problems:
        raise ConfigurationError(problems)
    return PolicySet(
        policies=policies,
        default_name=sources.default_policy,
        minimum_name=None
        if sources.dangerously_without_minimum_policy
        else sources.minimum_policy or sources.default_policy,
    )


def _unknown_names(sources: CatalogSources, policies: Mapping[str, Policy]) -> Iterator[str]:
    """Yield a problem for each setting that names a policy which is not loaded."""
    named = {"default_policy": sources.default_policy, "minimum_policy": sources.minimum_policy}
    for setting, name in named.items():
        if name and name not in policies:
            expected = ", ".join(sorted(policies))
            yield f"{setting}: no policy is named {name!r}; expected one of {expected}"


def policy_places(sources: CatalogSources) -> tuple[str, ...]:
    """Return the paths of the operator's documents, without tests.

    Raises ConfigurationError if their folder cannot be read or holds no document.
    """
    found: Sequence[str] = ()
    if sources.policies_dir is not None:
        found = documents_in(sources.policies_dir, "policies_dir")
    policies = (place for place in found if not place.endswith(POLICY_TEST_SUFFIX))
    return (*map(str, sources.policy_files), *policies)


@cache
def _builtin_effective(name: str) -> Mapping[str, Any]:
    text, place = _builtin_text(name), f"{name}.toml"
    return _effective(decode_toml(text, place), TomlLines(text, place))


def _builtin_text(name: str) -> str:
    document = resources.files("otpc_policy.policy") / "builtin" / f"{name}.toml"
    return document.read_text(encoding="utf-8")


def _effective(table: Mapping[str, Any], lines: TomlLines) -> Mapping[str, Any]:
    """Return a decoded document with everything that it inherits."""
    if problems := policy_problems(table):
        raise refusal(problems, lines)
    own = {key: value for key, value in table.items() if key != "extends"}
    return merged(_builtin_effective(table["extends"]), own) if "extends" in table else own


def _policy(effective: Mapping[str, Any], extends: str) -> Policy:
    document = policy_schema().model_validate(effective)
    return Policy(
        name=document.name,
        title=document.title,
        source=document.source,
        enforcing=document.enforcing,
        revision=revision_of(effective),
        rules=tuple(_rule_settings(rule, document.rule(rule.id)) for rule in RULES),
        extends=extends,
        lifetimes=_lifetimes(document.lifetimes),
        document=as_toml(effective),
    )


def _lifetimes(table: LifetimesTable) -> ResultLifetimes:
    allow, deny, unknown = (
        None if seconds is None else timedelta(seconds=seconds)
        for seconds in (table.allow_s, table.deny_s, table.unknown_s)
    )
    return ResultLifetimes(allow=allow, deny=deny, unknown=unknown)


def _rule_settings(rule: Rule, table: RuleTable) -> RuleSettings:
    severities = {code: severity for code, severity in table.severities if severity is not None}
    return RuleSettings(
        id=rule.id,
        summary=table.summary,
        citation=table.citation,
        effects=MappingProxyType(dict(table.effects)),
        severities=MappingProxyType(
            {code: severities.get(code, finding_codes()[code].severity) for code in rule.codes}
        ),
        parameters=MappingProxyType(dict(table.parameters)),
    )
