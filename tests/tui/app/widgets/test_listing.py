"""A list in sections: what is drawn, what is left out, and where the cursor goes."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from textual.app import App, ComposeResult

from synergy_tui.app.themes import RUN_VARIABLES
from synergy_tui.app.widgets.filter import matches
from synergy_tui.app.widgets.listing import GAP, Column, Listing, Row, Section, draw_listing, fitted
from synergy_tui.app.widgets.strips import Cell
from tests.tui.app.conftest import canvas_text


def section(title: str, count: int, *columns: Column) -> Section:
    columns = columns or (Column(""), Column("age", weight=1, right=True))
    rows = [
        Row(f"{title}-{place}", [Cell(f"{title}{place}.{at}") for at in range(len(columns))])
        for place in range(count)
    ]
    return Section(title.upper(), columns, rows, "none")


def test_sections_have_headings_rows_and_a_cursor() -> None:
    canvas, line, keys = draw_listing([section("a", 2), section("b", 0)], 30, 8, "a-1")
    assert canvas_text(canvas).splitlines()[:7] == [
        "A        age",
        "  a0.0  a0.1",
        "> a1.0  a1.1",
        "",
        "B   age",
        "  none",
        "",
    ]
    assert (line, keys) == (2, ["", "a-0", "a-1", *[""] * 5])


@given(st.integers(1, 40), st.integers(0, 39), st.integers(0, 9), st.integers(2, 20))
def test_the_selected_row_and_its_heading_are_always_in_sight(
    count: int, at: int, others: int, height: int
) -> None:
    at = min(at, count - 1)
    sections = [section("b", others), section("a", count), section("c", others)]
    canvas, line, keys = draw_listing(sections, 30, height, f"a-{at}")
    lines = canvas.lines()
    assert lines[line].startswith(f"> a{at}.0")
    assert keys[line] == f"a-{at}"
    assert any(each.startswith("A") for each in lines[:line])
    assert len(keys) == height


@pytest.mark.parametrize("height", range(6))
@pytest.mark.parametrize("selected", ["", "a-3", "b-3"])
def test_there_are_never_more_keys_than_lines(height: int, selected: str) -> None:
    _, line, keys = draw_listing([section("a", 4), section("b", 4)], 30, height, selected)
    assert len(keys) == height
    assert line < height


def test_sections_share_the_lines_and_say_what_is_out_of_sight() -> None:
    """A long one never hides the next; what one does not need, the other has."""
    canvas, _, keys = draw_listing([section("a", 20), section("b", 9)], 40, 13, "a-10")
    lines = canvas.lines()
    assert keys == [
        "",
        *(f"a-{place}" for place in range(8, 13)),
        "",
        "",
        *(f"b-{place}" for place in range(5)),
    ]
    assert lines[0].rstrip().endswith("8 more ▴  7 more ▾")
    assert lines[7].rstrip().endswith("4 more ▾")
    _, line, keys = draw_listing([section("a", 20), section("b", 2)], 40, 13, "b-1")
    assert keys[1:9] == [f"a-{place}" for place in range(8)]
    assert (line, keys[line]) == (12, "b-1")
    _, line, keys = draw_listing([section("a", 20), section("b", 9)], 40, 4, "b-8")
    assert keys == ["", "b-6", "b-7", "b-8"]


@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(0, 9), st.booleans()), min_size=1, max_size=7
    ),
    st.integers(10, 120),
)
def test_the_lightest_columns_go_first_and_the_rest_fits(
    drawn: list[tuple[int, int, bool]], width: int
) -> None:
    columns = [Column("x" * size, weight, shrinks=cut) for size, weight, cut in drawn]
    widths = fitted(Section("", columns, []), width)
    gone = [column.weight for place, column in enumerate(columns) if place not in widths]
    kept = [columns[place].weight for place in widths]
    assert 0 not in gone
    assert all(weight == 0 or weight >= max(gone, default=0) for weight in kept)
    if any(kept):
        assert sum(widths.values()) + GAP * (len(widths) - 1) <= width
    assert all(0 <= size <= len(columns[place].name) for place, size in widths.items())


def test_a_filter_wants_every_word_somewhere() -> None:
    assert matches("", "anything")
    assert matches("SORT 8", "task sort", "8 heads")
    assert not matches("sort 4", "task sort", "8 heads")
    assert not matches("x")


class Lists(App[None]):
    def get_theme_variable_defaults(self) -> dict[str, str]:
        return RUN_VARIABLES

    opened = 0

    def compose(self) -> ComposeResult:
        yield Listing()

    def on_listing_chosen(self) -> None:
        self.opened += 1


async def test_the_cursor_stays_on_its_row_or_where_that_was() -> None:
    app = Lists()
    async with app.run_test(size=(40, 10)):
        listing = app.query_one(Listing)
        listing.show([section("a", 3), section("b", 3)])
        assert listing.selected == "a-0"
        listing.move(100)
        assert listing.selected == "b-2"
        listing.next_section()
        assert listing.selected == "a-0"
        listing.select("a-2")
        listing.show([section("b", 3)])
        assert listing.selected == "b-2"
        listing.show([])
        assert listing.selected == ""
        listing.show([section("a", 1)])
        assert listing.selected == "a-0"


async def test_a_click_selects_and_a_second_one_opens() -> None:
    app = Lists()
    async with app.run_test(size=(40, 10)) as pilot:
        listing = app.query_one(Listing)
        listing.show([section("a", 3)])
        await pilot.pause()
        await pilot.click(Listing, offset=(6, 2))
        assert listing.selected == "a-1"
        assert app.opened == 0
        await pilot.click(Listing, offset=(6, 3), times=2)
        assert listing.selected == "a-2"
        await pilot.pause()
        assert app.opened == 1
