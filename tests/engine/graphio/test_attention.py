"""Attention from .npy, .npz and .safetensors: all shapes, and nothing that could do harm."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from safetensors.numpy import save_file

import synergy_engine as engine
from synergy_engine.errors import AttentionFileError, EngineError, TooLargeError


def attention(*shape: int) -> np.ndarray:
    weights = np.tril(np.random.default_rng(0).random((*shape, shape[-1])) + 0.1)
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("shape", [(5,), (2, 5), (3, 2, 5), (4, 3, 2, 5)])
@pytest.mark.parametrize("suffix", ["npy", "npz", "safetensors"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_shape_and_format(
    tmp_path: Path, shape: tuple[int, ...], suffix: str, dtype: type
) -> None:
    array = attention(*shape).astype(dtype)
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, array)
    elif suffix == "npz":
        np.savez_compressed(path, whatever=array)
    else:
        save_file({"whatever": array}, path)
    # Nothing but a statement says what is first of inputs and layers.
    axes = {3: "L,H,n,n", 4: "B,L,H,n,n"}.get(len(shape))
    read = engine.read_attention(path, axes=axes).attention
    assert read.dtype == dtype
    assert np.array_equal(read, array.reshape((1,) * (5 - array.ndim) + array.shape))


def test_fortran_order_and_half_precision(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(attention(2, 6)))
    assert np.array_equal(
        engine.read_attention(tmp_path / "a.npy").attention[0, 0], attention(2, 6)
    )
    np.save(tmp_path / "h.npy", attention(6).astype(np.float16))
    half = engine.read_attention(tmp_path / "h.npy", rows="normalise").attention
    np.testing.assert_allclose(half[0, 0, 0], attention(6), atol=1e-3)


def test_bfloat16(tmp_path: Path) -> None:
    upper = (attention(4).astype(np.float32).view(np.uint32) >> 16).astype("<u2")
    header = {"a": {"dtype": "BF16", "shape": [4, 4], "data_offsets": [0, 32]}}
    write_safetensors(tmp_path / "a.safetensors", header, upper.tobytes())
    read = engine.read_attention(tmp_path / "a.safetensors", rows="normalise").attention
    np.testing.assert_allclose(read[0, 0, 0], attention(4), atol=5e-3)


def test_the_attention_among_several_and_its_head_weights(tmp_path: Path) -> None:
    arrays = {
        "attention": attention(2, 3, 5),
        "head_weights": np.array([[1.0, 1, 2], [3, 0, 0]]),
        "tokens": np.arange(5),
    }
    save_file(arrays, tmp_path / "a.safetensors", {"rows": "attention", "names": '["a","b"]'})
    read = engine.read_attention(tmp_path / "a.safetensors")
    assert read.attention.shape == (1, 2, 3, 5, 5)
    assert read.head_weights is not None
    assert read.head_weights.tolist() == [[0.25, 0.25, 0.5], [1, 0, 0]]
    assert read.names is None


def test_raw_weights_are_not_attention(tmp_path: Path) -> None:
    save_file(
        {"attention": np.tril(np.ones((3, 3)))},
        tmp_path / "a.safetensors",
        {"rows": "raw weights", "names": '["u","v","τ"]'},
    )
    read = engine.read_attention(tmp_path / "a.safetensors")
    assert (read.rows, read.names) == ("any", ("u", "v", "τ"))
    with pytest.raises(AttentionFileError, match="sum to one"):
        engine.read_attention(tmp_path / "a.safetensors", rows="check")


def test_layers_by_pattern_in_natural_order(tmp_path: Path) -> None:
    layers = {
        f"blocks.{k}.pattern": np.eye(3)[None] if k % 2 else attention(1, 3) for k in range(11)
    }
    np.savez(tmp_path / "a.npz", **layers, other=np.ones(3))
    read = engine.read_attention(tmp_path / "a.npz", "blocks.*.pattern").attention
    assert read.shape == (1, 11, 1, 3, 3)
    assert np.array_equal(read[0, 9, 0], np.eye(3))
    assert np.array_equal(read[0, 10, 0], attention(1, 3)[0])
    assert np.array_equal(engine.read_attention(tmp_path / "a.npz").attention, read)
    np.savez(tmp_path / "b.npz", **layers, dropped=attention(1, 3))
    with pytest.raises(AttentionFileError, match="say which tensor") as caught:
        engine.read_attention(tmp_path / "b.npz")
    assert "blocks.*.pattern (11 of (1, 3, 3)); dropped (1, 3, 3)" in str(caught.value)
    with pytest.raises(AttentionFileError, match=r"no tensor is called x; there are: blocks\.0"):
        engine.read_attention(tmp_path / "a.npz", "x")


@pytest.mark.parametrize("beside", ["scores", "states", "mask", "bidirectional", "copy"])
def test_layers_are_told_from_what_is_only_square(beside: str, tmp_path: Path) -> None:
    """As in caches of all modules' outputs, whose names give nothing away."""
    rng = np.random.default_rng(0)
    layers = [attention(1, 2, 4) for _ in range(3)]
    other = {
        "scores": rng.normal(size=(1, 2, 4, 4)),
        "states": rng.normal(size=(1, 4, 4)),
        "mask": np.tril(np.ones((1, 1, 4, 4), dtype=bool)),
        "bidirectional": np.full((1, 2, 4, 4), 0.25),
        "copy": None,
    }[beside]
    content = {f"h.{k}.attn.1": layer for k, layer in enumerate(layers)}
    for k, layer in enumerate(layers):
        content[f"h.{k}.attn.0"] = layer if other is None else other
    np.savez(tmp_path / "a.npz", **content)
    read = engine.read_attention(tmp_path / "a.npz")
    assert read.attention.shape == (1, 3, 2, 4, 4)
    np.testing.assert_array_equal(read.attention[0], np.stack([layer[0] for layer in layers]))
    assert any(note.startswith("attention taken from h.*.attn.") for note in read.notes)
    content["h.1.attn.0"] = attention(1, 2, 4)[:, ::-1] / 2 + np.eye(4) / 2
    content["h.0.attn.0"] = content["h.2.attn.0"] = content["h.1.attn.0"]
    np.savez(tmp_path / "b.npz", **content)
    with pytest.raises(AttentionFileError, match=r"h\.\*\.attn\.0 \(3 of .*; h\.\*\.attn\.1 \(3"):
        engine.read_attention(tmp_path / "b.npz")


def test_layers_of_several_visits_are_chosen_by_pattern(tmp_path: Path) -> None:
    content = {f"layers.{k}.attn.{visit}": attention(2, 3) for k in range(2) for visit in range(2)}
    content["layers.1.attn.0"] = content["layers.0.attn.0"] = np.eye(3)[None].repeat(2, axis=0)
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(
        AttentionFileError, match=r"layers\.\*\.attn\.0 \(2 of .*layers\.\*\.attn\.1"
    ):
        engine.read_attention(tmp_path / "a.npz")
    read = engine.read_attention(tmp_path / "a.npz", "layers.*.attn.0")
    assert np.array_equal(read.attention[0, 1, 1], np.eye(3))


def test_layers_that_are_not_all_there_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **{f"layers.{k}.attn": attention(2, 3) for k in (3, 11)})
    notes = engine.read_attention(tmp_path / "a.npz").notes
    assert "layers are those of the numbers 3, 11 in their names" in notes


def test_published_attention(paper: Path) -> None:
    with np.load(paper / "attention.npz") as file:
        names = [name for name in file.files if file[name].ndim >= 2]
    read = engine.read_attention(paper / "attention.npz", names[0], rows="any").attention
    assert read.shape[-1] == read.shape[-2]


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    bad = attention(2, 4)
    bad[0, 1, 3] = 0.5
    bad[1, 2, 0] = -1
    bad[1, 3, 3] = np.nan
    np.save(tmp_path / "a.npy", bad)
    with pytest.raises(AttentionFileError) as caught:
        engine.read_attention(tmp_path / "a.npy")
    # NaN, negative, above the diagonal, and the sum of the row with the negative weight.
    assert len(caught.value.problems) == 4
    np.save(tmp_path / "b.npy", attention(4) * 1.5)
    with pytest.raises(AttentionFileError, match=r"off by 0\.5"):
        engine.read_attention(tmp_path / "b.npy")
    np.testing.assert_allclose(
        engine.read_attention(tmp_path / "b.npy", rows="normalise").attention.sum(-1), 1
    )


@pytest.mark.parametrize("shape", [(3, 4), (4,), (2, 2, 2, 2, 3, 3), (0, 0)])
def test_other_shapes_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.ones(shape))
    with pytest.raises(EngineError, match=str(tmp_path)):
        engine.read_attention(tmp_path / "a.npy")


def test_queries_and_keys_that_are_other_axes_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.moveaxis(attention(2, 3, 5), (-2, -1), (1, 2)))
    with pytest.raises(EngineError) as caught:
        engine.read_attention(path)
    assert "come last: numpy.moveaxis(array, (1, 2), (-2, -1))" in str(caught.value)
    np.save(path, np.moveaxis(np.load(path), (1, 2), (-2, -1)))
    read = engine.read_attention(path, axes="L,H,n,n")
    np.testing.assert_array_equal(read.attention[0], attention(2, 3, 5))
    np.save(path, np.ones((3, 3, 9, 5)))  # the equal axes are not the long ones
    with pytest.raises(EngineError) as caught:
        engine.read_attention(path)
    assert "come last" not in str(caught.value)


def write_safetensors(path: Path, header: object, data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b"[" * 100_000,
        {"a": 3},
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 17]}},
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 160]}},
        {"a": {"dtype": "F32", "shape": [-2, -2], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [-16, 0]}},
        {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4 * 10**18]}},
        {"a": {"dtype": "F32", "shape": True, "data_offsets": [0, 16]}},
        {"a": {"dtype": "X9", "shape": [2, 2], "data_offsets": [0, 16]}},
        {"__metadata__": [], "a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}},
    ],
    ids=str,
)
def test_lying_safetensors_headers(tmp_path: Path, header: object) -> None:
    write_safetensors(tmp_path / "a.safetensors", header, b"\0" * 16)
    with pytest.raises(AttentionFileError, match=str(tmp_path)):
        engine.read_attention(tmp_path / "a.safetensors")


def test_a_tensor_in_eight_bits_is_skipped(tmp_path: Path) -> None:
    header = {
        "quantised": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [16, 20]},
        "layer": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    }
    write_safetensors(
        tmp_path / "a.safetensors", header, np.eye(2, dtype="f4").tobytes() + b"\0" * 4
    )
    assert np.array_equal(
        engine.read_attention(tmp_path / "a.safetensors").attention[0, 0, 0], np.eye(2)
    )


def test_a_safetensors_header_longer_than_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    with pytest.raises(AttentionFileError, match="1,152,921,504,606,846,976 bytes"):
        engine.read_attention(tmp_path / "a.safetensors")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"evil": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", a=np.array([{"evil": 1}], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(AttentionFileError, match="never pickled"):
            engine.read_attention(tmp_path / name)


def npy(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def test_headers_that_claim_more_than_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy((10**6, 10**6)) + b"\0" * 64)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", npy((10**6, 10**6)))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(AttentionFileError, match="has only"):
            engine.read_attention(tmp_path / name)


def test_a_zip_bomb_is_refused_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros((3000, 3000)))
    assert (tmp_path / "a.npz").stat().st_size < 100_000
    monkeypatch.setattr("synergy_engine.limits.available_bytes", lambda: 50_000_000)
    with pytest.raises(TooLargeError, match=r"would take 0\.2 GiB"):
        engine.read_attention(tmp_path / "a.npz")


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["npy", "npz", "safetensors"]), st.integers(0, 2**32 - 1))
def test_garbled_files_give_attention_or_an_engine_error(
    tmp_path: Path, suffix: str, seed: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, attention(3, 4))
    elif suffix == "npz":
        np.savez_compressed(path, a=attention(3, 4))
    else:
        save_file({"a": attention(3, 4)}, path)
    rng = np.random.default_rng(seed)
    data = bytearray(path.read_bytes())
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(min(len(data), 200))] = rng.integers(256)
    path.write_bytes(bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data))
    with contextlib.suppress(EngineError):
        assert engine.read_attention(path).attention.ndim == 5
