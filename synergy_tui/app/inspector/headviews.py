"""The inspector's panels as pure drawing: small multiples, figures of heads, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synergy_tui.app.inspector.measures import Answer, Ceiling, Ceilings, HeadFigures, Mixture
from synergy_tui.app.inspector.switches import draw_switches
from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.heatmap import Heat, draw_small
from synergy_tui.app.widgets.plot import Curve, Marker, Panel, Plot, draw_panel
from synergy_tui.app.widgets.shading import HEADS, Mode, Scale, head_style
from synergy_tui.app.widgets.styles import CURSOR, INDEX, MUTED, STYLES, TEXT, TITLE
from synergy_tui.words import compact, out_of_sight, percent

ORDERS = ("index", "weight", "diversity", "fidelity")
"""What heads can be sorted by."""
SMALLEST_TILE = 8

Tile = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Thumb:
    """One of the small multiples."""

    head: int | None  # from 0; None is the mixture
    values: npt.NDArray[np.floating]  # (n, n)
    figures: Sequence[str] = ()  # short texts after the head's number, most important first
    off: bool = False
    selected: bool = False


def order_heads(figures: Sequence[HeadFigures], by: str) -> list[int]:
    """Head numbers sorted: by index rising, by all else falling; ties by index."""
    if by == "index":
        return [each.head for each in figures]
    return [
        each.head
        for each in sorted(figures, key=lambda each: (-float(getattr(each, by)), each.head))
    ]


def draw_grid(
    thumbs: Sequence[Thumb],
    width: int,
    height: int,
    mode: Mode = "blocks",
    scale: Scale = "root",
    top: float = 1.0,
) -> tuple[Canvas, dict[int | None, Tile]]:
    """Draw small multiples as large as they fit, all on one scale.

    Also returns where each head lies (x, y, width, height): the selected one always, others if
    they fitted.
    """
    canvas = Canvas.blank(width, height)
    if not thumbs or width < SMALLEST_TILE or height < 3:
        return canvas, {}
    columns, tile_width, tile_height = _tiling(len(thumbs), width, height)
    rows = max(height // (tile_height + 1), 1)
    # Room that the squares leave over goes to what is written above them.
    caption = 2 if math.ceil(len(thumbs) / columns) * (tile_height + 2) <= height else 1
    chosen = next((place for place, thumb in enumerate(thumbs) if thumb.selected), 0)
    page = chosen // (columns * rows) * columns * rows
    tiles: dict[int | None, Tile] = {}
    for place, thumb in enumerate(thumbs[page : page + columns * rows]):
        x = place % columns * (tile_width + 1)
        y = place // columns * (tile_height + caption)
        tiles[thumb.head] = (x, y, tile_width, tile_height + caption)
        tile = Canvas(
            canvas.chars[y : y + caption + tile_height, x : x + tile_width],
            canvas.styles[y : y + caption + tile_height, x : x + tile_width],
        )
        _draw_tile(tile, thumb, caption, mode, Heat(thumb.values, scale, top))
    left = len(thumbs) - page - columns * rows
    if left > 0 or page:
        text = f"{page + 1}-{min(page + columns * rows, len(thumbs))} of {len(thumbs)}"
        canvas.write(width - len(text), height - 1, text, MUTED)
    return canvas, tiles


def _tiling(count: int, width: int, height: int) -> tuple[int, int, int]:
    """Columns, and the size of a tile without its caption, for the largest square maps."""
    best = (0, 1, 1, 1)
    for columns in range(1, count + 1):
        rows = math.ceil(count / columns)
        tile_width = (width - columns + 1) // columns
        tile_height = height // rows - 1
        side = min(tile_width, 2 * tile_height)
        best = max(best, (side, columns, tile_width, tile_height), key=lambda each: each[0])
    if best[0] < SMALLEST_TILE:
        columns = max((width + 1) // (SMALLEST_TILE + 1), 1)
        tile_width = (width - columns + 1) // columns
        return columns, tile_width, min(tile_width // 2, height - 1)
    side, columns, tile_width, tile_height = best
    return columns, tile_width, min(tile_height, (tile_width + 1) // 2)


def _draw_tile(tile: Canvas, thumb: Thumb, caption: int, mode: Mode, heat: Heat) -> None:
    """Fill a tile: ``caption`` lines of text, then the map."""
    style = TITLE if thumb.head is None else head_style(thumb.head, "bold")
    if thumb.selected:
        style = INDEX["pill-quiet"] if thumb.head is None else head_style(thumb.head, "reverse")
    elif thumb.off:
        style = MUTED
    lines = [f"{'x' if thumb.off else ''}{name_of(thumb.head, mode == 'ascii')}"]
    for figure in ("off",) if thumb.off else thumb.figures:
        if len(lines[-1]) + 1 + len(figure) <= tile.width:
            lines[-1] += f" {figure}"
        elif len(lines) < caption:
            lines.append(figure)
    for row, line in enumerate(lines):
        tile.write(0, row, line.ljust(tile.width) if thumb.selected else line, style)
    view = Canvas(tile.chars[caption:], tile.styles[caption:])
    draw_small(view, heat, mode)
    if thumb.off:
        drawn = view.chars != ord(" ")
        view.styles[drawn] = MUTED
        view.chars[drawn] = ord("-" if mode == "ascii" else "░")


def name_of(head: int | None, ascii_only: bool = False) -> str:
    """A head's number as people count, or the mixture's sign."""
    if head is None:
        return "mix" if ascii_only else "Σ"
    return str(head + 1)


def draw_figures(
    answer: Answer,
    order: Sequence[int],
    selected: int | None,
    off: frozenset[int],
    width: int,
    height: int,
    mode: Mode = "blocks",
    losses_without: Sequence[float] = (),
) -> tuple[Canvas, list[int | None]]:
    """Draw a table of heads with the mixture first; also returns which head each row shows.

    Below it, where there is room, which head hands over to which.
    """
    canvas = Canvas.blank(width, height)
    ascii_only = mode == "ascii"
    headings = ["head", "weight", "carries", "steps", "phi" if ascii_only else "φ_min", "diversity"]
    sizes = [4, 7, 8, 6, 7, 11]
    if losses_without:
        headings.insert(5, "loss w/o")
        sizes.insert(5, 9)
    use = 1
    while use < len(sizes) and sum(sizes[: use + 1]) <= width:
        use += 1
    edges = np.cumsum(sizes[:use]).tolist()
    for edge, heading in zip(edges, headings, strict=False):
        canvas.write(edge - len(heading), 0, heading, MUTED)
    rows: list[int | None] = [None, *order]
    count, room = len(rows), height - 1
    room -= 1 < room < count  # a line to say how many heads are out of sight
    place = rows.index(selected) if selected in rows else 0
    first = min(max(place - room // 2, 0), max(count - room, 0))
    rows = rows[first : first + room]
    hidden = out_of_sight(first, count - first - len(rows), ascii_only)
    if hidden:
        canvas.write(2, height - 1, hidden, MUTED)
    rest = len(rows) + 2  # a blank line between
    if rest < height:
        switches = draw_switches(answer.carried, width, height - rest, mode)
        canvas.chars[rest:], canvas.styles[rest:] = switches.chars, switches.styles
    best = max((each.fidelity for each in answer.figures), default=0.0)
    mark = ">" if ascii_only else "▸"
    for y, head in enumerate(rows, start=1):
        if head is None:
            now = answer.now
            texts = ["1", "", compact(now.steps, 3), _clarity(now.fidelity)]
        else:
            each = answer.figures[head]
            unknown = "-" if ascii_only else "–"
            texts = [
                "off" if head in off else compact(each.weight),
                unknown if answer.carried is None else percent(float(answer.carried.share[head])),
                compact(each.steps, 3),
                _clarity(each.fidelity),
                compact(each.diversity),
            ]
            if losses_without:
                texts.insert(4, compact(losses_without[head], 3))
        style = TITLE if head is None else head_style(head, "plain")
        style = MUTED if head is not None and head in off else style
        if head == selected:
            canvas.write(0, y, mark, CURSOR)
        canvas.write(edges[0] - len(name_of(head, ascii_only)), y, name_of(head, ascii_only), style)
        for edge, text in zip(edges[1:], texts, strict=False):
            canvas.write(edge - len(text), y, text, style)
        if head is not None and use > 4 and answer.figures[head].fidelity == best > 0:
            canvas.write(1, y, "*" if ascii_only else "★", CURSOR)
    return canvas, rows


def _clarity(value: float) -> str:
    """A fidelity in at most six characters."""
    text = compact(value, 3)
    return text if len(text) <= 6 else compact(value)


def draw_what_if(
    answer: Answer,
    ceilings: Ceilings | None,
    name: str,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw the mixture of all heads beside what is left when some are off.

    ``ceilings`` are what no weights could exceed, of all heads and of those that are on: ``None``
    while they are computed, NaN where there is too much to compute.
    """
    canvas = Canvas.blank(width, height)
    phi, arrow, times = ("phi", "->", "x") if ascii_only else ("φ", "→", "×")
    before, after = answer.before, answer.after
    source = answer.question.source
    if width >= 51:
        labels = (
            f"minimax fidelity {phi}_min",
            "no weights could exceed",
            "best head alone",
            "amplification",
            "steps to the sink (mean)",
            "no weights could need fewer",
            f"{phi} of token {name}",
            "mixing time, worst start",
        )
    else:
        labels = (
            f"{phi}_min",
            "no weights above",
            "best head alone",
            "amplification",
            "steps to sink",
            "no weights below",
            f"{phi} of token {name}",
            "mixing time",
        )
    olds = _measures(before, None if ceilings is None else ceilings.whole, source)
    rest = None if ceilings is None else ceilings.rest
    news = None if after is None else _measures(after, rest, source)
    lead = min(max(map(len, labels)) + 2, max(width - 25, 8))
    off = sorted(answer.question.off)
    canvas.write(lead, 0, "all".rjust(8), MUTED)
    if off:
        listed = "without " + ",".join(str(head + 1) for head in off)
        canvas.write(lead + 9, 0, listed[: width - lead - 9], CURSOR)
    for y, (label, old) in enumerate(zip(labels, olds, strict=False), start=1):
        canvas.write(0, y, label[: lead - 1], MUTED)
        if old is None or math.isnan(old):
            text = (".", "-") if ascii_only else ("…", "–")
            canvas.write(lead, y, text[old is not None].rjust(8), MUTED)
            continue
        canvas.write(lead, y, compact(old, 3).rjust(8), TEXT)
        new = None if news is None else news[y - 1]
        if new is None:
            continue
        canvas.write(lead + 9, y, f"{arrow} {compact(new, 3)}", TITLE)
        if old > 0 and math.isfinite(old) and math.isfinite(new):
            ratio = f"{compact(new / old, 3)}{times}"
            canvas.write(lead + 19, y, ratio, _change(label, new / old))
    y = len(labels)
    canvas.write(0, y, labels[-1][: lead - 1], MUTED)
    canvas.write(lead, y, before.mixing_time.rjust(8), TEXT)
    if after is not None:
        canvas.write(lead + 9, y, f"{arrow} {after.mixing_time}", TITLE)
    return canvas


def _measures(mixture: Mixture, ceiling: Ceiling | None, source: int) -> list[float | None]:
    """What is compared before and after, in the order of its labels."""
    return [
        mixture.fidelity,
        None if ceiling is None else ceiling.fidelity,
        mixture.best_head,
        mixture.amplification,
        mixture.steps,
        None if ceiling is None else ceiling.steps,
        float(mixture.node[source]),
    ]


def _change(label: str, ratio: float) -> int:
    """Style of a change: warned of when it makes things worse by more than rounding."""
    fewer = label.startswith("steps") or label.endswith(("fewer", "below"))
    worse = ratio > 1.005 if fewer else ratio < 0.995
    better = ratio < 0.995 if fewer else ratio > 1.005
    return INDEX["warning"] if worse else INDEX["good"] if better else MUTED


# Styles of a plot that stand for head colours until the drawing is done.
_STAND_INS = tuple(f"run-{place + 1}" for place in range(HEADS))


def draw_arrival(
    answer: Answer,
    selected: int | None,
    off: frozenset[int],
    name: str,
    width: int,
    height: int,
    ascii_only: bool = False,
) -> Canvas:
    """Draw how surely a token's walk has arrived at the sink: each head alone, and mixed."""
    count = answer.arrival.shape[1]
    steps = np.arange(count)
    curves = [
        Curve(
            steps,
            answer.arrival[head],
            _STAND_INS[head % HEADS],
            faint=head != selected,
            glyph=str(head + 1)[-1],
        )
        for head in range(answer.arrival.shape[0])
        if head not in off
    ]
    if answer.arrival_after is not None:
        curves.append(Curve(steps, answer.arrival_before, "muted", faint=True))
        curves.append(
            Curve(steps, answer.arrival_after, "text", glyph=name_of(None, ascii_only)[0])
        )
        last = float(answer.arrival_after[-1])
    else:
        curves.append(
            Curve(steps, answer.arrival_before, "text", glyph=name_of(None, ascii_only)[0])
        )
        last = float(answer.arrival_before[-1])
    share = answer.arrival_before if answer.arrival_after is None else answer.arrival_after
    half = np.flatnonzero(share >= 0.5)
    panel = Panel(
        title=f"token {name} at the sink by step",
        detail="each head alone, and mixed",
        headline=(
            f"half by {compact(int(half[0]))}" if half.size else f"{percent(last)} by {count - 1}"
        ),
        short=f"token {name}",
        plot=Plot(
            Axis(0, max(count - 1, 1), label="steps", whole=True),
            Axis(0.0, 1.0),
            curves,
            [Marker("y", 0.5, "")],
        ),
    )
    canvas = draw_panel(panel, width, height, ascii_only)
    table = np.arange(len(STYLES), dtype=np.uint16)
    for place, stand_in in enumerate(_STAND_INS):
        table[INDEX[stand_in]] = head_style(place, "bold" if place == selected else "plain")
    canvas.styles[...] = table[canvas.styles]
    return canvas
