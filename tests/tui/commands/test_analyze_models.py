"""Models are read as they compute: their numbers are those of the attention they return."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import synergy_engine as engine
from synergy_tui.app.dashboard.heads import tracks_of
from synergy_tui.experiments.attention import load_snapshot
from synergy_tui.experiments.experiment import list_experiments
from tests.tui.commands.architectures import (
    ARCHITECTURES,
    HYBRIDS,
    WITHOUT,
    build,
    save_tokenizer,
)

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
Call = Callable[..., Result]
IDS = "3,4,5,6,7,8,9,10,11,12,13,14"


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def returned(model: Any) -> np.ndarray:
    """(1, L, H, n, n): what the model itself returns when its attention is asked for."""
    ids = torch.tensor([[int(each) for each in IDS.split(",")]])
    given: dict[str, Any] = {"input_ids": ids}
    if model.config.is_encoder_decoder:
        given["decoder_input_ids"] = ids
        if model.main_input_name == "input_features":
            mels, frames = model.config.num_mel_bins, 2 * model.config.max_source_positions
            given = {"input_features": torch.zeros(1, mels, frames), "decoder_input_ids": ids}
    with torch.inference_mode():
        output = model(**given, output_attentions=True)
    found = output.decoder_attentions if model.config.is_encoder_decoder else output.attentions
    return np.stack([each.numpy() for each in found if each is not None], axis=1)


def llama(directory: Path, **keys: Any) -> Any:
    model = build("LlamaForCausalLM", keys)
    model.save_pretrained(directory)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ARCHITECTURES, *HYBRIDS])
def test_an_architecture_equals_the_attention_it_returns(
    name: str, call: Call, tmp_path: Path
) -> None:
    if not hasattr(transformers, name):
        pytest.skip(f"this transformers has no {name}")
    own, numbers = HYBRIDS.get(name, (ARCHITECTURES.get(name, {}), None))
    model = build(name, own)
    model.save_pretrained(tmp_path)
    found = records(
        call("analyze", "--model", tmp_path, "--tokens", IDS, "--weights", "uniform", "--json")
    )
    attention = returned(model)
    assert [each["layer"] for each in found[:-1]] == (
        numbers or list(range(1, attention.shape[1] + 1))
    )
    sinks = attention.sum(-1).min() < 0.999
    assert sinks == (name == "GptOssForCausalLM")
    truth = engine.analyze_batch(attention, rows="sinks" if sinks else "check")
    for record, layer in zip(found, [*truth, engine.overall(truth)], strict=True):
        for group in ("mixing", "fidelity", "synergy"):
            for key, value in layer[group].items():
                if isinstance(value, float):
                    assert float(record[group][key]) == pytest.approx(value, rel=1e-5), key


def test_enough_architectures_are_compared() -> None:
    assert len(ARCHITECTURES) + len(HYBRIDS) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("name", WITHOUT)
def test_models_without_attention_are_refused(name: str, call: Call, tmp_path: Path) -> None:
    build(name, {}).save_pretrained(tmp_path)
    refused = call("analyze", "--model", tmp_path, "--tokens", IDS)
    assert refused.exit_code == 2
    assert WITHOUT[name] in refused.stderr


def test_encoders_are_refused(call: Call, tmp_path: Path) -> None:
    build("BertModel", {}).save_pretrained(tmp_path)
    refused = call("analyze", "--model", tmp_path, "--tokens", IDS)
    assert refused.exit_code == 2
    assert "bidirectional, not a feedforward graph: not supported" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--tokens", "1,2,40"], "outside the model's embedding of 40 tokens"),
        (["--tokens", ",".join(["1"] * 33)], "--length 32"),
        (["--text", "words"], "contains no tokenizer"),
        (["--tokens", "1,2,3", "--text", "words"], "give one of them"),
        (["--tokens", "1,2,3", "--device", "cuda:7"], "--device cuda:7"),
        (["--tokens", "1,2,3", "--revisions", "step*"], "no such folder"),
        (["--text-file", "none.txt"], "--text-file none.txt"),
    ],
)
def test_mistakes_about_models_exit_2(
    arguments: list[str], says: str, call: Call, tmp_path: Path
) -> None:
    llama(tmp_path)
    refused = call("analyze", "--model", tmp_path, *arguments)
    assert refused.exit_code == 2
    assert says in refused.stderr


def test_fused_attention_equals_eager(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama(tmp_path)
    asked = ("analyze", "--model", tmp_path, "--tokens", IDS, "--json")
    eager = records(call(*asked))
    monkeypatch.setattr("synergy_tui.analyze.huggingface._LARGE_LAYER", 0)
    for one, other in zip(eager, records(call(*asked)), strict=True):
        assert other["fidelity"]["minimax"] == pytest.approx(one["fidelity"]["minimax"], rel=1e-5)


def test_queries_and_keys_equal_their_attention(call: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(2, 4, 9, 5)), rng.normal(size=(2, 2, 9, 5))
    scores = np.einsum("lhid,lhjd->lhij", q, np.repeat(k, 2, axis=1)) / np.sqrt(5)
    attention = np.tril(np.exp(scores))
    np.savez(tmp_path / "qk.npz", q=q, k=k)
    named = {f"layers.{i}.{name}": x[i] for name, x in (("q", q), ("k", k)) for i in range(2)}
    np.savez(tmp_path / "named.npz", **named)
    truth = engine.analyze_batch((attention / attention.sum(-1, keepdims=True))[None])
    for file in ("qk.npz", "named.npz"):
        found = records(call("analyze", "--qk", tmp_path / file, "--json"))
        assert [each["layer"] for each in found] == [1, 2, "overall"]
        for record, layer in zip(found, truth, strict=False):
            for group, key in (("fidelity", "minimax"), ("mixing", "hitting_time_mean")):
                assert record[group][key] == pytest.approx(layer[group][key], rel=1e-5)
    np.savez(tmp_path / "short.npz", q=q[..., :1, :], k=k)
    refused = call("analyze", "--qk", tmp_path / "short.npz")
    assert refused.exit_code == 2
    assert "1 queries for 9 keys" in refused.stderr


def test_measured_head_weights_are_shares_of_the_output(call: Call, tmp_path: Path) -> None:
    model = llama(tmp_path, num_hidden_layers=1)
    attention = returned(model)[0, 0]
    inputs: list[Any] = []
    block = model.model.layers[0].self_attn
    block.v_proj.register_forward_hook(lambda module, given, output: inputs.append(output))
    returned(model)
    values = inputs[0][0].numpy().reshape(-1, 2, 8).repeat(2, axis=1)  # (n, H, d)
    mixing = block.o_proj.weight.detach().numpy().reshape(32, 4, 8)
    out = np.einsum("hij,jhd,ohd->hio", attention, values, mixing)
    norms = np.linalg.norm(out.reshape(4, -1), axis=1)
    asked = ("analyze", "--model", tmp_path, "--tokens", IDS, "--weights", "output", "--json")
    layer, overall = records(call(*asked))
    assert layer["head_weights"] == pytest.approx(norms / norms.sum(), rel=1e-5)
    assert layer["weights"] == overall["weights"] == "output"
    shares = np.linalg.norm(mixing, axis=(0, 2))
    assert [head["projection"] for head in layer["per_head"]] == pytest.approx(
        shares / shares.sum(), rel=1e-5
    )


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "T5ForConditionalGeneration"])
def test_every_text_is_measured_on_its_own_length(name: str, call: Call, tmp_path: Path) -> None:
    build(name, ARCHITECTURES[name]).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    long, short = "the quick brown fox jumps over", "lazy dog fox"
    asked = ("analyze", "--model", tmp_path, "--weights", "uniform", "--json", "--text")
    both = records(call(*asked, long, "--text", short))
    alone = [records(call(*asked, text)) for text in (long, short)]
    nodes = [each[0]["nodes"] for each in alone]  # T5's tokenizer may end texts
    assert (both[0]["lengths"], both[0]["inputs"]) == (nodes, 2)
    for layer, *each in zip(both, *alone, strict=True):
        for group, key in (("fidelity", "minimax"), ("mixing", "hitting_time_mean")):
            mean = np.mean([one[group][key] for one in each])
            assert layer[group][key] == pytest.approx(mean, rel=1e-5)


def test_shares_of_the_output_are_of_an_inputs_own_tokens(tmp_path: Path) -> None:
    from synergy_tui.analyze.capture import capture
    from synergy_tui.analyze.huggingface import Reading, load

    llama(tmp_path)
    save_tokenizer(tmp_path)
    found: list[list[np.ndarray]] = []
    for texts in (("the quick fox",), ("the quick fox", "the quick fox jumps over the lazy dog")):
        loaded = load(tmp_path, Reading(texts))
        own = loaded.own
        own[1:] = False
        layers: list[Any] = []
        capture(loaded.model, loaded.ids, own, loaded.plan, layers.append)
        found.append([layer.output for layer in layers])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_finished_layers_are_not_measured_again(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    llama(tmp_path)
    file = tmp_path / "layers.jsonl"
    asked = ("analyze", "--model", tmp_path, "--tokens", IDS, "--resume", file, "--json")
    whole = records(call(*asked))
    first = file.read_bytes().splitlines(keepends=True)
    assert len(first) == 2
    file.write_bytes(first[0] + first[1][:50])  # as if killed in the second
    measured: list[int] = []
    from synergy_tui.analyze import layerwise

    real = layerwise.measure_layer
    monkeypatch.setattr(
        layerwise, "measure_layer", lambda a, b, c, at: measured.append(at) or real(a, b, c, at)
    )
    assert records(call(*asked)) == whole
    assert measured == [1]
    other = call(*asked[:-3], "--weights", "uniform", "--resume", file)
    assert other.exit_code == 2
    assert "another model, text or option" in other.stderr


def test_a_series_of_checkpoints_is_an_experiment(call: Call, tmp_path: Path) -> None:
    for step, seed in ((5, 1), (10, 2), (20, 2), (40, 2)):
        model = build("LlamaForCausalLM", {})
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model.save_pretrained(tmp_path / "run" / f"checkpoint-{step}")
    home = tmp_path / "home"
    asked = ("--revisions", "checkpoint-*", "--tokens", IDS, "--out", home, "--json")
    last = records(call("analyze", "--model", tmp_path / "run", *asked))
    [experiment] = list_experiments(home)
    state = experiment.fold()
    [run] = state.runs.values()
    assert experiment.state() == "finished"
    assert [probe.step for probe in run.probes] == [5, 10]
    assert run.probes[-1].layers[0]["fidelity"] == last[0]["fidelity"]
    assert all(probe.loss > 0 and probe.attention for probe in run.probes)
    assert "step 20 has the very weights of step 10" in experiment.events_path.read_text()
    listed = last[-1]["checkpoints"]
    assert [each["step"] for each in listed] == [5, 10, 20, 40]
    assert [each.get("same_as") for each in listed] == [None, None, 10, 10]
    for each in listed:
        [file] = (tmp_path / "run" / f"checkpoint-{each['step']}").glob("*.safetensors")
        assert each["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    printed = call("analyze", "--model", tmp_path / "run", *asked[:-2], tmp_path / "again").stdout
    same = listed[1]["sha256"][:12]
    assert f"steps 20, 40 have the very weights of step 10 (sha256 {same})" in printed
    assert run.steps.tolist() == [5, 10]
    assert run.losses.tolist() == [probe.loss for probe in run.probes]
    steps, heads = tracks_of(run, 1, "fidelity_minimax")
    assert steps.tolist() == [5, 10]
    assert heads[:, -1].tolist() == [head["fidelity_minimax"] for head in last[0]["per_head"]]


def test_a_series_keeps_attention_whose_tokens_repeat(call: Call, tmp_path: Path) -> None:
    """Words come twice in most texts; the app draws nodes, whose names differ."""
    llama(tmp_path / "run" / "step1")
    save_tokenizer(tmp_path / "run" / "step1")
    text = ("--text", "the fox jumps over the dog", "--out", tmp_path / "home")
    shown = call("analyze", "--model", tmp_path / "run", "--revisions", "step*", *text)
    assert f"--out {tmp_path / 'home'}`" in shown.stderr
    [experiment] = list_experiments(tmp_path / "home")
    [run] = experiment.fold().runs.values()
    kept = load_snapshot(experiment, str(run.probes[0].attention))
    assert kept.names == ("0 the", "1 fox", "2 jumps", "3 over", "4 the", "5 dog")
    assert kept.system(layer=1).names == kept.names
