"""Panels over time as an SVG: titles, axes, lines, legends."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Final

from tests.monitoring.dashboard import Panel

WIDTH: Final = 1680
_COLUMN: Final = WIDTH / 24
_LINE: Final = 25
_GAP: Final = 6
_HEAD: Final = 44
_COLOURS: Final = (
    *("#56a64b", "#e0b400", "#3274d9", "#e02f44", "#8f3bb8", "#ff780a"),
    *("#1f9e9e", "#7c6a50", "#c15c17", "#584477"),
)
_FONT: Final = 'font-family="DejaVu Sans, Verdana, sans-serif"'
_LEGEND_LINE: Final = 15
_LABELS: Final = 54
_TICKS: Final = 4
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A panel with what its queries gave. lines: seconds since the start and values, by legend."""

    panel: Panel
    lines: Mapping[str, Points]


def drawing(title: str, drawn: Sequence[Drawn], *, lasting_s: float) -> str:
    """Return an SVG of the panels as they lie on the dashboard."""
    bottom = max(each.panel.place[1] + each.panel.place[3] for each in drawn)
    height = _HEAD + bottom * _LINE + _GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" {_FONT}>',
        f'<rect width="{WIDTH}" height="{height}" fill="#f4f5f5"/>',
        _text(_GAP, 28, title, size=16),
        f'<g transform="translate(0 {_HEAD})">',
    ]
    rows: dict[str, int] = {}
    for each in drawn:
        rows.setdefault(each.panel.row, each.panel.place[1])
        parts.append(_panel(each, lasting_s))
    parts += [_text(_GAP, y * _LINE - 8, row, size=13) for row, y in rows.items()]
    return "\n".join([*parts, "</g></svg>\n"])


def _panel(drawn: Drawn, lasting_s: float) -> str:
    x, y, width, height = drawn.panel.place
    w, h = width * _COLUMN - _GAP, height * _LINE - _GAP
    legend, legend_height = _legend(list(drawn.lines), w - 16)
    plot = _plot(drawn, w - _LABELS - 14, h - 50 - legend_height, lasting_s)
    return (
        f'<g transform="translate({x * _COLUMN + _GAP / 2:.1f} {y * _LINE + _GAP / 2:.1f})">\n'
        f'<rect width="{w:.1f}" height="{h:.1f}" fill="#fff" stroke="#d8dade" rx="2"/>\n'
        f"{_text(8, 17, drawn.panel.title, size=11)}\n"
        f'<g transform="translate({_LABELS} 28)">{plot}</g>\n'
        f'<g transform="translate(8 {h - legend_height + 6:.1f})">{legend}</g></g>'
    )


def _plot(drawn: Drawn, width: float, height: float, lasting_s: float) -> str:
    lines = _stacked(drawn.lines) if drawn.panel.is_stacked else list(drawn.lines.values())
    values = [value for points in lines for _, value in points]
    if not values:
        return _text(width / 2, height / 2, "no data", colour="#8e9297", anchor="middle")
    limit = drawn.panel.limit
    highest = max(values) or 2 * (limit or 0.0)
    # Round in days, not in seconds.
    scale = _scale(highest, drawn.panel.unit)[0]
    step = scale * _step(highest / scale)
    top = max(step * math.ceil(highest / step * 0.9999), step)

    def at(point: tuple[float, float]) -> str:
        return f"{point[0] / lasting_s * width:.1f},{height - point[1] / top * height:.1f}"

    parts = []
    for number in range(round(top / step) + 1):
        y = height - number * step / top * height
        parts.append(f'<path d="M0 {y:.1f}H{width:.1f}" stroke="#e9eaec"/>')
        label = _amount(number * step, drawn.panel.unit)
        parts.append(_text(-5, y + 3.5, label, anchor="end", colour="#60656b"))
    for minute in range(int(lasting_s / 60) + 1):
        x = minute * 60 / lasting_s * width
        anchor = "end" if width - x < 20 else "middle"
        parts.append(_text(x, height + 14, f"{minute} min", anchor=anchor, colour="#60656b"))
    if limit is not None and limit <= top:
        y = height - limit / top * height
        parts.append(f'<path d="M0 {y:.1f}H{width:.1f}" stroke="#e02f44" stroke-dasharray="5 4"/>')
    # The highest first where they are stacked: each is filled down to the axis.
    order = list(zip(lines, _colours(len(lines)), strict=True))
    for points, colour in reversed(order) if drawn.panel.is_stacked else order:
        for part in _without_gaps(points):
            path = " ".join(map(at, part))
            if drawn.panel.is_stacked:
                ends = f"{at((part[-1][0], 0.0))} {at((part[0][0], 0.0))}"
                parts.append(f'<polygon points="{path} {ends}" fill="#fff"/>')
                fill = f'<polygon points="{path} {ends}" fill="{colour}" fill-opacity="0.25"/>'
                parts.append(fill)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
            )
    return "\n".join(parts)


def _stacked(lines: Mapping[str, Points]) -> list[Points]:
    """Return the lines, each on top of those before."""
    below: dict[float, float] = {}
    stacked: list[Points] = []
    for points in lines.values():
        stacked.append([(at, below.get(at, 0.0) + value) for at, value in points])
        below |= dict(stacked[-1])
    return stacked


def _without_gaps(points: Points) -> list[Points]:
    """Return the pieces between which nothing was known for several steps."""
    if not points:
        return []
    pieces: list[list[tuple[float, float]]] = [[points[0]]]
    usual = min((b[0] - a[0] for a, b in pairwise(points)), default=1.0)
    for point in points[1:]:
        if point[0] - pieces[-1][-1][0] > 3 * usual:
            pieces.append([])
        pieces[-1].append(point)
    return [*pieces]


def _legend(names: Sequence[str], width: float) -> tuple[str, int]:
    """Return the names with their colours, and the height that they take."""
    parts, x, y = [], 0.0, 0
    for name, colour in zip(names, _colours(len(names)), strict=True):
        taken = 26 + 6.3 * len(name)
        if x and x + taken > width:
            x, y = 0.0, y + _LEGEND_LINE
        parts.append(f'<rect x="{x:.1f}" y="{y - 2}" width="10" height="3" fill="{colour}"/>')
        parts.append(_text(x + 14, y + 3, name))
        x += taken
    return "".join(parts), y + _LEGEND_LINE


def _colours(number: int) -> list[str]:
    return [_COLOURS[at % len(_COLOURS)] for at in range(number)]


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 10,
    anchor: str = "start",
    colour: str = "#24292e",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


def _step(highest: float) -> float:
    """Return a round distance between lines of the grid, of which there are about four."""
    if highest <= 0.0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest / _TICKS))
    return next(
        power * times for times in (1, 2, 2.5, 5, 10) if power * times * _TICKS >= highest * 0.999
    )


def _amount(value: float, unit: str) -> str:
    """Return a value as Grafana writes it in this unit."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    scale, name = _scale(value, unit)
    return f"{value / scale:.3g} {name}".rstrip() if value else "0"


def _scale(value: float, unit: str) -> tuple[float, str]:
    """Return by what to divide a value, and the name of what it then is."""
    if unit == "bytes":
        return 2.0**20, "MiB"
    if unit == "s":
        scales = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
        return next((each for each in scales if value >= each[0]), (0.001, "ms"))
    return 1.0, {"reqps": "/s", "cps": "/s"}.get(unit, "")
