"""The components of a process by name, for the page that shows them one a line.

The form is that of Kubernetes' own `/readyz?verbose`: "[+]name ok", "[-]name failed: why". A
component that readiness does not depend on says so in its line.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

# Engines found by name are the only components without a bound of their own.
_MOST_LINES: Final = 100
_MOST_OF_A_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the process. failure: what is wrong with it, for people; "" if nothing is.

    is_required: the process is not ready without it.
    """

    name: str
    failure: str = ""
    is_required: bool = True


Components = Callable[[], Iterable[Component]]


def verbose_page(check: str, complaint: str, components: Iterable[Component]) -> str:
    """Return a line for each component, and a last one with the result of the check.

    check: its name, such as "readyz". complaint: what the plain page says; "" if all is well.
    """
    lines = []
    found = iter(components)
    for component in islice(found, _MOST_LINES):
        lines.append(_line(component))
    if left_out := sum(1 for _ in found):
        lines.append(f"({left_out} more are left out)")
    lines.append(f"{check} check failed: {complaint}" if complaint else f"{check} check passed")
    return "\n".join(lines) + "\n"


def _line(component: Component) -> str:
    if not component.failure:
        return f"[+]{component.name} ok"
    reason = " ".join(component.failure.split())[:_MOST_OF_A_REASON]
    rest = "" if component.is_required else " (not required to be ready)"
    return f"[-]{component.name} failed: {reason}{rest}"
