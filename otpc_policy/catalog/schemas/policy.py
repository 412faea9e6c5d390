"""Checks one policy document: every key, effect, severity and parameter, each problem with the line it stands on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from otpc_policy.catalog.toml_lines import KeyPath, TomlDocument
from otpc_policy.policy.finding import Effect, Severity
from otpc_policy.policy.registry import FINDING_CODES
from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules import RULES

EFFECTS = {effect.value: effect for effect in (Effect.OFF, Effect.ADVISORY, Effect.DENY)}
SEVERITIES = {severity.name.lower(): severity for severity in Severity}
LIFETIMES = ("allow_s", "deny_s", "unknown_s")

_TEXTS = ("name", "title", "source")
_KEYS = (*_TEXTS, "enforcing", "extends", "lifetimes", "rules")
_RULE_TEXTS = ("summary", "citation")
_RULE_TABLES = ("effects", "severities", "parameters")
# It stands in requests, metric labels and file names.
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}\Z")
# The upper bound is that of the settings: facts of last month say nothing about today. Below the lower one nothing is ever answered from the cache.
_SHORTEST_LIFETIME_S, _LONGEST_LIFETIME_S = 0.001, 86_400 * 30

Table = Mapping[str, Any]


class DocumentReader:
    """Checks one document. What is wrong is reported and left in place, so that it is not reported as missing too.

    bases: names that may be extended.
    """

    def __init__(self, document: TomlDocument, bases: Sequence[str]) -> None:
        self._document = document
        self._bases = bases
        self._problems: list[tuple[int, str]] = []

    @property
    def problems(self) -> list[str]:
        """Every problem, as "place:line: key: what is wrong", in the order of lines."""
        return [text for _, text in sorted(self._problems, key=lambda one: one[0])]

    def problem(self, path: KeyPath, text: str) -> None:
        """Report a problem of the key at the path."""
        self._problems.append(
            (
                self._document.line_of(path),
                f"{self._document.at(path)}: {'.'.join(map(str, path))}: {text}",
            )
        )

    def read(self) -> dict[str, Any]:
        """Return the document with its rules under their ids."""
        table = self._document.table
        own = dict(table)
        self._refuse_unknown((), table, _KEYS)
        for key in _TEXTS:
            self._check_text((key,), table)
        if isinstance(name := table.get("name"), str) and name.strip() and not _NAME.match(name):
            self.problem(
                ("name",),
                f"{name!r} is not a policy name: lower-case letters, digits, '.' and '-', at most 63",
            )
        if not isinstance(table.get("enforcing", True), bool):
            self.problem(
                ("enforcing",), f"{table['enforcing']!r} is not true or false; false is report-only"
            )
        if "extends" in table and table["extends"] not in self._bases:
            self.problem(
                ("extends",),
                f"{own.pop('extends')!r} is no built-in policy; there are {', '.join(self._bases)}",
            )
        self._lifetimes(table.get("lifetimes", {}))
        own["rules"] = self._rules(table.get("rules", {}))
        return own

    def demand_all(self, effective: Table) -> None:
        """Report what a document that extends nothing leaves out: silence must not switch a rule off."""
        self._demand((), effective, (*_TEXTS[1:], "enforcing"))
        for rule in RULES:
            path = _path(rule.id)
            settings = effective["rules"].get(rule.id)
            if settings is None:
                self.problem(path, 'is missing; set its effects to "off" to leave it out')
            elif isinstance(settings, dict):
                self._demand(path, settings, _RULE_TEXTS)
                self._demand((*path, "effects"), settings.get("effects", {}), rule.codes)
                self._demand(
                    (*path, "parameters"),
                    settings.get("parameters", {}),
                    tuple(one.name for one in rule.parameters),
                )

    def _demand(self, path: KeyPath, table: object, keys: tuple[str, ...]) -> None:
        if isinstance(table, dict):
            for key in keys:
                if key not in table:
                    self.problem((*path, key), "is missing")

    def _lifetimes(self, table: object) -> None:
        given = self._table(("lifetimes",), table)
        self._refuse_unknown(("lifetimes",), given, LIFETIMES)
        for key in LIFETIMES:
            seconds = given.get(key, 1)
            if (
                isinstance(seconds, bool)
                or not isinstance(seconds, int | float)
                or not _SHORTEST_LIFETIME_S <= seconds <= _LONGEST_LIFETIME_S
            ):
                self.problem(
                    ("lifetimes", key),
                    f"{seconds!r} is not a number of seconds from {_SHORTEST_LIFETIME_S} to {_LONGEST_LIFETIME_S} (30 days)",
                )

    def _rules(self, groups: object) -> dict[str, Any]:
        known = {rule.id: rule for rule in RULES}
        found: dict[str, Any] = {}
        for group, tables in self._table(("rules",), groups).items():
            for name, settings in self._table(("rules", group), tables).items():
                rule_id = f"{group}.{name}"
                if rule_id in known:
                    found[rule_id] = settings
                    self._rule(known[rule_id], self._table(("rules", group, name), settings))
                else:
                    self.problem(
                        ("rules", group, name), f"is no rule; there are {', '.join(known)}"
                    )
        return found

    def _rule(self, rule: Rule, settings: Table) -> None:
        path = _path(rule.id)
        self._refuse_unknown(path, settings, (*_RULE_TEXTS, *_RULE_TABLES))
        for key in _RULE_TEXTS:
            self._check_text((*path, key), settings)
        self._words((*path, "effects"), settings.get("effects", {}), rule, EFFECTS)
        self._words((*path, "severities"), settings.get("severities", {}), rule, SEVERITIES)
        readers = {parameter.name: parameter.read for parameter in rule.parameters}
        parameters = self._table((*path, "parameters"), settings.get("parameters", {}))
        self._refuse_unknown((*path, "parameters"), parameters, tuple(readers))
        for key, value in parameters.items():
            if key in readers:
                try:
                    readers[key](value)
                except ValueError as error:
                    self.problem((*path, "parameters", key), str(error))

    def _words(self, path: KeyPath, table: object, rule: Rule, words: Mapping[str, object]) -> None:
        for code, word in self._table(path, table).items():
            if code not in rule.codes:
                known = FINDING_CODES.get(code)
                home = (
                    f"belongs to rule {known.rule_id}"
                    if known and known.effect is None
                    else "no policy sets it"
                    if known
                    else "is no finding code"
                )
                self.problem((*path, code), f"{home}; this rule has {', '.join(rule.codes)}")
            if not isinstance(word, str) or word not in words:
                self.problem((*path, code), f"{word!r} is not one of {', '.join(words)}")

    def _table(self, path: KeyPath, value: object) -> Table:
        if isinstance(value, dict):
            return value
        self.problem(path, f"{value!r} is not a table")
        return {}

    def _check_text(self, path: KeyPath, table: Table) -> None:
        key = str(path[-1])
        if key in table and not (isinstance(table[key], str) and table[key].strip()):
            self.problem(path, f"{table[key]!r} is not a text")

    def _refuse_unknown(self, path: KeyPath, table: Table, known: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                self.problem(
                    (*path, key), f"is no key here; there are {', '.join(known) or 'none'}"
                )


def _path(rule_id: str) -> KeyPath:
    return ("rules", *rule_id.split("."))
