"""Exports say the same as the log, in files that other tools read."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from click.testing import Result

from synergy_tui.experiments.experiment import Experiment

Call = Callable[..., Result]


def export(call: Call, *arguments: str | Path) -> str:
    result = call("export", "last", *arguments)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    return result.stderr


def test_attention_without_head_weights_is_not_given_any(
    call: Call, finished: Experiment, tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    name = "attention/many-00000020.safetensors"
    attention = finished.attention(name)["attention"]
    save_file({"attention": np.ascontiguousarray(attention)}, finished.path / name)
    result = call("export", "last", "--attention", tmp_path / "a.npz", "--run", "many")
    assert result.exit_code == 2
    assert "contains no tensor named 'head_weights'" in result.stderr


def test_csv_has_training_layers_heads_and_overall(
    call: Call, finished: Experiment, tmp_path: Path
) -> None:
    export(call, "--metrics", tmp_path / "my metrics.csv")
    with (tmp_path / "my metrics.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    many = [row for row in table if row["run"] == "many"]
    assert [(row["step"], row["loss"]) for row in many if not row["layer"]] == [
        ("1", "1.25"),
        ("10", "0.125"),
        ("20", "0.0625"),
    ]
    newest = [row for row in many if row["step"] == "20" and row["layer"]]
    assert [(row["layer"], row["head"]) for row in newest] == [
        ("1", ""),
        ("1", "1"),
        ("1", "2"),
        ("2", ""),
        ("2", "1"),
        ("2", "2"),
        ("overall", ""),
        ("overall", "1"),
        ("overall", "2"),
    ]
    assert {row["fidelity"] for row in newest if not row["head"]} == {"0.4"}
    assert {row["convention"] for row in newest} == {"theory"}
    # Not reached within max_steps, and never at all: both infinite, neither a made-up number.
    assert newest[0]["mixing_time_l1_mean"] == "inf"
    assert newest[2]["hitting_time"] == "inf"


def test_parquet_says_the_same_as_csv(call: Call, finished: Experiment, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export(call, "--metrics", tmp_path / "m.csv")
    export(call, "--metrics", tmp_path / "m.parquet")
    with (tmp_path / "m.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    found = parquet.read_table(tmp_path / "m.parquet").to_pylist()
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for key, value in one.items():
            if isinstance(value, float):
                assert value == pytest.approx(float(other[key]))
            else:
                assert ("" if value is None else str(value)) == other[key]


def test_tensorboard_reads_the_scalars(call: Call, finished: Experiment, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    export(call, "--tensorboard", tmp_path)
    events = accumulator.EventAccumulator(str(tmp_path / finished.id / "many"))
    events.Reload()
    losses = events.Scalars("train/loss")
    assert [(each.step, each.value) for each in losses] == [(1, 1.25), (10, 0.125), (20, 0.0625)]
    assert losses[0].wall_time >= finished.started.timestamp()
    assert [each.value for each in events.Scalars("layer-2/fidelity")] == pytest.approx([0.1, 0.4])
    again = call("export", "last", "--tensorboard", tmp_path)
    assert again.exit_code == 2
    assert "already" in again.stderr


@pytest.mark.parametrize("suffix", ["safetensors", "npz", "npy"])
def test_attention_can_be_analysed_again(
    suffix: str, call: Call, finished: Experiment, tmp_path: Path
) -> None:
    file = tmp_path / f"attention.{suffix}"
    export(call, "--attention", file, "--run", "many", "--step", "15")
    original = finished.attention("attention/many-00000000.safetensors")
    if suffix == "safetensors":
        from safetensors import safe_open

        with safe_open(file, "numpy") as stored:
            assert stored.metadata()["step"] == "0"
            found = stored.get_tensor("attention")
    else:
        loaded = np.load(file, allow_pickle=False)
        found = loaded if suffix == "npy" else loaded["attention"]
    np.testing.assert_array_equal(found, original["attention"])


@pytest.mark.parametrize("suffix", ["graphml", "json", "gml"])
def test_graphs_carry_information_forwards(
    suffix: str, call: Call, finished: Experiment, tmp_path: Path
) -> None:
    file = tmp_path / f"heads.{suffix}"
    wrote = export(call, "--graph", file, "--run", "many", "--layer", "2", "--threshold", "0.2")
    assert "many, step 20, layer 2, " in wrote
    if suffix == "json":
        graph = nx.node_link_graph(json.loads(file.read_text(encoding="utf-8")), edges="edges")
    else:
        graph = (
            nx.read_graphml(file, node_type=int, force_multigraph=True)
            if suffix == "graphml"
            else nx.read_gml(file, destringizer=int)
        )
    attention = finished.attention("attention/many-00000020.safetensors")["attention"][0, 1]
    assert graph.number_of_edges() == np.count_nonzero(attention > 0.2)
    for start, end, edge in graph.edges(data=True):
        assert int(start) <= int(end)
        expected = attention[edge["head"] - 1, int(end), int(start)]
        assert edge["weight"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("form", ["svg", "pdf", "png"])
def test_figures(form: str, call: Call, finished: Experiment, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    export(call, "--figures", tmp_path, "--format", form)
    files = sorted(tmp_path.glob(f"{finished.id}-*.{form}"))
    assert [file.stem.rsplit("-", 1)[1] for file in files] == [
        "convergence",
        "fidelity",
        "heads",
        "signal",
    ]
    start = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}[form]
    assert all(file.read_bytes().startswith(start) for file in files)


def test_figures_name_runs_and_repeat_exactly(
    call: Call, finished: Experiment, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    for folder in ("a", "b"):
        export(call, "--figures", tmp_path / folder)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    text = (tmp_path / "a" / f"{finished.id}-convergence.svg").read_text(encoding="utf-8")
    for words in ("many", "one", "diffusion steps", "loss (nats)"):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to export"),
        (["--metrics", "m.xlsx"], ".csv or .parquet"),
        (["--attention", "a.csv"], ".safetensors"),
        (["--graph", "g.png"], ".graphml"),
        (["--graph", "g.json", "--layer", "3"], "layers 1 to 2"),
        (["--graph", "g.json", "--input", "9"], "inputs 0 to 1"),
        (["--attention", "a.npy", "--run", "none"], "no run 'none'"),
        (["--figures", "f", "--format", "gif"], "svg, pdf, png"),
        (["--metrics", "/proc/none/m.csv"], "there is no folder"),
    ],
)
def test_mistakes_exit_2_and_leave_nothing(
    arguments: list[str],
    says: str,
    call: Call,
    finished: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    result = call("export", "last", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("matplotlib", ["--figures", "f"], "figures"),
        ("pyarrow", ["--metrics", "m.parquet"], "parquet"),
        ("tensorboard", ["--tensorboard", "t"], "tensorboard"),
    ],
)
def test_an_absent_extra_says_how_to_get_it(
    module: str,
    arguments: list[str],
    extra: str,
    call: Call,
    finished: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [each for each in sys.modules if each.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    result = call("export", "last", *arguments)
    assert result.exit_code == 2
    assert f'pip install "synergy-heads[{extra}]"' in result.stderr
