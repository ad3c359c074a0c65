"""analyze reads attention and graphs as people have them, and says how it did."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
from click.testing import Result

Call = Callable[..., Result]

CASES = Path(__file__).parents[3].parent / "shared" / "cases"


def attention(*shape: int) -> np.ndarray:
    weights = np.tril(np.random.default_rng(0).random((*shape, shape[-1])) + 0.1)
    return weights / weights.sum(-1, keepdims=True)


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def contra(tmp_path: Path) -> Path:
    """Edges 2→1→0 and 2→3: node 3 is the sink, 0 and 1 have no way to it."""
    file = tmp_path / "contra.csv"
    file.write_text("source,target\n2,1\n1,0\n2,3\n", encoding="utf-8")
    return file


def test_nodes_are_numbered_and_named_as_the_file_lists_them(call: Call, contra: Path) -> None:
    layer, overall = records(call("analyze", contra, "--json"))
    assert layer["names"] == ["0", "1", "2", "3"]
    for record in (layer, overall):
        assert record["fidelity"]["unreachable"] == [0, 1]
        assert record["fidelity"]["argmin"] in (0, 1)
    shown = call("analyze", contra).stdout
    assert "cannot reach the sink: 0, 1" in shown


def test_paths_and_sources_are_names(call: Call, contra: Path) -> None:
    [layer, _] = records(call("analyze", contra, "--source", "2", "--json"))
    assert layer["paths"]["source"] == 2
    assert [path["nodes"] for path in layer["paths"]["strongest"]] == [[2, 3]]
    assert [path["names"] for path in layer["paths"]["strongest"]] == [["2", "3"]]
    assert "strongest paths from node 2" in call("analyze", contra, "--source", "2").stdout
    missing = call("analyze", contra, "--source", "9")
    assert (missing.exit_code, "--source 9" in missing.stderr) == (2, True)


def test_why_numbers_its_node_as_the_file_does(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("source,target\n3,2\n2,1\n1,0\n", encoding="utf-8")  # 0 is the sink
    [layer, _] = records(call("analyze", file, "--why", "--json"))
    assert layer["names"] == ["0", "1", "2", "3"]
    assert layer["why"]["node"] == layer["fidelity"]["argmin"]
    assert layer["why"]["node"] in (1, 2)  # not the sink, whose number is 0, nor the first
    assert layer["why"]["value"] == pytest.approx(4 / 9, rel=0.2)


def test_a_chosen_sink_of_a_graph(call: Call, contra: Path) -> None:
    [layer, _] = records(call("analyze", contra, "--sink", "0", "--json"))
    assert layer["fidelity"]["unreachable"] == [layer["names"].index("3")]


def test_tokens_stand_beside_their_numbers(call: Call, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", attention(2, 5))
    (tmp_path / "words.txt").write_text("the\ncat\nsaw\nthe\ndog\n", encoding="utf-8")
    options = [tmp_path / "a.npy", "--labels", tmp_path / "words.txt"]
    [layer, _] = records(call("analyze", *options, "--json"))
    assert layer["tokens"] == ["the", "cat", "saw", "the", "dog"]
    node = layer["fidelity"]["argmin"]
    assert f"{node} '{layer['tokens'][node]}' at t=" in call("analyze", *options).stdout
    [layer, _] = records(call("analyze", *options, "--source", "cat", "--json"))
    assert layer["paths"]["source"] == 1
    ambiguous = call("analyze", *options, "--source", "the")
    assert ambiguous.exit_code == 2
    short = call("analyze", tmp_path / "a.npy", "--labels", tmp_path / "a.npy")
    assert (short.exit_code, "Traceback" in short.stderr) == (2, False)


def test_a_range_keeps_the_files_numbers(call: Call, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", attention(2, 6))
    options = [tmp_path / "a.npy", "--range", "2:6", "--renormalise", "--json"]
    [layer, _] = records(call("analyze", *options))
    assert layer["nodes"] == 4
    assert layer["fidelity"]["argmin"] in (2, 3, 4)
    [layer, _] = records(call("analyze", tmp_path / "a.npy", "--sink", "3", "--json"))
    assert layer["nodes"] == 4


def test_each_input_is_measured_on_its_own_length(call: Call, tmp_path: Path) -> None:
    batch = np.zeros((2, 2, 3, 7, 7))
    batch[0], batch[1, ..., :4, :4] = attention(2, 3, 7), attention(2, 3, 4)
    batch[1, ..., 4:, 0] = 1
    np.save(tmp_path / "a.npy", batch)
    np.save(tmp_path / "long.npy", batch[:1])
    np.save(tmp_path / "short.npy", batch[1:, ..., :4, :4])
    found = records(call("analyze", tmp_path / "a.npy", "--why", "--json"))
    alone = [
        records(call("analyze", tmp_path / f"{name}.npy", "--json")) for name in ("long", "short")
    ]
    for layer in range(2):
        assert found[layer]["lengths"] == [7, 4]
        for group, key in (("fidelity", "minimax"), ("mixing", "hitting_time_mean")):
            mean = np.mean([each[layer][group][key] for each in alone])
            assert found[layer][group][key] == pytest.approx(mean, rel=1e-12)
        assert found[layer]["why"]["inputs"] == 2
    refused = call("analyze", tmp_path / "a.npy", "--gamma", "half")
    assert (refused.exit_code, "different lengths" in refused.stderr) == (2, True)


def test_a_mask_says_which_tokens_each_input_has(call: Call, tmp_path: Path) -> None:
    batch = attention(2, 1, 3, 7)  # tokens that are masked hear and are heard like others
    np.save(tmp_path / "a.npy", batch)
    np.save(tmp_path / "long.npy", batch[0])
    short = batch[1, ..., 2:6, 2:6]
    np.save(tmp_path / "short.npy", short / short.sum(-1, keepdims=True))
    (tmp_path / "mask.txt").write_text("1 1 1 1 1 1 1\n0 0 1 1 1 1 0\n")
    options = ["--axes", "B,L,H,n,n", "--renormalise", "--json"]
    found = records(call("analyze", tmp_path / "a.npy", "--mask", tmp_path / "mask.txt", *options))
    alone = [
        records(call("analyze", tmp_path / f"{name}.npy", "--json"))[0]
        for name in ("long", "short")
    ]
    assert found[0]["lengths"] == [7, 4]
    for group, key in (("fidelity", "minimax"), ("mixing", "hitting_time_mean")):
        mean = np.mean([each[group][key] for each in alone])
        assert found[0][group][key] == pytest.approx(mean, rel=1e-6)
    (tmp_path / "mask.txt").write_text("1 1 1\n0 1 1\n")
    refused = call("analyze", tmp_path / "a.npy", "--mask", tmp_path / "mask.txt", *options)
    assert (refused.exit_code, "mask" in refused.stderr) == (2, True)


@pytest.mark.parametrize("suffix", ["npz", "mtx"])
def test_matrices_of_networkx_have_senders_in_their_rows(
    suffix: str, call: Call, tmp_path: Path
) -> None:
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)]
    graph = nx.DiGraph(edges)
    matrix = nx.to_scipy_sparse_array(graph, nodelist=sorted(graph), dtype=float)
    file = tmp_path / f"graph.{suffix}"
    (scipy.sparse.save_npz if suffix == "npz" else scipy.io.mmwrite)(file, matrix)
    (tmp_path / "graph.csv").write_text("".join(f"{a},{b}\n" for a, b in edges))
    truth = records(call("analyze", tmp_path / "graph.csv", "--json"))
    found = records(call("analyze", file, "--matrix-rows", "senders", "--json"))
    other = records(call("analyze", file, "--json"))
    for group in ("mixing", "fidelity"):
        assert found[0][group] == truth[0][group]
        assert other[0][group] != truth[0][group]


@pytest.mark.parametrize("kind", ["tuple", "stack", "dict", "nested", "bfloat16"])
def test_what_torch_saved(kind: str, call: Call, tmp_path: Path) -> None:
    layers = [torch.tensor(attention(1, 4, 6) ** 1, dtype=torch.float32) for _ in range(3)]
    layers[1] = torch.tensor(np.eye(6), dtype=torch.float32).expand(1, 4, 6, 6).clone()
    content: Any = {
        "tuple": tuple(layers),
        "stack": torch.stack(layers),
        "dict": {f"model.layers.{k}.self_attn": layer for k, layer in enumerate(layers)},
        "nested": {"attentions": layers, "prompt": "a"},
        "bfloat16": [layer.bfloat16() for layer in layers],
    }[kind]
    torch.save(content, tmp_path / "a.pt")
    axes = ["--axes", "L,B,H,n,n"] if kind == "stack" else []
    found = records(call("analyze", tmp_path / "a.pt", *axes, "--json"))
    assert [(each["layer"], each["heads"], each["inputs"]) for each in found[:-1]] == [
        (1, 4, 1), (2, 4, 1), (3, 4, 1)
    ]  # fmt: skip
    np.save(tmp_path / "a.npy", layers[0][0].numpy())
    [alone, _] = records(call("analyze", tmp_path / "a.npy", "--json"))
    close = 0.1 if kind == "bfloat16" else 1e-6
    for layer in (0, 2):
        assert found[layer]["fidelity"]["minimax"] == pytest.approx(
            alone["fidelity"]["minimax"], rel=close
        )


def test_attention_of_generated_tokens_is_refused(call: Call, tmp_path: Path) -> None:
    first = tuple(torch.tensor(attention(1, 2, 4)) for _ in range(2))
    later = tuple(torch.full((1, 2, 1, 5), 0.2) for _ in range(2))
    torch.save((first, later), tmp_path / "a.pt")
    refused = call("analyze", tmp_path / "a.pt")
    assert (refused.exit_code, "use_cache=False" in refused.stderr) == (2, True)


def test_the_weights_of_a_multihead_module(call: Call, tmp_path: Path) -> None:
    module = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    tokens = torch.randn(3, 5, 8)
    hidden = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)
    output, averaged = module(tokens, tokens, tokens, attn_mask=hidden)
    torch.save((output.detach(), averaged.detach()), tmp_path / "averaged.pt")
    refused = call("analyze", tmp_path / "averaged.pt")
    assert (refused.exit_code, "average_attn_weights=False" in refused.stderr) == (2, True)
    output, by_head = module(tokens, tokens, tokens, attn_mask=hidden, average_attn_weights=False)
    torch.save((output.detach(), by_head.detach()), tmp_path / "heads.pt")
    [layer, _] = records(call("analyze", tmp_path / "heads.pt", "--json"))
    assert (layer["inputs"], layer["heads"]) == (3, 2)


def test_learned_sinks_are_said_and_leave_walks_alone(call: Call, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", 0.8 * attention(2, 5))
    refused = call("analyze", tmp_path / "a.npy")
    assert (refused.exit_code, "--renormalise" in refused.stderr) == (2, True)
    options = [tmp_path / "a.npy", "--learned-sinks"]
    assert "20% of attention goes to them" in call("analyze", *options).stdout
    whole = records(call("analyze", tmp_path / "a.npy", "--renormalise", "--json"))[0]
    asked = ("--why", "--gamma", "one", "--source", "0", "--json")
    kept, overall = records(call("analyze", *options, *asked))
    assert kept["learned_sink"]["share"] == pytest.approx(0.2)
    assert kept["why"]["value"] == pytest.approx(kept["fidelity"]["minimax"])
    rows = np.load(tmp_path / "a.npy")
    assert overall["layered"][0]["minimax"] == pytest.approx(rows.mean(axis=0)[-1, :-1].min())
    [path] = kept["paths"]["strongest"]
    steps = zip(path["heads"], path["nodes"][1:], path["nodes"], strict=False)
    assert path["strength"] == pytest.approx(np.prod([rows[h - 1, j, i] / 2 for h, j, i in steps]))
    assert kept["fidelity"]["minimax"] < whole["fidelity"]["minimax"]
    assert kept["mixing"]["hitting_time_mean"] == pytest.approx(
        whole["mixing"]["hitting_time_mean"], rel=1e-12
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.npy", ["--heads", "8"], "3 heads per layer, not 8"),
        ("a.npy", ["--undirected", "order"], "--undirected cannot apply"),
        ("a.npy", ["--sink", "u"], "token's number"),
        ("a.npy", ["--lengths", "x"], "--lengths x"),
        ("a.npy", ["--axes", "B,L,H,n,n"], "axes"),
        ("a.csv", ["--axes", "H,n,n"], "--axes cannot apply"),
        ("a.csv", ["--heads", "3"], "--heads cannot apply"),
        ("u.csv", [], "--undirected order sends it from the node listed first"),
        ("five.npy", [], "State them with --axes"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    name: str, options: list[str], message: str, call: Call, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", attention(3, 5))
    np.save(tmp_path / "five.npy", attention(2, 2, 3, 5))
    (tmp_path / "a.csv").write_text("a,b\n", encoding="utf-8")
    (tmp_path / "u.csv").write_text("Source,Target,Type\na,b,Undirected\n", encoding="utf-8")
    refused = call("analyze", tmp_path / name, *options)
    assert (refused.exit_code, message in refused.stderr) == (2, True), refused.stderr
    assert "rows=" not in refused.stderr
    assert "axes=" not in refused.stderr


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not beside this repository")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("contra.csv", "cannot reach the sink: 0, 1"),
        ("semi2.csv", "1 head, 3 nodes"),
        ("gephi.graphml", "v at t=2"),
        ("yed.graphml", "v at t="),
        ("tl_batch2.npz", "B,H,n,n: 2 inputs, 3 layers, 4 heads"),
        ("hf_rightpad.npy", "padding on the right recognised"),
        ("bf16.safetensors", "which rounding to bfloat16 explains"),
    ],
)
def test_shared_cases(name: str, says: str, call: Call) -> None:
    found = call("analyze", CASES / name)
    assert (found.exit_code, says in found.stdout) == (0, True), found.stdout + found.stderr


def test_texts_that_torch_saved_beside_attention(call: Call, tmp_path: Path) -> None:
    layers = tuple(torch.tensor(attention(1, 2, 3)) for _ in range(2))
    words = ["the", "cat", "sat"]
    torch.save({"attentions": layers, "tokens": words}, tmp_path / "a.pt")
    [layer, *_] = records(call("analyze", tmp_path / "a.pt", "--json"))
    assert layer["tokens"] == words


def test_what_cannot_be_measured_together(call: Call, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", attention(2, 5))
    np.save(tmp_path / "b.npy", attention(3, 5))
    (tmp_path / "a.csv").write_text("a,b\n", encoding="utf-8")
    for names, says in (
        (("a.npy", "a.npy"), "a.npy is named twice"),
        (("a.npy", "a.csv"), "a.csv: a graph"),
        (("a.npy", "b.npy"), "(1, 3, 5, 5)"),
    ):
        refused = call("analyze", *(tmp_path / name for name in names), "--together")
        assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr
