"""The data files of this folder as rows of text, and what their cells mean.

A file is read when it is asked for, never at import; the modules that ask keep what they made of
it. README.md names the source and the date of each file.
"""

import csv
import pkgutil
import re
from collections.abc import Iterable

# One number: two or three bytes ("0xC0,0x2B"), a 16-bit number ("0x0804"), or a decimal one.
_NUMBER = re.compile(r"0x[0-9A-F]{2}(?:,0x[0-9A-F]{2}){1,2}|0x[0-9A-F]{4}|[0-9]+")
# RFC 8446 appendix B.2 marks the alerts of older versions so; IANA marks drafts that were replaced.
_NAME = re.compile(r"([A-Za-z0-9_]+?)(?:_RESERVED)?(?: \(OBSOLETE\))?")


def read_columns(file: str, *columns: str) -> list[tuple[str, ...]]:
    """Return these columns of a file of this folder, a tuple for each row, in the file's order.

    file: path below this folder. Raises ValueError if the file is not such a table, by our fault.
    """
    # Not importlib.resources: it brings modules that run in every handshake worker at its fork.
    content = pkgutil.get_data(__package__, file)
    if content is None:
        raise ValueError(f"{file} cannot be read")
    return parse_columns(content.decode(), *columns)


def parse_columns(text: str, *columns: str) -> list[tuple[str, ...]]:
    """Return these columns of a CSV text whose first row names them. Source: RFC 4180."""
    header, *rows = csv.reader(text.splitlines(keepends=True), strict=True)
    if any(len(row) != len(header) for row in rows):
        raise ValueError("a row is longer or shorter than the header")
    places = [header.index(column) for column in columns]
    return [tuple(row[place] for place in places) for row in rows]


def assigned_names(rows: Iterable[tuple[str, ...]]) -> dict[int, str]:
    """Return what is assigned: names by number, in the order of the rows.

    rows: Value and Description, as IANA publishes them. Rows that assign nothing are left out:
    ranges and wildcards, "Unassigned", "Reserved" (which includes GREASE, RFC 8701).
    Raises ValueError if a cell cannot be read or a number is assigned twice.
    """
    names: dict[int, str] = {}
    for value, description in rows:
        if "-" in value or "*" in value or description.startswith(("Unassigned", "Reserved")):
            continue
        name, number = _NAME.fullmatch(description), number_of(value)
        if name is None or number in names:
            raise ValueError(f"{value} {description!r} is not one new assignment")
        names[number] = name[1]
    return names


def number_of(value: str) -> int:
    """Return the number in a cell of the column Value. Raises ValueError."""
    if not _NUMBER.fullmatch(value):
        raise ValueError(f"{value!r} is not a number of a registry")
    return int(value.replace(",0x", ""), 16 if value.startswith("0x") else 10)
