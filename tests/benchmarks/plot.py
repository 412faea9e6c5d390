"""Lines over time as a PNG, written with the standard library alone."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

_WIDTH, _HEIGHT, _MARGIN = 1000, 500, 20
Colour = tuple[int, int, int]
COLOURS: Final[Mapping[str, Colour]] = {
    "black": (0, 0, 0),
    "blue": (31, 119, 180),
    "orange": (255, 127, 14),
    "green": (44, 160, 44),
    "red": (214, 39, 40),
    "purple": (148, 103, 189),
    "brown": (140, 86, 75),
    "pink": (227, 119, 194),
    "grey": (127, 127, 127),
    "olive": (188, 189, 34),
}
_GRID: Final[Colour] = (225, 225, 225)


def plot(path: Path, lines: Mapping[str, Sequence[tuple[float, float]]], *, step: float) -> None:
    """Write the lines, from zero to the largest values, without text.

    lines: by name of a colour, points of x and y, none negative. step: between lines of the grid.
    """
    last = max((x for points in lines.values() for x, _ in points), default=0.0) or 1.0
    highest = max((y for points in lines.values() for _, y in points), default=0.0) or 1.0
    rows = [bytearray(b"\xff" * 3 * _WIDTH) for _ in range(_HEIGHT)]

    def place(x: float, y: float) -> tuple[int, int]:
        return (
            round(_MARGIN + x / last * (_WIDTH - 2 * _MARGIN)),
            round(_HEIGHT - _MARGIN - y / highest * (_HEIGHT - 2 * _MARGIN)),
        )

    for number in range(int(highest / step) + 1):
        _line(rows, place(0, number * step), place(last, number * step), _GRID)
    for name, points in lines.items():
        for one, other in pairwise(points):
            _line(rows, place(*one), place(*other), COLOURS[name])
    path.write_bytes(_png(rows))


def _line(
    rows: list[bytearray], start: tuple[int, int], end: tuple[int, int], colour: Colour
) -> None:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for number in range(steps + 1):
        x = start[0] + (end[0] - start[0]) * number // steps
        y = start[1] + (end[1] - start[1]) * number // steps
        for row in (y, y + 1):
            rows[row][3 * x : 3 * x + 3] = bytes(colour)


def _png(rows: Sequence[bytearray]) -> bytes:
    """Return an image with eight bits for each of red, green and blue (PNG, 2nd edition)."""
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 2, 0, 0, 0)
    content = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    chunks = ((b"IHDR", header), (b"IDAT", content), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
