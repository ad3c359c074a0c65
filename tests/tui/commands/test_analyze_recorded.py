"""analyze reads what nnsight, vLLM-Hook and hooks on attention's calls record."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import Result
from safetensors.torch import save_file

from synergy_tui.analyze.recorded import has_queries

Call = Callable[..., Result]
LAYERS, HEADS, GROUPS, TOKENS, WIDTH = 3, 4, 2, 7, 5
CONFIG = {
    "num_attention_heads": HEADS,
    "num_key_value_heads": GROUPS,
    "hidden_size": HEADS * WIDTH,
    "head_dim": WIDTH,
    "attention_multiplier": WIDTH**-0.5,
}


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def softmax(q: np.ndarray, k: np.ndarray, scale: float = WIDTH**-0.5) -> np.ndarray:
    """(…, n, n) causal attention of queries and keys (…, n, d), row by row."""
    scores = q @ np.swapaxes(k, -1, -2) * scale
    attention = np.zeros_like(scores)
    for row in range(scores.shape[-1]):
        heard = np.exp(scores[..., row, : row + 1] - scores[..., row, : row + 1].max(-1)[..., None])
        attention[..., row, : row + 1] = heard / heard.sum(-1, keepdims=True)
    return attention


def faintest(heads: np.ndarray) -> float:
    """Minimax fidelity of (H, n, n): powers of the mean, the sink excluded."""
    mean, node = heads.mean(axis=0), np.eye(heads.shape[-1])
    best = np.zeros(len(node))
    for _ in range(400):
        node = mean @ node
        best = np.maximum(best, node[-1])
    return float(best[:-1].min())


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Queries (L, B, H, n, d) and keys (L, B, G, n, d), of numbers that bfloat16 has."""
    rng = np.random.default_rng(3)
    q = rng.integers(-8, 9, (LAYERS, 2, HEADS, TOKENS, WIDTH)) / 4
    return q, rng.integers(-8, 9, (LAYERS, 2, GROUPS, TOKENS, WIDTH)) / 4


@pytest.fixture
def attention(drawn: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(L, B, H, n, n) of these."""
    q, k = drawn
    return softmax(q, k.repeat(HEADS // GROUPS, axis=2))


def flat(heads: np.ndarray, length: int = TOKENS) -> torch.Tensor:
    """(H, n, d) as vLLM has it, (n, H · d) bfloat16."""
    whole = heads[:, :length].swapaxes(0, 1).reshape(length, -1)
    return torch.tensor(whole).bfloat16()


def hooked(q: np.ndarray, k: np.ndarray, lengths: tuple[int, ...]) -> dict[str, Any]:
    """A cache of texts of these lengths, as the first versions of vLLM-Hook write it."""
    return {
        "config": dict(CONFIG),
        "qk_cache": {
            f"model.layers.{layer}.self_attn.attn": {
                "q": [flat(q[layer, text], length) for text, length in enumerate(lengths)],
                "k_all": [flat(k[layer, text], length) for text, length in enumerate(lengths)],
                "layer_num": layer,
            }
            for layer in range(LAYERS)
        },
    }


def mean_faintest(layer: np.ndarray, lengths: tuple[int, ...]) -> float:
    return float(np.mean([faintest(layer[at, :, :n, :n]) for at, n in enumerate(lengths)]))


def test_a_cache_of_vllm_hook(
    drawn: tuple[np.ndarray, np.ndarray], attention: np.ndarray, call: Call, tmp_path: Path
) -> None:
    lengths = (TOKENS, 5)
    torch.save(hooked(*drawn, lengths), tmp_path / "qk.pt")
    found = records(call("analyze", "--qk", tmp_path / "qk.pt", "--json"))
    assert [each["layer"] for each in found] == [1, 2, 3, "overall"]
    for record, layer in zip(found, attention, strict=False):
        assert (record["inputs"], record["heads"], record["lengths"]) == (2, HEADS, [7, 5])
        truth = mean_faintest(layer, lengths)
        assert record["fidelity"]["minimax"] == pytest.approx(truth, rel=1e-5)
    printed = call("analyze", "--qk", tmp_path / "qk.pt").stdout
    assert "recorded by vLLM-Hook: texts of 7, 5 tokens" in printed
    refused = call("analyze", tmp_path / "qk.pt")
    assert (refused.exit_code, f"--qk {tmp_path / 'qk.pt'}" in refused.stderr) == (2, True)


def compact(cache: dict[str, Any]) -> dict[str, Any]:
    """Keys once per request, and queries of each pass: chunks of 4, then one token at a time."""
    for entry in cache["qk_cache"].values():
        keys, queries = entry.pop("k_all"), entry["q"]
        ends = [[min(4, len(k)), *range(5, len(k) + 1)] for k in keys]
        parts = [[end - begin for begin, end in zip([0, *e], e, strict=False)] for e in ends]
        entry["q"] = [x for q, part in zip(queries, parts, strict=True) for x in q.split(part)]
        entry |= {"k_full": keys, "k_prefix_ends": ends, "hookq_mode": "all_tokens"}
    return cache


def beside(cache: dict[str, Any], path: Path, *, padded: bool) -> None:
    """As newer versions write it: tensors in one file, what they are in another."""
    tensors: dict[str, torch.Tensor] = {}
    about: dict[str, Any] = {"config": cache["config"], "layer_order": [], "tp_rank": 0}
    for name, entry in cache["qk_cache"].items():
        own = name.replace(".", "__")
        keys = entry["k_all"] if padded else entry["k_full"]
        for key, parts in ((f"{own}__q", entry["q"]), (f"{own}__k", keys)):
            pad = torch.nn.utils.rnn.pad_sequence
            tensors[key] = pad(parts, batch_first=True) if padded else torch.cat(parts)
        about["layer_order"].append(
            {"key_q": f"{own}__q", "key_k": f"{own}__k", "module_name": name}
            | {"layer_num": entry["layer_num"], "hookq_mode": "all_tokens"}
        )
        about["q_seq_lens"] = [len(each) for each in entry["q"]]
        lengths = [len(each) for each in keys]
        about |= {"k_seq_lens": lengths} if padded else {"k_full_lens": lengths}
        if not padded:
            about |= {"compact_all_tokens": True, "k_prefix_ends": entry["k_prefix_ends"]}
    save_file(tensors, path)
    path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")


@pytest.mark.parametrize("kind", ["compact", "prefixes", "padded", "packed", "generated"])
def test_newer_caches_of_vllm_hook_are_the_same(
    kind: str, drawn: tuple[np.ndarray, np.ndarray], call: Call, tmp_path: Path
) -> None:
    torch.save(hooked(*drawn, (TOKENS, 5)), tmp_path / "first.pt")
    cache, file = hooked(*drawn, (TOKENS, 5)), tmp_path / "qk.pt"
    if kind in ("compact", "prefixes", "packed"):
        cache = compact(cache)
    if kind == "prefixes":
        for entry in cache["qk_cache"].values():
            pairs = zip(entry.pop("k_full"), entry.pop("k_prefix_ends"), strict=True)
            entry["k_all"] = [keys[:end] for keys, ends in pairs for end in ends]
    if kind == "generated":
        for entry in cache["qk_cache"].values():
            entry["q"].append(entry["q"][0][-1:])
            entry["k_all"].append(entry["k_all"][0][-1:])
    if kind in ("padded", "packed"):
        file = tmp_path / "qk.safetensors"
        beside(cache, file, padded=kind == "padded")
    else:
        torch.save(cache, file)
    found = records(call("analyze", "--qk", file, "--json"))
    first = records(call("analyze", "--qk", tmp_path / "first.pt", "--json"))
    assert [{**each, "file": ""} for each in found] == [{**each, "file": ""} for each in first]
    one_token = "1 passes of one token" in call("analyze", "--qk", file).stdout
    assert one_token == (kind == "generated")
    if file.suffix == ".safetensors":
        assert f"--qk {file}" in call("analyze", file).stderr


def test_heads_wider_than_the_config_of_vllm_hook_says(
    drawn: tuple[np.ndarray, np.ndarray], attention: np.ndarray, call: Call, tmp_path: Path
) -> None:
    """The first versions divide the hidden size by the heads, which is not every model's width."""
    cache = hooked(*drawn, (TOKENS,))
    cache["config"] |= {"head_dim": 2, "attention_multiplier": 2**-0.5}
    torch.save(cache, tmp_path / "qk.pt")
    asked = ("analyze", "--qk", tmp_path / "qk.pt")
    assert "width 5, not 2" in call(*asked).stdout
    truth = faintest(attention[0, 0])
    assert records(call(*asked, "--json"))[0]["fidelity"]["minimax"] == pytest.approx(truth, 1e-5)


def test_one_rank_of_a_tensor_parallel_cache(
    drawn: tuple[np.ndarray, np.ndarray], attention: np.ndarray, call: Call, tmp_path: Path
) -> None:
    q, k = drawn
    torch.save(hooked(q[:, :, :2], k[:, :, :1], (TOKENS,)), tmp_path / "qk.pt")
    asked = ("analyze", "--qk", tmp_path / "qk.pt")
    assert "2 of 4 heads" in call(*asked).stdout
    truth = faintest(attention[1, 0, :2])
    assert records(call(*asked, "--json"))[1]["fidelity"]["minimax"] == pytest.approx(truth, 1e-5)


def test_scores_that_vllm_hook_recorded(
    drawn: tuple[np.ndarray, np.ndarray], attention: np.ndarray, call: Call, tmp_path: Path
) -> None:
    lengths = (TOKENS, 5)
    cache = hooked(*drawn, lengths)
    for layer, entry in enumerate(cache["qk_cache"].values()):
        del entry["q"], entry["k_all"]
        entry["scores"] = [
            torch.tensor(attention[layer, text, [0, 3], :n, :n]).half()
            for text, n in enumerate(lengths)
        ]
        entry["heads"] = [0, 3]
    torch.save(cache, tmp_path / "qk.pt")
    found = records(call("analyze", tmp_path / "qk.pt", "--json"))
    for record, layer in zip(found, attention, strict=False):
        assert (record["heads"], record["lengths"]) == (2, [7, 5])
        truth = mean_faintest(layer[:, [0, 3]], lengths)
        assert record["fidelity"]["minimax"] == pytest.approx(truth, rel=0.01)
    refused = call("analyze", "--qk", tmp_path / "qk.pt")
    assert (refused.exit_code, "leave out --qk" in refused.stderr) == (2, True)
    entry = cache["qk_cache"]["model.layers.1.self_attn.attn"]
    whole = entry["scores"]
    for scores, says in (
        ([each[:, -1:] for each in whole], "all_tokens"),
        (whole[:1], "other lengths than other layers"),
        (None, "not a cache of queries and keys as vLLM-Hook writes it"),
    ):
        entry["scores"] = scores
        torch.save(cache, tmp_path / "wrong.pt")
        refused = call("analyze", tmp_path / "wrong.pt")
        assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


def test_a_models_weights_are_not_attention(call: Call, tmp_path: Path) -> None:
    """Many of its matrices are square, and some are called q and k."""
    names = ("q_proj", "k_proj", "v_proj", "o_proj")
    weights = {f"model.layers.0.self_attn.{name}.weight": torch.ones(8, 8) for name in names}
    save_file(weights | {"model.norm.weight": torch.ones(8)}, tmp_path / "model.safetensors")
    refused = call("analyze", tmp_path / "model.safetensors")
    assert (refused.exit_code, "--model DIR" in refused.stderr) == (2, True), refused.stderr


@pytest.mark.parametrize("kind", ["last", "lacking", "torn", "lengths", "empty", "quantised"])
def test_caches_of_vllm_hook_that_cannot_be_measured(
    kind: str, drawn: tuple[np.ndarray, np.ndarray], call: Call, tmp_path: Path
) -> None:
    cache = hooked(*drawn, (TOKENS, 5))
    entry = cache["qk_cache"]["model.layers.1.self_attn.attn"]
    says = {
        "last": "1 queries for 7 keys",
        "lacking": "not a cache of queries and keys as vLLM-Hook writes it",
        "torn": "not a cache of queries and keys as vLLM-Hook writes it",
        "lengths": "other lengths than other layers",
        "empty": "is empty",
        "quantised": "quantised",
    }[kind]
    if kind == "last":
        entry["q"] = [each[-1] for each in entry["q"]]
    elif kind == "lacking":
        del cache["config"]["head_dim"]
    elif kind == "torn":
        entry["q"].pop()
    elif kind == "lengths":
        entry["q"].pop(), entry["k_all"].pop()
    elif kind == "empty":
        cache["qk_cache"] = {}
    else:
        entry["q_qmeta"] = {}
    torch.save(cache, tmp_path / "qk.pt")
    refused = call("analyze", "--qk", tmp_path / "qk.pt")
    assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


def outputs_of(attention: np.ndarray, kind: str) -> dict[str, Any]:
    """Outputs of modules by their paths, as a trace of nnsight has them: hidden states first."""
    content: dict[str, Any] = {}
    for layer, heads in enumerate(attention):
        weights, states = torch.tensor(heads[:1]).float(), torch.randn(1, TOKENS, TOKENS)
        path = f"model.transformer.h.{layer}"
        if kind == "attention":
            content[f"{path}.attn"] = (states, weights)
        elif kind == "entries":
            mask = torch.zeros(1, 1, TOKENS, TOKENS)
            inputs = ((states,), {"attention_mask": mask})
            content[f"{path}.attn"] = {"output": (states, weights), "inputs": inputs}
        else:  # every module, also the dropout that attention went through
            content[f"{path}.attn.attn_dropout"] = {"output": weights.clone()}
            content[f"{path}.attn"] = {"output": (states, weights)}
            content[path] = {"output": (states,)}
    return content


@pytest.mark.parametrize("kind", ["attention", "entries", "everything"])
def test_what_nnsight_traced(kind: str, attention: np.ndarray, call: Call, tmp_path: Path) -> None:
    torch.save(outputs_of(attention, kind), tmp_path / "trace.pt")
    found = records(call("analyze", tmp_path / "trace.pt", "--json"))
    assert [each["layer"] for each in found] == [1, 2, 3, "overall"]
    for record, layer in zip(found, attention, strict=False):
        truth = faintest(layer[0])
        assert record["fidelity"]["minimax"] == pytest.approx(truth, rel=1e-5)
    assert "attention taken from model.transformer.h.*.attn" in found[0]["notes"][0]


class Cache:
    """Stands for what nnsight, TransformerLens and Transformers return."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors


def test_objects_are_refused_with_what_to_save_instead(
    attention: np.ndarray, call: Call, tmp_path: Path
) -> None:
    torch.save(Cache({"a": torch.tensor(attention[0])}), tmp_path / "trace.pt")
    for asked in (["--qk"], []):
        refused = call("analyze", *asked, tmp_path / "trace.pt")
        assert refused.exit_code == 2
        assert "contains Python objects (tests.tui.commands.test_analyze_rec" in refused.stderr
        assert "cache[path].output" in refused.stderr
        assert "�" not in refused.stderr


@pytest.mark.parametrize("kind", ["plain", "rotated", "lens", "stated", "saved", "pairs"])
def test_queries_and_keys_as_people_record_them(
    kind: str,
    drawn: tuple[np.ndarray, np.ndarray],
    attention: np.ndarray,
    call: Call,
    tmp_path: Path,
) -> None:
    q, k = drawn
    names: list[str] = []
    if kind == "lens":  # (B, n, H, d), and what was there before rotary positions
        content = {
            f"blocks.{layer}.attn.hook_{rotated}{name}": own[layer].swapaxes(1, 2) + offset
            for layer in range(LAYERS)
            for rotated, offset in (("", 1), ("rot_", 0))
            for name, own in (("q", q), ("k", k))
        } | {"blocks.0.attn.hook_pattern": np.eye(TOKENS)[None]}
    elif kind == "stated":
        content, names = (
            {"q": q.transpose(1, 3, 0, 2, 4), "k": k.transpose(1, 3, 0, 2, 4)},
            [
                "--axes",
                "B,n,L,H,d",
            ],
        )
    elif kind == "pairs":
        content = {
            f"model.layers.{layer}.self_attn.{name}": own[layer]
            for layer in range(LAYERS)
            for name, own in (("query", q), ("key", k))
        }
    else:
        content = {"q": q.swapaxes(0, 1), "k": k.swapaxes(0, 1)}
    file = tmp_path / ("qk.pt" if kind in ("saved", "pairs") else "qk.npz")
    if file.suffix == ".pt":
        torch.save({name: torch.tensor(each) for name, each in content.items()}, file)
    else:
        np.savez(file, **content)
    found = records(call("analyze", "--qk", file, *names, "--json"))
    for record, layer in zip(found, attention, strict=False):
        truth = mean_faintest(layer, (TOKENS, TOKENS))
        assert record["fidelity"]["minimax"] == pytest.approx(truth, rel=1e-5)
    said = "axes taken to be" in call("analyze", "--qk", file, *names).stdout
    assert said == (kind != "stated")
    if kind != "lens":
        assert f"--qk {file}" in call("analyze", file).stderr


@pytest.mark.parametrize(
    ("names", "shape", "options", "says"),
    [
        (("q_proj", "k_proj"), (1, 7, 20), [], "not split into heads"),
        (("a", "b"), (4, 7, 5), [], "no tensor is called q or k"),
        (("q", "v"), (4, 7, 5), [], "layer 0 has no k"),
        (("q", "k"), (4, 7, 5), ["--axes", "B,n,H,d"], "(B, n, H, d)"),
        (("q", "k"), (4, 7, 5), ["--axes", "H,n,n"], "--axes H,n,n"),
        (("q", "k"), (4, 7, 5), ["--axes", "L,H,n,d"], "Leave L out"),
        (("q", "k"), (4, 7, 5), ["--sink", "3"], "--sink is about a FILE"),
        (("q", "k"), (4, 7, 5), ["--dtype", "float16"], "--dtype is about --model DIR"),
    ],
)
def test_queries_and_keys_that_are_something_else(
    names: tuple[str, str],
    shape: tuple[int, ...],
    options: list[str],
    says: str,
    call: Call,
    tmp_path: Path,
) -> None:
    np.savez(tmp_path / "a.npz", **{f"layers.0.{name}": np.ones(shape) for name in names})
    refused = call("analyze", "--qk", tmp_path / "a.npz", *options)
    assert (refused.exit_code, says in refused.stderr) == (2, True), refused.stderr


def test_what_lies_in_an_archive_beside_its_arrays_is_left_out(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, k=np.ones((1, 7, 5)))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("q", b"not an array")
    refused = call("analyze", "--qk", file)
    assert (refused.exit_code, "called q or k; there are: k" in refused.stderr) == (2, True)


def test_options_about_something_else_are_refused(
    attention: np.ndarray, call: Call, tmp_path: Path
) -> None:
    np.save(tmp_path / "a.npy", attention[0, 0])
    (tmp_path / "a.csv").write_text("a,b\n", encoding="utf-8")
    for file, *options in (
        ("a.npy", "--inputs", "4"),
        ("a.npy", "--tokens", "1,2,3"),
        ("a.npy", "--self-loops", "keep"),
        ("a.csv", "--renormalise"),
        ("a.csv", "--seed", "1"),
        ("a.npy", "--device", "cuda"),
        ("a.npy", "--length", "4"),
    ):
        refused = call("analyze", tmp_path / file, *options)
        assert (refused.exit_code, options[0] in refused.stderr) == (2, True), options


def test_projections_to_queries_and_keys_are_no_queries_and_keys() -> None:
    """As in the checkpoints published with arXiv 2507.02944."""
    names = [f"layers.0.attn.W_{one}.{what}" for one in "qkv" for what in ("weight", "bias")]
    assert not has_queries(names)
    assert has_queries([name.removesuffix(".weight") for name in names if "W_v" not in name])
