"""Directories of Hugging Face models, one file of which is damaged."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from synergy_tui.errors import UserError
from tests.fuzz.readers.reader import Reader
from tests.tui.commands.architectures import build, save_tokenizer

_INDEX = "model.safetensors.index.json"
_OTHERS = ("GPT2LMHeadModel", "Gemma2ForCausalLM", "T5ForConditionalGeneration")


@cache
def _directory() -> dict[str, bytes]:
    """The files of a small model in several shards, with a tokenizer."""
    import transformers

    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        build("LlamaForCausalLM", {}).save_pretrained(folder, max_shard_size="20KB")
        save_tokenizer(Path(folder))
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _shards() -> list[str]:
    return sorted(name for name in _directory() if name.endswith(".safetensors"))


def _own(*names: str) -> Callable[[], list[bytes]]:
    return lambda: [_directory()[name] for name in names or _shards()]


def _configurations() -> list[bytes]:
    """That of the model, and of others, whose weights the directory lacks."""
    others = [build(name, {}).config.to_json_string().encode() for name in _OTHERS]
    return [_directory()["config.json"], *others]


def _placed(name: str) -> Callable[[Path], Path]:
    def prepare(folder: Path) -> Path:
        for each, content in _directory().items():
            (folder / each).write_bytes(content)
        return folder / (name or _shards()[0])

    return prepare


def _model(path: Path, rng: Random) -> object:
    """Load a model as ``synergy analyze --model`` does, and sometimes measure it."""
    from synergy_tui.analyze.huggingface import Reading, load
    from synergy_tui.analyze.layerwise import measure_model
    from synergy_tui.analyze.measure import Options
    from synergy_tui.errors import as_user_errors

    texts = "tokenizer" in path.name or rng.random() < 0.2
    reading = Reading(("the quick brown fox",)) if texts else Reading((), np.array([[1, 2, 3, 4]]))
    with as_user_errors(str(path.parent)):
        loaded = load(path.parent, reading)
        if rng.random() < 0.1:
            measure_model(loaded, Options(max_steps=20))
    return [place.heads for place in loaded.plan.places], loaded.labels


def readers() -> Iterator[Reader]:
    if importlib.util.find_spec("transformers") is None:
        return
    for name, files in (
        ("config.json", _configurations),
        (_INDEX, _own(_INDEX)),
        ("tokenizer.json", _own("tokenizer.json")),
        ("tokenizer_config.json", _own("tokenizer_config.json")),
        ("", _own()),
    ):
        suffix = Path(name).suffix or ".safetensors"
        about = name.removeprefix("model.safetensors.") or "shard"
        yield Reader(
            f"model's {about}", suffix, files, _placed(name), _model, (UserError,), share=0.1
        )
