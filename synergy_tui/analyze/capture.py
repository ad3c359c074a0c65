"""Attention of a torch model, handed on layer by layer while the model runs.

A layer's attention exists only until it has been measured, so memory is one layer's. Models that
never form it (fused kernels) are read through the queries and keys of their calls.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch  # noqa: TID253  (this module is imported with a model only)
from torch.overrides import TorchFunctionMode  # noqa: TID253

from synergy_tui.analyze.projections import PROJECTIONS, find_projection, norms, shares
from synergy_tui.analyze.queries import Queries
from synergy_tui.errors import UserError

# Enough tokens for attention to the future to show.
_PROBED = 4


@dataclass(frozen=True, eq=False)
class Layer:
    """Attention of one layer over all inputs, with what its output projection says of heads."""

    number: int  # from 1, counting all blocks of the model
    module: str  # its name in the model
    attention: np.ndarray  # (B, H, n, n) float32; past an input's own tokens, whatever it is
    projection: np.ndarray | None  # (H,) share of the output projection's norm
    output: np.ndarray | None  # (H,) measured share of the layer's output
    sinks: bool  # rows sum to less than one: learned sinks have the rest


@dataclass(frozen=True)
class Place:
    """One call of an attention module, in the order of calls."""

    number: int
    module: str
    heads: int


@dataclass(frozen=True)
class Plan:
    """Where a model's attention is, and how it is asked for."""

    places: tuple[Place, ...]
    extra: dict[str, Any]  # arguments of the model's call
    fused: bool  # read from the calls' queries and keys


@dataclass
class _Call:
    """An attention module that is running."""

    name: str
    queries: Queries | None = None
    mixed: torch.Tensor | None = None  # what enters the output projection


@dataclass
class _Watch:
    """Follows a model's modules as they run, and takes attention where one returns it."""

    model: torch.nn.Module
    tokens: int
    take: Callable[[str, int, torch.nn.Module, torch.Tensor | Queries, Any], None]
    stack: list[_Call] = field(default_factory=list)

    @contextmanager
    def __call__(self, *, fused: bool) -> Iterator[None]:
        with ExitStack() as hooks:
            for name, module in self.model.named_modules():
                before = module.register_forward_pre_hook(self._entered(name))
                after = module.register_forward_hook(self._left)
                hooks.callback(before.remove)
                hooks.callback(after.remove)
            if fused:
                hooks.enter_context(_FusedCalls(self))
            yield

    def _entered(self, name: str) -> Callable[..., None]:
        projection = name.rpartition(".")[2] in PROJECTIONS

        def entered(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            if projection and self.stack and inputs and isinstance(inputs[0], torch.Tensor):
                self.stack[-1].mixed = inputs[0]
            self.stack.append(_Call(name))

        return entered

    def _left(self, module: torch.nn.Module, inputs: Any, output: Any) -> Any:
        call = self.stack.pop()
        found: torch.Tensor | Queries | None = call.queries
        if isinstance(output, tuple | list):
            places = [i for i, each in enumerate(output) if self._is_attention(each)]
            if places:
                found = output[places[0]]
                # Nobody downstream reads it, and whoever collects it should not keep it alive.
                empty = output[places[0]].new_empty(0)
                output = type(output)(
                    empty if i in places else each for i, each in enumerate(output)
                )
        if found is not None:
            self.take(call.name, self._number(call.name), module, found, call.mixed)
        return output

    def _is_attention(self, value: Any) -> bool:
        """Whether a module returns attention there; T5 returns biases of the same shape too."""
        if not (
            isinstance(value, torch.Tensor)
            and value.ndim == 4
            and value.is_floating_point()
            and value.shape[-2:] == (self.tokens, self.tokens)
        ):
            return False
        sums = value.sum(-1, dtype=torch.float32)
        return bool(value.min() >= 0 and sums.min() > 0 and sums.max() < 1.1)

    def _number(self, name: str) -> int:
        """Return the number of the block that runs; modules that blocks share have one name."""
        for running in (*(call.name for call in self.stack), name):
            found = re.search(r"\.(\d+)$", running) or re.search(r"\.(\d+)\.", running)
            if found:
                return int(found[1]) + 1
        return 1


class _FusedCalls(TorchFunctionMode):
    """Keeps the queries and keys of fused attention until their module ends."""

    def __init__(self, watch: _Watch) -> None:
        super().__init__()
        self._watch = watch

    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), options: Any = None
    ) -> Any:
        options = options or {}
        if function is torch.nn.functional.scaled_dot_product_attention and self._watch.stack:
            given = inspect_call(*arguments, **options)
            if given.query.shape[-2] == given.key.shape[-2] == self._watch.tokens:
                self._watch.stack[-1].queries = given
        return function(*arguments, **options)


def inspect_call(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Queries:
    """Return what a call of ``scaled_dot_product_attention`` attends with."""
    return Queries(query, key, attn_mask, causal=is_causal, scale=scale)


def plan(model: Any, ids: torch.Tensor, name: str) -> Plan:
    """Find the attention of a model by running it on a few tokens.

    Kept are the modules that look at no later token: of an encoder-decoder, the decoder's own. A
    `UserError` says that there is none.
    """
    probed = ids[:1, :_PROBED]
    with_flag = {"output_attentions": True}
    eager = getattr(model.config, "_attn_implementation", "eager") in (None, "eager")
    ways = [({}, False), (with_flag, False), ({}, True)] if eager else [({}, True)]
    ahead = False
    for extra, fused in ways:
        found: list[Place] = []

        def take(
            module: str, number: int, _: Any, what: torch.Tensor | Queries, mixed: Any
        ) -> None:
            nonlocal ahead
            attention = what if isinstance(what, torch.Tensor) else what.attention()
            if attention.triu(1).abs().max() > 0:
                ahead = True
            else:
                found.append(Place(number, module, attention.shape[1]))  # noqa: B023

        with _Watch(model, probed.shape[1], take)(fused=fused), torch.inference_mode():
            call(model, probed, extra)
        if found:
            return Plan(tuple(found), extra, fused)
        if ahead:
            raise UserError(
                f"{name}: its attention is bidirectional, not a feedforward graph: not supported.",
                hint="Give a causal language model, or an encoder-decoder (its decoder is read).",
            )
    kind = getattr(model.config, "model_type", "")
    raise UserError(
        f"{name}: this model ({kind or type(model).__name__}) has no attention between all tokens, "
        "so there are no heads to measure.",
        hint="Models without attention (Mamba, RWKV) and block-sparse ones are not supported.",
    )


def capture(
    model: Any,
    ids: torch.Tensor,
    own: torch.Tensor,
    plan: Plan,
    hear: Callable[[Layer], None],
    wanted: Callable[[Place], bool] = lambda place: True,
) -> Any:
    """Run the model on ids (B, n), call ``hear`` with each layer, and return the model's output.

    ``own`` (B, n) says which ids are an input's own; others follow these, so that none hears them.
    """
    waiting = list(plan.places)

    def take(
        name: str, number: int, module: torch.nn.Module, what: torch.Tensor | Queries, mixed: Any
    ) -> None:
        if not waiting or (waiting[0].module, waiting[0].number) != (name, number):
            return  # an encoder's, or one between encoder and decoder
        place = waiting.pop(0)
        if not wanted(place):
            return
        attention = what if isinstance(what, torch.Tensor) else what.attention()
        projection = find_projection(model, name, place.heads)
        hear(
            Layer(
                number,
                name,
                attention.float().cpu().numpy(),
                None if projection is None else norms(projection),
                _contributions(projection, mixed, own),
                sinks=isinstance(getattr(module, "sinks", None), torch.Tensor),
            )
        )

    with _Watch(model, ids.shape[1], take)(fused=plan.fused), torch.inference_mode():
        return call(model, ids, plan.extra, own)


def call(
    model: Any, ids: torch.Tensor, extra: dict[str, Any], own: torch.Tensor | None = None
) -> Any:
    """Run a model on token ids; the encoder of an encoder-decoder reads the same, or silence."""
    accepted = inspect.signature(model.forward).parameters
    given: dict[str, Any] = {"use_cache": False, **extra}
    given = {key: value for key, value in given.items() if key in accepted or key in extra}
    if getattr(model.config, "is_encoder_decoder", False):
        given["decoder_input_ids"] = ids
        if model.main_input_name == "input_features":
            config = model.config
            shape = (len(ids), config.num_mel_bins, 2 * config.max_source_positions)
            given["input_features"] = torch.zeros(shape, dtype=model.dtype, device=ids.device)
            return model(**given)
        if own is not None:
            given["attention_mask"] = own.long()  # the encoder's, which hears what follows
    return model(input_ids=ids, **given)


def _contributions(
    projection: torch.Tensor | None, mixed: torch.Tensor | None, own: torch.Tensor
) -> np.ndarray | None:
    """Return each head's share (H,) of the norms that heads add to the layer's output.

    The norm is Frobenius's over all inputs and their own positions, of what a head's slice of the
    projection makes of what the head heard.
    """
    if projection is None or mixed is None:
        return None
    heads, width, _ = projection.shape
    if mixed.shape[-1] != heads * width:
        return None
    split = mixed.detach().float().reshape(*own.shape, heads, width)[own]
    return shares(
        torch.stack(
            [torch.linalg.vector_norm(split[:, head] @ projection[head]) for head in range(heads)]
        )
    )
