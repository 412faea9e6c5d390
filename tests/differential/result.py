"""One server, looked at by everybody."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.differential.case import Case, ToolReport
from tests.differential.comparison import Difference, against_tool, against_us
from tests.differential.ours import OurReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """All reports about a server. seconds: by tool, only for the screen."""

    case: Case
    ours: OurReport
    tools: Mapping[str, ToolReport]
    seconds: Mapping[str, float]

    def differences(self) -> list[Difference]:
        """Return all of them: ours first, then by tool."""
        found = list(against_us(self.case, self.ours))
        for tool, report in self.tools.items():
            found += against_tool(self.case, tool, report)
        return found
