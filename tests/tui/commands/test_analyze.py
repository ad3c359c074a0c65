"""analyze agrees with independently computed numbers, and says what is wrong with its input."""

from __future__ import annotations

import json
import math
import shutil
import sys
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from synergy_tui.analyze.sources import read_tokens
from tests.recordings import RECORDINGS
from tests.tui.commands.analyses import Call, records
from tests.tui.commands.architectures import save_tokenizer

# The keys that issue-writers and scripts rely on, group by group.
KEYS = {
    "": "layer heads nodes head_weights convention mixing fidelity per_head synergy diversity "
    "bounds",
    "mixing": "hitting_time_mean hitting_time_median mixing_time_tv_max mixing_time_tv_mean "
    "mixing_time_l1_max mixing_time_l1_mean",
    "fidelity": "minimax normalised argmin time lower upper",
    "synergy": "fidelity_amplification mixing_gain",
}


@pytest.fixture(scope="session")
def reference(paper: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((paper / "reference.json").read_text(encoding="utf-8"))
    return loaded


def expected(reference: dict[str, Any], heads: int) -> list[dict[str, Any]]:
    return [record for record in reference["records"] if record["heads"] == heads]


def compare(
    found: list[dict[str, Any]], wanted: list[dict[str, Any]], combine: str, *, again: bool
) -> None:
    """Compare layers under the theory convention with the reference.

    Attention computed ``again`` from a checkpoint differs in its last float32 bits; where a token
    leaves itself once in 10^13 steps, those are what the hitting time consists of. There the
    reference itself, which forms 1 - P_ii, is good to three digits.
    """
    assert [record["layer"] for record in found] == [*range(1, len(wanted) + 1), "overall"]
    for record, truth in zip(found, wanted, strict=False):
        mixing = truth["mixing"][combine]
        steps = mixing["mean_hitting_time"]
        close = 1e-6 if steps < (1e4 if again else 1e8) else 1e-2
        assert record["mixing"]["hitting_time_mean"] == pytest.approx(steps, rel=close)
        for key, name in (("tv_max", "mixing_time_tv_max"), ("l1_mean", "mixing_time_l1_mean")):
            time = mixing[f"{key}_quarter"]
            if time is not None and not isinstance(record["mixing"][name], str):
                assert record["mixing"][name] == time
        fidelity = truth["fidelity"]["theory_excluding_sink"]
        assert record["fidelity"]["minimax"] == pytest.approx(fidelity, rel=1e-4)
        np.testing.assert_allclose(record["head_weights"], truth["head_weights"], atol=1e-6)


@pytest.fixture
def tokens(reference: dict[str, Any], tmp_path: Path) -> Path:
    file = tmp_path / "tokens.json"
    file.write_text(json.dumps(reference["input0"]), encoding="utf-8")
    return file


@pytest.mark.parametrize("heads", [1, 8])
@pytest.mark.parametrize("combine", ["walks", "attention"])
def test_a_published_checkpoint_agrees_with_the_reference(
    heads: int, combine: str, call: Call, paper: Path, reference: dict[str, Any], tokens: Path
) -> None:
    file = paper / f"{heads}_heads_copy.pt"
    options = ["--heads", heads, "--tokens", tokens, "--combine", combine, "--json"]
    compare(
        records(call("analyze", file, *options)), expected(reference, heads), combine, again=True
    )


@pytest.mark.parametrize("heads", [1, 8])
def test_published_attention_agrees_with_the_reference(
    heads: int, call: Call, paper: Path, reference: dict[str, Any], tmp_path: Path
) -> None:
    truth = expected(reference, heads)
    weights = tmp_path / "weights.txt"
    np.savetxt(weights, [record["head_weights"] for record in truth], fmt="%.17g")
    arguments = ["--tensor", f"copy_h{heads}_l*", "--weights", weights, "--json"]
    found = records(call("analyze", paper / "attention.npz", *arguments))
    compare(found, truth, "walks", again=False)
    for record, layer in zip(found, truth, strict=False):
        np.testing.assert_allclose(
            [head["fidelity_minimax"] for head in record["per_head"]],
            layer["fidelity"]["per_head_excluding_sink"],
            rtol=1e-4,
        )


@pytest.mark.parametrize("heads", [1, 8])
def test_the_paper_code_convention_agrees_with_the_reference(
    heads: int, call: Call, paper: Path, reference: dict[str, Any], tokens: Path
) -> None:
    file = paper / f"{heads}_heads_copy.pt"
    options = ["--heads", heads, "--tokens", tokens, "--convention", "paper-code", "--json"]
    found = records(call("analyze", file, *options))
    for record, truth in zip(found[:-1], expected(reference, heads), strict=True):
        steps = truth["mixing"]["paper_code"]["expected_steps_capped_100"]
        assert record["mixing"]["hitting_time_mean"] == pytest.approx(steps, rel=1e-6)
        percent = truth["fidelity"]["paper_code_percent"]
        assert 100 * record["fidelity"]["minimax"] == pytest.approx(percent, rel=1e-4)


def test_json_has_the_keys_that_scripts_rely_on(call: Call, example2: Path) -> None:
    layer, overall = records(call("analyze", example2, "--json"))
    for group, keys in KEYS.items():
        assert set(keys.split()) <= set(layer[group] if group else layer)
    assert {"hitting_time_mean", "fidelity_minimax"} <= set(layer["per_head"][0])
    assert overall["layer"] == "overall"
    assert layer["fidelity"]["minimax"] == pytest.approx(5 / 12, rel=1e-12)
    assert [head["fidelity_minimax"] for head in layer["per_head"]] == pytest.approx([3 / 8, 1 / 4])
    assert layer["synergy"]["fidelity_amplification"] == pytest.approx(10 / 9, rel=1e-12)


def test_all_conventions_one_after_another(call: Call, example2: Path) -> None:
    found = records(call("analyze", example2, "--convention", "all", "--json"))
    assert [(each["convention"], each["layer"]) for each in found] == [
        (convention, layer)
        for convention in ("theory", "paper-code", "feedforward")
        for layer in (1, "overall")
    ]


@pytest.mark.parametrize(
    ("weights", "minimax"), [("uniform", 5 / 12), ("1,0", 3 / 8), ("0,2", 1 / 4)]
)
def test_head_weights(weights: str, minimax: float, call: Call, example2: Path) -> None:
    [layer, _] = records(call("analyze", example2, "--weights", weights, "--json"))
    assert layer["fidelity"]["minimax"] == pytest.approx(minimax, rel=1e-12)


def test_numbers_may_be_too_many_for_a_file_name(call: Call, example2: Path) -> None:
    given = ",".join(["0.1"] * 200)
    refused = call("analyze", example2, "--weights", given)
    assert "There are 2 heads" in refused.stderr
    assert read_tokens(",".join(["1"] * 500)).shape == (1, 500)


@pytest.mark.parametrize("name", ["weights.npy", "weights.json", "weights.txt"])
def test_head_weights_from_files(name: str, call: Call, example2: Path, tmp_path: Path) -> None:
    file = tmp_path / name
    if name.endswith("npy"):
        np.save(file, [0.579, 0.421])
    else:
        text = "[0.579, 0.421]" if name.endswith("json") else "\ufeff0.579 0.421\r\n"
        file.write_text(text, encoding="utf-8", newline="")
    [layer, _] = records(call("analyze", example2, "--weights", file, "--json"))
    assert layer["head_weights"] == pytest.approx([0.579, 0.421])
    assert layer["weights"] == "given"


@pytest.mark.parametrize("given", ["absent.npy", "0.5,o.5"])
def test_numbers_that_are_none_may_be_a_file_that_is_absent(
    given: str, call: Call, example2: Path
) -> None:
    refused = call("analyze", example2, "--weights", given)
    assert refused.exit_code == 2
    assert f"--weights {given}: neither numbers nor a file that exists." in refused.stderr


def test_no_time_is_shown_where_layers_have_none_in_common(call: Call, tmp_path: Path) -> None:
    layers = np.tril(np.ones((2, 1, 4, 4)))
    layers[1, 0, 3, 0] = 3
    np.save(tmp_path / "layers.npy", (layers / layers.sum(-1, keepdims=True))[None])
    shown = call("analyze", tmp_path / "layers.npy").stdout
    assert " at t=" in shown
    assert "None" not in shown


def test_optimal_head_weights_are_those_of_the_theory(call: Call, example2: Path) -> None:
    [layer, _] = records(call("analyze", example2, "--weights", "optimal", "--json"))
    assert layer["weights"] == "optimal"
    assert layer["head_weights"][0] == pytest.approx(0.579, abs=5e-4)
    assert layer["fidelity"]["minimax"] == pytest.approx(0.4297, abs=1e-4)


def test_the_strongest_paths_name_the_head_of_every_step(call: Call, example2: Path) -> None:
    arguments = ["--top-paths", "3", "--source", "0", "--json"]
    [layer, _] = records(call("analyze", example2, *arguments))
    paths = layer["paths"]["strongest"]
    assert len(paths) == 3
    assert all(path["nodes"][0] == 0 and path["nodes"][-1] == 3 for path in paths)
    assert all(len(path["heads"]) == len(path["nodes"]) - 1 for path in paths)
    strengths = [path["strength"] for path in paths]
    assert strengths == sorted(strengths, reverse=True)
    shown = call("analyze", example2, "--top-paths", "3", "--source", "0")
    assert "strongest paths from node 0" in shown.stdout


def test_paths_start_from_a_node_of_a_graph_by_its_name(call: Call, tmp_path: Path) -> None:
    edges = "".join(f'<edge source="{a}" target="{b}"/>' for a, b in ("uv", "vw", "uw"))
    nodes = "".join(f'<node id="{name}"/>' for name in "uvw")
    file = tmp_path / "graph.graphml"
    file.write_text(
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="directed">'
        f"{nodes}{edges}</graph></graphml>",
        encoding="utf-8",
    )
    arguments = [file, "--top-paths", "5", "--source", "u"]
    [layer, _] = records(call("analyze", *arguments, "--json"))
    found = [path["names"] for path in layer["paths"]["strongest"]]
    assert sorted(found) == [["u", "v", "w"], ["u", "w"]]
    assert "strongest paths from node" in call("analyze", *arguments).stdout


def test_a_number_is_a_name_where_a_node_is_called_so(call: Call, tmp_path: Path) -> None:
    graph = nx.DiGraph([(2, 0), (0, 1), (1, 3), (2, 3)])
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(nx.node_link_data(graph)), encoding="utf-8")
    [layer, _] = records(call("analyze", file, "--top-paths", "1", "--source", "0", "--json"))
    assert layer["paths"]["source"] == layer["names"].index("0") == 1


def test_infinite_times_are_strings_and_mixing_times_say_how_far_was_looked(
    call: Call, tmp_path: Path
) -> None:
    stuck = tmp_path / "stuck.npy"
    np.save(stuck, np.eye(3))
    [layer, _] = records(call("analyze", stuck, "--max-steps", "50", "--json"))
    assert layer["mixing"]["hitting_time_mean"] == "inf"
    assert layer["mixing"]["mixing_time_tv_max"] == "> 50"
    assert layer["fidelity"]["unreachable"] == [0, 1]
    assert "cannot reach the sink: 0, 1" in call("analyze", stuck).stdout


def test_several_inputs_have_intervals(call: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    files = []
    for index in range(5):
        raw = np.tril(rng.random((2, 8, 8)) + 0.01)
        files.append(tmp_path / f"{index}.npy")
        np.save(files[-1], raw / raw.sum(-1, keepdims=True))
    [layer, _] = records(call("analyze", *files, "--together", "--json"))
    assert layer["inputs"] == 5
    low, high = layer["intervals"]["hitting_time_mean"]
    assert low < layer["mixing"]["hitting_time_mean"] < high
    apart = records(call("analyze", *files, "--json"))
    means = [each["mixing"]["hitting_time_mean"] for each in apart if each["layer"] == 1]
    assert layer["mixing"]["hitting_time_mean"] == pytest.approx(np.mean(means))
    shown = call("analyze", *files, "--together").stdout
    assert "5 inputs, 95% intervals" in shown
    assert "held-out amplification: over one head for all inputs, chosen on others" in shown


def test_a_ratio_above_one_is_not_shown_as_if_it_proved_synergy(
    call: Call, tmp_path: Path, example2: Path
) -> None:
    """Heads drawn at random, which cannot act together, exceed the best of them as well."""
    rng = np.random.default_rng(3)
    raw = np.tril(rng.random((8, 8, 8)) ** 4 + 1e-9)
    random, alike = tmp_path / "random.npy", tmp_path / "alike.npy"
    np.save(random, raw / raw.sum(-1, keepdims=True))
    np.save(alike, np.repeat((raw / raw.sum(-1, keepdims=True))[:1], 4, axis=0))
    [layer, _] = records(call("analyze", random, "--json"))
    assert layer["synergy"]["fidelity_amplification"] > 1.1
    for file in (random, example2):
        assert "no evidence that heads act together" in call("analyze", file).stdout
    assert "no evidence" not in call("analyze", alike).stdout


def test_what_heads_gain_stands_beside_that_of_heads_that_never_met(
    call: Call, tmp_path: Path
) -> None:
    """Pairs that divide the nodes, differently in each input, do more than other heads would."""
    rng = np.random.default_rng(4)
    together = np.tile(np.eye(12), (16, 1, 2, 1, 1)) * (1 - 1e-3)
    for heads in together[:, 0]:
        first = rng.permutation(12) < 6
        for head, part in zip(heads, (first, ~first), strict=True):
            head[-1] = (part + 1e-3) / (part + 1e-3).sum()
    for row in range(11):
        together[..., row, : row + 1] += 1e-3 / (row + 1)
    raw = np.tril(rng.random((16, 1, 2, 12, 12)) ** 4 + 1e-9)
    for name, attention, beyond in (
        ("together", together, True),
        ("random", raw / raw.sum(-1, keepdims=True), False),
    ):
        np.save(tmp_path / name, attention)
        asked = (tmp_path / f"{name}.npy", "--axes", "B,L,H,n,n")
        [layer, _] = records(call("analyze", *asked, "--json"))
        shuffled = layer["nulls"]["shuffled"]
        low, high = shuffled["beyond"]["fidelity_amplification"]
        assert (low > 1) is beyond, (name, low, high)
        ratio = layer["synergy"]["fidelity_amplification"] / shuffled["fidelity_amplification"]
        shown = call("analyze", *asked, "--wide").stdout
        assert f"{ratio:.4g}".lstrip("0") in shown
        assert "shuffled" in shown
        assert "no evidence that heads act together" not in shown
    [layer, _] = records(call("analyze", *asked, "--shuffles", "0", "--json"))
    assert "nulls" not in layer
    without = call("analyze", *asked, "--shuffles", "0").stdout
    assert "no evidence that heads act together" in without


def test_rows_that_do_not_sum_to_one(call: Call, tmp_path: Path, example2: Path) -> None:
    halved = tmp_path / "halved.npy"
    np.save(halved, np.load(example2) / 2)
    refused = call("analyze", halved)
    assert refused.exit_code == 2
    assert "sum to one" in refused.stderr
    [layer, _] = records(call("analyze", halved, "--renormalise", "--json"))
    assert layer["fidelity"]["minimax"] == pytest.approx(5 / 12, rel=1e-12)


def test_a_graph_file(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "line.csv"
    file.write_text("0,1\n1,2\n2,3\n3,4\n4,5\n5,6\n6,7\n", encoding="utf-8")
    [layer, _] = records(call("analyze", file, "--json"))
    times = [layer["mixing"][key] for key in KEYS["mixing"].split()[2:]]
    assert times == [16, 11, 18, 13]
    assert layer["fidelity"]["normalised"] == pytest.approx(1.8046875, rel=1e-12)


def test_what_is_made_of_a_graph_is_said(call: Call, tmp_path: Path) -> None:
    file, other = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("source,target\nu,τ\nτ,out\nu,out\n", encoding="utf-8")
    shutil.copy(file, other)
    shown = call("analyze", file).stdout
    assert "the sink is out; where a node has no self-loop, one of weight 1 was added" in shown
    shown = call("analyze", file, "--sink", "τ", "--self-loops", "keep").stdout
    assert "the sink is τ\n" in shown
    refused = call("analyze", file, other, "--together")
    assert refused.exit_code == 2
    assert "`head` on every edge" in refused.stderr


def test_a_sparse_matrix_is_a_graph(call: Call, tmp_path: Path) -> None:
    from scipy import sparse

    file = tmp_path / "line.npz"
    sparse.save_npz(file, sparse.csr_array(np.eye(8) + np.eye(8, k=-1)))
    [layer, _] = records(call("analyze", file, "--json"))
    assert layer["mixing"]["mixing_time_tv_max"] == 16


def test_an_exported_graph_is_measured_with_its_raw_weights(call: Call, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copytree(RECORDINGS / "example2", home / "example2")
    file = tmp_path / "both.safetensors"
    arguments = ["--out", home, "--run", "both", "--attention", file]
    assert call("export", "example2", *arguments).exit_code == 0
    [layer, _] = records(call("analyze", file, "--json"))
    assert layer["fidelity"]["minimax"] == pytest.approx(5 / 12, rel=1e-12)
    assert layer["mixing"]["hitting_time_mean"] == pytest.approx(17 / 7, rel=1e-12)


def test_our_own_checkpoint_says_its_heads(call: Call, tmp_path: Path) -> None:
    import synergy_trainer as trainer

    settings = trainer.TrainSettings(
        task="copy", length=8, vocabulary=8, steps=2, batch=4, embed=8, mlp=8, layers=2
    )
    runs = [trainer.RunSettings("two", heads=2)]
    for _ in trainer.train(settings, runs, device="cpu", directory=tmp_path):
        pass
    [file] = (tmp_path / "checkpoints").glob("two-00000002.safetensors")
    found = records(call("analyze", file, "--inputs", "4", "--json"))
    assert [each["layer"] for each in found] == [1, 2, "overall"]
    assert (found[0]["heads"], found[0]["nodes"], found[0]["inputs"]) == (2, 8, 4)
    assert found[0]["weights"] == "learned"


def test_people_see_a_table_and_the_convention(call: Call, example2: Path) -> None:
    shown = call("analyze", example2, "--details", "--convention", "all").stdout
    for text in ("2 heads, 4 nodes", "convention theory", "sink excluded", ".4167", "1.111"):
        assert text in shown
    assert "mixing time (theorem 2.9)" in shown
    assert shown.count("higher: clearer") == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "nothing to measure"),
        (["none.npy"], "no file none.npy"),
        (["."], "--model DIR"),
        (["notes.md"], "'.md' are not known"),
        (["attention.npy", "--weights", "1,2,3"], "2 heads"),
        (["attention.npy", "--weights", "learned"], "contains no learned head weights"),
        (["attention.npy", "--weights", "heavy"], "--weights heavy"),
        (["attention.npy", "--weights", "-1,2"], ">= 0"),
        (["attention.npy", "--top-paths", "1", "--source", "4"], "from 0 to 3"),
        (["attention.npy", "--text", "words"], "go together"),
        (["attention.npy", "--epsilon", "nan"], "nan is not a number"),
        (["attention.npy", "--epsilon", "x"], "'x' is not a valid number"),
        (["attention.npy", "--inputs", "x"], "'x' is not a valid whole number"),
        (["model.pt"], "cannot be read as a checkpoint"),
        (["model.pt", "--heads", "2"], "model.pt"),
        (["attention.npy", "--tokens", "1,x"], "--tokens 1,x"),
        (["nan.npy"], "not finite"),
        (["future.npy"], "Not causal"),
        (["oblong.npy"], "(3, 4)"),
    ],
)
def test_mistakes_exit_2(
    arguments: list[str],
    says: str,
    call: Call,
    example2: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    example2.rename("attention.npy")
    Path("notes.md").touch()
    Path("model.pt").write_bytes(b"not a checkpoint")
    np.save("nan.npy", np.full((3, 3), np.nan))
    np.save("future.npy", np.full((3, 3), 1 / 3))
    np.save("oblong.npy", np.ones((3, 4)))
    result = call("analyze", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


def test_a_hugging_face_model(call: Call, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    words = save_tokenizer(tmp_path)
    config = transformers.GPT2Config(
        vocab_size=len(words), n_positions=16, n_embd=16, n_layer=2, n_head=4
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    text = "the quick brown fox jumps over the lazy dog"
    found = records(call("analyze", "--model", tmp_path, "--text", text, "--json"))
    assert [each["layer"] for each in found] == [1, 2, "overall"]
    assert (found[0]["heads"], found[0]["nodes"]) == (4, 9)
    assert found[0]["weights"] == "learned"
    assert math.isclose(sum(found[0]["head_weights"]), 1)
    short = call("analyze", "--model", tmp_path, "--text", "dog")
    assert short.exit_code == 2
    assert "fewer than two tokens" in short.stderr
    absent = call("analyze", "--model", tmp_path / "none", "--text", text)
    assert absent.exit_code == 2
    (tmp_path / "model.safetensors").write_bytes(b"garbled")
    garbled = call("analyze", "--model", tmp_path, "--text", text)
    assert garbled.exit_code == 2
    assert "cannot be read as a causal language model" in garbled.stderr


def test_without_transformers_it_says_how_to_get_them(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    result = call("analyze", "--model", tmp_path, "--text", "words")
    assert result.exit_code == 2
    assert 'pip install "synergy-heads[hf]"' in result.stderr
