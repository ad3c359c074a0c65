"""Names in a chart: where each can stand without lying on a curve or on another name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.curves import Mask

GAP = 2
"""Cells between two names in a row: closer they would read as one."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name, its style, and the places for it (row, column), best first."""

    text: str
    style: int
    places: Iterable[tuple[int, int]]
    own: int | None = None  # position of the curve that it names, which it may lie on in part


class Board:
    """Writes names on ``body``, around the cells (height, width) of its curves.

    A name that has no free place is left out. Only the curve that it names may run under it.
    """

    def __init__(self, body: Canvas, curves: list[Mask]) -> None:
        self._body = body
        self._masks = curves
        self._written = np.zeros((body.height, body.width), dtype=bool)
        self._curves = _rows(_any(curves, self._written))

    def block(self, row: int, column: int, width: int) -> None:
        """Keep names away from a stretch of a row."""
        self._written[row, max(column, 0) : column + width] = True

    def write(self, label: Label) -> None:
        """Write a name where it covers least of its own curve and touches least of others."""
        body, size = self._body, len(label.text)
        curves, under, beside = self._curves, None, []
        if label.own is not None:
            others = self._masks[: label.own] + self._masks[label.own + 1 :]
            curves, under = _rows(_any(others, self._written)), _rows(self._masks[label.own])
            beside = [b"", *curves, b""]
        written = _rows(self._written)
        best, least = None, size + 1
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
        if best is not None:
            row, column = best
            body.write(column, row, label.text, label.style)
            self.block(row, column, size)


def _any(masks: list[Mask], like: Mask) -> Mask:
    return np.logical_or.reduce(masks) if masks else np.zeros_like(like)


def _rows(mask: Mask) -> list[bytes]:
    """The rows of a mask as bytes, which are searched faster than arrays."""
    return [row.tobytes() for row in np.ascontiguousarray(mask)]
