"""Expectations: the grammar, what counts as equal, and what cannot be decided."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from synergy_tui.scenario.expect import ExpectationError, Result, UndecidedError, parse
from synergy_tui.words import AtLeast, Value

NUMBERS: dict[str, Value] = {
    "a.loss": 0.5,
    "b.loss": 0.25,
    "multi-head.fidelity": 5 / 12,
    "multi-head.layer1.fidelity": 0.1,
    "x.infinite": math.inf,
    "x.nan": math.nan,
    "x.slow": AtLeast(10_000),
    "y.slow": AtLeast(10_000),
}


def lookup(run: str, name: str) -> Value:
    try:
        return NUMBERS[f"{run}.{name}"]
    except KeyError:
        raise UndecidedError(f"{run}.{name} is not known") from None


def decide(text: str) -> Result:
    return parse(text).evaluate(lookup)


@pytest.mark.parametrize(
    "text",
    [
        "a.loss == 1/2",
        "a.loss > b.loss",
        "a.loss >= 0.5",
        "b.loss < a.loss <= 0.5 < 1e3",
        "multi-head.fidelity == 5/12",
        "multi-head.fidelity == 5÷12",
        "multi-head.layer1.fidelity != multi-head.fidelity",
        "a.loss-b.loss == .25",
        "a.loss − b.loss ≤ b.loss × 2 - 1/4",
        "-a.loss < +a.loss",
        "2 * (a.loss + b.loss) == 1.5",
        "2 + 3 * 4 - 6 / 2 == a.loss * 22",
        "8 / 4 / 2 == a.loss * 2",
        "max(a.loss, b.loss, 0.1) == a.loss",
        "min(a.loss, b.loss) == b.loss",
        "abs(b.loss - a.loss) ≥ 1_000 / 4_000",
        "x.infinite == inf",
        "a.loss < x.infinite",
        "a.loss < x.slow",
        "x.slow > 10000",
        "x.slow != 3",
        "a.loss == 0.5000000000001",
        "0 == a.loss - a.loss + 0.0000000000001",
    ],
)
def test_holds(text: str) -> None:
    result = decide(text)
    assert result.holds, result


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.loss < b.loss", ""),
        ("a.loss == 0.500001", ""),
        ("a.loss != 0.5", ""),
        ("0 < b.loss < a.loss < 0.4", ""),
        ("x.slow <= 9000", ""),
        ("x.slow < 20000", "step limit"),
        ("x.slow < y.slow", "step limit"),
        ("x.slow == y.slow", "step limit"),
        ("x.slow + 1 > 3", "sum"),
        ("a.loss / (b.loss - b.loss) > 0", "division by zero"),
        ("x.nan == x.nan", "NaN"),
        ("x.nan != 1", "NaN"),
        ("x.infinite - x.infinite == 0", "NaN"),
        ("c.loss < 1", "c.loss is not known"),
    ],
)
def test_does_not_hold(text: str, reason: str) -> None:
    result = decide(text)
    assert not result.holds
    assert reason in result.reason
    assert bool(reason) == bool(result.reason)


def test_both_sides_are_told() -> None:
    result = decide("a.loss < b.loss")
    assert (result.left, result.right) == (0.5, 0.25)
    chain = decide("0 < b.loss < 0.1 < 1")
    assert (chain.left, chain.right) == (0.25, 0.1), "the comparison that failed"
    assert decide("c.loss < 1").left is None


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "at the end"),
        ("a.loss", "comparison"),
        ("a.loss = 3", "equality is written =="),
        ("a.loss < ", "at the end"),
        ("< 3", "'<' at character 1"),
        ("a.loss < b", "'b'"),
        ("a < 3", "run.metric"),
        ("a.loss < (3", "')'"),
        ("a.loss < 3)", "')'"),
        ("max a.loss < 3", "'(' after max"),
        ("abs(1, 2) < a.loss", "abs takes one number"),
        ("a.loss < 3 b.loss", "'b.loss'"),
        ("__import__('os').system('id') < 3", "'"),
        ("a.loss < 2 ** 8", "'*'"),
        ("a.loss if 1 else 2 < 3", "'if'"),
        ("(" * 100 + "1" + ")" * 100 + " < a.loss", "nested"),
        ("-" * 500 + "1 < a.loss", "nested"),
        ("a.loss < 1 " + "+ 1 " * 1000, "characters"),
    ],
)
def test_not_an_expectation(text: str, where: str) -> None:
    with pytest.raises(ExpectationError) as caught:
        parse(text)
    assert where in str(caught.value)


def test_the_metrics_that_it_needs() -> None:
    names = [(each.run, each.name) for each in parse("max(a-1.x, b.y.z) < 2 * a-1.x").metrics()]
    assert names == [("a-1", "x"), ("b", "y.z"), ("a-1", "x")]


@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        parse(text)
    except ExpectationError:
        return


@given(st.recursive(
    st.sampled_from(["1", "2.5", "a.loss", "b-c.d", "inf"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/×÷−"), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"max({text}, 3)"),
    ),
    max_leaves=12,
))  # fmt: skip
def test_what_the_grammar_makes_is_decided_without_surprise(text: str) -> None:
    parse(f"{text} < {text}").evaluate(lookup)
