"""The diffusion stepper, driven by keys on recorded experiments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

import synergy_tui.app.stepper.measures as stepping
from synergy_tui.app.inspector.screen import InspectorScreen
from synergy_tui.app.stepper.screen import StepperScreen
from synergy_tui.app.widgets.views import ShadedPanel
from synergy_tui.experiments.experiment import Experiment
from tests.tui.app.conftest import pressed, replaying, resized, screen_text, until


def screen(pilot: Pilot[None]) -> StepperScreen:
    assert isinstance(pilot.app.screen, StepperScreen)
    return pilot.app.screen


@asynccontextmanager
async def stepping_through(
    experiment: Experiment, run: str | None = None, size: tuple[int, int] = (80, 24), **options: Any
) -> AsyncIterator[Pilot[None]]:
    async with replaying(experiment, size, **options) as pilot:
        app = pilot.app
        app.push_screen(StepperScreen(app.session, run))
        await until(lambda: isinstance(app.screen, StepperScreen), pilot)
        await until(lambda: screen(pilot).settled or screen(pilot).has_class("-too-small"), pilot)
        await pilot.pause()
        yield pilot


async def test_single_heads_stand_beside_the_mixture(example2: Experiment) -> None:
    async with stepping_through(example2) as pilot:
        text = screen_text(pilot.app)
        assert screen(pilot).run_name == "both"
        for title in ("head 1 alone", "head 2 alone", "both heads mixed"):
            assert title in text
        assert "signal u → τ" in text
        assert "φ_min .4167" in text
        assert "best head alone .375" in text
        assert "optimal .4298" in text
        assert "1.11× the best head; none above 1.15×" in text


async def test_the_signal_spreads_step_by_step_from_any_node(example2: Experiment) -> None:
    async with stepping_through(example2) as pilot:
        text = await pressed(pilot, "]", "]", "]")
        assert screen(pilot).t == 3
        assert " t = 3 " in text
        row = next(line for line in text.splitlines() if "▸" in line)
        assert row.split("▸")[1].split()[1:5] == ["1", ".88", ".5", ".12"]
        await pressed(pilot, "[")
        assert screen(pilot).t == 2
        await pressed(pilot, "home", "[")
        assert screen(pilot).t == 0
        await pressed(pilot, "b")
        assert screen(pilot).t == screen(pilot).diffusion.best(None).step
        screen(pilot).action_move(1000)
        assert screen(pilot).t == screen(pilot).diffusion.steps
        text = await pressed(pilot, "right", "right")
        assert "signal w → τ" in text
        assert screen(pilot).diffusion.source == 2
        assert screen(pilot).diffusion.best(None).value == pytest.approx(5 / 12)
        text = await pressed(pilot, "right")
        assert "signal u → τ" in text
        await pressed(pilot, "left")
        assert screen(pilot).diffusion.source == 2


async def test_fidelity_responds_to_weights(example2: Experiment) -> None:
    async with stepping_through(example2) as pilot:
        response = screen(pilot).response
        text = await pressed(pilot, "plus", "plus")
        assert screen(pilot).diffusion.weights.tolist() == pytest.approx([0.54, 0.46])
        assert "φ_min .4233" in text
        assert "your weights" in text
        assert screen(pilot).response is response
        text = await pressed(pilot, "B")
        assert screen(pilot).diffusion.fidelity.minimax == pytest.approx(0.4298, abs=1e-4)
        await pressed(pilot, "down", "plus")
        assert screen(pilot).selected == 1
        assert screen(pilot).diffusion.weights[1] > 0.421
        text = await pressed(pilot, "0")
        assert "φ_min .4167" in text
        assert "your weights" not in text
        screen(pilot).action_weigh(-60)
        await pressed(pilot)
        assert screen(pilot).diffusion.weights.tolist() == [1.0, 0.0]
        assert screen(pilot).diffusion.fidelity.minimax == pytest.approx(3 / 8)


async def test_playing_stops_at_the_end(example2: Experiment) -> None:
    async with stepping_through(example2) as pilot:
        await pressed(pilot, "space")
        assert screen(pilot).playing
        assert screen(pilot)._player is not None
        for _ in range(screen(pilot).diffusion.steps + 1):
            screen(pilot)._play_on()
        assert screen(pilot).t == screen(pilot).diffusion.steps
        assert not screen(pilot).playing
        await pressed(pilot, "space")
        assert screen(pilot).playing
        assert screen(pilot).t <= 1
        await pressed(pilot, "]")
        assert not screen(pilot).playing


async def test_runs_can_be_changed(example2: Experiment) -> None:
    async with stepping_through(example2) as pilot:
        text = await pressed(pilot, "n")
        assert screen(pilot).run_name == "head-1"
        assert "one head" in text
        await pressed(pilot, "plus", "B")
        assert screen(pilot).diffusion.weights.tolist() == [1.0]


async def test_any_size_is_used(example2: Experiment) -> None:
    async with stepping_through(example2, size=(30, 10)) as pilot:
        assert "needs 40 columns" in " ".join(screen_text(pilot.app).split())
        for size, stages in (((60, 20), 2), ((80, 24), 3), ((120, 40), 3), ((200, 60), 3)):

            def drawn(stages: int = stages) -> bool:
                text, panels = screen_text(pilot.app), screen(pilot).query(ShadedPanel)
                shown = [panel for panel in panels if panel.display and panel.number >= 2]
                return "both heads mixed" in text and "▼" in text and len(shown) == stages

            await resized(pilot, size, drawn)


async def test_ascii_terminals_get_ascii(example2: Experiment) -> None:
    async with stepping_through(example2, ascii_only=True) as pilot:
        text = await pressed(pilot, "right", "right")
        # τ is the graph's own name for its sink.
        rest = text.replace("τ", "").replace("…", "")
        assert rest.isascii(), sorted({c for c in rest if not c.isascii()})


async def test_attention_is_stepped_through_too(four: Experiment) -> None:
    async with stepping_through(four, "heads-8", size=(120, 40)) as pilot:
        text = screen_text(pilot.app)
        assert "all 8 heads mixed" in text
        assert "layer 1/2" in text
        own = screen(pilot).diffusion
        assert own.weights.shape == (8,)
        text = await pressed(pilot, "v", "right")
        assert "layer 2/2" in text
        assert screen(pilot).optimum is not None
        assert screen(pilot).optimum.place == screen(pilot).spread.place
        assert not np.array_equal(screen(pilot).diffusion.weights, own.weights)
        await pressed(pilot, "up")
        assert screen(pilot).selected == 7
        assert "head 8 alone" in screen_text(pilot.app)


async def test_a_missing_file_is_named(example2: Experiment) -> None:
    (example2.path / "attention/both-designed.safetensors").unlink()
    async with stepping_through(example2) as pilot:
        assert "was not kept" in screen_text(pilot.app)
        await pressed(pilot, "plus", "]", "b", "B", "e")


async def test_weights_respond_while_the_search_goes_on(
    example2: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    gate = threading.Event()
    real = stepping.Stepper.optimal

    def slow(stepper: Any) -> Any:
        gate.wait(20)
        return real(stepper)

    monkeypatch.setattr(stepping.Stepper, "optimal", slow)
    async with replaying(example2, (80, 24)) as pilot:
        app = pilot.app
        app.push_screen(StepperScreen(app.session))
        await until(lambda: isinstance(app.screen, StepperScreen), pilot)
        await until(lambda: screen(pilot).response is not None, pilot)
        await pilot.press("plus")
        await until(lambda: screen(pilot).diffusion.weights[0] == pytest.approx(0.52), pilot)
        assert screen(pilot).optimum is None
        gate.set()
        await until(lambda: screen(pilot).optimum is not None, pilot)


async def test_exports_and_the_way_to_the_inspector(example2: Experiment) -> None:
    async with stepping_through(example2) as pilot:
        await pressed(pilot, "]", "e")
        names = sorted(path.name for path in (example2.path / "exports").iterdir())
        assert [Path(name).suffix for name in names] == [".csv", ".svg"]
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, InspectorScreen), pilot)
