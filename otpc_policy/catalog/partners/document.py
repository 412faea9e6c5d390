"""Documents of partners: TOML text to entries, or to every problem with its line."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from otpc_policy.catalog.entry import Partner
from otpc_policy.catalog.problems import Problem, problems_of, refusal
from otpc_policy.catalog.schemas.partner import PartnersDocument, PartnerTable
from otpc_policy.catalog.toml_lines import KeyPath, TomlLines, decode_toml
from otpc_policy.core.errors import ConfigurationError

_MANY = "partner"
# Any of them tells such a document from a policy.
_TELLING_KEYS = frozenset({_MANY, *PartnerTable.model_fields}) - {"policy"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerDocument:
    """One document. is_many: its entries stand under [[partner]]."""

    lines: TomlLines = field(repr=False)
    is_many: bool
    partners: tuple[Partner, ...]

    @property
    def text(self) -> str:
        """The document as it was read."""
        return self.lines.text

    def place_of(self, partner: Partner, *path: str | int) -> str:
        """Return "place:line" of a key in the entry of one of these partners."""
        entry: KeyPath = (_MANY, partner.number) if self.is_many else ()
        return self.lines.at((*entry, *path))


def is_partner_document(text: str) -> bool:
    """Tell a document of partners from a policy by its top-level keys. False for invalid TOML."""
    try:
        return not _TELLING_KEYS.isdisjoint(decode_toml(text, ""))
    except ConfigurationError:
        return False


def read_partner_document(text: str, place: str) -> PartnerDocument:
    """Return the partners of a document. place: its name in problems.

    Raises ConfigurationError with every problem as "place:line: key: what is wrong".
    """
    table = decode_toml(text, place)
    lines = TomlLines(text, place)
    problems: list[Problem] = []
    partners: list[Partner] = []
    for number, (path, entry) in enumerate(_entries(table, problems)):
        try:
            partners.append(PartnerTable.model_validate(entry).partner(number))
        except ValidationError as error:
            problems += problems_of(error, PartnerTable, at=path)
    if problems:
        raise refusal(problems, lines)
    return PartnerDocument(lines=lines, is_many=_MANY in table, partners=tuple(partners))


def _entries(table: dict[str, Any], problems: list[Problem]) -> list[tuple[KeyPath, Any]]:
    """Return the tables of the entries with their paths.

    Entries are validated one at a time, because the models of thousands would be alive at once and
    keep the garbage collector busy.
    """
    if _MANY not in table:
        return [((), table)]
    try:
        entries = PartnersDocument.model_validate(table).partner
    except ValidationError as error:
        problems += problems_of(error, PartnersDocument)
        entries = table[_MANY] if isinstance(table[_MANY], list) else ()
    return [((_MANY, number), entry) for number, entry in enumerate(entries)]
