"""What two policies demand differently, in words. Policies are those of the contract.

Only what can change a verdict counts: effects, severities, parameters, mode and lifetimes. Titles,
citations and the order of lists do not, and neither does a rule that is off in both.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from otpc_policy.v1 import policy_pb2 as pb

_VERBS: Mapping[int, str] = {
    pb.EFFECT_DENY: "denies",
    pb.EFFECT_ADVISORY: "advises",
    pb.EFFECT_UNSPECIFIED: "is off",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference. rule: its id, or empty for the policy as a whole.

    about: the code, the parameter or the field. sentence: for people, with both names.
    """

    rule: str
    about: str
    sentence: str


def differences(first: pb.Policy, second: pb.Policy) -> list[Difference]:
    """Return how the demands differ, the policy as a whole first, then in the order of rules."""
    return [*_of_whole(first, second), *_of_rules(first, second)]


def _of_whole(first: pb.Policy, second: pb.Policy) -> Iterator[Difference]:
    if first.enforcing != second.enforcing:
        enforcing, trial = (first, second) if first.enforcing else (second, first)
        yield Difference(
            rule="",
            about="enforcing",
            sentence=f"{enforcing.name} enforces; {trial.name} is report-only and denies nothing",
        )
    for name in ("allow", "deny", "unknown"):
        one, other = (
            getattr(policy.lifetimes, name).ToNanoseconds() / 1e9 for policy in (first, second)
        )
        if one != other:
            words = [
                f"{seconds:g} s" if seconds else "as the service is set" for seconds in (one, other)
            ]
            yield Difference(
                rule="",
                about=f"lifetimes.{name}_s",
                sentence=f"results last {words[0]} in {first.name}, {words[1]} in {second.name}",
            )


def _of_rules(first: pb.Policy, second: pb.Policy) -> Iterator[Difference]:
    others = {rule.id: rule for rule in second.rules}
    for rule in first.rules:
        other = others.pop(rule.id, None)
        if other is None:
            yield from _known_to_one(rule, first.name, second.name)
        else:
            yield from _of_rule(rule, other, first.name, second.name)
    for rule in others.values():
        yield from _known_to_one(rule, second.name, first.name)


def _known_to_one(rule: pb.PolicyRule, knowing: str, other: str) -> Iterator[Difference]:
    """The other policy is of a service of another release."""
    if _is_enabled(rule):
        yield Difference(
            rule=rule.id,
            about="",
            sentence=f"{knowing} has the rule ({_demand(rule)}); {other} does not know it",
        )


def _of_rule(
    one: pb.PolicyRule, other: pb.PolicyRule, first: str, second: str
) -> Iterator[Difference]:
    is_enabled, is_other_enabled = _is_enabled(one), _is_enabled(other)
    if not is_enabled and not is_other_enabled:
        return
    if is_enabled != is_other_enabled:
        judging, rule, silent = (first, one, second) if is_enabled else (second, other, first)
        yield Difference(
            rule=rule.id, about="", sentence=f"off in {silent}; in {judging} {_demand(rule)}"
        )
        return
    known = {code.code: code for code in one.codes}
    others = {code.code: code for code in other.codes}
    # A policy of a service of another release may know other codes.
    for name in dict.fromkeys((*known, *others)):
        code = known.get(name, pb.PolicyRuleCode(code=name))
        counterpart = others.get(name, pb.PolicyRuleCode(code=name))
        if code.effect != counterpart.effect:
            yield Difference(
                rule=one.id,
                about=code.code,
                sentence=f"{code.code} {_verb(code.effect)} in {first} and"
                f" {_verb(counterpart.effect)} in {second}",
            )
        elif code.severity != counterpart.severity and code.effect != pb.EFFECT_UNSPECIFIED:
            words = [
                pb.Severity.Name(each.severity).removeprefix("SEVERITY_").lower()
                for each in (code, counterpart)
            ]
            yield Difference(
                rule=one.id,
                about=code.code,
                sentence=f"{code.code} has severity {words[0]} in {first}, {words[1]} in {second}",
            )
    yield from _of_parameters(one, other, first, second)


def _of_parameters(
    one: pb.PolicyRule, other: pb.PolicyRule, first: str, second: str
) -> Iterator[Difference]:
    values, others = _parameters(one), _parameters(other)
    for name in dict.fromkeys((*values, *others)):
        value, counterpart = values.get(name), others.get(name)
        if isinstance(value, list) and isinstance(counterpart, list):
            sentences = _of_lists(_ends(value), _ends(counterpart), first, second)
        elif value != counterpart:
            sentences = iter([f"{_words(value)} in {first}, {_words(counterpart)} in {second}"])
        else:
            continue
        for sentence in sentences:
            yield Difference(rule=one.id, about=name, sentence=f"{name}: {sentence}")


def _of_lists(
    one: Mapping[str, datetime | None],
    other: Mapping[str, datetime | None],
    first: str,
    second: str,
) -> Iterator[str]:
    for names, rest, policy in ((one, other, first), (other, one, second)):
        alone = [name for name in names if name not in rest]
        if alone:
            yield f"only {policy} has {', '.join(_item(name, names[name]) for name in alone)}"
    for name, end in one.items():
        if name in other and other[name] != end:
            yield f"{name} {_until(end)} in {first}, {_until(other[name])} in {second}"


def _is_enabled(rule: pb.PolicyRule) -> bool:
    return any(code.effect != pb.EFFECT_UNSPECIFIED for code in rule.codes)


def _demand(rule: pb.PolicyRule) -> str:
    """Return what the codes of a rule do, and its parameters."""
    effects = ", ".join(
        f"{code.code} {_verb(code.effect)}"
        for code in rule.codes
        if code.effect != pb.EFFECT_UNSPECIFIED
    )
    return "; ".join((effects, *rule.parameters))


def _verb(effect: int) -> str:
    return _VERBS.get(effect, "has an unknown effect")


def _parameters(rule: pb.PolicyRule) -> dict[str, Any]:
    """Return the values by name. A service of another release may write what is no TOML."""
    found: dict[str, Any] = {}
    for text in rule.parameters:
        try:
            found.update(tomllib.loads(text))
        except tomllib.TOMLDecodeError:
            name, _, value = text.partition(" = ")
            found[name] = value
    return found


def _ends(items: list[Any]) -> dict[str, datetime | None]:
    """Return the names of a list, each with its end."""
    return {
        str(item["name"]) if isinstance(item, dict) and "name" in item else _words(item): (
            item.get("until") if isinstance(item, dict) else None
        )
        for item in items
    }


def _item(name: str, end: datetime | None) -> str:
    return name if end is None else f"{name} ({_until(end)})"


def _until(end: datetime | None) -> str:
    return "without end" if end is None else f"until {end.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _words(value: object) -> str:
    if value is None:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value, default=str)
