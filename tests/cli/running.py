"""The command line run as a user runs it, in this process: arguments in, exit status and both
outputs out.
"""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from otpc_policy.cli import main


@dataclass(frozen=True)
class Finished:
    """How a run of the command line ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What a script reads."""
        return json.loads(self.stdout)

    @property
    def codes(self) -> list[str]:
        """The codes of the findings."""
        return [finding["code"] for finding in self.json["findings"]]


Run = Callable[..., Finished]


def runner(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line. stdin: bytes for the command."""

    def run(*arguments: object, stdin: bytes = b"") -> Finished:
        monkeypatch.setattr(sys, "argv", ["otpc-policy", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        output = capsys.readouterr()
        code = exit_.value.code
        return Finished(code if isinstance(code, int) else 0, output.out, output.err)

    return run
