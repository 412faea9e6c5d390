"""Where rules, their tests and runbooks are, and how the queries of a text are found."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
RULES: Final = tuple(sorted((PROMETHEUS / "rules").glob("*.yml")))
RULE_TESTS: Final = tuple(sorted((PROMETHEUS / "tests").glob("*.yml")))
RUNBOOKS: Final = ROOT / "deploy" / "runbooks"

_BLOCK: Final = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a document in one language, such as promql."""
    return [found["text"] for found in _BLOCK.finditer(text) if found["language"] == language]
