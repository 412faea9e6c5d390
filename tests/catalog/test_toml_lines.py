"""Every key of a TOML document is found on its line, however it is written."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.catalog.toml_lines import KeyPath, TomlLines, decode_toml
from otpc_policy.core.errors import ConfigurationError

DOCUMENT = '''\
# a comment with name = "x" and [table]
name = "a # b"            # 2

"quoted key" = 'single'
'it.is'."one key".bare = 1
long = """
[not.a.table]
fake = 1 \\"""
"""""
literal = \'\'\'
other = 2
\'\'\'
items = [ # 13
  "a", # 14
  ["b",
   "]"], # 16
  { x = 1, y.z = [
    2 ] },
]
when = 2026-03-02 12:00:00Z
[rules.cipher.required] # 21
effects.CODE = "deny"
[rules."cipher.outside_set".effects]
[[case]] # 24
name = "first"
[case.expect]
decision = "ALLOW"
[[case]]
name = "second"
[[case.step]]
[[case.step]]
at = 1
[case.expect]
decision = "DENY"
empty = ""
last = {}
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 2),
        (("quoted key",), 4),
        (("it.is", "one key", "bare"), 5),
        (("it.is", "one key"), 5),
        (("long",), 6),
        (("literal",), 10),
        (("items",), 13),
        (("items", 0), 14),
        (("items", 1, 0), 15),
        (("items", 1, 1), 16),
        (("items", 2, "x"), 17),
        (("items", 2, "y", "z", 0), 18),
        (("when",), 20),
        (("rules", "cipher", "required"), 21),
        (("rules", "cipher", "required", "effects", "CODE"), 22),
        (("rules", "cipher.outside_set", "effects"), 23),
        (("case",), 24),
        (("case", 0), 24),
        (("case", 0, "expect", "decision"), 27),
        (("case", 1), 28),
        (("case", 1, "step", 1, "at"), 32),
        (("case", 1, "expect", "decision"), 34),
        (("case", 1, "expect", "last"), 36),
    ],
)
def test_a_key_is_found_on_its_line(path: KeyPath, line: int) -> None:
    lines = TomlLines(DOCUMENT, "one.toml")
    assert lines.by_path[path] == line
    assert lines.at(path) == f"one.toml:{line}"


def test_a_key_that_is_not_written_is_placed_at_the_nearest_table_above() -> None:
    lines = TomlLines(DOCUMENT, "one.toml")
    assert lines.at(("rules", "cipher", "required", "summary")) == "one.toml:21"
    assert lines.at(("title",)) == lines.at(()) == "one.toml:1"


def test_a_byte_order_mark_moves_no_line() -> None:
    marked = "\ufeff" + DOCUMENT
    assert decode_toml(marked, "one.toml") == decode_toml(DOCUMENT, "one.toml")
    assert TomlLines(marked, "one.toml").by_path == TomlLines(DOCUMENT, "one.toml").by_path


def test_a_byte_order_mark_elsewhere_is_refused() -> None:
    for text in ("\ufeff\ufeffa = 1", "a = 1\n\ufeffb = 2"):
        with pytest.raises(ConfigurationError, match=r"one\.toml:[12]: Invalid"):
            decode_toml(text, "one.toml")


def _paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    children: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, dict):
        children = value.items()
    if isinstance(value, list):
        children = enumerate(value)
    return {path, *(deeper for key, child in children for deeper in _paths(child, (*path, key)))}


def test_every_decoded_key_has_a_line_and_nothing_else_has() -> None:
    lines = TomlLines(DOCUMENT, "one.toml").by_path
    assert set(lines) == _paths(decode_toml(DOCUMENT, "one.toml")) - {()}
    assert TomlLines(DOCUMENT.replace("\n", "\r\n"), "one.toml").by_path == lines


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), max_size=6)


def _written(value: object) -> str:
    if isinstance(value, str):
        plain = [one if one not in '"\\' and one >= " " else f"\\u{ord(one):04x}" for one in value]
        return f'"{"".join(plain)}"'
    if isinstance(value, list):
        return "[\n" + ",# ]\n".join(map(_written, value)) + "\n]"
    if isinstance(value, dict):
        pairs = (f"{_written(key)} = {_written(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return str(value)


def _containers(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3)


_VALUES = st.recursive(_TEXTS | st.integers(0, 9), _containers, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(_TEXTS, _VALUES, max_size=5))
def test_any_document_has_a_line_for_every_key(table: dict[str, object]) -> None:
    text = "\n".join(f"{_written(key)} = {_written(value)}" for key, value in table.items())
    assert decode_toml(text, "any.toml") == table
    assert set(TomlLines(text, "any.toml").by_path) == _paths(table) - {()}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\nb = \n", r"one\.toml:2: "),
        ("a = [1,\n\n", r"one\.toml:3: "),
        ("a = 1\na = 2\n", r"one\.toml:2: "),
        ("a = " + "[" * 40 + "]" * 40, r"one\.toml:1: is nested"),
        ("a = " + "[" * 5000 + "]" * 5000, r"one\.toml:1: is nested"),
        ("a" + ".a" * 40 + " = 1", r"one\.toml:1: is nested"),
    ],
)
def test_what_is_not_toml_is_refused_with_its_line(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        decode_toml(text, "one.toml")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"id": "p"}', "JSON"),
        ("\ufeff{}", "JSON"),
        ("-----BEGIN CERTIFICATE-----\n", "PEM"),
        ("---\nid: p\n", "YAML"),
        ("<!DOCTYPE html>", "HTML or XML"),
    ],
)
def test_a_text_in_another_format_is_named(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^a.toml:1: .*; this is {named}, and documents"):
        decode_toml(text, "a.toml")
