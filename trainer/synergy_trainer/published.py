"""Models trained elsewhere: state dicts under the names of the paper's published checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from synergy_trainer.checkpoint import ADAM
from synergy_trainer.checks import check
from synergy_trainer.errors import TrainerError
from synergy_trainer.model import Mixed, ModelStack, answered
from synergy_trainer.settings import Intervention, ModelShape, RunSettings, TrainSettings

SEQUENCES = 256
"""Sequences evaluated at a time."""

# What damaged and hostile files make torch, safetensors and the shapes' arithmetic raise.
_UNREADABLE = (
    SafetensorError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)


class LoadedModel:
    """A trained Transformer, ready to be inspected.

    Attributes
    ----------
    shape
        Its sizes.
    heads
        Its head count.
    about
        What a checkpoint written by `train` records (task, seed, step and so on); empty for other
        files.
    """

    def __init__(self, stack: ModelStack, about: Mapping[str, Any] | None = None) -> None:
        self._stack = stack
        self.about = dict(about or {})
        self.shape = stack.shape
        self.heads = stack.heads[0]

    def attention(self, tokens: ArrayLike) -> NDArray[np.float32]:
        """Attention (B, L, H, n, n) on tokens (B, n) or (n,), each row a distribution over keys.

        Raises
        ------
        TrainerError
            A token or the length is out of the model's range.
        """
        attention, _ = self._stack.attention(self._inputs(tokens))
        return attention[0].numpy()

    def head_weights(self) -> NDArray[np.float64]:
        """Head weights (L, H), rows summing to 1, from the output projections."""
        return self._stack.head_weights(0)

    @torch.no_grad()
    def ablated(
        self, tokens: ArrayLike, targets: ArrayLike
    ) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
        """What every head is worth to the loss: removed one at a time, in two ways.

        Parameters
        ----------
        tokens, targets
            (B, n) and (B, m): sequences, and what is to be answered at their last m positions.

        Returns
        -------
        loss : float
            Mean cross-entropy of the whole model, in nats.
        zero : (L, H)
            The same where what a head writes is zero.
        mean : (L, H)
            Where it is the head's mean over the sequences, position by position, so that what it
            adds whatever the input stays.

        O(L H) evaluations of the model, of `SEQUENCES` at a time.

        Raises
        ------
        TrainerError
            A token or the length is out of the model's range.
        """
        inputs = self._inputs(tokens)
        answers = torch.as_tensor(np.atleast_2d(np.asarray(targets, dtype=np.int64)))[None]
        layers, sequences, length = self.shape.layers, inputs.shape[1], inputs.shape[2]
        means = torch.zeros(layers, 1, length, self.shape.embed)

        def gather(layer: int, mixed: Tensor) -> Tensor:
            means[layer] += mixed.unflatten(1, (-1, length)).sum(1) / sequences
            return mixed

        def loss(changed: Mixed) -> float:
            total = 0.0
            for start in range(0, sequences, SEQUENCES):
                part = slice(start, start + SEQUENCES)
                own = answers[:, part]
                logits = self._stack.logits(inputs[:, part], length - own.shape[2], changed=changed)
                total += answered(logits, own.flatten(1))[0].item() * own.shape[1] / sequences
            return total

        whole = loss(gather)
        without = self._stack.without
        heads = [[(layer, head) for head in range(self.heads)] for layer in range(layers)]
        zero = [[loss(without(*each)) for each in row] for row in heads]
        mean = [[loss(without(*each, means[each[0]])) for each in row] for row in heads]
        return whole, np.array(zero), np.array(mean)

    def _inputs(self, tokens: ArrayLike) -> torch.Tensor:
        inputs = torch.as_tensor(np.atleast_2d(np.asarray(tokens, dtype=np.int64)))
        if inputs.ndim != 2 or not 0 < inputs.shape[1] <= self.shape.length:
            raise TrainerError(
                f"tokens: need (B, n) with n up to {self.shape.length}, got shape "
                f"{tuple(inputs.shape)}"
            )
        if inputs.numel() and not 0 <= inputs.min() <= inputs.max() < self.shape.tokens:
            raise TrainerError(f"tokens: must be within 0 and {self.shape.tokens - 1}")
        return inputs[None]


def load_published(path: str | Path, heads: int | None = None) -> LoadedModel:
    """Load a `.pt` state dict or a `.safetensors` file under the published parameter names.

    Nothing in the file is executed (`weights_only=True`). A checkpoint written by `train` loads
    as well, without its optimiser state.

    Parameters
    ----------
    path
        The file.
    heads
        Head count, which must divide the embedding width; a checkpoint written by `train` records
        its own.

    Raises
    ------
    TrainerError
        The file is missing, damaged or contains something else, it does not record how many heads
        there are, or they do not divide the width.
    """
    path = Path(path)
    if not path.is_file():
        raise TrainerError(f"{path}: there is no such file")
    about: dict[str, Any] = {}
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                about = json.loads((file.metadata() or {}).get("synergy", "{}"))
                names = [name for name in file.keys() if not name.startswith(ADAM)]  # noqa: SIM118
                state = {name: file.get_tensor(name) for name in names}
        else:
            state = _unpickled(path)
        shape = _shape_of_state(path, state, about)
        count = heads or about.get("heads")
        if not isinstance(count, int):
            raise TrainerError(f"heads: {path} does not say how many heads the model has; state it")
        stack = ModelStack(shape, [count], changes=[_change(path, shape, count, about)])
        stack.load(0, state)
    except TrainerError:
        raise
    except _UNREADABLE as error:
        raise TrainerError(f"{path}: cannot be read as a checkpoint ({error})") from error
    return LoadedModel(stack, about)


def _change(
    path: Path, shape: ModelShape, heads: int, about: Mapping[str, Any]
) -> Intervention | None:
    """What training did to the logits; TrainerError where the model cannot have these heads."""
    if shape.queries is not None and shape.queries % heads:
        raise TrainerError(
            f"{path}: heads: {heads} heads do not divide queries of width {shape.query_width}"
        )
    run = RunSettings(
        "run",
        heads,
        head_width=None if shape.queries is None else shape.queries // heads,
        head_diversity=float(about.get("head_diversity", 1.0)),
        match_scale=bool(about.get("match_scale", False)),
        tied=int(about.get("tied", 1)),
    )
    try:
        check(TrainSettings(embed=shape.embed, positions=about.get("positions", "learned")), [run])
    except TrainerError as error:
        raise TrainerError(
            [f"{path}: {problem.removeprefix('run.')}" for problem in error.problems]
        ) from None
    return run.intervention


def _unpickled(path: Path) -> Any:
    """Load a pickle of tensors; torch documents no error for a damaged file: any may come."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).split("\n")[0] or type(error).__name__
        raise TrainerError(f"{path}: cannot be read as a checkpoint ({reason})") from error


def _shape_of_state(path: Path, state: object, about: Mapping[str, Any]) -> ModelShape:
    """Sizes from a state dict's shapes, and the rest from what the file records."""
    needed = [
        "token_emb.weight",
        "layers.0.attn.W_q.weight",
        "layers.0.mlp.0.weight",
        "out_proj.bias",
    ]
    positions = about.get("positions", "learned")
    if positions == "learned":
        needed.append("pos_emb.weight")
    if not isinstance(state, dict) or any(name not in state for name in needed):
        raise TrainerError(
            f"{path}: not a checkpoint of this Transformer; it needs parameters named "
            f"{', '.join(needed)} and so on"
        )
    tokens, embed = state["token_emb.weight"].shape
    layers = {int(m[1]) for name in state if (m := re.match(r"layers\.(\d+)\.", name))}
    queries = state["layers.0.attn.W_q.weight"].shape[0]
    return ModelShape(
        tokens=tokens,
        length=state["pos_emb.weight"].shape[0] if positions == "learned" else about["length"],
        embed=embed,
        mlp=state["layers.0.mlp.0.weight"].shape[0],
        layers=len(layers),
        positions=positions,
        activation=about.get("activation", "relu"),
        tie_weights="out_proj.weight" not in state,
        queries=None if queries == embed else queries,
    )
