"""Nodes as their file lists and names them, whatever order they are measured in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synergy_tui.errors import UserError
from synergy_tui.words import clean

if TYPE_CHECKING:
    from synergy_tui.analyze.sources import Source


@dataclass(frozen=True)
class Listing:
    """Which of the file's nodes each measured node is."""

    numbers: Sequence[int]
    """(n,) the measured nodes' numbers in the file."""
    names: tuple[str, ...] | None
    """Of the file's nodes, in its order; different from one another."""
    labels: tuple[str, ...] | None
    """Texts of the file's tokens; several tokens may have the same."""

    @classmethod
    def of(cls, source: Source) -> Listing:
        """The listing of what a source was read from."""
        if source.graph is not None:
            graph = source.graph
            numbers = np.arange(graph.nodes) if graph.order is None else graph.order
            names = None
            if graph.names is not None:
                named = dict(zip(numbers.tolist(), graph.names, strict=True))
                names = tuple(named[number] for number in range(graph.nodes))
            return cls(numbers.tolist(), names, None)
        assert source.attention is not None
        first = 0
        if source.first is not None:
            first = int(source.first[0])
            if np.any(source.first != first):  # no token of the file is node 0 of every input
                return cls(range(source.attention.shape[-1]), None, None)
        numbers = np.arange(first, first + source.attention.shape[-1])
        return cls(numbers.tolist(), source.names, source.labels)

    @property
    def keys(self) -> dict[str, list[str]]:
        """What a record says of the file's nodes."""
        listed = {"names": self.names, "tokens": self.labels}
        return {key: list(texts) for key, texts in listed.items() if texts is not None}

    def own_names(self) -> list[str] | None:
        """The measured nodes' names."""
        return None if self.names is None else [self.names[number] for number in self.numbers]

    def renumber(self, fidelity: dict[str, Any]) -> dict[str, Any]:
        """The fidelity of a record, with nodes by their numbers in the file."""
        return fidelity | {
            "argmin": self.numbers[fidelity["argmin"]],
            "unreachable": sorted(self.numbers[node] for node in fidelity["unreachable"]),
        }

    def find(self, given: str, option: str) -> int:
        """The measured node of that name, of that text if only one has it, or of that number."""
        for texts in (self.names, self.labels):
            same = [
                node for node, number in enumerate(self.numbers) if texts and texts[number] == given
            ]
            if len(same) == 1:
                return same[0]
        if re.fullmatch(r"[0-9]{1,18}", given) and int(given) in self.numbers:
            return self.numbers.index(int(given))
        names = self.names or self.labels or ()
        listed = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise UserError(
            f"{option} {given}: nodes are numbered from {min(self.numbers)} to "
            f"{max(self.numbers)}; the sink is {self.show(len(self.numbers) - 1)}.",
            hint=f"Their names are {clean(listed)}." if names else None,
        )

    def show(self, node: int) -> str:
        """A measured node's name, or its number in the file with its text."""
        return node_name(self.keys, self.numbers[node])


def node_name(record: Mapping[str, Any], number: int) -> str:
    """A node of the file: its name, else its number with the token's text where there is one."""
    if names := record.get("names"):
        return str(names[number])
    tokens = record.get("tokens")
    return f"{number} {clean(tokens[number])!r}" if tokens else str(number)
