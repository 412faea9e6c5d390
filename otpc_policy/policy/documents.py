"""Policy documents: TOML, read strictly, every problem reported at once with its place.

A document sets every rule and every code, or extends a built-in document and says only what differs.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from otpc_policy.errors import ConfigurationError
from otpc_policy.policy.finding import Effect, Severity
from otpc_policy.policy.model import Policy, PolicySet, RuleSettings
from otpc_policy.policy.registry import FINDING_CODES
from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules import RULES

BUILTIN_NAMES = ("otpc-2024-12", "otpc-2024-12-strict")
DEFAULT_NAME = "otpc-2024-12"

_TEXTS = ("name", "title", "source")
_KEYS = (*_TEXTS, "enforcing", "extends", "rules")
_RULE_TEXTS = ("summary", "citation")
_RULE_TABLES = ("effects", "severities", "parameters")
# It stands in requests, metric labels and file names.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z")
_EFFECTS = {effect.value: effect for effect in (Effect.OFF, Effect.ADVISORY, Effect.DENY)}
_SEVERITIES = {severity.name.lower(): severity for severity in Severity}
_LINE = re.compile(r"(?P<text>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)\Z", re.DOTALL)

Table = Mapping[str, Any]


def parse_policy(text: str, place: str) -> Policy:
    """Return the policy that a document describes.

    place: the document's name in problems. Raises ConfigurationError with every problem, each as "place:line" where the
    text is no TOML, else as "place: rules.tls.served.effects.TLS_NOT_SERVED".
    """
    return _build(_effective(text, place))


@cache
def load_builtin_policies() -> PolicySet:
    """Return the policies of this package."""
    policies = {name: parse_policy(_builtin_text(name), f"{name}.toml") for name in BUILTIN_NAMES}
    return PolicySet(policies=MappingProxyType(policies), default_name=DEFAULT_NAME)


def _builtin_text(name: str) -> str:
    return (resources.files("otpc_policy.policy") / "builtin" / f"{name}.toml").read_text(encoding="utf-8")


def _effective(text: str, place: str) -> dict[str, Any]:
    """Return the document with everything that it inherits. Rules stand under their ids."""
    reader = _Reader(place)
    document = _decode(text, place)
    own = reader.read(document)
    base = _effective(_builtin_text(own["extends"]), f"{own['extends']}.toml") if "extends" in own else None
    effective = _merged(base or {}, {key: value for key, value in own.items() if key != "extends"})
    if "extends" not in document:
        reader.demand_all(effective)
    if "name" not in own:
        reader.problem("name", "is missing")
    if reader.problems:
        raise ConfigurationError(reader.problems)
    return effective


def _decode(text: str, place: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE.match(str(error))
        line = (found["line"] or str(text.count("\n") + 1)) if found else "1"
        raise ConfigurationError([f"{place}:{line}: {found['text'] if found else error}"]) from None


def _merged(base: Table, own: Table) -> dict[str, Any]:
    merged = dict(base)
    for key, value in own.items():
        merged[key] = _merged(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


class _Reader:
    """Checks one document. What is wrong is reported and left in place, so that it is not reported as missing too."""

    def __init__(self, place: str) -> None:
        self._place = place
        self.problems: list[str] = []

    def problem(self, path: str, text: str) -> None:
        self.problems.append(f"{self._place}: {path}: {text}")

    def read(self, document: Table) -> dict[str, Any]:
        """Return the document with its rules under their ids."""
        own = dict(document)
        self._refuse_unknown("", document, _KEYS)
        for key in _TEXTS:
            self._check_text(key, document)
        if isinstance(name := document.get("name"), str) and name and not _NAME.match(name):
            self.problem("name", f"{name!r} is not a policy name: lower-case letters, digits, '.' and '-', at most 63")
        if not isinstance(document.get("enforcing", True), bool):
            self.problem("enforcing", f"{document['enforcing']!r} is not true or false")
        if document.get("extends", DEFAULT_NAME) not in BUILTIN_NAMES:
            self.problem("extends", f"{own.pop('extends')!r} is no built-in policy; there are {', '.join(BUILTIN_NAMES)}")
        own["rules"] = self._rules(document.get("rules", {}))
        return own

    def demand_all(self, effective: Table) -> None:
        """Report what a document that extends nothing leaves out: silence must not switch a rule off."""
        for key in (*_TEXTS[1:], "enforcing"):
            if key not in effective:
                self.problem(key, "is missing")
        for rule in RULES:
            settings = effective["rules"].get(rule.id)
            if settings is None:
                self.problem(f"rules.{rule.id}", 'is missing; set its effects to "off" to leave it out')
            elif isinstance(settings, dict):
                self._demand(f"rules.{rule.id}", settings, _RULE_TEXTS)
                self._demand(f"rules.{rule.id}.effects", settings.get("effects", {}), rule.codes)
                self._demand(f"rules.{rule.id}.parameters", settings.get("parameters", {}), tuple(one.name for one in rule.parameters))

    def _demand(self, path: str, table: object, keys: tuple[str, ...]) -> None:
        if isinstance(table, dict):
            for key in keys:
                if key not in table:
                    self.problem(f"{path}.{key}", "is missing")

    def _rules(self, groups: object) -> dict[str, Any]:
        known = {rule.id: rule for rule in RULES}
        found: dict[str, Any] = {}
        for group, tables in self._table("rules", groups).items():
            for name, settings in self._table(f"rules.{group}", tables).items():
                rule_id = f"{group}.{name}"
                if rule_id in known:
                    found[rule_id] = settings
                    self._rule(known[rule_id], self._table(f"rules.{rule_id}", settings))
                else:
                    self.problem(f"rules.{rule_id}", f"is no rule; there are {', '.join(known)}")
        return found

    def _rule(self, rule: Rule, settings: Table) -> None:
        path = f"rules.{rule.id}"
        self._refuse_unknown(f"{path}.", settings, (*_RULE_TEXTS, *_RULE_TABLES))
        for key in _RULE_TEXTS:
            self._check_text(key, settings, f"{path}.")
        self._words(f"{path}.effects", settings.get("effects", {}), rule, _EFFECTS)
        self._words(f"{path}.severities", settings.get("severities", {}), rule, _SEVERITIES)
        readers = {parameter.name: parameter.read for parameter in rule.parameters}
        parameters = self._table(f"{path}.parameters", settings.get("parameters", {}))
        self._refuse_unknown(f"{path}.parameters.", parameters, tuple(readers))
        for key, value in parameters.items():
            if key in readers:
                try:
                    readers[key](value)
                except ValueError as error:
                    self.problem(f"{path}.parameters.{key}", str(error))

    def _words(self, path: str, table: object, rule: Rule, words: Mapping[str, object]) -> None:
        for code, word in self._table(path, table).items():
            if code not in rule.codes:
                known = FINDING_CODES.get(code)
                home = f"belongs to rule {known.rule_id}" if known and known.effect is None else "no policy sets it" if known else "is no finding code"
                self.problem(f"{path}.{code}", f"{home}; this rule has {', '.join(rule.codes)}")
            if not isinstance(word, str) or word not in words:
                self.problem(f"{path}.{code}", f"{word!r} is not one of {', '.join(words)}")

    def _table(self, path: str, value: object) -> Table:
        if isinstance(value, dict):
            return value
        self.problem(path, f"{value!r} is not a table")
        return {}

    def _check_text(self, key: str, table: Table, prefix: str = "") -> None:
        if key in table and not (isinstance(table[key], str) and table[key].strip()):
            self.problem(f"{prefix}{key}", f"{table[key]!r} is not a text")

    def _refuse_unknown(self, prefix: str, table: Table, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self.problem(f"{prefix}{key}", f"is no key here; there are {', '.join(known) or 'none'}")


def _build(effective: Table) -> Policy:
    """Return the policy of an effective document, which has been checked."""
    text = json.dumps(effective, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return Policy(
        name=effective["name"],
        title=effective["title"],
        source=effective["source"],
        enforcing=effective["enforcing"],
        revision=hashlib.sha256(text.encode()).hexdigest(),
        rules=tuple(_rule_settings(rule, effective["rules"][rule.id]) for rule in RULES),
    )


def _rule_settings(rule: Rule, settings: Table) -> RuleSettings:
    severities, parameters = settings.get("severities", {}), settings.get("parameters", {})
    return RuleSettings(
        id=rule.id,
        summary=settings["summary"],
        citation=settings["citation"],
        effects=MappingProxyType({code: _EFFECTS[settings["effects"][code]] for code in rule.codes}),
        severities=MappingProxyType({code: _SEVERITIES[severities[code]] if code in severities else FINDING_CODES[code].severity for code in rule.codes}),
        parameters=MappingProxyType({one.name: one.read(parameters[one.name]) for one in rule.parameters}),
    )
