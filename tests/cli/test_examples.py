"""Every command's help ends with examples that the command line accepts."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from otpc_policy.cli.app import app
from otpc_policy.cli.examples import EXAMPLES


# Any: typer has a copy of click of its own, whose classes are private.
def _commands(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from _commands(one, f"{path} {name}".strip())


COMMANDS = dict(_commands(typer.main.get_command(app)))


def test_every_command_has_examples() -> None:
    assert set(COMMANDS) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_shown_whole_and_can_be_parsed(name: str) -> None:
    command = COMMANDS[name]
    for example in EXAMPLES[name]:
        assert f"  {example}\n" in command.get_help(command.context_class(command)) + "\n"
        words = shlex.split(example.removeprefix(f"otpc-policy {name}"))
        command.make_context(name, words)
