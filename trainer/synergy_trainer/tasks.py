"""Sequence tasks whose best possible loss and accuracy are known.

A task draws input tokens and the target at every scored position. Each is one small class: its
name, what a perfect causal model could reach, and how a batch is made. Importing this module does
not import torch; drawing a batch does.

The loss floor is in nats per scored position and the accuracy ceiling is a share of the scored
positions, both in expectation over the data, for the best model that sees only positions up to
and including the one it answers at (the *causal mask*).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from synergy_trainer.errors import TrainerError

if TYPE_CHECKING:
    from torch import Tensor

    from synergy_trainer.draws import Draw


class Task:
    """A family of sequences; subclasses say how they are drawn and what can be reached.

    Attributes
    ----------
    name
        What scenarios call it.
    summary
        The rule, in a few words.
    solvable
        Whether, and where not, the causal mask lets the target be known.
    needs_attention
        What attention is needed for; starts with "no" when a model without any attention can be
        perfect.
    minimum_length, minimum_vocabulary
        The shortest length that leaves something to answer, and the fewest token values.

    Raises
    ------
    TrainerError
        On construction: the task does not exist at this length (tokens per sequence) or with this
        vocabulary (values of a token).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    solvable: ClassVar[str] = "yes, at every scored position"
    needs_attention: ClassVar[str]
    minimum_length: ClassVar[int] = 2
    minimum_vocabulary: ClassVar[int] = 2

    def __init__(self, length: int, vocabulary: int) -> None:
        problems = self.problems(length, vocabulary)
        if problems:
            raise TrainerError(problems)
        self.length = length
        self.vocabulary = vocabulary

    @classmethod
    def problems(cls, length: int, vocabulary: int) -> list[str]:
        """Say why the task does not exist at this size; empty when it does."""
        found = []
        if length < cls.minimum_length:
            found.append(
                f"length: task {cls.name!r} needs at least {cls.minimum_length} tokens, "
                f"got {length}"
            )
        if vocabulary < cls.minimum_vocabulary:
            found.append(
                f"vocabulary: task {cls.name!r} needs at least {cls.minimum_vocabulary} values, "
                f"got {vocabulary}"
            )
        return found

    @property
    def tokens(self) -> int:
        """Number of distinct tokens, separators included: the model's vocabulary."""
        return self.vocabulary

    @property
    def scored_from(self) -> int:
        """First scored position; every later one is scored too, the last token among them."""
        return 0

    @property
    def floor(self) -> float:
        """Lowest attainable mean cross-entropy, in nats per scored position."""
        return 0.0

    @property
    def ceiling(self) -> float:
        """Highest attainable share of scored positions answered rightly."""
        return 1.0

    def generate(self, draw: Draw, batch: int) -> tuple[Tensor, Tensor]:
        """Draw sequences: here, of uniform tokens.

        Parameters
        ----------
        draw
            The source of random integers; the only thing the result depends on.
        batch
            Number of sequences B.

        Returns
        -------
        tuple
            Inputs (B, length) and targets (B, length - scored_from), int64.
        """
        inputs = draw.integers(self.vocabulary, (batch, self.length))
        return inputs, self.targets(inputs)

    def targets(self, inputs: Tensor) -> Tensor:
        """Targets (B, length - scored_from) of uniform inputs (B, length)."""
        raise NotImplementedError


class Copy(Task):
    name = "copy"
    summary = "answer each token with itself"
    needs_attention = "no: each answer is the token at the same position"

    def targets(self, inputs: Tensor) -> Tensor:
        return inputs


class Cycle(Task):
    """The target is the input rolled right by one, so position 0 is asked for the last token."""

    name = "cycle"
    summary = "answer each token with the one before it; the first with the last"
    solvable = "yes, except at position 0, whose answer comes last and can only be guessed"
    needs_attention = "yes: to the previous token"

    @property
    def floor(self) -> float:
        """ln(V)/n: one position of n is a uniform guess among V values."""
        return math.log(self.vocabulary) / self.length

    @property
    def ceiling(self) -> float:
        """1 - (1 - 1/V)/n: 1 - 1/n, and the lucky guess at position 0."""
        return 1.0 - (1.0 - 1.0 / self.vocabulary) / self.length

    def targets(self, inputs: Tensor) -> Tensor:
        return inputs.roll(1, dims=1)


class _Rewrite(Task):
    """k values, a separator, then the same values rewritten, predicted one token ahead.

    A sequence is `values, separator, answer, separator`; the model reads its first `length`
    tokens and is asked, from the first separator on, for the token that follows. With an even
    length n = 2k the sink answers the last value; with an odd one, n = 2k + 1, it has seen the
    whole answer and says that it ends.
    """

    minimum_length = 4

    @property
    def tokens(self) -> int:
        """The values and the separator, whose id is `vocabulary`."""
        return self.vocabulary + 1

    @property
    def scored_from(self) -> int:
        """The separator's position, k = length // 2."""
        return self.length // 2

    def _answer(self, values: Tensor) -> Tensor:
        raise NotImplementedError

    def generate(self, draw: Draw, batch: int) -> tuple[Tensor, Tensor]:
        import torch

        count = self.length // 2
        values = draw.integers(self.vocabulary, (batch, count))
        separator = values.new_full((batch, 1), self.vocabulary)
        whole = torch.cat([values, separator, self._answer(values), separator], dim=1)
        return whole[:, : self.length], whole[:, count + 1 : self.length + 1]


class Reverse(_Rewrite):
    name = "reverse"
    summary = "repeat the values backwards after the separator"
    needs_attention = "yes: to a place that moves back by two at each answer"

    def _answer(self, values: Tensor) -> Tensor:
        return values.flip(1)


class Sort(_Rewrite):
    name = "sort"
    summary = "repeat the values in ascending order after the separator"
    needs_attention = "yes: to all values, and to how far the answer has come"

    def _answer(self, values: Tensor) -> Tensor:
        return values.sort(dim=1, stable=True).values


class OffsetSum(Task):
    """The target is the sum, modulo V, of the tokens one and three places back."""

    name = "offset_sum"
    summary = "answer with the sum, modulo the vocabulary, of the tokens 1 and 3 places back"
    needs_attention = "yes: to two places at once, apart from one another"
    minimum_length = 4
    offsets: ClassVar[tuple[int, ...]] = (1, 3)

    @property
    def scored_from(self) -> int:
        """The first position with all its summands."""
        return max(self.offsets)

    def targets(self, inputs: Tensor) -> Tensor:
        import torch

        start = self.scored_from
        earlier = [inputs[:, start - back : self.length - back] for back in self.offsets]
        return torch.stack(earlier).sum(0).remainder(self.vocabulary)


class Parity(Task):
    name = "parity"
    summary = "answer with the parity of the number of odd tokens so far"
    needs_attention = "yes: to every token so far, each of which flips the answer"

    def targets(self, inputs: Tensor) -> Tensor:
        return inputs.remainder(2).cumsum(1).remainder(2)


class Maximum(Task):
    name = "maximum"
    summary = "answer with the largest token so far"
    needs_attention = "yes: to the largest token so far"

    def targets(self, inputs: Tensor) -> Tensor:
        return inputs.cummax(1).values


class SecondMaximum(Task):
    """The target is the second largest token so far, counted with repetition."""

    name = "second_maximum"
    summary = "answer with the second largest token so far (5, 7, 7 has second largest 7)"
    needs_attention = "yes: to the two largest tokens so far"

    @property
    def scored_from(self) -> int:
        """The first position that has seen two tokens."""
        return 1

    def targets(self, inputs: Tensor) -> Tensor:
        """The running maximum of min(token, largest before it)."""
        import torch

        largest = inputs.cummax(1).values
        beaten = torch.minimum(inputs[:, 1:], largest[:, :-1])
        return beaten.cummax(1).values


class AssociativeRecall(Task):
    """Pairs of a key and its value, then keys asked for their values.

    With p = length // 4 pairs, positions 0..2p-1 hold `key, value` p times, keys distinct, and
    every later position holds one of those keys, drawn independently; its target is the value.
    Keys are tokens 0..V-1 and values V..2V-1.
    """

    name = "associative_recall"
    summary = "after key-value pairs, answer each key with its value"
    needs_attention = "yes: from the key to the value beside it, usually by two layers"
    minimum_length = 4

    @classmethod
    def problems(cls, length: int, vocabulary: int) -> list[str]:
        """Require as many values of the vocabulary as there are distinct keys."""
        found = super().problems(length, vocabulary)
        if length // 4 > vocabulary:
            found.append(
                f"vocabulary: task {cls.name!r} at length {length} draws {length // 4} distinct "
                f"keys, so it needs a vocabulary of at least {length // 4}, got {vocabulary}"
            )
        return found

    @property
    def tokens(self) -> int:
        """Keys and values do not share tokens: 2V."""
        return 2 * self.vocabulary

    @property
    def scored_from(self) -> int:
        """The first question, after the pairs."""
        return 2 * (self.length // 4)

    def generate(self, draw: Draw, batch: int) -> tuple[Tensor, Tensor]:
        import torch

        pairs = self.length // 4
        keys = draw.permutations(self.vocabulary, batch)[:, :pairs]
        values = draw.integers(self.vocabulary, (batch, pairs)) + self.vocabulary
        asked = draw.integers(pairs, (batch, self.length - 2 * pairs))
        known = torch.stack([keys, values], dim=2).flatten(1)
        return torch.cat([known, keys.gather(1, asked)], dim=1), values.gather(1, asked)


class Induction(Task):
    """A random stretch repeated over and over, its period drawn for each sequence.

    The period is uniform in n/4..n/2 and the last quarter is scored, so every answer has been
    seen before, in the same context, at a distance that only the content gives away. Two periods
    fit the same sequence with probability below n/4 · V^(-n/4), which the floor neglects.
    """

    name = "induction"
    summary = "continue a repeated stretch of unknown period"
    needs_attention = "yes: to the token after the same context earlier, by two layers"
    minimum_length = 8
    minimum_vocabulary = 4

    @property
    def scored_from(self) -> int:
        """The last quarter, by when at least a quarter of the sequence is repetition."""
        return self.length - self.length // 4

    def generate(self, draw: Draw, batch: int) -> tuple[Tensor, Tensor]:
        import torch

        shortest, longest = math.ceil(self.length / 4), self.length // 2
        stretch = draw.integers(self.vocabulary, (batch, longest))
        period = shortest + draw.integers(longest - shortest + 1, (batch, 1))
        places = torch.arange(self.length + 1, device=stretch.device).remainder(period)
        whole = stretch.gather(1, places)
        return whole[:, :-1], whole[:, self.scored_from + 1 :]


class Zero(Task):
    name = "zero"
    summary = "answer 0 whatever the input"
    needs_attention = "no: the answer is always the same"

    def targets(self, inputs: Tensor) -> Tensor:
        return inputs.new_zeros(inputs.shape)


TASKS: dict[str, type[Task]] = {
    task.name: task
    for task in (
        Copy,
        Cycle,
        Reverse,
        Sort,
        OffsetSum,
        Parity,
        Maximum,
        SecondMaximum,
        AssociativeRecall,
        Induction,
        Zero,
    )
}


def find_task(name: str) -> type[Task]:
    """The task of this name, or a TrainerError that lists them."""
    if name not in TASKS:
        raise TrainerError(f"task: there is no task {name!r}; choose one of {', '.join(TASKS)}")
    return TASKS[name]
