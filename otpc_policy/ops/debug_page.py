"""The page /debug: how a process stands, section by section, as JSON for people.

It is off unless a setting turns it on. Each section bounds what it looks at and what it shows, and
the event loop attends to calls between two of them.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from otpc_policy.ops.http import Page

PATH: Final = "/debug"
_SECTION: Final = "section"

# Makes a section from the parameters of the query.
Section = Callable[[Mapping[str, str]], Awaitable[object]]


class DebugPage:
    """The page, or one section of it. sections: by name, in the order of the page."""

    def __init__(self, sections: Mapping[str, Section]) -> None:
        self._sections = dict(sections)

    async def page(self, query: Mapping[str, str]) -> Page:
        """Return all sections, or the one that `?section=` names."""
        wanted = query.get(_SECTION)
        if wanted is not None and wanted not in self._sections:
            text = f"no such section; expected one of {', '.join(self._sections)}\n"
            return Page(text.encode(), HTTPStatus.NOT_FOUND)
        shown: dict[str, object] = {}
        for name, section in self._sections.items():
            if wanted in (None, name):
                shown[name] = await section(query)
                await asyncio.sleep(0)
        body = json.dumps(shown, indent=1, ensure_ascii=True, default=str)
        return Page(f"{body}\n".encode("ascii"), content_type="application/json")


async def page_that_is_off(_query: Mapping[str, str]) -> Page:
    """Return what stands in the place of the page while it is off."""
    text = "The debug page is off. The setting debug_page turns it on, at the next start.\n"
    return Page(text.encode(), HTTPStatus.NOT_FOUND)
