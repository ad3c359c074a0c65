"""What `synergy analyze --why` says of an analysis, from objects written by hand."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from synergy_tui.commands.reasons import print_layered, print_reasons, shares_text

# Example 2 of the paper, as CERTIFICATES' table of sensitivities and bounds has it.
EXAMPLE2: dict[str, Any] = {
    "layer": 1,
    "inputs": 1,
    "names": ["u", "v", "w", "τ"],
    "mixing": {"hitting_time_mean": 17 / 7},
    "per_head": [
        {"head": 1, "hitting_time_mean": 3.0},
        {"head": 2, "hitting_time_mean": 2.125},
    ],
    "why": {
        "node": 2,
        "time": 1,
        "value": 5 / 12,
        "heads": [
            {"head": 1, "carriage": 0.6, "gradient": 1 / 2, "towards": 1 / 12},
            {"head": 2, "carriage": 0.4, "gradient": 1 / 3, "towards": -1 / 12},
        ],
        "switch": [[0.0, 0.0], [0.0, 0.0]],
        "fidelity_at_most": 1 / 2,
        "hitting_time_at_least": 17 / 8,
        "best": {"weights": [0.5787, 0.4213], "lower": 0.4297880, "upper": 0.4300131},
        "helps": [2],
        "gains": {"now": 10 / 9, "best": 1.146101, "at_most": 1.146702},
    },
}


def shown(
    capsys: pytest.CaptureFixture[str], *, details: bool = False, **changes: Any
) -> tuple[str, str]:
    """What is printed, and the sentences in it, with some values changed (``why__time=3``)."""
    record = copy.deepcopy(EXAMPLE2)
    for path, value in changes.items():
        *groups, key = path.split("__")
        place = record
        for group in groups:
            place = place[group]
        place[key] = value
    print_reasons([record], details=details)
    text = capsys.readouterr().out
    return text, "\n".join(line for line in text.splitlines() if line.startswith("layer 1:"))


def test_example_2_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    table, said = shown(capsys)
    row = next(line for line in table.splitlines() if line.lstrip().startswith("1 "))
    assert row.split() == [
        "1", "w", "1:", "60%,", "2:", "40%", "1", ".4167", ".4298", ".43", "2.429", "2.125"
    ]  # fmt: skip
    assert "nothing composes" in said
    assert "synergy 1.111×; weights .579, .421 give 1.146×" in said
    assert "no weights give more than 1.147×" in said
    assert "a little of head 2 into the best head" in said
    assert "no weights are sooner than head 2: 2.125 steps" in said
    _, said = shown(capsys, why__hitting_time_at_least=2.0)
    assert "sooner" not in said


def test_composition_is_a_share_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    switch = [[0.440154, 0.509653], [0.432432, 0.617761]]
    text, said = shown(capsys, details=True, why__time=3, why__switch=switch)
    assert "nothing composes" not in said
    assert "47% of consecutive steps" in said  # (.509653 + .432432) / 2
    assert "in the inputs" not in said
    # 1 - (.949807 · .872586 + 1.050193 · 1.127414) / 4
    assert "change heads (50% if heads followed one another by chance)" in said
    # Whatever came before, either head is as likely to come next.
    _, apart = shown(capsys, why__time=3, why__switch=[[0.3, 0.2], [0.3, 0.2]])
    assert "50% of consecutive steps on the signal's paths change heads (50% if" in apart
    _, loyal = shown(capsys, why__time=3, why__switch=[[0.75, 0.0], [0.0, 0.25]])
    assert "0% of consecutive steps on the signal's paths change heads (38% if" in loyal  # 6 / 16
    _, mixed = shown(capsys, why__time=1, why__switch=switch)
    assert "in the inputs with t* > 1, 47% of consecutive steps" in mixed
    assert ".44" in text
    assert ".432" in text


def test_whether_there_can_be_synergy(capsys: pytest.CaptureFixture[str]) -> None:
    none = {"why__gains__now": 0.9}
    _, said = shown(capsys, **none)
    assert "no synergy under these weights; weights .579, .421 give 1.146×" in said
    _, said = shown(capsys, **none, why__gains__best=1.0)
    assert "none was found with other weights; no weights give more than 1.147×" in said
    _, said = shown(capsys, **none, why__gains__best=1.0, why__gains__at_most=1.0)
    assert "no weights can give any: none exceeds the best head's .463" in said  # 5/12 / .9
    _, said = shown(capsys, why__gains=dict.fromkeys(("now", "best", "at_most"), float("inf")))
    assert "no head alone is heard from every node" in said


def test_inputs_that_are_not_explained_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    _, said = shown(capsys, inputs=5, why__inputs=3)
    assert "explained in 3 of 5 inputs" in said
    assert "no weights are sooner" not in said  # means over other inputs do not compare
    _, said = shown(capsys, inputs=5, why__inputs=5)
    assert "explained in" not in said
    assert "no weights are sooner" in said


def test_a_refusal_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    text, said = shown(capsys, why={"refused": "the supremum is not attained\x1b[2J"})
    assert "why is not known: the supremum is not attained" in said
    assert "\x1b" not in text


def test_one_head_has_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    heads = [{"head": 1, "carriage": 1.0, "gradient": 1.0, "towards": 0.0}]
    best = {"weights": [1.0], "lower": 0.375, "upper": 0.375}
    _, said = shown(capsys, why__heads=heads, why__switch=[[0.0]], why__best=best, why__helps=[])
    assert said == ""


def test_layers_in_order_name_their_gamma(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "gamma": "half",
        "minimax": 1 / 36,
        "normalised": 1 / 9,
        "node": 0,
        "layers": [{"heads": [0.125, 0.625], "skip": 0.25}] * 2,
        "synergy": 2 / 3,
        "synergy_at_least": 0.5,
        "exact": True,
    }
    print_layered({"layered": [found, {**found, "gamma": "0.25", "exact": False}]})
    exact, bounded = capsys.readouterr().out.split("all layers in order")[1:]
    assert "γ = half: fidelity .02778" in exact
    assert "; .6667× the best chain" in exact
    assert "2: 62%, 1: 12%" in exact
    assert "γ = 0.25" in bounded
    assert "; .5× to .6667× the best chain" in bounded


def test_many_heads_are_summed() -> None:
    assert shares_text([0.1, 0.4, 0.2, 0.15, 0.1, 0.05]) == (
        "2: 40%, 3: 20%, 4: 15%, 1: 10%, others: 15%"
    )
