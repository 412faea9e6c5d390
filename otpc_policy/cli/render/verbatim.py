"""Lines to copy, never wrapped: a configuration line wrapped by the terminal would paste broken."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text that is printed verbatim, however wide.

    For a Group only: tables and paddings lay out what they contain, and would wrap it.
    """

    text: str
    indent: int = 0
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Segment]:
        style = Style.parse(self.style)
        for line in self.text.splitlines():
            yield Segment(f"{' ' * self.indent}{line}".rstrip(), style)
            yield Segment.line()


@dataclass(frozen=True, slots=True)
class RemedySection:
    """A line to read, and the lines below it to copy."""

    title: str
    lines: tuple[str, ...]


def remedy_sections(remedy: str) -> list[RemedySection]:
    """Return the parts of a remedy, at least one: the prose first, then a section for each server.

    Lines to copy are indented.
    """
    sections: list[RemedySection] = []
    for line in remedy.strip("\n").splitlines() or [""]:
        if line.startswith(" ") and sections:
            sections[-1] = RemedySection(sections[-1].title, (*sections[-1].lines, line))
        else:
            sections.append(RemedySection(line, ()))
    return sections
