"""The inspector, driven by keys on recorded experiments."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

import synergy_tui.app.inspector.screen as inspector_module
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.inspector.screen import InspectorScreen
from synergy_tui.app.screens.arrange import HEADS, MAP, MAPS, PATHS, WHAT_IF
from synergy_tui.app.stepper.screen import StepperScreen
from synergy_tui.app.widgets.views import ShadedPanel
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from tests.places import ROOT
from tests.tui.app.conftest import pressed, replaying, resized, screen_text, until
from tests.tui.app.heads import write_trained


def screen(pilot: Pilot[None]) -> InspectorScreen:
    assert isinstance(pilot.app.screen, InspectorScreen)
    return pilot.app.screen


@asynccontextmanager
async def inspecting(
    experiment: Experiment, run: str, size: tuple[int, int] = (120, 40), **options: Any
) -> AsyncIterator[Pilot[None]]:
    async with replaying(experiment, size, **options) as pilot:
        app = pilot.app
        app.push_screen(InspectorScreen(app.session, run))
        await until(lambda: isinstance(app.screen, InspectorScreen), pilot)
        await until(lambda: screen(pilot).settled or screen(pilot).has_class("-too-small"), pilot)
        await pilot.pause()
        yield pilot


async def test_every_head_is_shown_with_its_figures(four: Experiment) -> None:
    async with inspecting(four, "heads-8") as pilot:
        text = screen_text(pilot.app)
        assert "◆ heads-8" in text
        assert "layer 1/2" in text
        assert "probe at step 40" in text
        assert "Σ of 8" in text
        answer = screen(pilot).answer
        assert answer is not None
        probe = screen(pilot).probe
        assert probe is not None
        recorded = probe.layers[0]["per_head"]
        assert len(answer.figures) == len(recorded) == 8
        weights = [each["weight"] for each in recorded]
        assert [head.weight for head in answer.figures] == pytest.approx(weights)
        assert "theory walks, sink excluded" in text


async def test_keys_select_sort_and_choose(four: Experiment) -> None:
    async with inspecting(four, "heads-8") as pilot:
        await pressed(pilot, "down", "down")
        assert screen(pilot).selected == 1
        await pressed(pilot, "up", "up", "up")
        assert screen(pilot).selected == 7
        text = await pressed(pilot, "s")
        assert "sorted by weight" in text
        weights = [screen(pilot).answer.figures[h].weight for h in screen(pilot).view().heads()[1:]]
        assert weights == sorted(weights, reverse=True)
        text = await pressed(pilot, "right", "right")
        assert "token 2" in text
        assert screen(pilot).answer.question.source == 2
        await pressed(pilot, "left", "left", "left")
        last = screen(pilot).snapshot.nodes - 2
        assert screen(pilot).answer.question.source == last
        await pressed(pilot, "w")
        assert screen(pilot).answer.question.source == screen(pilot).answer.before.weakest


async def test_switching_a_head_off_shows_before_and_after(four: Experiment) -> None:
    async with inspecting(four, "heads-4") as pilot:
        before = screen(pilot).answer.before
        await pressed(pilot, "x")
        assert screen(pilot).question.off == frozenset()
        text = await pressed(pilot, "down", "x")
        assert "without 1" in text
        assert "x1 off" in text
        after = screen(pilot).answer.after
        assert after is not None
        assert after.fidelity != before.fidelity
        assert screen(pilot).answer.before is before
        await pressed(pilot, "down", "x", "down", "x")
        assert screen(pilot).question.off == {0, 1, 2}
        await pressed(pilot, "down", "x")
        assert screen(pilot).question.off == {0, 1, 2}
        text = await pressed(pilot, "0")
        assert "without 1" not in text
        assert screen(pilot).answer.after is None


async def test_after_the_last_layer_all_are_followed_in_order(tmp_path: Path) -> None:
    experiment = write_trained(tmp_path / "made", heads=3, nodes=9)
    async with inspecting(experiment, "multi-head") as pilot:
        text = await pressed(pilot, "v", "v")
        assert "all 2 layers in order" in text
        assert "γ = half" in text
        assert "γ = one" in text
        snapshot, ordered = screen(pilot).snapshot, screen(pilot).ordered
        assert snapshot is not None
        assert ordered is not None
        for gamma, through in zip((0.5, 1.0), ordered.through, strict=True):
            product = np.eye(9)
            for layer in range(2):
                mixed = np.tensordot(snapshot.head_weights[layer], snapshot.attention[0, layer], 1)
                product = ((1 - gamma) * np.eye(9) + gamma * mixed) @ product
            np.testing.assert_allclose(through.node, product[-1], rtol=1e-6)
        first = ordered
        await pressed(pilot, "i")
        assert screen(pilot).ordered is not first
        text = await pressed(pilot, "v")
        assert "layer 1/2" in text
        assert "γ = half" not in text


async def test_heads_carry_shares_and_no_weights_exceed_a_bound(four: Experiment) -> None:
    async with inspecting(four, "heads-4") as pilot:
        text = await pressed(pilot, "down", "x")
        assert "carries" in text
        answer, ceilings = screen(pilot).answer, screen(pilot).ceilings
        assert answer.carried is not None
        assert answer.carried.node == answer.now.weakest
        assert answer.carried.share.sum() == pytest.approx(1)
        assert answer.carried.share[0] == 0
        assert answer.carried.switch.sum() == pytest.approx(answer.carried.time - 1)
        assert "no weights could exceed" in text
        assert ceilings is not None
        for ceiling, mixture in ((ceilings.whole, answer.before), (ceilings.rest, answer.after)):
            assert ceiling.fidelity >= max(mixture.fidelity, mixture.best_head)
            assert ceiling.steps <= mixture.steps


async def test_edges_are_coloured_by_gradient_on_request(example2: Experiment) -> None:
    async with inspecting(example2, "both") as pilot:
        assert screen(pilot).answer.gradient is None
        text = await pressed(pilot, "right", "C")
        assert "more attention at + makes it clearer" in text
        # The paper's node v at t = 3: what the definition of the gradient gives by hand.
        gradient = screen(pilot).answer.gradient
        assert gradient[0, 2, 1] == pytest.approx(0.060764, abs=1e-6)
        assert gradient[1, 2, 1] == pytest.approx(0.063657, abs=1e-6)
        text = await pressed(pilot, "left")
        assert "no gradient: its best step is a limit" in text  # node u is heard ever better
        text = await pressed(pilot, "right", "C")
        assert "more attention" not in text
        assert "no gradient" not in text


async def test_the_step_cursor_is_followed(four: Experiment) -> None:
    async with inspecting(four, "heads-4") as pilot:
        late = screen(pilot).answer.before.fidelity
        text = await pressed(pilot, "left_square_bracket")
        assert "probe at step 20" in text
        assert screen(pilot).snapshot.key.endswith("heads-4-00000020.safetensors")
        assert screen(pilot).answer.before.fidelity != late
        text = await pressed(pilot, "home")
        assert "probe at step 0" in text
        text = await pressed(pilot, "end")
        assert screen(pilot).answer.before.fidelity == late


async def test_layers_inputs_and_runs_can_be_changed(tmp_path: Path) -> None:
    experiment = write_trained(tmp_path / "made", heads=3, nodes=9)
    async with inspecting(experiment, "multi-head") as pilot:
        one = screen(pilot).answer.before.fidelity
        text = await pressed(pilot, "down", "x", "v")
        assert "layer 2/2" in text
        assert screen(pilot).question.off == frozenset()
        assert screen(pilot).answer.before.fidelity != one
        text = await pressed(pilot, "v", "v", "i", "i")
        assert "layer 1/2" in text
        assert "input 3/3" in text
        text = await pressed(pilot, "i")
        assert "input 1/3" in text
        assert screen(pilot).answer.before.fidelity == one
        text = await pressed(pilot, "n")
        assert "single-head" in text
        assert len(screen(pilot).answer.figures) == 1


async def test_designed_graphs_have_names_and_no_steps(example2: Experiment) -> None:
    async with inspecting(example2, "both") as pilot:
        text = screen_text(pilot.app)
        assert "token u" in text
        assert "a designed graph: no steps" in text
        assert ".417" in text
        assert screen(pilot).answer.before.fidelity == pytest.approx(5 / 12)
        assert "top 3 carry" in text or "top 4 carry" in text or "top 5 carry" in text


async def test_nodes_are_called_by_their_names_in_every_panel(example2: Experiment) -> None:
    async with inspecting(example2, "both", size=(200, 60)) as pilot:
        text = await pressed(pilot, "right")
        assert "token v at the sink by step" in text
        assert "φ of token v" in text

        def drawn(panel: str) -> str:
            canvas = pilot.app.screen.query_one(f"#{panel}", ShadedPanel)._canvas
            return "\n".join(canvas.lines())

        paths, one = drawn("paths"), drawn("one-head")
        assert {"v", "w", "τ"} <= set(paths.replace("●", " ").split()), paths
        assert "τ ← v" in one
        rows = list(csv.DictReader(io.StringIO(screen(pilot).as_csv())))
        assert [row["heads"] for row in rows] == ["1", "2", "all"]


async def test_escape_leaves_one_level_at_a_time(four: Experiment) -> None:
    async with inspecting(four, "heads-8") as pilot:
        await pressed(pilot, "z")
        assert screen(pilot).maximised
        await pressed(pilot, "escape")
        assert not screen(pilot).maximised
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, DashboardScreen), pilot)


def displayed(pilot: Pilot[None]) -> set[int]:
    return {panel.number for panel in pilot.app.screen.query(ShadedPanel) if panel.display}


async def test_any_size_is_used(four: Experiment) -> None:
    async with inspecting(four, "heads-8", size=(38, 10)) as pilot:
        assert "needs 40 columns" in " ".join(screen_text(pilot.app).split())
        for size, panels in (((60, 20), 1), ((80, 24), 3), ((120, 40), 5), ((200, 60), 6)):

            def drawn(panels: int = panels) -> bool:
                text = screen_text(pilot.app)
                return len(displayed(pilot)) == panels and "Σ of 8" in text and "q leave" in text

            await resized(pilot, size, drawn)


async def test_tab_brings_up_the_panels_that_share_a_place(four: Experiment) -> None:
    async with inspecting(four, "heads-8", size=(80, 24)) as pilot:
        seen = set(displayed(pilot))
        assert {MAPS, HEADS, PATHS} == seen
        for _ in range(6):
            await pressed(pilot, "tab")
            assert screen(pilot).recent[0] in displayed(pilot)
            seen |= displayed(pilot)
        assert seen == set(range(6))
        await pressed(pilot, "z")
        assert displayed(pilot) == {screen(pilot).recent[0]}
        await pressed(pilot, "z")
        assert len(displayed(pilot)) == 3
        screen(pilot).action_show_panel(PATHS)
        await pressed(pilot, "down")
        assert WHAT_IF not in displayed(pilot)
        await pressed(pilot, "x")
        assert WHAT_IF in displayed(pilot)


async def test_the_map_is_clicked(four: Experiment) -> None:
    async with inspecting(four, "heads-8", size=(120, 40)) as pilot:
        panel = next(p for p in screen(pilot).query(ShadedPanel) if p.number == MAP)
        place = screen(pilot)._view._place
        offset = (place.column_of(4) + 1, place.row_of(8) + 1)
        await pilot.click(panel, offset=offset)
        await pressed(pilot)
        assert screen(pilot).answer.question.source == 4
        assert screen(pilot).map_row in (8, 9)
        maps = next(p for p in screen(pilot).query(ShadedPanel) if p.number == MAPS)
        x, y, _, _ = screen(pilot)._view._tiles[2]
        await pilot.click(maps, offset=(x + 1, y + 1))
        await pressed(pilot)
        assert screen(pilot).selected == 2
        table = next(p for p in screen(pilot).query(ShadedPanel) if p.number == HEADS)
        await pilot.click(table, offset=(6, 2))
        await pressed(pilot)
        assert screen(pilot).selected is None


async def test_ascii_terminals_get_ascii(four: Experiment) -> None:
    async with inspecting(four, "heads-8", ascii_only=True) as pilot:
        text = await pressed(pilot, "down", "x", "down")
        # Textual's own frame titles end in an ellipsis where they are cut.
        assert text.replace("…", "").isascii(), sorted({c for c in text if not c.isascii()})


async def test_a_missing_attention_file_is_named(four: Experiment) -> None:
    for path in (four.path / "attention").glob("heads-8-*.safetensors"):
        path.unlink()
    async with inspecting(four, "heads-8") as pilot:
        text = screen_text(pilot.app)
        assert "was not kept" in text
        await pressed(pilot, "n")
        assert "was not kept" not in screen_text(pilot.app)


async def test_only_the_newest_question_is_answered_and_trouble_is_shown(
    four: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inspecting(four, "heads-8") as pilot:
        import threading

        gate, began = threading.Event(), threading.Event()
        asked: list[int] = []
        real = inspector_module.Bench.answer

        def slow(bench: Any, question: Any) -> Any:
            asked.append(question.source)
            began.set()
            gate.wait(20)
            return real(bench, question)

        monkeypatch.setattr(inspector_module.Bench, "answer", slow)
        await pilot.press("right")
        await until(began.is_set, pilot)
        for _ in range(5):
            await pilot.press("right")
        assert "measuring" in screen_text(pilot.app)
        gate.set()
        await until(lambda: screen(pilot).settled, pilot)
        assert asked == [1, 6]
        assert screen(pilot).answer.question.source == 6

        def fail(bench: Any, question: Any) -> Any:
            raise UserError("the rows do not sum to one", hint="check the file")

        monkeypatch.setattr(inspector_module.Bench, "answer", fail)
        text = await pressed(pilot, "right")
        assert "the rows do not sum to one" in text


async def test_attention_that_was_not_kept_is_missed_in_words(four: Experiment) -> None:
    for file in (four.path / "attention").iterdir():
        if "00000040" not in file.name:
            file.unlink()
    async with inspecting(four, "heads-8") as pilot:
        assert "Σ of 8" in screen_text(pilot.app)
        await pilot.press("[")
        await until(lambda: bool(screen(pilot).trouble), pilot)
        text = " ".join(screen_text(pilot.app).split())
        assert "was not kept (see keep in [analysis])" in text
        assert "Σ of 8" not in text
        await pilot.press("]")
        await until(lambda: screen(pilot).answered, pilot)
        await until(lambda: "Σ of 8" in screen_text(pilot.app), pilot)


async def test_exports_and_the_way_to_the_stepper_and_back(four: Experiment) -> None:
    async with inspecting(four, "heads-4") as pilot:
        await pressed(pilot, "down", "x", "e")
        rows = list(csv.DictReader(io.StringIO(screen(pilot).as_csv())))
        assert [row["heads"] for row in rows] == ["1", "2", "3", "4", "all", "2 3 4"]
        assert float(rows[-1]["minimax_fidelity"]) == screen(pilot).answer.after.fidelity
        written = sorted(path.suffix for path in (four.path / "exports").iterdir())
        assert written == [".csv", ".svg"]
        await pressed(pilot, "v", "right")
        await pilot.press("d")
        await until(lambda: isinstance(pilot.app.screen, StepperScreen), pilot)
        stepper = pilot.app.screen
        assert isinstance(stepper, StepperScreen)
        assert (stepper.model_layer, stepper.source) == (1, 1)
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, InspectorScreen), pilot)


def test_opening_the_screens_modules_loads_no_engine() -> None:
    code = (
        "import sys\n"
        "import synergy_tui.app.inspector.screen, synergy_tui.app.stepper.screen\n"
        "heavy = {'numba', 'torch', 'scipy', 'synergy_engine.kernels'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
