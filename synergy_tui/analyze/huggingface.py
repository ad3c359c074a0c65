"""Local Hugging Face models and what they read; without downloads, without their authors' code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synergy_tui.errors import UserError, require
from synergy_tui.words import counted

if TYPE_CHECKING:
    import numpy as np
    import torch

    from synergy_tui.analyze.capture import Plan

# From this much attention in one layer on, it is made head by head from queries and keys.
_LARGE_LAYER = 2 * 2**30
_IN_BLOCK = re.compile(r"\.\d+\.")
# Names that configurations give to the longest text.
_CONTEXT = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "n_ctx")


@dataclass(frozen=True)
class Reading:
    """What a model reads, and how it is run."""

    texts: tuple[str, ...] = ()
    tokens: np.ndarray | None = None  # (B, n) ids, in place of texts
    length: int | None = None  # cut to so many tokens
    device: str = "cpu"
    dtype: str = "float32"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A model with its inputs, ready to be run."""

    name: str
    model: Any
    ids: torch.Tensor  # (B, n); what follows an input's own tokens is not its own
    lengths: tuple[int, ...]  # (B,) how many are
    plan: Plan
    labels: tuple[str, ...] | None  # the tokens, of a single input
    exact: bool  # whether rows of attention sum to one as float32 does
    notes: tuple[str, ...] = field(default=())

    @property
    def own(self) -> torch.Tensor:
        """(B, n) which ids are an input's own."""
        import torch

        places = torch.arange(self.ids.shape[1], device=self.ids.device)
        return places < torch.tensor(self.lengths, device=self.ids.device)[:, None]


def load(directory: Path, reading: Reading) -> Loaded:
    """Load a model as ``save_pretrained`` writes it, and what it is to read.

    Weights are read from safetensors only, so that loading runs no code of the model's author.
    A `UserError` says what cannot be read or measured.
    """
    transformers = require("transformers", "hf")
    import torch

    from synergy_tui.analyze.capture import plan

    if not directory.is_dir():
        raise UserError(f"There is no model directory {directory}.")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with _read_as(directory, "causal language model"):
        config = transformers.AutoConfig.from_pretrained(directory, **_LOCAL)
        text_config = config.get_text_config(decoder=True)
    ids, labels = _inputs(directory, reading)
    cut = reading.length is not None and max(map(len, ids)) > reading.length
    ids = [each[: reading.length] for each in ids]
    lengths = tuple(map(len, ids))
    count = max(lengths)
    if min(lengths) < 2:
        raise UserError("A text of fewer than two tokens has no information to follow.")
    _require_context(directory, text_config, count)
    with _read_as(directory, "causal language model"):
        size = 4 * len(ids) * (getattr(text_config, "num_attention_heads", None) or 1) * count**2
        model = _model(directory, config, text_config, reading, fused=size >= _LARGE_LAYER)
        most = model.get_input_embeddings().weight.shape[0]
    wrong = [token for each in ids for token in each if not 0 <= token < most]
    if wrong:
        raise UserError(
            f"{directory}: token {wrong[0]} is outside the model's embedding of {most} tokens.",
            hint="The tokenizer belongs to another model, or the ids do.",
        )
    # What follows a text is heard by none of its tokens, so it may be anything.
    padded = [each + each[-1:] * (count - len(each)) for each in ids]
    chosen = torch.tensor(padded, device=reading.device)
    with _read_as(directory, "causal language model"):
        found = plan(model, chosen, str(directory))
    _require_memory(size, count, fused=found.fused)
    notes = []
    if labels is not None:
        shown = " ".join(labels[:40])
        notes.append(f"tokens: {shown}")
        labels = labels[:count] if len(ids) == 1 else None
    if cut:
        notes.append(f"texts cut to {reading.length} tokens")
    if getattr(config, "is_encoder_decoder", False):
        hears = "silence" if model.main_input_name == "input_features" else "the same text"
        notes.append(f"the decoder's own attention; the encoder reads {hears}")
    numbers = [place.number for place in found.places]
    if numbers != list(range(1, len(numbers) + 1)):
        listed = ", ".join(map(str, numbers))
        notes.append(f"layers with attention, as the model numbers its blocks from 1: {listed}")
    exact = found.fused or reading.dtype == "float32"
    if not exact:
        notes.append(f"attention was computed in {reading.dtype}; rows are divided by their sums")
    return Loaded(str(directory), model, chosen, lengths, found, labels, exact, tuple(notes))


_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


@contextmanager
def _read_as(directory: Path, what: str) -> Iterator[None]:
    """Say that a directory does not hold ``what``, whatever transformers raises at its files."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{directory} cannot be read as a {what}: {reason}",
            hint="It needs config.json, a tokenizer and weights in safetensors.",
        ) from error


def _inputs(directory: Path, reading: Reading) -> tuple[list[list[int]], tuple[str, ...] | None]:
    """Return token ids of every input, and the first one's tokens where texts were given."""
    import transformers

    if reading.tokens is not None:
        return reading.tokens.tolist(), None
    files = (
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
        "vocab.json",
        "vocab.txt",
    )
    if not any((directory / name).exists() for name in files):
        raise UserError(
            f"{directory} contains no tokenizer, so texts cannot become tokens.",
            hint="Save one there (tokenizer.save_pretrained), or give ids: --tokens 3,1,2.",
        )
    with _read_as(directory, "model with a tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **_LOCAL)
        ids = [tokenizer(text)["input_ids"] for text in reading.texts]
        return ids, tuple(map(str, tokenizer.convert_ids_to_tokens(ids[0])))


def _model(directory: Path, config: Any, text_config: Any, reading: Reading, *, fused: bool) -> Any:
    """Load the class that was saved; eager attention unless it would be too large to form.

    Fused attention leaves out the capping of scores that some models have, so those stay eager.
    """
    import torch
    import transformers

    _require_layers(directory, text_config)
    saved = (getattr(config, "architectures", None) or [""])[0]
    kind = getattr(transformers, saved, transformers.AutoModelForCausalLM)
    fused = (
        fused
        and getattr(kind, "_supports_sdpa", False)
        and not getattr(text_config, "attn_logit_softcapping", None)
    )
    options = {
        **_LOCAL,
        "use_safetensors": True,
        "attn_implementation": "sdpa" if fused else "eager",
        "dtype": getattr(torch, reading.dtype),
    }
    loaded: Any = kind.from_pretrained(directory, output_loading_info=True, **options)
    model, info = loaded
    # Heads of other tasks may be missing; in a block, transformers would draw at random.
    if missing := [name for name in sorted(info["missing_keys"]) if _IN_BLOCK.search(name)]:
        raise UserError(
            f"{directory}: its weights lack {counted(len(missing), 'tensor')} of the model that "
            f"config.json describes, such as {missing[0]}.",
            hint="Copy all files of the model, or save it again.",
        )
    try:
        return model.to(reading.device).eval()
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises the latter
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"--device {reading.device}: {reason}", hint="Leave it out, or give cpu, cuda or mps."
        ) from error


def _require_layers(directory: Path, config: Any) -> None:
    """Refuse more layers than the weights have tensors, before any layer is made."""
    from safetensors import safe_open

    layers, tensors = getattr(config, "num_hidden_layers", None), 0
    for file in directory.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            tensors += len(opened.keys())
    if isinstance(layers, int) and tensors and layers > tensors:
        raise UserError(
            f"{directory}: config.json says {layers:,} layers; its weights are {tensors} tensors.",
            hint="Copy all files of the model, or save it again.",
        )


def _require_context(directory: Path, config: Any, count: int) -> None:
    for name in _CONTEXT:
        most = getattr(config, name, None)
        if isinstance(most, int) and 0 < most < count:
            raise UserError(
                f"{directory}: the text has {count} tokens; the model reads {most} at most.",
                hint=f"Cut it with --length {most}.",
            )


def _require_memory(layer: int, tokens: int, *, fused: bool) -> None:
    """Refuse attention of ``layer`` bytes that would not fit, before any of it is made."""
    import psutil

    # Eager attention has scores, their exponentials and what is handed on at the same time.
    needed = layer * (1.25 if fused else 4)
    available = psutil.virtual_memory().available
    if needed > available:
        raise UserError(
            f"The attention of one layer over {tokens} tokens needs about {needed / 2**30:.1f} "
            f"GiB; {available / 2**30:.1f} GiB are free.",
            hint="Cut the text with --length N.",
        )


def read_texts(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the whole content of each file as one text."""
    found = []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--text-file {file}: {error}.", hint="Give UTF-8 text.") from error
        if not text.strip():
            raise UserError(f"--text-file {file} contains no text.")
        found.append(text)
    return tuple(found)
