"""One palette for screen and paper, and the one place where matplotlib is set up."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from synergy_tui.words import clean_lines, short_decimals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which readers with any colour vision tell apart. Marks and line styles
# repeat what the colours say.
ON_PAPER = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
# Eight for runs and heads on a screen. All are colours of the 256-colour cube, so that a terminal
# without truecolor shows the very same; they were searched for there by the smallest CIEDE2000
# between two of them, whichever of deuteranopia, protanopia or full colour vision sees them worst.
ON_DARK = (
    "#FFAF00", "#AFD7FF", "#87FFD7", "#D75F87", "#0087FF", "#D75F00", "#5FAFAF", "#D7AF87",
)  # fmt: skip
ON_LIGHT = (
    "#875F00", "#0087AF", "#5F875F", "#D70087", "#5F00FF", "#5F0000", "#00005F", "#005F5F",
)  # fmt: skip
ON_BLACK = (
    "#D7AF00", "#00D7FF", "#00FFAF", "#D787AF", "#5F87FF", "#FFFF00", "#AF875F", "#AFFFFF",
)  # fmt: skip
# By name, where a terminal has sixteen colours of its own; there marks carry the difference.
OF_TERMINAL = (
    "yellow", "cyan", "green", "magenta", "bright_blue", "red", "bright_magenta", "bright_green",
)  # fmt: skip

FORMATS = ("svg", "pdf", "png")

_STYLE = {
    "font.family": "sans-serif",
    "svg.fonttype": "none",  # text stays text: small, searchable, and in the reader's own font
    "pdf.fonttype": 42,
    "svg.hashsalt": "synergy",  # the same figure gives the same file
}
# A date would make equal figures differ.
_NO_DATE = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def paper_colour(index: int) -> str:
    """The colour of the run or group at ``index``; beyond seven they repeat."""
    return ON_PAPER[index % len(ON_PAPER)]


def grid(rows: int, columns: int, width: float, height: float) -> tuple[Figure, Any]:
    """A figure of its own (no global state) in inches, and its (rows, columns) axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def render(draw: Callable[[], Figure], form: str = "svg", **style: Any) -> bytes:
    """What ``draw`` draws, in one of :data:`FORMATS`; ``style`` adds to matplotlib's settings."""
    import matplotlib as mpl

    buffer = io.BytesIO()
    settings: Any = {**_STYLE, **style}
    with mpl.rc_context(settings):
        figure = draw()
        _take_literally(figure)
        _shorten_ticks(figure)
        figure.savefig(buffer, format=form, dpi=200, metadata=_NO_DATE.get(form))
    return buffer.getvalue()


def _take_literally(figure: Figure) -> None:
    """Show names and titles as they are: no mathematics between dollar signs, no controls."""
    from matplotlib.text import Text

    scales = [axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    ticks = {label for axis in scales for label in axis.get_ticklabels(which="both")}
    for text in figure.findobj(Text):
        if text not in ticks:
            text.set_text(clean_lines(text.get_text()))
            text.set_parse_math(False)


def _shorten_ticks(figure: Figure) -> None:
    """Write numbers along linear axes as all that people read: ``.25``."""
    from matplotlib.ticker import ScalarFormatter

    class Short(ScalarFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return short_decimals(super().__call__(x, pos))

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if type(axis.get_major_formatter()) is ScalarFormatter:
                axis.set_major_formatter(Short())
