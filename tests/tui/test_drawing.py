"""The set-up of figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from synergy_tui.drawing import FORMATS, grid, paper_colour, render

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure() -> Figure:
    made, [[axes]] = grid(1, 1, 2.0, 1.0)
    axes.plot([1, 2], color=paper_colour(8))
    return made


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_figure_gives_the_same_bytes(form: str) -> None:
    pytest.importorskip("matplotlib")
    assert render(figure, form) == render(figure, form)


def test_settings_hold_for_one_figure_only() -> None:
    mpl = pytest.importorskip("matplotlib")
    before = dict(mpl.rcParams)
    render(figure, **{"font.size": 3})
    assert dict(mpl.rcParams) == before


def test_numbers_along_axes_are_written_as_elsewhere() -> None:
    pytest.importorskip("matplotlib")

    def half() -> Figure:
        made, [[axes]] = grid(1, 1, 3.0, 2.0)
        axes.plot([0, 1], [0, 1])
        axes.set_xticks([0, 0.5, 1], ["0.5 is said", "b", "c"])
        axes.set_yticks([0.0, 0.5, 1.0])
        return made

    picture = render(half).decode()
    assert ">.5<" in picture
    assert ">0.5<" not in picture
    assert ">0.5 is said<" in picture, "words stay as they are"
