"""What a model's output projections say of its heads: which slice of the matrix is whose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

# Names of the matrix that mixes the heads' outputs: Llama, GPT-2, OPT, BERT, T5 and relatives.
PROJECTIONS = ("o_proj", "c_proj", "out_proj", "dense", "wo", "o", "attn_out", "out_lin")


def find_projection(model: Any, name: str, heads: int) -> torch.Tensor | None:
    """Return (H, d, outputs): each head's slice of the output projection of an attention module.

    It is looked for in the module, then beside it (BERT keeps it there). ``None`` unless exactly
    one is found: a guess would be worse than uniform.
    """
    parent = name.rpartition(".")[0]
    for place in (name, parent) if "att" in parent.rpartition(".")[2].lower() else (name,):
        found = [
            module
            for own, module in model.get_submodule(place).named_modules()
            if own.rpartition(".")[2] in PROJECTIONS
            and getattr(getattr(module, "weight", None), "ndim", 0) == 2
        ]
        if len(found) == 1:
            return _by_head(found[0], heads)
    return None


def projection_norms(model: Any, layers: int, heads: int) -> np.ndarray | None:
    """Return (L, H): `norms` of the projections of a model whose attention modules are not known.

    ``None`` unless one projection per layer is found.
    """
    import numpy as np

    found = []
    for name, module in model.named_modules():
        parent, _, own = name.lower().rpartition(".")
        if own not in PROJECTIONS or not ("attn" in parent or "attention" in parent):
            continue
        projection = _by_head(module, heads)
        shares = None if projection is None else norms(projection)
        if shares is None:
            return None
        found.append(shares)
    return np.stack(found) if len(found) == layers else None


def norms(projection: torch.Tensor) -> np.ndarray | None:
    """Return (H,): each head's share of the L2 norms of its slice; ``None`` where all are 0."""
    import torch

    return shares(torch.linalg.vector_norm(projection, dim=(1, 2)))


def shares(norms: torch.Tensor) -> np.ndarray | None:
    """Return non-negative numbers divided by their sum; ``None`` where that is 0."""
    whole: np.ndarray = norms.double().cpu().numpy()
    return whole / whole.sum() if whole.sum() > 0 else None


def _by_head(module: Any, heads: int) -> torch.Tensor | None:
    weight = module.weight.detach().float()
    # GPT-2 keeps its matrices as (inputs, outputs), torch's Linear as (outputs, inputs).
    columns = weight if type(module).__name__ == "Conv1D" else weight.T
    return None if len(columns) % heads else columns.reshape(heads, -1, columns.shape[1])
