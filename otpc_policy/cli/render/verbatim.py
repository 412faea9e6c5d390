"""Lines for people to copy: a configuration line that was broken at the edge of the terminal would be pasted broken."""

from collections.abc import Iterable, Iterator
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


def remedy_blocks(remedy: str) -> Iterator[tuple[str, bool]]:
    """Yield the parts of a remedy in order, each with whether it is to be copied: indented lines are."""
    for line in remedy.strip("\n").splitlines():
        yield line, line.startswith(" ")
