"""Curves to characters: arrays in, a grid of characters and style numbers out. No Textual here.

Each cell holds 2 × 4 braille dots (with ``ascii_only``, 1 × 2 positions drawn with punctuation).
A curve with more points than dot columns is reduced to the minimum and maximum of each column, so
that no spike is lost and the cost does not grow with the length of the run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLANK = ord(" ")
_BRAILLE = 0x2800
# Bit of each dot in a braille cell, by (row, column) of the 4 × 2 cell.
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint16)
_ASCII = np.array([BLANK, ord("'"), ord("."), ord(":")], dtype=np.uint32)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A rectangle of styled characters."""

    chars: npt.NDArray[np.uint32]  # (height, width) code points
    styles: npt.NDArray[np.uint16]  # (height, width) indices into the caller's styles

    @classmethod
    def blank(cls, width: int, height: int) -> Canvas:
        """A canvas of spaces in style 0; a negative size is 0."""
        width, height = max(width, 0), max(height, 0)
        return cls(
            np.full((height, width), BLANK, dtype=np.uint32),
            np.zeros((height, width), dtype=np.uint16),
        )

    @property
    def width(self) -> int:
        return int(self.chars.shape[1])

    @property
    def height(self) -> int:
        return int(self.chars.shape[0])

    def write(self, x: int, y: int, text: str, style: int) -> None:
        """Put ``text`` at column ``x`` of row ``y``; what falls outside is cut off."""
        if not 0 <= y < self.height:
            return
        start, stop = max(x, 0), min(x + len(text), self.width)
        if start < stop:
            self.chars[y, start:stop] = [ord(char) for char in text[start - x : stop - x]]
            self.styles[y, start:stop] = style

    def fill(self, cells: npt.NDArray[np.bool_], char: str, style: int) -> None:
        """Put one character into every cell of the (height, width) mask."""
        self.chars[cells] = ord(char)
        self.styles[cells] = style

    def lines(self) -> list[str]:
        return [row.tobytes().decode("utf-32-le") for row in self.chars.astype("<u4")]


def spans(x: Floats, y: Floats, columns: int, rows: int) -> npt.NDArray[np.bool_]:
    """Rasterise the polyline through the points onto (rows, columns) dots, row 0 at the top.

    ``x`` (k,) increases from the first dot column, 0; points outside only give the slope at the
    edge. ``y`` (k,) counts from the lowest dot row; one that is not finite breaks the line.
    """
    dots = np.zeros((rows, columns), dtype=bool)
    finite = np.isfinite(x) & np.isfinite(y)
    if not finite.any() or columns < 1 or rows < 1:
        return dots
    if not finite.all():
        edges = np.flatnonzero(np.diff(np.concatenate([[False], finite, [False]]).astype(np.int8)))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            dots |= spans(x[start:stop], y[start:stop], columns, rows)
        return dots
    column = np.rint(x)
    first = int(np.searchsorted(column, 0))
    last = int(np.searchsorted(column, columns - 1, side="right"))
    # One point beyond each edge keeps the slope of a line that leaves the chart.
    low, high = max(first - 1, 0), min(last + 1, len(x))
    if low >= high:
        return dots
    x, y, column = x[low:high], y[low:high], column[low:high]
    groups = np.flatnonzero(np.concatenate([[True], column[1:] != column[:-1]]))
    least = np.minimum.reduceat(y, groups)
    most = np.maximum.reduceat(y, groups)
    enter, leave = y[groups], y[np.append(groups[1:] - 1, len(y) - 1)]
    at = column[groups]

    left = max(int(at[0]), 0)
    right = min(int(at[-1]), columns - 1)
    if right < left:
        return dots
    every = np.arange(left, right + 1)
    # Between columns that hold points the line runs from where one leaves to where the next enters.
    knots = np.repeat(at, 2)
    heights = np.column_stack([enter, leave]).ravel()
    knots[1::2] += 1e-9
    line = np.interp(every, knots, heights)
    bottom, top = line.copy(), line.copy()
    after = np.interp(every + 1e-9, knots, heights)
    inside = (at >= left) & (at <= right)
    index = (at[inside] - left).astype(np.intp)
    bottom[index], top[index] = least[inside], most[inside]
    # Neighbouring columns meet half way, so that a steep line has no holes and no double dots.
    middle = (after[:-1] + line[1:]) / 2
    bottom[:-1] = np.minimum(bottom[:-1], middle)
    top[:-1] = np.maximum(top[:-1], middle)
    bottom[1:] = np.minimum(bottom[1:], middle)
    top[1:] = np.maximum(top[1:], middle)
    # A meeting point half way between two dots belongs to neither column's far side.
    low_dot = np.ceil(bottom - 0.5 + 1e-6)
    high_dot = np.maximum(np.floor(top + 0.5 - 1e-6), low_dot)
    height = np.arange(rows - 1, -1, -1, dtype=np.float64)[:, None]
    dots[:, left : right + 1] = (height >= low_dot) & (height <= high_dot)
    return dots


def cell_dots(ascii_only: bool) -> tuple[int, int]:
    """Dot columns and dot rows of one cell."""
    return (1, 2) if ascii_only else (2, 4)


def to_cells(dots: npt.NDArray[np.bool_], ascii_only: bool = False) -> npt.NDArray[np.uint32]:
    """Characters for a (rows, columns) grid of dots; a cell without dots is a space."""
    across, down = cell_dots(ascii_only)
    height, width = dots.shape[0] // down, dots.shape[1] // across
    grid = dots[: height * down, : width * across].reshape(height, down, width, across)
    if ascii_only:
        return _ASCII[grid[:, 0, :, 0].astype(np.intp) + 2 * grid[:, 1, :, 0]]
    bits = np.einsum("hdwa,da->hw", grid.astype(np.uint16), _DOTS).astype(np.uint32)
    return np.where(bits > 0, bits + _BRAILLE, BLANK).astype(np.uint32)
