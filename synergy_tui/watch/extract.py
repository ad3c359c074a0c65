"""Takes the attention of a PyTorch module, and leaves the module as it was."""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.analyze.projections import projection_norms
from synergy_tui.experiments.attention import Snapshot

if TYPE_CHECKING:
    from torch import Tensor, nn

# Attention in half precision misses a sum of one by rounding; more than this is something else.
ROW_ERROR = 0.02
PART = "attention=, a function of model and batch, can return that of a causal part"
SHARDED = {"FullyShardedDataParallel", "DTensor"}


class NoAttentionError(Exception):
    """Says why a module's attention cannot be measured."""


@dataclass(frozen=True)
class Extracted:
    """What a probe takes from a model."""

    snapshot: Snapshot
    learned: bool
    """Whether the head weights are those of the output projections, rather than uniform."""
    loss: float | None


class Extractor:
    """Runs a module on a fixed batch and returns its attention."""

    def __init__(
        self, model: nn.Module, batch: Any, attention: Callable[..., Any] | None = None
    ) -> None:
        self.model = unwrapped(model)
        parameters = list(self.model.parameters())
        self.device = next((each.device for each in parameters), None)
        self._sharded = bool(SHARDED & {*map(_type_name, (*self.model.modules(), *parameters))})
        self._batch = _moved(batch, self.device)
        self._given = attention

    def __call__(self) -> Extracted:
        """Return the attention of the model as it is now; a `NoAttentionError` says why not."""
        if self._sharded:
            raise NoAttentionError("its parameters are sharded, so one process cannot run it alone")
        with undisturbed(self.model):
            found, loss = self._attention()
        attention = _stacked(found)
        layers, heads = attention.shape[1:3]
        weights = projection_norms(self.model, layers, heads)
        snapshot = Snapshot(
            "",
            attention,
            np.full((layers, heads), 1 / heads) if weights is None else weights,
            _tokens(self._batch, attention),
        )
        return Extracted(snapshot, weights is not None, loss)

    def _attention(self) -> tuple[Any, float | None]:
        if self._given is not None:
            return self._given(self.model, self._batch), None
        if hasattr(self.model, "set_attn_implementation") and hasattr(self.model, "config"):
            return _from_transformers(self.model, self._batch)
        listening = _listener()
        with listening:
            output = _called(self.model, self._batch)
        if not listening.found:
            raise NoAttentionError(
                "it calls neither scaled_dot_product_attention nor nn.MultiheadAttention; give "
                "attention=, a function of model and batch that returns one tensor per layer"
            )
        return listening.found, _loss(output)


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile``, DDP and DataParallel.

    The wrapper of DDP would wait for the other processes, which do not probe.
    """
    from torch import nn

    wrappers = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    while True:
        inner = model.module if isinstance(model, wrappers) else getattr(model, "_orig_mod", None)
        if inner is None:
            return model
        model = inner


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; modes and random numbers are afterwards as before."""
    import torch

    modes = [(module, module.training) for module in model.modules()]
    devices = {each.device.index for each in model.parameters() if each.device.type == "cuda"}
    drawn, numpy_drawn = random.getstate(), np.random.get_state()  # noqa: NPY002
    stance = getattr(torch.compiler, "set_stance", None)  # from torch 2.6 on
    # Not inference mode: what a model caches in it could not take part in its training later.
    with (
        torch.random.fork_rng(devices=sorted(devices)),
        torch.no_grad(),
        stance("force_eager") if stance else nullcontext(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        try:
            # Not `model.eval()`: some modules do more in it, as adapters that merge their weights.
            for module, _ in modes:
                module.training = False
            yield
        finally:
            for module, training in modes:
                module.training = training
            random.setstate(drawn)
            np.random.set_state(numpy_drawn)  # noqa: NPY002


def _from_transformers(model: Any, batch: Any) -> tuple[Any, float | None]:
    """Ask a Hugging Face model for its attention, which only the eager implementation forms."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        output = _called(model, batch, output_attentions=True, use_cache=False)
    finally:
        model.set_attn_implementation(before)
    found = getattr(output, "attentions", None)
    if not found or any(layer is None for layer in found):
        raise NoAttentionError(f"{_type_name(model)} does not return its attention")
    return list(found), _loss(output)


def _listener() -> Any:
    """Return a context in which calls of torch's attention functions leave their weights."""
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    class Listener(TorchFunctionMode):
        def __init__(self) -> None:
            super().__init__()
            self.found: list[Tensor] = []

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            if function is functional.scaled_dot_product_attention:
                self.found.append(_weights(*args, **kwargs))
            if function is not functional.multi_head_attention_forward:
                return function(*args, **kwargs)
            asked = {"need_weights": True, "average_attn_weights": False}
            output, weights = function(*args, **{**kwargs, **asked})
            assert weights is not None
            self.found.append(weights)
            if not kwargs.get("need_weights", True):
                return output, None
            return output, weights.mean(-3) if kwargs.get("average_attn_weights", True) else weights

    return Listener()


def _weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return the attention that `scaled_dot_product_attention` does not, in float32."""
    import torch

    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
    factor = 1 / math.sqrt(query.size(-1)) if scale is None else scale
    scores = (query.float() @ key.float().transpose(-2, -1)) * factor
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        scores = scores.masked_fill(~allowed, -math.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1)


def _called(model: Any, batch: Any, **more: Any) -> Any:
    if isinstance(batch, Mapping):
        return model(**batch, **more)
    return model(*batch, **more) if isinstance(batch, tuple | list) else model(batch, **more)


def _moved(batch: Any, device: Any) -> Any:
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return [_moved(each, device) for each in batch]
    return batch.to(device) if hasattr(batch, "to") and device is not None else batch


def _stacked(found: Any) -> np.ndarray:
    """Return (B, L, H, n, n) in float32, checked as far as its shape and its rows go."""
    if hasattr(found, "ndim"):  # of one layer, or of all in one tensor (B, L, H, n, n)
        found = [found] if found.ndim == 4 else list(found.swapaxes(0, 1))
    arrays = [_array(layer) for layer in found]
    shapes = {each.shape for each in arrays}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 4 or shape[-1] != shape[-2] or shape[-1] < 2:
        listed = ", ".join(map(str, sorted(shapes))) or "nothing"
        raise NoAttentionError(
            f"its layers' attention is not of one shape (inputs, heads, n, n), but {listed}; {PART}"
        )
    attention = np.stack(arrays, axis=1)
    sums = attention.sum(-1, keepdims=True)
    if not (np.abs(sums - 1) < ROW_ERROR).all():  # NaN, where all of a row is masked, is not
        raise NoAttentionError("rows of its attention do not sum to one (is there padding?)")
    if np.triu(attention, 1).any():
        raise NoAttentionError(f"its attention is not causal: positions see later ones; {PART}")
    return np.asarray(attention / sums, dtype=np.float32)


def _array(layer: Any) -> np.ndarray:
    if hasattr(layer, "detach"):
        layer = layer.detach().float().cpu().numpy()
    return np.asarray(layer, dtype=np.float32)


def _tokens(batch: Any, attention: np.ndarray) -> np.ndarray | None:
    """Return the first whole numbers of the batch that are one for each input and position."""
    values = batch.values() if isinstance(batch, Mapping) else batch
    for each in values if isinstance(values, list) or isinstance(batch, Mapping) else [batch]:
        if hasattr(each, "is_floating_point") and not each.is_floating_point():
            tokens = each.cpu().numpy()
            if tokens.shape == (len(attention), attention.shape[-1]):
                return np.asarray(tokens, dtype=np.int64)
    return None


def _loss(output: Any) -> float | None:
    loss = getattr(output, "loss", None)
    return None if loss is None else float(loss)


def _type_name(value: Any) -> str:
    return type(value).__name__
