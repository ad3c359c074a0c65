"""Loss and gradients of a stack on a CPU, written out by hand.

The same mathematics as `ModelStack.logits` followed by `backward()`, which the tests hold it to.
Written out because a small Transformer on a CPU spends most of its time outside the matrix
products: here every large intermediate lives in a buffer that the next step uses again, scales are
folded into matrices, the residual stream and its gradient are updated in place, and attention has
kernels of its own, for narrow heads (`lanes`) and for wide ones (`tiles`).

Shapes: M models, B sequences, n tokens, T = B·n, d = embed, m = mlp, H heads, w = d/H, V tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from synergy_trainer.attend.dropout import Masks
from synergy_trainer.attend.lanes import WIDEST, LaneAttention, compiled_kernels
from synergy_trainer.attend.products import onednn, onednn_serves
from synergy_trainer.attend.tiles import TiledAttention
from synergy_trainer.attend.workspace import Workspace
from synergy_trainer.data import Batch
from synergy_trainer.model import RMS_EPSILON, ModelStack, head_groups, token_offsets

_ATTENTION, _MLP = 0, 1  # where a layer drops


@dataclass
class _Normed:
    """RMSNorm's output x̂ (M, T, d) and the factor 1/rms (M, T, 1) that made it."""

    values: Tensor
    factor: Tensor


@dataclass
class _Mixed:
    """What attention keeps until the backward pass."""

    weight: Tensor  # of queries, keys and values (M, 3d, d), norm and scales folded in
    qkv: Tensor  # (M, T, 3d)
    out: Tensor  # (M, T, d)
    kept: list[list[Tensor]]  # what dropout keeps, by group of models with equal head counts


# Tokens of several models that are worked on together: beyond, their activations leave the cache.
TOGETHER = 2**13


def cpu_steps(
    stack: ModelStack,
    tokens: int,
    scored_from: int,
    seeds: Sequence[int],
    dropout: float = 0.0,
    stream: int = 0,
    rounding: bool = False,
) -> list[CpuStep]:
    """Steps for all models of a stack, small ones many at a time.

    `tokens` are those of one model in one batch, `seeds` of each model's dropout, which also
    depends on `stream` so that processes that share a batch differ. With `rounding`, products may
    round their factors to bfloat16.
    """
    workspace, by_onednn = Workspace(stack.device), onednn_serves(rounding)
    together = max(1, TOGETHER // tokens)
    steps = []
    for start in range(0, len(stack.heads), together):
        models = slice(start, min(start + together, len(stack.heads)))
        masks = Masks(seeds[models], dropout, stream) if dropout else None
        steps.append(CpuStep(stack, models, scored_from, workspace, masks, by_onednn))
    return steps


def run_all(
    steps: Sequence[CpuStep], batch: Batch, step: int, measure: bool
) -> tuple[Tensor, Tensor | None]:
    """Run the steps of all models on their parts of the batch; as :meth:`CpuStep.run`."""
    with onednn() if steps[0].by_onednn else nullcontext():
        found = [
            one.run(Batch(batch.inputs[one.models], batch.targets[one.models]), step, measure)
            for one in steps
        ]
    accuracies = [accuracy for _, accuracy in found if accuracy is not None]
    return torch.cat([loss for loss, _ in found]), torch.cat(accuracies) if accuracies else None


class CpuStep:
    """Computes losses and writes gradients for some models of a stack that it `serves`.

    Steps that run one after another may share a workspace. `by_onednn` says whether oneDNN
    multiplies, which the caller of `run` has to switch on.
    """

    def __init__(
        self,
        stack: ModelStack,
        models: slice,
        scored_from: int,
        workspace: Workspace,
        masks: Masks | None = None,
        by_onednn: bool = False,
    ) -> None:
        self.models = models
        self.by_onednn = by_onednn
        self._shape = stack.shape
        self._groups = list(head_groups(stack.heads[models]))
        self._banks = {name: bank.detach()[models] for name, bank in stack.banks.items()}
        self._grads = {name: _grad(bank)[models] for name, bank in stack.banks.items()}
        self._positions = stack.fixed_positions
        if stack.shape.positions == "learned":
            self._positions = self._banks["pos_emb.weight"]
        self._scored_from = scored_from
        self._masks = masks
        self._scales = self._scales_of_qkv(stack.heads[models])
        self._workspace = workspace
        self._tiles = TiledAttention(workspace, by_onednn)
        narrowest = stack.shape.embed // max(stack.heads[models])
        kernels = compiled_kernels() if narrowest <= WIDEST else None
        self._lanes = LaneAttention(workspace, kernels) if kernels else None

    @staticmethod
    def serves(stack: ModelStack) -> bool:
        """Whether this step knows the stack's options."""
        shape = stack.shape
        return (
            stack.device.type == "cpu"
            and shape.positions != "rotary"
            and shape.activation == "relu"
        )

    @torch.no_grad()
    def run(self, batch: Batch, step: int, measure: bool) -> tuple[Tensor, Tensor | None]:
        """Write every bank's gradient; return mean losses (M,) and, if `measure`, accuracies (M,).

        Inputs of the batch are (M, B, n), targets (M, B, scored positions). Dropout depends on the
        step's number.
        """
        models, sequences, length = batch.inputs.shape
        width = self._shape.embed
        x = self._take("x", models, sequences * length, width)
        self._embed(batch.inputs, x)
        kept: list[tuple[_Normed, _Mixed, _Normed, Tensor, Tensor | None]] = []
        for layer in range(self._shape.layers):
            before = self._norm(x, f"{layer}.ln1")
            mixed = self._mix(layer, step, before, x, sequences, length)
            between = self._norm(x, f"{layer}.ln2")
            hidden, mask = self._mlp(layer, step, between, x)
            kept.append((before, mixed, between, hidden, mask))
        losses, accuracies, gradient = self._head(x, batch, measure)
        for layer in reversed(range(self._shape.layers)):
            before, mixed, between, hidden, mask = kept[layer]
            self._mlp_back(layer, between, hidden, mask, gradient)
            self._mix_back(layer, before, mixed, gradient, sequences, length)
        self._embed_back(batch.inputs, gradient)
        return losses, accuracies

    def _scales_of_qkv(self, heads: Sequence[int]) -> Tensor:
        """Factors (M, 3d) of queries, keys and values: 1/√w, 1, and 1/share kept by dropout."""
        embed = self._shape.embed
        kept = 1.0 if self._masks is None else self._masks.kept_share
        parts = [[(embed / count) ** -0.5, 1.0, 1.0 / kept] for count in heads]
        return torch.tensor(parts).repeat_interleave(embed, 1)

    def _take(self, name: str, *shape: int) -> Tensor:
        return self._workspace.take(name, *shape)

    def _embed(self, inputs: Tensor, x: Tensor) -> None:
        tokens = self._banks["token_emb.weight"].flatten(0, 1)
        torch.index_select(tokens, 0, self._rows(inputs), out=x.view(-1, x.shape[-1]))
        if self._positions is not None:
            shaped = x.view(*inputs.shape, -1)
            shaped.add_(self._positions[:, None, : inputs.shape[-1]])

    def _embed_back(self, inputs: Tensor, gradient: Tensor) -> None:
        if "pos_emb.weight" in self._grads:
            shaped = gradient.view(*inputs.shape, -1)
            grad = self._grads["pos_emb.weight"]
            grad[:, inputs.shape[-1] :].zero_()
            grad[:, : inputs.shape[-1]] = shaped.sum(1)
        tokens = self._grads["token_emb.weight"]
        if not self._shape.tie_weights:
            tokens.zero_()
        flat = gradient.view(-1, gradient.shape[-1])
        tokens.flatten(0, 1).index_add_(0, self._rows(inputs), flat)

    def _rows(self, inputs: Tensor) -> Tensor:
        """Row of each token in the flattened bank of embeddings."""
        return (inputs + token_offsets(inputs, self._shape.tokens)).flatten()

    def _norm(self, x: Tensor, name: str) -> _Normed:
        factor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factor.square_().div_(x.shape[-1]).add_(RMS_EPSILON).rsqrt_()
        return _Normed(torch.mul(x, factor, out=self._take(name, *x.shape)), factor)

    def _norm_back(self, normed: _Normed, arriving: Tensor, gradient: Tensor) -> None:
        """Add RMSNorm's gradient to the residual's: (g - x̂ mean(g x̂)) / rms. Spoils `arriving`."""
        product = torch.mul(arriving, normed.values, out=self._take("product", *arriving.shape))
        share = product.sum(-1, keepdim=True).div_(arriving.shape[-1])
        arriving.addcmul_(normed.values, share, value=-1.0)
        gradient.addcmul_(arriving, normed.factor)

    def _mix(
        self, layer: int, step: int, normed: _Normed, x: Tensor, sequences: int, length: int
    ) -> _Mixed:
        """Add attention to the residual stream."""
        at = f"layers.{layer}.attn."
        weight = self._banks[at + "qkv.weight"] * self._scales[:, :, None]
        weight *= self._banks[f"layers.{layer}.ln1.weight"][:, None]
        bias = self._banks[at + "qkv.bias"] * self._scales
        qkv = self._take(f"{layer}.qkv", *x.shape[:2], weight.shape[1])
        _affine(normed.values, weight, bias, qkv)
        mixed = _Mixed(weight, qkv, self._take(f"{layer}.out", *x.shape), [])
        for start, stop, heads in self._groups:
            attention = self._attention(heads)
            shapes = attention.kept_shapes(sequences, length, heads)
            kept = self._attention_masks(layer, step, range(start, stop), shapes)
            of_qkv, of_out = self._by_head(sequences, length, heads)
            attention.forward(
                f"{layer}.{start}",
                qkv[start:stop].view(of_qkv),
                mixed.out[start:stop].view(of_out),
                kept,
            )
            mixed.kept.append(kept)
        _add_product(x, mixed.out, self._banks[at + "out_proj.weight"].mT)
        x.add_(self._banks[at + "out_proj.bias"][:, None])
        return mixed

    def _mix_back(
        self,
        layer: int,
        normed: _Normed,
        mixed: _Mixed,
        gradient: Tensor,
        sequences: int,
        length: int,
    ) -> None:
        at = f"layers.{layer}.attn."
        torch.sum(gradient, 1, out=self._grads[at + "out_proj.bias"])
        _product(gradient.mT, mixed.out, self._grads[at + "out_proj.weight"])
        arriving = self._take("arriving", *gradient.shape)
        _product(gradient, self._banks[at + "out_proj.weight"], arriving)
        to_qkv = self._take("to_qkv", *mixed.qkv.shape)
        for (start, stop, heads), kept in zip(self._groups, mixed.kept, strict=True):
            of_qkv, of_out = self._by_head(sequences, length, heads)
            self._attention(heads).backward(
                f"{layer}.{start}",
                mixed.qkv[start:stop].view(of_qkv),
                mixed.out[start:stop].view(of_out),
                arriving[start:stop].view(of_out),
                to_qkv[start:stop].view(of_qkv),
                kept,
            )
        torch.mul(to_qkv.sum(1), self._scales, out=self._grads[at + "qkv.bias"])
        to_weight = self._take("to_weight", *mixed.weight.shape)
        _product(to_qkv.mT, normed.values, to_weight)
        to_weight.mul_(self._scales[:, :, None])
        self._scale_back(at + "qkv.weight", f"layers.{layer}.ln1.weight", to_weight)
        _product(to_qkv, mixed.weight, arriving)
        self._norm_back(normed, arriving, gradient)

    def _scale_back(self, name: str, norm: str, to_weight: Tensor) -> None:
        """Share the gradient of weight · norm's scale between the two."""
        torch.sum(to_weight * self._banks[name], 1, out=self._grads[norm])
        torch.mul(to_weight, self._banks[norm][:, None], out=self._grads[name])

    def _by_head(
        self, sequences: int, length: int, heads: int
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of queries, keys and values and of what attention makes of them, head by head."""
        tokens, head = (-1, sequences, length), (heads, self._shape.embed // heads)
        return (*tokens, 3, *head), (*tokens, *head)

    def _attention(self, heads: int) -> LaneAttention | TiledAttention:
        """What computes the attention of so many heads."""
        if self._lanes is None or self._shape.embed // heads > WIDEST:
            return self._tiles
        return self._lanes

    def _attention_masks(
        self, layer: int, step: int, models: range, shapes: Sequence[tuple[int, ...]]
    ) -> list[Tensor]:
        """What dropout keeps of the models' attention, in parts of these shapes."""
        masks = self._masks
        if masks is None:
            return []
        return [
            masks.kept(step, (layer, _ATTENTION, part), models, shape)
            for part, shape in enumerate(shapes)
        ]

    def _mlp(
        self, layer: int, step: int, normed: _Normed, x: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Add the MLP to the residual stream; return its hidden layer and what dropout kept."""
        at = f"layers.{layer}.mlp."
        weight = self._banks[at + "0.weight"] * self._banks[f"layers.{layer}.ln2.weight"][:, None]
        hidden = self._take(f"{layer}.hidden", *x.shape[:2], weight.shape[1])
        _affine(normed.values, weight, self._banks[at + "0.bias"], hidden)
        hidden.relu_()
        last, bias = self._banks[at + "2.weight"], self._banks[at + "2.bias"]
        if self._masks is None:
            _add_product(x, hidden, last.mT)
            x.add_(bias[:, None])
            return hidden, None
        made = self._take("made", *x.shape)
        _affine(hidden, last, bias, made)
        models, tokens, width = x.shape
        mask = self._take(f"{layer}.mask", *x.shape)
        mask.copy_(self._masks.kept(step, (layer, _MLP), range(models), (tokens, width)))
        x.addcmul_(made, mask, value=1.0 / self._masks.kept_share)
        return hidden, mask

    def _mlp_back(
        self, layer: int, normed: _Normed, hidden: Tensor, mask: Tensor | None, gradient: Tensor
    ) -> None:
        at = f"layers.{layer}.mlp."
        norm = f"layers.{layer}.ln2.weight"
        to_made = gradient
        if mask is not None and self._masks is not None:
            to_made = torch.mul(gradient, mask, out=self._take("made", *gradient.shape))
            to_made.mul_(1.0 / self._masks.kept_share)
        torch.sum(to_made, 1, out=self._grads[at + "2.bias"])
        _product(to_made.mT, hidden, self._grads[at + "2.weight"])
        to_hidden = self._take("to_hidden", *hidden.shape)
        _product(to_made, self._banks[at + "2.weight"], to_hidden)
        torch.ops.aten.threshold_backward.grad_input(to_hidden, hidden, 0, grad_input=to_hidden)
        torch.sum(to_hidden, 1, out=self._grads[at + "0.bias"])
        weight = self._banks[at + "0.weight"]
        to_weight = self._take("to_weight", *weight.shape)
        _product(to_hidden.mT, normed.values, to_weight)
        self._scale_back(at + "0.weight", norm, to_weight)
        arriving = self._take("arriving", *gradient.shape)
        _product(to_hidden, weight * self._banks[norm][:, None], arriving)
        self._norm_back(normed, arriving, gradient)

    def _head(self, x: Tensor, batch: Batch, measure: bool) -> tuple[Tensor, Tensor | None, Tensor]:
        """Cross-entropy and accuracy of each model, and the gradient of the residual stream."""
        models, sequences, length = batch.inputs.shape
        tied = self._shape.tie_weights
        name = "token_emb.weight" if tied else "out_proj.weight"
        scored = x
        if self._scored_from:
            shaped = x.view(models, sequences, length, -1)[:, :, self._scored_from :]
            scored = self._take("scored", models, shaped.shape[1] * shaped.shape[2], x.shape[-1])
            scored.view(shaped.shape).copy_(shaped)
        weight, targets = self._banks[name], batch.targets.flatten(1)[:, :, None]
        logits = self._take("logits", *scored.shape[:2], weight.shape[1])
        _affine(scored, weight, self._banks["out_proj.bias"], logits)
        # Only the answers' entries are read from the logits and their softmax: -log p of an answer
        # is the largest logit minus its own, plus -log of the largest p.
        largest, answers = logits.amax(-1, keepdim=True), logits.gather(-1, targets)
        accuracies = (answers == largest).float().mean((1, 2)) if measure else None
        to_logits = torch.softmax(logits, -1, out=logits)
        losses = (largest - answers - to_logits.amax(-1, keepdim=True).log()).mean((1, 2))
        to_logits.scatter_add_(-1, targets, _minus_one(targets))
        scale = 1.0 / targets.shape[1]
        _product(to_logits.mT, scored, self._grads[name], scale)
        torch.sum(to_logits, 1, out=self._grads["out_proj.bias"]).mul_(scale)
        gradient = self._take("gradient", *x.shape)
        if not self._scored_from:
            _product(to_logits, weight, gradient, scale)
            return losses, accuracies, gradient
        to_scored = self._take("to_scored", *scored.shape)
        _product(to_logits, weight, to_scored, scale)
        shaped = gradient.view(models, sequences, length, -1)
        shaped[:, :, : self._scored_from] = 0.0
        shaped[:, :, self._scored_from :] = to_scored.view(models, sequences, -1, x.shape[-1])
        return losses, accuracies, gradient


def _grad(bank: Tensor) -> Tensor:
    """The bank's gradient, made where there is none yet."""
    if bank.grad is None:
        bank.grad = torch.zeros_like(bank)
    return bank.grad


def _minus_one(like: Tensor) -> Tensor:
    return torch.full((), -1.0).expand(like.shape)


def _affine(x: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """Write x Wᵀ + b; one model alone goes the faster unbatched way."""
    if len(x) == 1:
        torch.addmm(bias[0], x[0], weight[0].T, out=out[0])
    else:
        torch.baddbmm(bias[:, None], x, weight.mT, out=out)


def _product(left: Tensor, right: Tensor, out: Tensor, scale: float = 1.0) -> None:
    if len(out) == 1:
        torch.addmm(out[0], left[0], right[0], beta=0.0, alpha=scale, out=out[0])
    else:
        torch.baddbmm(out, left, right, beta=0.0, alpha=scale, out=out)


def _add_product(to: Tensor, left: Tensor, right: Tensor) -> None:
    if len(to) == 1:
        to[0].addmm_(left[0], right[0])
    else:
        to.baddbmm_(left, right)
