"""Where the panels of the inspector and the stepper lie: sizes in, rectangles out. Pure."""

from __future__ import annotations

from collections.abc import Sequence

Rectangle = tuple[int, int, int, int]
"""x, y, width, height in cells."""

SMALLEST = (40, 12)
COMPACT = (72, 19)
"""Below this width or height of the body, one panel is shown at a time."""
ROOMY = (104, 27)
"""From this size on, every panel is shown."""

WHAT_IF_COLUMNS, WHAT_IF_ROWS = 56, 11
"""What the comparison before and after needs, its frame included."""

MAPS, MAP, HEADS, ARRIVAL, PATHS, WHAT_IF = range(6)
PANELS = ("all heads", "one head", "figures", "arrival", "paths", "what if")
LAYERS = len(PANELS)
"""The panel of all layers in order, which takes the place of the others."""


def arrange_inspector(
    width: int, height: int, heads: int, nodes: int, recent: Sequence[int], alone: bool
) -> dict[int, Rectangle]:
    """Lay out the inspector's panels in a body of ``width`` × ``height``.

    ``recent`` lists panels, the one selected last first: where several share a place, the first is
    shown. ``alone`` gives it everything.
    """
    if alone or width < COMPACT[0] or height < COMPACT[1]:
        return {recent[0]: (0, 0, width, height)}
    if width < ROOMY[0] or height < ROOMY[1]:
        return _two_columns(width, height, heads, recent)
    left = width * (48 if width >= 150 else 40) // 100
    right = width - left
    # Small matrices are enlarged by whole numbers until they are worth looking at.
    side = nodes * max(34 // nodes, 1)
    upper = max(min(side // 2 + 4, height * 55 // 100), min(heads + 4, height // 2), 12)
    figures = min(max(right - side - 5, 34), 46)
    lower = height - upper
    curve = max(lower * 45 // 100, min(WHAT_IF_ROWS, lower * 55 // 100))
    result = {
        MAPS: (0, 0, left, height),
        MAP: (left, 0, right - figures, upper),
        HEADS: (left + right - figures, 0, figures, upper),
        PATHS: (left, upper + curve, right, lower - curve),
    }
    if right >= WHAT_IF_COLUMNS + 44:
        result[ARRIVAL] = (left, upper, right - WHAT_IF_COLUMNS, curve)
        result[WHAT_IF] = (left + right - WHAT_IF_COLUMNS, upper, WHAT_IF_COLUMNS, curve)
    else:
        result[_first(recent, (ARRIVAL, WHAT_IF))] = (left, upper, right, curve)
    return result


def _two_columns(
    width: int, height: int, heads: int, recent: Sequence[int]
) -> dict[int, Rectangle]:
    """Maps at the left, figures above one of the other panels at the right."""
    left = max(width * 46 // 100, 34)
    upper = min(heads + 4, height // 2)
    return {
        _first(recent, (MAPS, MAP)): (0, 0, left, height),
        HEADS: (left, 0, width - left, upper),
        _first(recent, (ARRIVAL, PATHS, WHAT_IF)): (left, upper, width - left, height - upper),
    }


def _first(recent: Sequence[int], among: Sequence[int]) -> int:
    return next((panel for panel in recent if panel in among), among[0])


FIRST_STAGE = 2
WEIGHTS, RESPONSE = 0, 1
STAGES = 8
"""Panels of heads that can ever be beside each other, the mixture included."""


def arrange_stepper(
    width: int, height: int, heads: int, nodes: int
) -> tuple[int, dict[int, Rectangle]]:
    """Lay out the stepper: stages in a row, weights and their response beneath.

    Returns how many stages there are, the mixture included, and the rectangle of each panel: of
    the weights, the response, and the stages from :data:`FIRST_STAGE` on.
    """
    narrowest = 26 if nodes <= 4 else 36
    stages = max(min(width // narrowest, heads + 1, STAGES), 1)
    if heads == 1:
        stages = 1
    lower = max(min(heads + 4, height * 3 // 10), height * 3 // 10 if width >= 72 else 0, 8)
    if height < 20:
        lower = max(min(heads + 4, height // 3), 4)
    upper = height - lower
    edges = [width * place // stages for place in range(stages + 1)]
    result = {
        FIRST_STAGE + place: (edges[place], 0, edges[place + 1] - edges[place], upper)
        for place in range(stages)
    }
    figures = min(max(width * 45 // 100, 36), 61)
    if width < 72:
        result[WEIGHTS] = (0, upper, width, lower)
    else:
        result[WEIGHTS] = (0, upper, figures, lower)
        result[RESPONSE] = (figures, upper, width - figures, lower)
    return stages, result
