"""Attention of a local Hugging Face model over texts; without downloads, without its code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synergy_tui.analyze.sources import Source
from synergy_tui.errors import UserError, require

# Names of the matrix that mixes the heads' outputs: Llama, GPT-2, OPT, BERT and their relatives.
_PROJECTIONS = ("o_proj", "c_proj", "out_proj", "dense", "wo")


def read_model(directory: Path, texts: Sequence[str], *, length: int | None = None) -> Source:
    """Run a causal language model on texts and keep the attention of every layer, in float32.

    The directory is as ``save_pretrained`` writes it, tokenizer included. Weights are read from
    safetensors only, so that loading runs no code of the model's author. Texts are cut to the
    shortest of them (or to ``length`` tokens), so that layers compare. Head weights come along
    where the output projection is found.
    """
    transformers = require("transformers", "hf")
    import torch
    from safetensors import SafetensorError

    if not directory.is_dir():
        raise UserError(f"There is no model directory {directory}.")
    transformers.logging.set_verbosity_error()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, **local)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            directory,
            **local,
            use_safetensors=True,
            attn_implementation="eager",  # the fused ones never form the attention matrix
            dtype=torch.float32,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"{directory} cannot be read as a causal language model: {reason}",
            hint="It needs config.json, a tokenizer and weights in safetensors.",
        ) from error
    ids = [tokenizer(text)["input_ids"] for text in texts]
    shortest = min(map(len, ids))
    count = min(shortest, length or shortest)
    if count < 2:
        raise UserError("A text of fewer than two tokens has no information to follow.")
    config = model.config.get_text_config()
    _require_memory(len(ids), config.num_hidden_layers, config.num_attention_heads, count)
    model.eval()
    with torch.inference_mode():
        output = model(
            input_ids=torch.tensor([each[:count] for each in ids]),
            output_attentions=True,
            use_cache=False,
        )
    if not output.attentions or any(layer is None for layer in output.attentions):
        raise UserError(f"{directory}: this model does not return its attention.")
    attention = np.stack([layer.float().numpy() for layer in output.attentions], axis=1)
    notes = ["tokens: " + " ".join(tokenizer.convert_ids_to_tokens(ids[0][:count])[:40])]
    if count < max(map(len, ids)):
        notes.append(f"inputs cut to {count} tokens")
    return Source(
        str(directory),
        attention,
        projection_norms(model, config.num_hidden_layers, attention.shape[2]),
        notes=tuple(notes),
    )


def _require_memory(inputs: int, layers: int, heads: int, tokens: int) -> None:
    """Refuse attention that would not fit, before any of it is made."""
    import psutil

    # Once from the model, once stacked, once as the engine's own copy.
    needed = 3 * 4 * inputs * layers * heads * tokens**2
    available = psutil.virtual_memory().available
    if needed > available:
        raise UserError(
            f"The attention of {inputs} x {layers} layers x {heads} heads over {tokens} tokens "
            f"needs about {needed / 2**30:.1f} GiB; {available / 2**30:.1f} GiB are free.",
            hint="Cut the text with --length N.",
        )


def projection_norms(model: Any, layers: int, heads: int) -> np.ndarray | None:
    """Return (L, H): L2 norms of each head's slice of the output projection, normalised.

    ``None`` unless one projection per layer is found: a guess would be worse than uniform.
    """
    found = []
    for name, module in model.named_modules():
        parent, _, own = name.lower().rpartition(".")
        if own not in _PROJECTIONS or not ("attn" in parent or "attention" in parent):
            continue
        weight = module.weight.detach().float().cpu().numpy()
        # GPT-2 keeps its matrices as (inputs, outputs), torch's Linear as (outputs, inputs).
        columns = weight if type(module).__name__ == "Conv1D" else weight.T
        if columns.shape[0] % heads:
            return None
        norms = np.linalg.norm(columns.reshape(heads, -1), axis=1)
        found.append(norms / norms.sum())
    return np.stack(found).astype(np.float64) if len(found) == layers else None
