"""Names in a chart: where each can stand without lying on a curve or on another name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.curves import Mask

GAP = 2
"""Cells between two names in a row: closer they would read as one."""


HIDES = 2
"""Cells of its own curve that a marked name may cover: the mark by itself says which it is."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name, its style, and the places for it (row, column), best first."""

    text: str
    style: int
    places: Iterable[tuple[int, int]]
    own: int | None = None  # position of the curve that it names, which it may lie on in part
    marked: bool = False  # it begins with the curve's glyph, so that it may stand near others


class Board:
    """Writes names on ``body``, around the cells (height, width) of its curves.

    A name that has no free place is left out. Only the curve that it names may run under it.
    """

    def __init__(self, body: Canvas, curves: list[Mask]) -> None:
        self._body = body
        self._masks = curves
        self._blocked = [bytearray(body.width) for _ in range(body.height)]
        self._counts = np.zeros((body.height, body.width), dtype=np.uint16)
        for mask in curves:
            self._counts += mask
        self._curves = _rows(self._counts > 0)

    def block(self, row: int, column: int, width: int) -> None:
        """Keep names away from a stretch of a row."""
        start, stop = max(column, 0), min(column + width, self._body.width)
        self._blocked[row][start:stop] = b"\1" * (stop - start)

    def write(self, label: Label) -> bool:
        """Write a name where it covers least of its own curve and touches least of others.

        Returns whether there was a place for it.
        """
        body, size = self._body, len(label.text)
        curves, under, beside = self._curves, None, []
        if label.own is not None:
            own = self._masks[label.own]
            curves, under = _rows(self._counts > own), _rows(own)
            beside = [] if label.marked else [b"", *curves, b""]
        written = self._blocked
        best, least = None, (HIDES if label.marked else size) + 1
        for row, column in label.places:
            if not (0 <= row < body.height and 0 <= column <= body.width - size):
                continue
            if b"\1" in curves[row][column : column + size]:
                continue
            if b"\1" in written[row][max(column - GAP, 0) : column + size + GAP]:
                continue
            covered = under[row].count(1, column, column + size) if under else 0
            # Next to another curve it would seem to name that one.
            for line in (beside[row], beside[row + 2]) if beside else ():
                covered += 2 * line.count(1, column, column + size)
            if covered < least:
                best, least = (row, column), covered
            if not covered:
                break
        if best is None:
            return False
        row, column = best
        body.write(column, row, label.text, label.style)
        self.block(row, column, size)
        return True


def _rows(mask: Mask) -> list[bytes]:
    """The rows of a mask as bytes, which are searched faster than arrays."""
    width, flat = mask.shape[1], mask.tobytes()
    return [flat[start : start + width] for start in range(0, len(flat), max(width, 1))]
