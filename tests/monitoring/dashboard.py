"""The dashboard as data: its rows, panels and queries."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.monitoring.rules import ROOT

DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dashboards" / "otpc-policy.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A panel. queries: as they are written, with the legend of each. place: x, y, width, height.

    limit: where a line is drawn, if it is.
    """

    title: str
    description: str
    row: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    place: tuple[int, int, int, int]
    is_stacked: bool
    limit: float | None


def dashboard() -> dict[str, Any]:
    """Return the whole document."""
    document: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return document


def panels() -> Iterator[Panel]:
    """Yield the panels, in order."""
    row = ""
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
            continue
        defaults, place = panel["fieldConfig"]["defaults"], panel["gridPos"]
        steps = defaults.get("thresholds", {}).get("steps", [])
        yield Panel(
            title=panel["title"],
            description=panel["description"],
            row=row,
            unit=defaults["unit"],
            queries=tuple((each["expr"], each["legendFormat"]) for each in panel["targets"]),
            place=(place["x"], place["y"], place["w"], place["h"]),
            is_stacked="stacking" in defaults["custom"],
            limit=steps[-1]["value"] if steps else None,
        )


def filled_in(query: str, *, rate_interval: str, variables: Mapping[str, str]) -> str:
    """Return a query as Grafana asks it."""
    for name, value in {"__rate_interval": rate_interval, **variables}.items():
        query = query.replace(f"${name}", value)
    return query
