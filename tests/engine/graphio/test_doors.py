"""Attention as other programs leave it: axes, padding, rounding, learned sinks, several lengths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import synergy_engine as engine
from synergy_engine.errors import (
    AttentionFileError,
    GraphFileError,
    InvalidSystemError,
    OptionError,
)


def attention(*shape: int, seed: int = 0) -> np.ndarray:
    """Causal attention (…, n, n) that sums to one; its last axis is repeated."""
    weights = np.tril(np.random.default_rng(seed).random((*shape, shape[-1])) + 0.1)
    return weights / weights.sum(-1, keepdims=True)


def saved(tmp_path: Path, **arrays: np.ndarray) -> Path:
    file = tmp_path / "a.npz"
    np.savez(file, **arrays)
    return file


@pytest.mark.parametrize("axes", ["B,L,H,n,n", "L,B,H,n,n", "h,b,l,n,n", "H,L,B,q,k"])
def test_stated_axes_in_any_order(axes: str, tmp_path: Path) -> None:
    array = attention(2, 3, 4, 5)
    letters = [letter.upper() for letter in axes.split(",")[:3]]
    stored = np.einsum(f"BLHqk->{''.join(letters)}qk", array)
    read = engine.read_attention(saved(tmp_path, a=stored), axes=axes)
    assert np.array_equal(read.attention, array)
    assert read.notes == ()


@pytest.mark.parametrize(
    ("axes", "shape", "expected"),
    [("H,n,n", (4, 5), (1, 1, 4, 5, 5)), ("B,n,n", (4, 5), (4, 1, 1, 5, 5)),
     ("L,n,n", (4, 5), (1, 4, 1, 5, 5)), ("B,H,n,n", (2, 4, 5), (2, 1, 4, 5, 5))],
)  # fmt: skip
def test_missing_axes_have_length_one(
    axes: str, shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path
) -> None:
    file = saved(tmp_path, a=attention(*shape))
    assert engine.read_attention(file, axes=axes).attention.shape == expected


@pytest.mark.parametrize("axes", ["B,B,n,n", "X,n,n", "n", "H,n", "n,n,H"])
def test_axes_that_are_none(axes: str, tmp_path: Path) -> None:
    file = saved(tmp_path, a=attention(2, 2, 5))
    with pytest.raises((OptionError, AttentionFileError), match="axes"):
        engine.read_attention(file, axes=axes)


def test_axes_of_another_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AttentionFileError, match="4 axes, but axes B,L,H,n,n are 5"):
        engine.read_attention(saved(tmp_path, a=attention(2, 2, 5)), axes="B,L,H,n,n")


@pytest.mark.parametrize(
    ("shape", "both"),
    [((2, 3, 4, 5), r"B,L,H,n,n.*L,B,H,n,n"), ((3, 1, 4, 5), r"B,L,H,n,n.*L,B,H,n,n"),
     ((3, 4, 5), r"L,H,n,n.*B,H,n,n")],
)  # fmt: skip
def test_two_layouts_that_fit_are_both_named(
    shape: tuple[int, ...], both: str, tmp_path: Path
) -> None:
    with pytest.raises(AttentionFileError, match=both):
        engine.read_attention(saved(tmp_path, a=attention(*shape)))


def test_four_axes_by_what_is_known_of_the_file(tmp_path: Path) -> None:
    array = attention(3, 4, 5)
    layers, inputs = array[None], array[:, None]
    path = tmp_path / "a.safetensors"
    save_file({"x": array}, path, {"axes": "input,layer,head,query,key"})
    assert np.array_equal(engine.read_attention(path).attention, layers)
    weights = np.full((3, 4), 1 / 4)
    file = saved(tmp_path, attention=array, head_weights=weights)
    assert np.array_equal(engine.read_attention(file).attention, layers)
    for name in ("blocks.1.attn.hook_pattern", "model.layers.7.self_attn", "0"):
        read = engine.read_attention(saved(tmp_path, **{name: array})).attention
        assert np.array_equal(read, inputs)
    read = engine.read_attention(saved(tmp_path, attention=array))
    assert np.array_equal(read.attention, layers)
    assert "L,H,n,n" in read.notes[0]
    one = engine.read_attention(saved(tmp_path, x=array[:1])).attention
    assert np.array_equal(one, layers[:, :1])
    padded = right_padded([6, 4, 3], 6)[:, 0]
    read = engine.read_attention(saved(tmp_path, x=padded))
    assert read.lengths is not None
    assert read.lengths.tolist() == [6, 4, 3]


def test_what_is_guessed_is_reported(tmp_path: Path) -> None:
    (note,) = engine.read_attention(saved(tmp_path, a=attention(1, 3, 4, 5))).notes
    assert "B,L,H,n,n: 1 input, 3 layers, 4 heads of 5 tokens" in note


def test_layers_of_transformerlens_with_and_without_a_name(tmp_path: Path) -> None:
    layers = {f"blocks.{k}.attn.hook_pattern": attention(2, 4, 5, seed=k) for k in range(11)}
    scores = {f"blocks.{k}.attn.hook_attn_scores": np.ones((2, 4, 5, 5)) for k in range(11)}
    file = saved(tmp_path, **layers, **scores, **{"hook_embed": np.ones((2, 5, 8))})
    read = engine.read_attention(file).attention
    assert read.shape == (2, 11, 4, 5, 5)
    assert np.array_equal(read, engine.read_attention(file, "*hook_pattern").attention)
    alone = engine.read_attention(file, "blocks.10.attn.hook_pattern").attention
    assert np.array_equal(alone, read[:, 10:])


def test_names_that_differ_in_two_numbers_are_not_layers(tmp_path: Path) -> None:
    file = saved(tmp_path, h1_l0=attention(1, 4), h1_l1=attention(1, 4), h2_l0=attention(1, 4))
    with pytest.raises(AttentionFileError, match="say which tensor"):
        engine.read_attention(file)


def test_averaged_heads_are_not_heads(tmp_path: Path) -> None:
    file = saved(tmp_path, attn_output_weights=attention(3, 5))
    with pytest.raises(AttentionFileError, match=r"average_attn_weights=False.*B,n,n.*H,n,n"):
        engine.read_attention(file)
    assert engine.read_attention(file, axes="B,n,n").attention.shape == (3, 1, 1, 5, 5)


def test_fewer_queries_than_keys_say_what_to_do(tmp_path: Path) -> None:
    cached = np.full((2, 4, 1, 9), 1 / 9)
    with pytest.raises(AttentionFileError, match=r"fewer than keys.*use_cache=False"):
        engine.read_attention(saved(tmp_path, a=cached))
    with pytest.raises(AttentionFileError, match="fewer than keys"):
        engine.read_attention(saved(tmp_path, **{"layer.0": cached, "layer.1": cached}))


def right_padded(lengths: list[int], nodes: int, layers: int = 2) -> np.ndarray:
    """A tokenizer's batch padded on the right: rows of padding hear what is not padding."""
    batch = np.zeros((len(lengths), layers, 3, nodes, nodes))
    for number, length in enumerate(lengths):
        scores = np.random.default_rng(number).random((layers, 3, nodes, nodes)) + 0.1
        scores[..., length:] = 0
        scores = np.tril(scores)
        batch[number] = scores / scores.sum(-1, keepdims=True)
    return batch


def left_padded(lengths: list[int], nodes: int, fill: float) -> np.ndarray:
    """Padded on the left; rows of padding are all ``fill``."""
    batch = np.zeros((len(lengths), 2, 3, nodes, nodes))
    for number, length in enumerate(lengths):
        begin = nodes - length
        batch[number, ..., :begin, :] = fill
        batch[number, ..., begin:, begin:] = attention(2, 3, length, seed=number)
    return batch


def test_padding_on_the_right_is_recognised_and_shows_the_axes(tmp_path: Path) -> None:
    batch = right_padded([9, 6, 4], 9)
    read = engine.read_attention(saved(tmp_path, a=batch))
    assert read.lengths is not None
    assert read.lengths.tolist() == [9, 6, 4]
    assert np.array_equal(read.attention[1, ..., :6, :6], batch[1, ..., :6, :6])
    assert not read.attention[1, ..., 6:, :].any()
    assert "padding on the right recognised: inputs have 9, 6, 4 tokens" in read.notes[1]
    turned = engine.read_attention(saved(tmp_path, a=batch.swapaxes(0, 1)))
    assert "L,B,H,n,n" in turned.notes[0]
    assert np.array_equal(turned.attention, read.attention)


@pytest.mark.parametrize("fill", [1 / 9, 0.0, np.nan])
def test_padding_on_the_left_is_recognised(fill: float, tmp_path: Path) -> None:
    batch = left_padded([9, 5], 9, fill)
    read = engine.read_attention(saved(tmp_path, a=batch), axes="B,L,H,n,n")
    assert (read.lengths is not None, read.first is not None) == (True, True)
    assert read.lengths.tolist() == [9, 5]  # type: ignore[union-attr]
    assert read.first.tolist() == [0, 4]  # type: ignore[union-attr]
    assert np.array_equal(read.attention[1, ..., :5, :5], batch[1, ..., 4:, 4:])


def test_a_sink_without_a_self_loop_is_not_padding(tmp_path: Path) -> None:
    shifted = np.eye(6, k=-1) + np.diag([1.0, 0, 0, 0, 0, 0])
    read = engine.read_attention(saved(tmp_path, a=shifted))
    assert read.attention.shape[-1] == 6
    uniform = np.tril(np.ones((6, 6))) / np.arange(1, 7)[:, None]
    assert engine.read_attention(saved(tmp_path, a=uniform)).attention.shape[-1] == 6
    assert engine.read_attention(saved(tmp_path, a=np.eye(6))).attention.shape[-1] == 6


def test_what_is_given_overrides_what_is_recognised(tmp_path: Path) -> None:
    file = saved(tmp_path, a=right_padded([9, 6], 9))
    mask = np.arange(9) < np.array([[8], [5]])
    by_mask = engine.read_attention(file, axes="B,L,H,n,n", mask=mask)
    by_length = engine.read_attention(file, axes="B,L,H,n,n", lengths=[8, 5])
    assert np.array_equal(by_mask.attention, by_length.attention)
    assert by_length.lengths is not None
    assert by_length.lengths.tolist() == [8, 5]
    same = engine.read_attention(file, axes="B,L,H,n,n", span=":4")
    assert (same.attention.shape, same.lengths) == ((2, 2, 3, 4, 4), None)
    assert engine.read_attention(file, axes="B,L,H,n,n", sink=4).attention.shape[-1] == 5


@pytest.mark.parametrize(
    ("given", "message"),
    [({"lengths": [10, 1]}, "1 to 9"), ({"lengths": [1, 2, 3]}, "one for each of 2"),
     ({"span": "5:2"}, "not a part"), ({"span": "x"}, "not a part"), ({"sink": 8}, "be the sink"),
     ({"mask": np.ones((2, 4))}, "the mask has shape"),
     ({"mask": np.array([[1, 0, 1, 0, 0, 0, 0, 0, 0]] * 2)}, "not one run"),
     ({"lengths": [9, 9], "span": "0:4"}, "not several")],
)  # fmt: skip
def test_spans_that_cannot_be(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    file = saved(tmp_path, a=right_padded([9, 6], 9))
    with pytest.raises(AttentionFileError, match=message):
        engine.read_attention(file, axes="B,L,H,n,n", **given)


def test_inputs_of_one_length_pool_to_what_the_batch_gives() -> None:
    batch = attention(5, 2, 3, 7)
    together = engine.analyze_batch(batch)
    pooled = [
        engine.pool(each)
        for each in zip(*(engine.analyze_batch(one[None]) for one in batch), strict=True)
    ]
    for found, expected in zip(pooled, together, strict=True):
        compare({key: found[key] for key in expected}, expected.as_dict())


def compare(found: Any, expected: Any, where: str = "") -> None:
    if isinstance(expected, dict):
        assert found.keys() >= expected.keys(), where
        for key in expected:
            # Each input's own steps end where it has arrived; bounds are then those of means.
            if key not in ("arrival", "bounds"):
                compare(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, (one, other) in enumerate(zip(found, expected, strict=True)):
            compare(one, other, f"{where}[{place}]")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12), where
    else:
        assert found == expected, where


def test_half_precision_by_its_own_tolerance(tmp_path: Path) -> None:
    exact = attention(2, 64)
    narrow = exact.astype(np.float16)
    read = engine.read_attention(saved(tmp_path, a=narrow))
    np.testing.assert_allclose(read.attention.sum(-1), 1, atol=1e-6)
    assert "float16" in read.notes[-1]
    off = exact.copy()
    off[0, 5] *= 1.005  # more than rounding to float16 explains
    with pytest.raises(AttentionFileError, match="sum to one"):
        engine.read_attention(saved(tmp_path, a=off.astype(np.float16)))


def clearest(rows: np.ndarray, steps: int = 400) -> float:
    """Minimax fidelity of tokens with an only-heard node before them, by powers of a matrix."""
    nodes = len(rows)
    full = np.zeros((nodes + 1, nodes + 1))
    full[0, 0] = 1
    full[1:, 1:] = rows
    full[1:, 0] = 1 - rows.sum(-1)
    best, state = np.zeros(nodes + 1), np.eye(nodes + 1)[-1]
    for _ in range(steps):
        state = state @ full
        best = np.maximum(best, state)
    return float(best[1:-1].min())


@pytest.mark.parametrize("column", ["missing", "last", "first"])
def test_learned_sinks_are_heard_and_never_divided_away(column: str, tmp_path: Path) -> None:
    whole = np.random.default_rng(3).random((2, 6, 7)) + 0.1
    whole[..., 1:] = np.tril(whole[..., 1:])
    whole /= whole.sum(-1, keepdims=True)
    rows, sink = whole[..., 1:], whole[..., :1]
    stored = {
        "missing": rows,
        "last": np.concatenate([rows, sink], axis=-1),
        "first": np.concatenate([sink, rows], axis=-1),
    }[column]
    with pytest.raises(AttentionFileError):
        engine.read_attention(saved(tmp_path, a=stored))
    read = engine.read_attention(saved(tmp_path, a=stored), rows="sinks")
    np.testing.assert_allclose(read.attention[0, 0], rows)
    (layer,) = engine.analyze_batch(read.attention, rows="sinks")
    assert layer["nodes"] == 6
    assert layer["fidelity"]["minimax"] == pytest.approx(clearest(rows.mean(0)), rel=1e-9)
    for head, own in zip(layer["per_head"], rows, strict=True):
        assert head["fidelity_minimax"] == pytest.approx(clearest(own), rel=1e-9)
    divided = engine.analyze_batch(read.attention, rows="normalise")[0]
    assert divided["fidelity"]["minimax"] > 1.1 * layer["fidelity"]["minimax"]


def test_rows_above_one_are_not_learned_sinks(tmp_path: Path) -> None:
    with pytest.raises(AttentionFileError, match="more than one"):
        engine.read_attention(saved(tmp_path, a=1.1 * attention(2, 5)), rows="sinks")


def test_a_batch_in_memory_has_the_same_door() -> None:
    batch = attention(2, 3, 4, 5)
    expected = [each.as_dict() for each in engine.analyze_batch(batch)]
    as_layers = tuple(batch[:, layer] for layer in range(3))
    with pytest.raises(InvalidSystemError, match=r"L,B,H,n,n.*B,L,H,n,n"):
        engine.analyze_batch(as_layers)
    by_layer = engine.analyze_batch(as_layers, axes="L,B,H,n,n")
    assert [each.as_dict() for each in by_layer] == expected
    by_input = engine.analyze_batch(list(batch), axes="B,L,H,n,n")
    assert [each.as_dict() for each in by_input] == expected
    turned = engine.analyze_batch(batch.swapaxes(0, 1), axes="L,B,H,n,n")
    assert [each.as_dict() for each in turned] == expected


def test_labels_of_tokens(tmp_path: Path) -> None:
    words = ["the", "cat", "saw", "the", "dog"]
    file = saved(tmp_path, attention=attention(2, 5), labels=np.array(words))
    assert engine.read_attention(file).labels == tuple(words)
    path = tmp_path / "a.safetensors"
    save_file({"a": attention(2, 5)}, path, {"labels": '["the","cat","saw","the","dog"]'})
    assert engine.read_attention(path).labels == tuple(words)


@pytest.mark.parametrize("count", [3, 4, 5])
@pytest.mark.parametrize("turned", [False, True])
def test_a_matrix_of_numbers_is_not_edges(count: int, turned: bool, tmp_path: Path) -> None:
    """Lines of ``numpy.savetxt``: n columns were sender, receiver, weight, head and its weight."""
    matrix = np.tril(np.ones((count, count))) / np.arange(1, count + 1)[:, None]
    for name, mark in (("a.txt", " "), ("a.csv", ",")):
        np.savetxt(tmp_path / name, matrix.T if turned else matrix, delimiter=mark)
        with pytest.raises(GraphFileError, match=f"{count} lines of {count} numbers"):
            engine.read_graph(tmp_path / name)


def test_as_many_edges_as_columns_are_edges(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("0,1,1\n1,2,0.5\n0,2,1\n", encoding="utf-8")
    assert engine.read_graph(tmp_path / "a.csv").nodes == 3
    headed = "source,target,weight\n0,1,0\n0,2,1\n1,2,1\n"
    (tmp_path / "b.csv").write_text(headed, encoding="utf-8")
    assert engine.read_graph(tmp_path / "b.csv").nodes == 3


def test_what_rows_lack_is_explained(tmp_path: Path) -> None:
    weights = np.tril(np.ones((2, 4, 4))) / np.arange(1, 5)[:, None]
    np.save(tmp_path / "less.npy", weights * np.array([0.7, 0.9])[:, None, None])
    with pytest.raises(AttentionFileError, match=r'Learned sinks may have .*rows="sinks"'):
        engine.read_attention(tmp_path / "less.npy")
    np.save(tmp_path / "more.npy", weights * np.array([0.7, 1.1])[:, None, None])
    with pytest.raises(AttentionFileError) as caught:
        engine.read_attention(tmp_path / "more.npy")
    assert "inks" not in str(caught.value)
    np.save(tmp_path / "whole.npy", weights)
    with pytest.raises(AttentionFileError, match="with only the tokens 1:4, rows lack"):
        engine.read_attention(tmp_path / "whole.npy", span="1:4")
    np.savez(tmp_path / "a.npz", attention=weights, labels=np.array(["a", None], dtype=object))
    with pytest.raises(AttentionFileError, match="labels holds object"):
        engine.read_attention(tmp_path / "a.npz")


class Unconvertible:
    """As a torch tensor that needs a gradient, or of a type that NumPy has not."""

    ndim, shape = 4, (1, 1, 2, 2)

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")


def test_arrays_of_a_sequence_that_cannot_be_measured() -> None:
    one, other = np.full((1, 1, 2, 2), 0.5), np.full((1, 1, 3, 3), 0.5)
    with pytest.raises(InvalidSystemError, match="one shape, not"):
        engine.analyze_batch([one, other], axes="L,B,H,n,n")
    for given in ([Unconvertible()], Unconvertible()):
        with pytest.raises(InvalidSystemError, match=r"requires grad.*tensor\.detach"):
            engine.analyze_batch(given, axes="L,B,H,n,n")  # type: ignore[arg-type]
