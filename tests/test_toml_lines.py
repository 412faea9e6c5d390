"""Every value of a TOML text is found on its own line, whatever stands around it."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from otpc_policy.toml_lines import line_of

TEXT = '''\
# a comment with [brackets] and "quotes"
id = "first"   # line 2
when = 2030-01-01 00:00:00Z
dotted.key."quo\\"ted".'x.y' = 1
list = [  # opened on 5
  "six",
  { host = "seven", ports = [443,
    8443] }, # eight
  \'\'\'nine
  ]] [[nope]] = "x"
\'\'\',
]
pem = """
-----BEGIN \\"""-----
[[nope]]
"""
[table]
a = 18
[[partner]]
id = "a"
[[partner.waivers]]
code = "x"
[[partner.waivers]]
code = "y"
ends = 2030-01-01T00:00:00Z
[partner.sub.deep]
q = true
[[partner]]
"i\\u0064" = "b"
[[partner.waivers]]
code = "z"
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("id",), 2),
        (("when",), 3),
        (("dotted", "key", 'quo"ted', "x.y"), 4),
        (("list",), 5),
        (("list", 0), 6),
        (("list", 1), 7),
        (("list", 1, "host"), 7),
        (("list", 1, "ports", 1), 8),
        (("list", 2), 9),
        (("pem",), 13),
        (("table", "a"), 18),
        (("partner", 0), 19),
        (("partner", 0, "id"), 20),
        (("partner", 0, "waivers", 1, "ends"), 25),
        (("partner", 0, "sub", "deep", "q"), 27),
        (("partner", 1, "id"), 29),
        (("partner", 1, "waivers", 0, "code"), 31),
    ],
)
def test_a_value_is_found_on_its_line(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, path) == line


@pytest.mark.parametrize(("path", "line"), [(("partner", 1, "owner"), 28), (("partner", 0, "waivers", 1, "owner"), 23), (("nothing",), 1), ((), 1)])
def test_what_is_missing_is_looked_for_where_it_belongs(path: tuple[str | int, ...], line: int) -> None:
    assert line_of(TEXT, path) == line


def test_every_key_that_the_parser_finds_stands_on_the_line_that_is_told() -> None:
    lines = TEXT.splitlines()
    keys = [path for path, _ in _values(tomllib.loads(TEXT)) if isinstance(path[-1], str)]
    assert len(keys) > 20
    for path in keys:
        line = lines[line_of(TEXT, path) - 1]
        assert str(path[-1]) in line or "\\" in line, (path, line)


def _values(node: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        yield (*path, key), value
        yield from _values(value, (*path, key))


def test_a_large_text_is_read_in_linear_time() -> None:
    text = "\n".join(f'[[partner]]\nid = "p{number}"\nendpoints = ["h{number}.example"]' for number in range(4_000))
    assert line_of(text, ("partner", 3_999, "id")) == 11_999
