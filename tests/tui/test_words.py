"""Numbers, durations and sizes as people read them."""

from __future__ import annotations

import math

import pytest

from synergy_tui import words


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1023, "1023 B"), (2048, "2.0 KiB"), (5 * 2**40, "5.0 TiB")]
)
def test_sizes_for_people(number: int, text: str) -> None:
    assert words.size(number) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(5 / 12, "5/12 = .41667"), (2.0, "2"), (math.inf, "∞"), (math.nan, "–"), (None, "–"),
     ("inf", "∞"), ("> 10000", "> 10000"), (words.AtLeast(1e4), ">10000"), (0.123456, ".12346")],
)  # fmt: skip
def test_values_with_their_fractions(value: words.Value | str | None, text: str) -> None:
    assert words.show_value(value) == text


def test_counted_things() -> None:
    assert words.counted(1, "head") == "1 head"
    assert words.counted(2000, "process", "processes") == "2,000 processes"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "1 s"),
        (45, "45 s"),
        (600, "10 min"),
        (3 * 3600 + 1200, "3 h 20 min"),
        (2e5, "2 d 8 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_what_a_damaged_log_calls_a_number_is_shown_as_it_is() -> None:
    assert [words.show_value(each) for each in ([], {"a": 1}, "x", None)] == [
        "[]",
        "{'a': 1}",
        "x",
        "–",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, ".25"), (-0.5, "-.5"), (0.0, "0"), (10.5, "10.5"), (1e-7, "1e-07")]
)
def test_decimals_have_no_zero_before_the_point(value: float, text: str) -> None:
    assert words.decimal(value) == text


def test_one_style_for_all_numbers_that_people_read() -> None:
    """Tables, sentences, comparisons, charts and axes write the same number the same way."""
    quarter = [words.number(0.25), words.short_number(0.25), words.show_value(0.25, exact=False)]
    assert {*quarter, words.compact(0.25), words.tick_text(0.25, 0.25)} == {".25"}
    thousands = [
        words.number(2500.0),
        words.number(2500),
        words.short_number(2500.0),
        words.show_value(2500.0),
    ]
    assert {*thousands, words.compact(2500.0), words.tick_text(2500.0, 500.0)} == {"2,500"}
    assert words.short_decimals("0.5 → 10.05, 1.0.5, [0.25, -0.125]") == (
        ".5 → 10.05, 1.0.5, [.25, -.125]"
    )
