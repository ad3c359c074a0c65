"""How the panels look at the state: cursor, convention, window, smoothing, crosshair. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from synergy_tui.experiments.conventions import Convention
from synergy_tui.words import compact

Kind = Literal["arrival", "steps"]
"""The two horizontal axes: diffusion steps, and training steps."""
KINDS: tuple[Kind, ...] = ("arrival", "steps", "steps", "steps")
"""The axis of each question."""

CLOSER = 0.5
"""Of what is shown remains after zooming in once."""
NARROWEST = 4.0
"""Steps that can be zoomed in to."""
PAN = 0.25
"""Of what is shown moves at once."""
WINDOWS = (2, 5, 20)
"""The history windows are about these parts of all steps."""
HALF_LIVES = (1.0, 4.0, 16.0, 0.0, 0.25)
"""What the smoothing key goes through, as parts of the half-life chosen by itself; 0 is off."""
DEFAULT_HALF_LIFE = 50
"""That half-life is about all steps divided by this."""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of an axis: ``span`` steps up to ``end``, or up to the cursor for ``None``."""

    span: float
    end: float | None = None

    def bounds(self, now: float, whole: float) -> tuple[float, float]:
        """Its ends on an axis from 0 to ``whole`` with the cursor at ``now``."""
        high = min(max(now if self.end is None else self.end, self.span), whole)
        return high - self.span, high


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the crosshair stands, and in which panel its values are listed."""

    kind: Kind
    at: float
    question: int
    run: str = ""  # of the panel; empty for one of several runs


@dataclass(frozen=True, slots=True)
class Lens:
    """What of the curves is shown, and how; the same for all runs, so that they compare."""

    windows: dict[Kind, Window] = field(default_factory=dict)
    logarithmic: bool | None = None  # None: where curves would hug a linear axis
    smoothing: int = 0  # a place in HALF_LIVES
    aim: Aim | None = None

    def zoomed(self, kind: Kind, closer: bool, now: float, whole: float) -> Lens:
        """Half or twice the steps: around the crosshair; else up to the newest of training, or
        from the first of arrival."""
        low, high = self.bounds(kind, now, whole)
        factor = CLOSER if closer else 1 / CLOSER
        span = max((high - low) * factor, min(NARROWEST, whole))
        before = self.windows.get(kind)
        if span >= whole:
            return self._with(kind, None)
        if self.aim is not None and self.aim.kind == kind:
            at = min(max(self.aim.at, low), high)
            end = at + (high - at) * span / (high - low)
        elif kind == "steps" and (before is None or before.end is None):
            return self._with(kind, Window(span))
        else:
            end = low + span if kind == "arrival" else (low + high + span) / 2
        return self._with(kind, Window(span, min(max(end, span), whole)))

    def panned(self, kind: Kind, by: int, now: float, whole: float) -> Lens:
        """The same number of steps, a quarter of them further on; at the newest it follows."""
        window = self.windows.get(kind)
        if window is None:
            return self
        high = window.bounds(now, whole)[1] + by * PAN * window.span
        if kind == "steps" and by > 0 and high >= now:
            return self._with(kind, replace(window, end=None))
        return self._with(kind, replace(window, end=min(max(high, window.span), whole)))

    def bounds(self, kind: Kind, now: float, whole: float) -> tuple[float, float]:
        """The ends of an axis that in whole goes from 0 to ``whole``."""
        window = self.windows.get(kind)
        return (0.0, whole) if window is None else window.bounds(now, whole)

    def next_window(self, whole: float) -> Lens:
        """All training steps, or only the last so many."""
        spans = [
            span for part in WINDOWS if NARROWEST <= (span := round_number(whole / part)) < whole
        ]
        window = self.windows.get("steps")
        place = spans.index(window.span) + 1 if window and window.span in spans else 0
        if window is not None and window.end is not None:
            place = 0
        return self._with("steps", Window(spans[place]) if place < len(spans) else None)

    def next_smoothing(self) -> Lens:
        return replace(self, smoothing=(self.smoothing + 1) % len(HALF_LIVES))

    def whole(self) -> Lens:
        """Everything, without a crosshair."""
        return replace(self, windows={}, aim=None)

    def half_life(self, whole: float) -> float:
        """Steps after which a loss counts half in the smoothed curve; 0 without smoothing."""
        share = HALF_LIVES[self.smoothing]
        return share and max(round_number(share * whole / DEFAULT_HALF_LIFE), 1.0)

    def _with(self, kind: Kind, window: Window | None) -> Lens:
        kept = {name: each for name, each in self.windows.items() if name != kind}
        return replace(self, windows=kept if window is None else {**kept, kind: window})


@dataclass(frozen=True, slots=True)
class Look:
    """How the panels look at the state."""

    step: int  # of the cursor
    following: bool  # whether the cursor is at the newest step by itself; then it is not drawn
    convention: Convention
    layer: int | None = None  # from 1; None for all together
    lens: Lens = Lens()
    ended: bool = False  # nothing more comes: axes end where the runs did, not where was planned
    ascii_only: bool = False
    keymap: Mapping[str, str] = field(default_factory=dict)  # the user's own keys, for hints


def round_number(value: float) -> float:
    """1, 2 or 5 × 10^k near a positive value, not above it by more than rounding; 0 for 0."""
    if value <= 0:
        return 0.0
    exponent = 0
    while value >= 10:
        value, exponent = value / 10, exponent + 1
    while value < 1:
        value, exponent = value * 10, exponent - 1
    return float((5 if value >= 5 else 2 if value >= 2 else 1) * 10.0**exponent)


def smoothing_name(half_life: float) -> str:
    """How a loss is smoothed, in words."""
    if not half_life:
        return "not smoothed"
    return f"EMA, half-life {steps_text(half_life)}"


def steps_text(count: float) -> str:
    """``1 step``, ``20 steps``."""
    return f"{compact(count, 3)} step{'' if count == 1 else 's'}"


def window_name(window: Window | None, bounds: Sequence[float]) -> str:
    """Which training steps are shown, in words."""
    if window is None:
        return "all steps"
    if window.end is None:
        return f"last {compact(window.span, 3)} steps"
    return f"steps {compact(bounds[0], 4)} to {compact(bounds[1], 4)}"
