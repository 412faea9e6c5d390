"""Documents of partners: TOML, one entry as the whole document or many as [[partner]], read strictly, every problem with its line."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from otpc_policy.errors import ConfigurationError
from otpc_policy.partners.model import Partner
from otpc_policy.partners.reader import EntryReader
from otpc_policy.toml_lines import Path, line_of

try:
    # The same parser as the standard library's, compiled: three times as fast, which thousands of entries feel.
    import tomli as tomllib
except ImportError:
    import tomllib

_MANY = "partner"
_PARSER_PLACE = re.compile(r"(?P<text>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerDocument:
    """One document. place: its name in problems. is_many: its entries stand under [[partner]]."""

    place: str
    text: str = field(repr=False)
    is_many: bool
    partners: tuple[Partner, ...]

    def place_of(self, partner: Partner, *path: str | int) -> str:
        """Return "place:line" of something in the entry of one of these partners."""
        entry: Path = (_MANY, partner.number) if self.is_many else ()
        return f"{self.place}:{line_of(self.text, (*entry, *path))}"


def read_partner_document(text: str, place: str) -> PartnerDocument:
    """Return the partners of a document. Raises ConfigurationError with every problem as "place:line: what is wrong"."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _PARSER_PLACE.match(str(error))
        line = (found["line"] or text.count("\n") + 1) if found else 1
        raise ConfigurationError([f"{place}:{line}: {found['text'] if found else error}"]) from None
    problems: list[tuple[Path, str]] = []
    partners = []
    for number, (path, table) in enumerate(_entries(document, problems)):
        reader = EntryReader(path)
        partner = reader.partner(table, number)
        problems += reader.problems
        if partner is not None:
            partners.append(partner)
    if problems:
        raise ConfigurationError([f"{place}:{line_of(text, path)}: {_dotted(path)}{problem}" for path, problem in problems])
    return PartnerDocument(place=place, text=text, is_many=_MANY in document, partners=tuple(partners))


def _entries(document: dict[str, Any], problems: list[tuple[Path, str]]) -> Sequence[tuple[Path, dict[str, Any]]]:
    if _MANY not in document:
        return [((), document)]
    problems += [((key,), f"is no key here: beside [[{_MANY}]] nothing else stands at the top of a document") for key in document if key != _MANY]
    tables = document[_MANY]
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        problems.append(((_MANY,), f"is not a list of tables; each begins with [[{_MANY}]]"))
        return []
    return [((_MANY, number), table) for number, table in enumerate(tables)]


def _dotted(path: Path) -> str:
    return f"{'.'.join(map(str, path))}: " if path else ""
