"""analyze says why, follows layers in order, and takes other sinks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.tui.commands.analyses import Call, records


def test_why_on_example_2(call: Call, example2: Path) -> None:
    layer, overall = records(call("analyze", example2, "--why", "--json"))
    why = layer["why"]
    assert (why["node"], why["time"]) == (2, 1)
    assert why["value"] == pytest.approx(5 / 12)
    assert [head["carriage"] for head in why["heads"]] == pytest.approx([0.6, 0.4])
    assert [head["gradient"] for head in why["heads"]] == pytest.approx([1 / 2, 1 / 3])
    assert [head["towards"] for head in why["heads"]] == pytest.approx([1 / 12, -1 / 12])
    assert why["switch"] == [[0, 0], [0, 0]]
    assert why["fidelity_at_most"] == pytest.approx(1 / 2)
    assert why["best"]["lower"] <= 0.4297880420
    assert 0.4297880419 <= why["best"]["upper"] <= 0.431
    assert why["helps"] == [2]
    assert "why" not in overall
    assert "layered" not in overall  # one layer
    assert "nothing composes" in call("analyze", example2, "--why").stdout


def test_why_names_the_nodes_of_a_graph(call: Call, tmp_path: Path) -> None:
    heads = {"1": ("uv", "vw", "wτ"), "2": ("uw", "vw", "vτ", "wτ")}
    lines = ["source,target,head"]
    lines += [f"{a},{b},{head}" for head, edges in heads.items() for a, b in edges]
    file = tmp_path / "example2.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    layer, overall = records(call("analyze", file, "--why", "--json"))
    assert sorted(layer["names"]) == sorted("uvwτ")
    assert overall["names"] == layer["names"]
    why = layer["why"]
    assert layer["names"][why["node"]] == "w"
    # By hand: head 2 carries every node sooner than head 1 does, and is one of the weights.
    assert why["hitting_time_at_least"] == pytest.approx(2.125)
    found = call("analyze", file, "--why").stdout
    assert "no weights are sooner than head 2: 2.125 steps" in found
    assert " w " in found


def test_several_inputs_are_explained_together(call: Call, tmp_path: Path) -> None:
    drawn = np.tril(np.random.default_rng(1).random((3, 2, 2, 5, 5)) + 0.1)
    np.save(tmp_path / "a.npy", drawn / drawn.sum(-1, keepdims=True))
    first, second, overall = records(
        call("analyze", tmp_path / "a.npy", "--axes", "B,L,H,n,n", "--why", "--json")
    )
    assert first["why"]["inputs"] == second["why"]["inputs"] == 3
    assert sum(head["carriage"] for head in first["why"]["heads"]) == pytest.approx(1)
    assert [each["gamma"] for each in overall["layered"]] == ["half"]
    assert (
        "held-out"
        in call("analyze", tmp_path / "a.npy", "--axes", "B,L,H,n,n", "--why", "--details").stdout
    )


def test_the_published_codes_convention_is_refused_in_words(call: Call, example2: Path) -> None:
    found = records(call("analyze", example2, "--why", "--convention", "paper-code", "--json"))
    assert "counts the sink" in found[0]["why"]["refused"]
    assert "why is not known" in call(
        "analyze", example2, "--why", "--convention", "paper-code"
    ).stdout  # fmt: skip


@pytest.fixture
def two_layers(example2: Path, tmp_path: Path) -> Path:
    """Example 2 in two equal layers."""
    heads = np.load(example2)
    np.save(tmp_path / "two.npy", np.stack([heads, heads])[None])
    return tmp_path / "two.npy"


def test_layers_in_order_for_every_gamma(call: Call, two_layers: Path) -> None:
    gammas = ["--gamma", "half", "--gamma", "one", "--gamma", "0.5"]
    overall = records(call("analyze", two_layers, *gammas, "--json"))[-1]
    half, one, number = overall["layered"]
    assert half["minimax"] == pytest.approx(1 / 36)
    assert one["minimax"] == pytest.approx(1 / 9)
    assert half["synergy"] == pytest.approx(2 / 3)
    assert half["exact"] is True
    assert number | {"gamma": "half"} == half
    for layer in half["layers"]:
        assert sum(layer["heads"]) + layer["skip"] == pytest.approx(1)
    assert "γ = half" in call("analyze", two_layers, *gammas).stdout


def test_one_layer_is_one_step(call: Call, example2: Path, tmp_path: Path) -> None:
    overall = records(call("analyze", example2, "--gamma", "0.25", "--json"))[-1]
    sink = np.load(example2).mean(axis=0)[-1, :-1]
    assert overall["layered"][0]["minimax"] == pytest.approx(0.25 * sink.min())
    (tmp_path / "graph.csv").write_text("source,target\na,b\nb,c\n", encoding="utf-8")
    refused = call("analyze", tmp_path / "graph.csv", "--gamma", "half")
    assert refused.exit_code == 2
    assert "is a graph" in refused.stderr


def test_measured_gamma_must_be_in_the_file(call: Call, two_layers: Path, tmp_path: Path) -> None:
    refused = call("analyze", two_layers, "--gamma", "norm")
    assert refused.exit_code == 2
    assert "contains no norms" in refused.stderr
    attention = np.load(two_layers)
    file = tmp_path / "norms.npz"
    np.savez(file, attention=attention, gamma=np.full((1, 2, 4), 0.5))
    overall = records(call("analyze", file, "--gamma", "norm", "--gamma", "half", "--json"))[-1]
    norm, half = overall["layered"]
    assert norm["minimax"] == pytest.approx(half["minimax"])
    np.savez(file, attention=attention, gamma=np.full((2, 4), 1.5))
    assert "expected (inputs, layers, nodes) (1, 2, 4)" in call("analyze", file).stderr
    np.savez(file, attention=attention, gamma=np.full((1, 2, 4), 1.5))
    assert "from 0 to 1" in call("analyze", file).stderr


@pytest.mark.parametrize("gamma", ["2", "0", "-1", "nan", "whole"])
def test_a_gamma_that_is_no_share_is_refused(gamma: str, call: Call, two_layers: Path) -> None:
    refused = call("analyze", two_layers, "--gamma", gamma)
    assert refused.exit_code == 2
    assert "half, one, norm or a number from 0 to 1" in refused.stderr


def test_the_last_positions_as_sinks_in_turn(call: Call, two_layers: Path, tmp_path: Path) -> None:
    options = ("--sinks", "3", "--gamma", "one")
    first, _, overall = records(call("analyze", two_layers, *options, "--json"))
    # Each smaller network ends at its own sink.
    [network] = np.load(two_layers)
    ends = [2, 3, 4]
    alone = []
    for end in ends:
        np.save(tmp_path / "part.npy", network[0, :, :end, :end])
        part = records(call("analyze", tmp_path / "part.npy", "--json"))[0]
        alone.append(part["fidelity"]["minimax"])
    assert first["sinks"]["k"] == 3
    assert first["sinks"]["minimax"] == pytest.approx(np.mean(alone))
    mixed = network.mean(axis=1)
    heard = mixed[1] @ mixed[0]
    each = overall["layered"][0]["minimax_each"]
    assert each == pytest.approx(np.mean([heard[end - 1, : end - 1].min() for end in ends]))
    assert "mean over the last 3 positions as sinks in turn" in call(
        "analyze", two_layers, *options
    ).stdout  # fmt: skip
    (tmp_path / "graph.csv").write_text("source,target\na,b\nb,c\n", encoding="utf-8")
    refused = call("analyze", tmp_path / "graph.csv", "--sinks", "3")
    assert refused.exit_code == 2
    assert "--sinks is about positions" in refused.stderr
