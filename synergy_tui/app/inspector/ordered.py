"""All layers in order: what the network as a whole can hear, and what carries it. No Textual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.shading import (
    Mode,
    glyphs_of,
    head_style,
    level_style,
    levels_of,
)
from synergy_tui.app.widgets.styles import CURSOR, MUTED, TEXT, TITLE
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.words import compact, percent

CELL = 5
"""Columns of a share."""


@dataclass(frozen=True, eq=False, slots=True)
class Through:
    """What the layers in order hear for one share of attention γ."""

    found: dict[str, Any]  # as `engine.layered` gives it
    node: npt.NDArray[np.float64]  # (n,) how clearly the sink hears each node


@dataclass(frozen=True, eq=False, slots=True)
class Ordered:
    """All layers in order, for every γ; ``key`` says of which attention."""

    key: tuple[object, ...]
    through: Sequence[Through]


def ordered_key(snapshot: Snapshot, which: int) -> tuple[object, ...]:
    return (snapshot.key, which)


def measure_ordered(snapshot: Snapshot, which: int) -> Ordered:
    """Measure one input of a snapshot for every γ that is known. Loads Numba."""
    import synergy_engine as engine

    attention, weights = snapshot.attention[which], snapshot.head_weights
    rows = "any" if snapshot.designed else "normalise"
    gammas: dict[str, str | npt.NDArray[np.floating]] = {"half": "half", "one": "one"}
    if snapshot.gamma is not None:
        gammas = {"norm": snapshot.gamma[which], **gammas}
    measured = []
    for name, gamma in gammas.items():
        (found,) = engine.layered(attention, weights, gammas=[name], norms=gamma, rows=rows)
        clear = engine.layered_fidelity(attention, weights, gamma=gamma, rows=rows)
        measured.append(Through(found, clear.node))
    return Ordered(ordered_key(snapshot, which), measured)


def draw_ordered(
    ordered: Ordered, name: Callable[[int], str], width: int, height: int, mode: Mode
) -> Canvas:
    """Draw, for each γ, one row per layer (the last on top) and how clearly each node is heard."""
    canvas = Canvas.blank(width, height)
    y = 0
    for through in ordered.through:
        y = _draw_one(canvas, through, name, y, mode) + 1
    return canvas


def _draw_one(
    canvas: Canvas, through: Through, name: Callable[[int], str], y: int, mode: Mode
) -> int:
    """Draw what was found for one γ from row ``y`` on; return the row after it."""
    found = through.found
    phi, gamma, times = ("phi", "gamma", "x") if mode == "ascii" else ("φ", "γ", "×")
    gain = f"{compact(found['synergy'], 3)}{times}"
    if not found["exact"]:
        gain = f"{compact(found['synergy_at_least'], 3)}{times} to {gain}"
    faintest = name(found["node"])
    canvas.write(1, y, f"{gamma} = {found['gamma']}", TITLE)
    chain = "the best chain of one head per layer"
    text = f"{phi} {compact(found['minimax'], 3)} of {faintest}, {gain} {chain}"
    canvas.write(13, y, text, TEXT)
    layers = found["layers"]
    room = max((canvas.width - 17) // CELL, 0)
    heads = min(len(layers[0]["heads"]), room)
    canvas.write(1, y + 1, "layer  stays", MUTED)
    for head in range(heads):
        canvas.write(14 + CELL * head, y + 1, str(head + 1).rjust(CELL - 1), head_style(head))
    for row, place in enumerate(reversed(range(len(layers))), start=y + 2):
        each = layers[place]
        canvas.write(1, row, str(place + 1).rjust(5), TEXT)
        _write_share(canvas, 7, row, each["skip"], mode)
        for head in range(heads):
            _write_share(canvas, 13 + CELL * head, row, each["heads"][head], mode)
    y += 2 + len(layers)
    canvas.write(1, y, "heard", MUTED)
    columns = min(len(through.node), canvas.width - 8)
    if columns < 1 or y >= canvas.height:
        return y + 1
    edges = np.arange(columns) * len(through.node) // columns
    heard = np.minimum.reduceat(through.node, edges)
    levels = levels_of(heard, top=float(through.node.max()))
    wide = max((canvas.width - 8) // columns, 1) if mode == "blocks" else 1
    for column, level in enumerate(levels.tolist()):
        x = 7 + column * wide
        if mode == "blocks":
            canvas.write(x, y, " " * wide, level_style(level))
        else:
            canvas.chars[y, x] = glyphs_of(levels[column], mode)
    for node, style in ((len(through.node) - 1, MUTED), (found["node"], CURSOR)):
        column = int(np.searchsorted(edges, node, side="right")) - 1
        canvas.write(7 + column * wide, y + 1, name(node), style)
    return y + 2


def _write_share(canvas: Canvas, x: int, y: int, share: float, mode: Mode) -> None:
    """Write a share on its shade."""
    text = percent(share).rjust(CELL)
    style = level_style(int(levels_of([share])[0])) if mode == "blocks" else TEXT
    canvas.write(x, y, text, style)
