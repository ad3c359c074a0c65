"""What graph families there are, for people and for the validation of scenarios.

Nothing here computes: names, parameters and one-line descriptions only, so that a scenario can be
checked without loading Numba. :mod:`synergy_engine.topologies.topology` draws the graphs.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

from synergy_engine.errors import EngineError

MISSING = object()
"""Default of a parameter that has none."""


@dataclass(frozen=True)
class Parameter:
    """One keyword of a family."""

    name: str
    kind: type  # int, float, bool or str
    default: object  # MISSING when it has to be given
    text: str
    low: float = -math.inf  # smallest and largest allowed number, both included
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def problem(self, value: object) -> str | None:
        """What is wrong with ``value``, or ``None``."""
        if not isinstance(value, bool):  # NumPy's numbers are as good as Python's
            if self.kind is float and isinstance(value, Real):
                value = float(value)
            elif self.kind is int and isinstance(value, Integral):
                value = int(value)
        if not isinstance(value, self.kind) or (isinstance(value, bool) and self.kind is not bool):
            return f"{self.name} must be {self.allowed()}, not {value!r}"
        if self.choices and value not in self.choices:
            typo = nearest(str(value), self.choices)
            return f"{self.name} must be {self.allowed()}, not {value!r}{typo}"
        if isinstance(value, (int, float)) and not self.low <= value <= self.high:
            return f"{self.name} must be {self.allowed()}, not {value!r}"
        return None

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        word = {int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
        text = word[self.kind]
        if self.low > -math.inf and self.high < math.inf:
            return f"{text} from {self.low:g} to {self.high:g}"
        return f"{text} of at least {self.low:g}" if self.low > -math.inf else text


@dataclass(frozen=True)
class Family:
    """A named way to draw heads over ``n`` ordered nodes."""

    name: str
    text: str
    parameters: tuple[Parameter, ...] = ()
    random: bool = False
    """Whether a seed changes it at diversity 0."""
    unique_sink: bool = True
    """Whether the last node is always the only sink. Where it is not, a node may never reach the
    sink: its mixing time is infinite and its fidelity 0."""
    diversity: float = 0.0
    """Share of rows redrawn between heads when none is asked for."""
    smallest: int = 2
    """Fewest nodes it makes sense for."""

    def resolve(self, nodes: int, given: Mapping[str, object]) -> dict[str, object]:
        """Defaults filled in and everything checked; `EngineError` lists all that is wrong."""
        problems = self.problems(nodes, given)
        if problems:
            raise EngineError([f"Topology {self.name}: {problem}." for problem in problems])
        return {p.name: p.kind(given.get(p.name, p.default)) for p in self.parameters}

    def problems(self, nodes: int, given: Mapping[str, object]) -> list[str]:
        """Everything wrong with these parameters; empty when nothing is."""
        known = {p.name: p for p in self.parameters}
        problems = []
        if isinstance(nodes, bool) or not isinstance(nodes, Integral) or nodes < self.smallest:
            problems.append(
                f"nodes must be a whole number of at least {self.smallest}, not {nodes!r}"
            )
        for name in given:
            if name not in known:
                allowed = ", ".join(known) or "none"
                problems.append(
                    f"unknown parameter {name}{nearest(name, known)} (there are: {allowed})"
                )
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if value is MISSING:
                problems.append(f"{parameter.name} is needed: {parameter.text}")
                continue
            problem = parameter.problem(value)
            if problem:
                problems.append(problem)
        return problems


def nearest(word: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """``"; did you mean …?"`` for a typo, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def family(name: str) -> Family:
    """The family called ``name``; `EngineError` names the nearest one and all of them."""
    if name in FAMILIES:
        return FAMILIES[name]
    known = ", ".join(FAMILIES)
    raise EngineError(
        f"unknown topology {name!r}{nearest(str(name), FAMILIES)} (there are: {known})"
    )


_DEGREE = Parameter("degree", int, 4, "other nodes that each node hears", low=1)

FAMILIES: dict[str, Family] = {
    each.name: each
    for each in (
        Family("line", "each node hears the one before it"),
        Family(
            "sliding_window",
            "each node hears the few before it",
            (Parameter("window", int, 4, "how many nodes back it hears", low=1),),
        ),
        Family("fully_connected", "each node hears all before it"),
        Family("star", "only the sink hears, and it hears all"),
        Family(
            "erdos_renyi",
            "each node hears each earlier one with the same probability",
            (Parameter("probability", float, 0.1, "of each edge", low=0.0, high=1.0),),
            random=True,
            unique_sink=False,
            diversity=1.0,
        ),
        Family(
            "fixed_in_degree",
            "each node hears the same number of earlier ones, drawn at random",
            (_DEGREE,),
            random=True,
            unique_sink=False,
            diversity=1.0,
        ),
        Family(
            "expander",
            "a random regular graph, its nodes put in random order and its edges oriented by it",
            (Parameter("degree", int, 4, "edges at each node, either way", low=1),),
            random=True,
            unique_sink=False,
            diversity=1.0,
        ),
        Family(
            "poisson",
            "each node walks back and hears whom it accepts, until its budget is spent",
            (
                Parameter("probability", float, 0.5, "of passing over a node", low=0.0, high=0.999),
                Parameter("degree", int, 4, "budget: most nodes that each node hears", low=1),
            ),
            random=True,
            unique_sink=False,
            diversity=1.0,
        ),
        Family(
            "funsearch",
            "⌈log₂ n⌉ equal blocks, each joined to the next, the last one fully connected",
            (
                Parameter(
                    "matchings",
                    int,
                    4,
                    "random perfect matchings between blocks; 0 joins all",
                    low=0,
                ),
                Parameter("recursive", bool, False, "build the inside of each block the same way"),
            ),
            random=True,
            diversity=1.0,
        ),
        Family(
            "learned",
            "patterns that trained heads show: previous token, first token, uniform, local",
            (
                Parameter(
                    "pattern",
                    str,
                    "cycle",
                    "which one; cycle gives each head the next",
                    choices=("cycle", "previous", "first", "uniform", "local"),
                ),
                Parameter(
                    "strength",
                    float,
                    0.9,
                    "attention on the pattern; the rest is on itself",
                    low=0.0,
                    high=1.0,
                ),
                Parameter("window", int, 4, "reach of the local pattern", low=1),
            ),
            unique_sink=False,
            diversity=1.0,
        ),
    )
}
"""Every family by name."""
