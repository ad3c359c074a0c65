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
