"""Lines for people to copy: a configuration line that was broken at the edge of the terminal would be pasted broken."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions
from rich.segment import Segment
from rich.style import Style


@dataclass(frozen=True, slots=True)
class Verbatim:
    """Text that is printed as it is, however wide. Only whole where nothing lays it out: in a Group, not in a table or a padding."""

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
    """Return the parts of a remedy in order, at least one: what to change in words, then one for each server. Lines to copy are indented."""
    sections: list[RemedySection] = []
    for line in remedy.strip("\n").splitlines() or [""]:
        if line.startswith(" ") and sections:
            sections[-1] = RemedySection(sections[-1].title, (*sections[-1].lines, line))
        else:
            sections.append(RemedySection(line, ()))
    return sections
