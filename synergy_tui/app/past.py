"""Probes that are history, kept small: what curves need of each as numbers, the rest packed.

Screens draw curves through all probes, and one or a few of them in full. A probe in full takes five
times the memory of a packed one, which is unpacked in about a tenth of a millisecond.
"""

from __future__ import annotations

import marshal
import math
import zlib
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from synergy_tui.experiments.comparison import CLEAR, SOON, Measure, View, typical
from synergy_tui.experiments.conventions import Convention
from synergy_tui.experiments.kinds import Probe
from synergy_tui.experiments.metrics import leaf
from synergy_tui.experiments.state import RunState

Path = tuple[str, str]

PATHS: tuple[Path, ...] = (
    ("mixing", "hitting_time_mean"),
    ("mixing", "mixing_time_tv_max"),
    ("fidelity", "minimax"),
    ("synergy", "best_head_fidelity"),
)
"""Numbers of an analysis that curves are drawn of."""
HEAD = ("hitting_time_mean", "mixing_time_tv_max", "fidelity_minimax", "weight", "loss_without")
"""The same of each head."""
TYPICAL = (SOON, CLEAR)
"""What comparisons take the typical value of."""
UNPACKED = 32
"""Probes that are kept in full a while: those at the cursor, and the earlier ones behind them."""
WAITING = 1024
"""Probes that may wait to be packed: of a long log tens of megabytes."""


class Past(Probe):
    """A probe that reads as before, but is packed."""

    def __init__(self, probe: Probe) -> None:
        whole: Any = (probe.layers, probe.overall, probe.conventions)
        kept = {
            "run": probe.run,
            "step": probe.step,
            "inputs": probe.inputs,
            "attention": probe.attention,
            "loss": probe.loss,
            "accuracy": probe.accuracy,
            "eval_sequences": probe.eval_sequences,
            "loss_error": probe.loss_error,
            "_packed": zlib.compress(marshal.dumps(whole), 1),
            "_main": probe.overall.get("convention"),
            "_layers": len(probe.layers),
            "numbers": _numbers(probe),
            "heads": [_heads(layer) for layer in probe.layers],
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    _packed: bytes
    _main: str | None
    _layers: int
    numbers: dict[tuple[str | None, int], array[float]]
    """By convention and layer (0 for all together): `PATHS`, then `TYPICAL`."""
    heads: list[array[float]]
    """By layer: `HEAD` of the first head, of the second, and so on."""

    @property
    def layers(self) -> Any:
        return _unpacked(self._packed)[0]

    @property
    def overall(self) -> Any:
        return _unpacked(self._packed)[1]

    @property
    def conventions(self) -> Any:
        return _unpacked(self._packed)[2]

    def at(self, convention: Convention, layer: int | None, place: int) -> float:
        """One of the numbers that are kept, from the analysis that the convention chooses."""
        source = convention.source
        if self._main in (None, source):
            found = self.numbers.get((None, min(layer or 0, self._layers)))
        else:
            found = self.numbers.get((source, layer or 0))
        return math.nan if found is None else found[place]


@lru_cache(maxsize=UNPACKED)
def _unpacked(packed: bytes) -> tuple[Any, Any, Any]:
    found: tuple[Any, Any, Any] = marshal.loads(zlib.decompress(packed))
    return found


def _numbers(probe: Probe) -> dict[tuple[str | None, int], array[float]]:
    main = Convention(probe.overall.get("convention", ""))
    chosen: list[tuple[str | None, Convention, int | None]] = [
        (None, main, layer) for layer in (None, *range(1, len(probe.layers) + 1))
    ]
    chosen += [(name, Convention(name), None) for name in probe.conventions]
    found = {}
    for name, convention, layer in chosen:
        analysis = convention.analysis(probe, layer)
        values = [number(leaf(analysis, path)) for path in PATHS]
        own = View(None, convention, layer).analysis(probe)
        values += [typical(own, measure) for measure in TYPICAL]
        found[name, layer or 0] = array("d", values)
    return found


def _heads(layer: Mapping[str, Any]) -> array[float]:
    return array(
        "d", (number(each.get(key)) for each in layer.get("per_head") or () for key in HEAD)
    )


def pack(run: RunState, place: int) -> None:
    """Keep a probe that became history packed."""
    run.probes[place] = Past(run.probes[place])


class Packer:
    """Packs history when there is time, as reading a long log should not wait for it.

    For `ExperimentState.forget`; at most :data:`WAITING` probes wait.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[RunState, int, Probe]] = deque()

    def __call__(self, run: RunState, place: int) -> None:
        self._waiting.append((run, place, run.probes[place]))
        if len(self._waiting) > WAITING:
            self.work(1)

    def work(self, most: int) -> None:
        """Pack so many of those that wait, the oldest first; needs the state's lock."""
        for _ in range(min(most, len(self._waiting))):
            run, place, probe = self._waiting.popleft()
            # A run that was resumed has given up what it had measured further on.
            if place < len(run.probes) and run.probes[place] is probe:
                pack(run, place)


def number(value: Any) -> float:
    """A metric as a float: NaN for what is missing, infinity for a censored time."""
    if value is None or isinstance(value, bool):
        return math.nan
    if isinstance(value, str):
        return math.inf if value.startswith(">") or value == "inf" else math.nan
    return float(value)


def number_at(probe: Probe, convention: Convention, layer: int | None, path: Path) -> float:
    """A number of a probe, without unpacking it where it is among `PATHS`."""
    if isinstance(probe, Past) and path in PATHS:
        return probe.at(convention, layer, PATHS.index(path))
    return number(leaf(convention.analysis(probe, layer), path))


def typical_at(probe: Probe, view: View, measure: Measure) -> float:
    """The logarithm of a probe's typical value, as the scoreboard takes it."""
    if isinstance(probe, Past) and view.convention is not None:
        place = len(PATHS) + TYPICAL.index(measure)
        return probe.at(view.convention, view.layer, place)
    return typical(view.analysis(probe), measure)


def heads_at(probe: Probe, layer: int, key: str) -> Sequence[float]:
    """A number of each head of a layer (from 1); none where the probe has no such layer."""
    if layer > len(probe.heads if isinstance(probe, Past) else probe.layers):
        return ()
    if isinstance(probe, Past):
        return probe.heads[layer - 1][HEAD.index(key) :: len(HEAD)]
    return [number(head.get(key)) for head in probe.layers[layer - 1].get("per_head") or ()]
