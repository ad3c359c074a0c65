"""What the frame around the panels says: state of the experiment, its pace, its trouble. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from synergy_tui.app import keys
from synergy_tui.app.timeline import Mode, Timeline
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.words import compact, duration, size

STALE_SECONDS = 60.0
"""A living worker that has written nothing for this long is called stale."""


@dataclass(frozen=True, slots=True)
class Status:
    """The state as one word, with the style of its pill and what to do, if anything."""

    word: str
    style: str
    trouble: str = ""
    more: str = ""  # where there is more about it

    @property
    def advice(self) -> str:
        """Trouble and where there is more about it."""
        return f"{self.trouble} ({self.more})" if self.more else self.trouble


def status_of(
    state: ExperimentState,
    condition: str,
    timeline: Timeline,
    *,
    silent_for: float = 0.0,
    problem: str = "",
    replay: bool = False,
    keymap: Mapping[str, str] | None = None,
) -> Status:
    """What the header calls the experiment.

    ``condition`` is ``Experiment.state()``; ``silent_for`` counts seconds since the log last grew;
    ``problem`` is why it cannot be read further; ``keymap`` is the user's own keys.
    """
    if problem or condition == "damaged":
        return Status("DAMAGED", "pill-error", problem or "Something in its directory is damaged")
    # A training of one's own has its log where its user put it.
    log = "" if state.watched else keys.filled("{app.log} shows the log", keymap or {})
    live = condition in ("running", "new") and state.live
    if timeline.mode is Mode.PLAYING:
        return Status(f"PLAYING {compact(timeline.speed)}x", "pill-quiet")
    if timeline.mode is Mode.PAUSED:
        return Status("PAUSED" if live else "REPLAY", "pill-warning" if live else "pill-quiet")
    if not live and condition in ("dead", "running", "new") and state.live and state.events:
        return Status("STALE", "pill-error", _dead(state))
    if state.status == "failed" or condition == "failed":
        return Status("FAILED", "pill-error", _failed(state), log)
    if state.status == "stopped" or condition == "stopped":
        resume = f"Continue with: synergy resume {state.id}"
        return Status("STOPPED", "pill-warning", _OWN if state.watched else resume)
    if not live:
        if any(not event.get("holds") for event in state.expectations):
            return Status("REPLAY" if replay else "FINISHED !", "pill-warning")
        return Status("REPLAY" if replay else "FINISHED", "pill-quiet" if replay else "pill-good")
    if all(run.status == "waiting" for run in state.runs.values()):
        return Status("STARTING", "pill-quiet")
    if silent_for > STALE_SECONDS:
        who = "training" if state.watched else "worker"
        return Status(
            "STALE",
            "pill-warning",
            f"The {who} lives but has written nothing for {silent_for:.0f} s",
            log,
        )
    return Status("LIVE", "pill-good")


def remaining(state: ExperimentState, pace: float | None) -> str:
    """How long it takes to the last step at ``pace`` steps per second; empty when not known."""
    total = state.total_steps
    if total is None or not state.live or not pace:
        return ""
    seconds = max(0, total - state.step) / pace
    # In steps of five: a number that changes with every look is not read.
    return f"{duration(5 * math.ceil(seconds / 5))} left"


def resources(state: ExperimentState) -> list[str]:
    """Use of the machine by the worker, the scarcest thing first; empty when nothing is known."""
    if not state.usage:
        return []
    used = state.usage[-1]
    found = []
    if used.get("gpu_percent") is not None:
        found.append(f"gpu {used['gpu_percent']:.0f}%")
        if used.get("gpu_memory_bytes") is not None:
            found[-1] += f" {size(used['gpu_memory_bytes'])}"
    if used.get("cpu_percent") is not None:
        found.append(f"cpu {used['cpu_percent']:.0f}%")
        if used.get("memory_bytes") is not None:
            found[-1] += f" {size(used['memory_bytes'])}"
    return found


_OWN = "Your own training has ended here; what it wrote stays readable"


def _dead(state: ExperimentState) -> str:
    if state.watched:
        return "Your training is gone without closing its log: killed, or it crashed"
    return f"The worker is gone. Continue from the last checkpoint with: synergy resume {state.id}"


def _failed(state: ExperimentState) -> str:
    reasons: dict[str, list[str]] = {}
    for run in state.runs.values():
        if run.status == "failed":
            reasons.setdefault(run.reason, []).append(run.name)
    what = "; ".join(f"{', '.join(runs)}: {reason}" for reason, runs in reasons.items())
    what = what or state.reason
    return what or "The run failed"


def rows(state: ExperimentState) -> tuple[int, ...]:
    """Which questions the experiment can answer: without training nothing is learned, but there
    may be graphs to look at.
    """
    trained = not state.runs or any(run.learns for run in state.runs.values())
    return (0, 1, 2) if trained else (0, 1, 3)
