"""Documents of partners: TOML, one entry as the whole document or many as [[partner]], read strictly, every problem with its line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from otpc_policy.catalog.partners.entry import Partner
from otpc_policy.catalog.partners.reader import EntryReader
from otpc_policy.catalog.toml_decoder import TOMLDecodeError, loads
from otpc_policy.catalog.toml_lines import KeyPath, read_toml
from otpc_policy.errors import ConfigurationError

_MANY = "partner"
_TELLING_KEYS = frozenset(
    {_MANY, "id", "owner", "endpoints", "server_names", "client_auth", "trusted", "waivers"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerDocument:
    """One document. place: its name in problems. is_many: its entries stand under [[partner]]."""

    place: str
    text: str = field(repr=False)
    is_many: bool
    partners: tuple[Partner, ...]

    def place_of(self, partner: Partner, *path: str | int) -> str:
        """Return "place:line" of something in the entry of one of these partners."""
        entry: KeyPath = (_MANY, partner.number) if self.is_many else ()
        return read_toml(self.text, self.place).at((*entry, *path))


def is_partner_document(text: str) -> bool:
    """Tell a document of partners from others by the keys at its top. What is no TOML is none."""
    try:
        return not _TELLING_KEYS.isdisjoint(loads(text))
    except (TOMLDecodeError, RecursionError):
        return False


def read_partner_document(text: str, place: str) -> PartnerDocument:
    """Return the partners of a document. Raises ConfigurationError with every problem as "place:line: what is wrong"."""
    document = _decoded(text, place)
    problems: list[tuple[KeyPath, str]] = []
    partners = []
    for number, (path, table) in enumerate(_entries(document, problems)):
        reader = EntryReader(path)
        partner = reader.partner(table, number)
        problems += reader.problems
        if partner is not None:
            partners.append(partner)
    if problems:
        lines = read_toml(text, place)
        raise ConfigurationError(
            [f"{lines.at(path)}: {_dotted(path)}{problem}" for path, problem in problems]
        )
    return PartnerDocument(
        place=place, text=text, is_many=_MANY in document, partners=tuple(partners)
    )


def _decoded(text: str, place: str) -> Mapping[str, Any]:
    """Decode without looking for lines, which is done once something is wrong: thousands of entries are read, and nearly all are good."""
    try:
        document: Mapping[str, Any] = loads(text)
        return document
    except (TOMLDecodeError, RecursionError):
        return read_toml(text, place).table


def _entries(
    document: Mapping[str, Any], problems: list[tuple[KeyPath, str]]
) -> Sequence[tuple[KeyPath, Mapping[str, Any]]]:
    if _MANY not in document:
        return [((), document)]
    problems += [
        ((key,), f"is no key here: beside [[{_MANY}]] nothing else stands at the top of a document")
        for key in document
        if key != _MANY
    ]
    tables = document[_MANY]
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        problems.append(((_MANY,), f"is not a list of tables; each begins with [[{_MANY}]]"))
        return []
    return [((_MANY, number), table) for number, table in enumerate(tables)]


def _dotted(path: KeyPath) -> str:
    return f"{'.'.join(map(str, path))}: " if path else ""
