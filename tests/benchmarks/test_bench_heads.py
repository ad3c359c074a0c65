"""What the head screens cost: maps, redraws after a key, and the engine's answers.

``make bench`` runs these with the others; alone::

    python -m pytest tests/benchmarks/test_bench_heads.py -o addopts="" -s
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.style import Style

from synergy_tui.app.inspector.measures import Bench, Question
from synergy_tui.app.widgets.chart import strip_of
from synergy_tui.app.widgets.heatmap import Heat, draw_heatmap
from synergy_tui.app.widgets.shading import Palette
from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.experiments.attention import load_snapshot
from tests.tui.app.heads import patterns, write_trained
from tests.tui.app.inspector.test_inspector import inspecting, screen
from tests.tui.app.stepper.test_stepper import screen as stepper_screen, stepping_through

SIZE = (200, 60)


def milliseconds(call: Callable[[], object], times: int = 15) -> float:
    """Median CPU time of a call in this thread, after one to warm up."""
    call()
    taken = []
    for _ in range(times):
        start = time.thread_time()
        call()
        taken.append(time.thread_time() - start)
    return 1e3 * statistics.median(taken)


def report(name: str, value: float, target: float) -> None:
    """Print a figure beside what was promised."""
    print(f"\n  {name}: {value:.3g} ms (at most {target:g}) {'ok' if value <= target else 'OVER'}")
    assert value <= target


def test_one_heatmap() -> None:
    """32 × 32 to strips, axes and legend included."""
    heat = Heat(patterns(1, 32)[0], cursor=(20, 5))
    styles = Palette([Style()] * len(STYLES), dark=True, ansi=False, background=None)

    def draw() -> int:
        canvas, _ = draw_heatmap(heat, 40, 18)
        return len([strip_of(canvas, row, styles) for row in range(canvas.height)])

    report("heatmap 32 × 32", milliseconds(draw, 50), 2.0)


@pytest.mark.parametrize(("heads", "nodes"), [(8, 33), (16, 100)])
async def test_a_key_redraws(heads: int, nodes: int, tmp_path: Path) -> None:
    """Everything on a 200 × 60 screen after a key, on the event loop; keys have 50 ms."""
    experiment = write_trained(tmp_path / "made", heads=heads, nodes=nodes)
    async with inspecting(experiment, "multi-head", size=SIZE) as pilot:
        inspector = screen(pilot)
        cost = milliseconds(lambda: inspector.action_head(1))
        report(f"inspector, {heads} heads of {nodes}", cost, 50.0)
    async with stepping_through(experiment, "multi-head", size=SIZE) as pilot:
        stepper = stepper_screen(pilot)
        cost = milliseconds(lambda: stepper.action_move(1))
        report(f"stepper, {heads} heads of {nodes}", cost, 50.0)


@pytest.mark.parametrize(("heads", "nodes", "most"), [(8, 33, 50.0), (16, 100, 2000.0)])
def test_the_engine_answers(heads: int, nodes: int, most: float, tmp_path: Path) -> None:
    """A head switched off, measured again each time; in a thread, so that keys do not wait."""
    experiment = write_trained(tmp_path / "made", heads=heads, nodes=nodes)
    bench = Bench(load_snapshot(experiment, "attention/multi-head-00000040.safetensors"))
    question = Question(source=3)
    bench.answer(question)
    taken = []
    for head in range(5):
        start = time.perf_counter()
        bench.answer(replace(question, off=frozenset({head})))
        taken.append(time.perf_counter() - start)
    report(f"answer, {heads} heads of {nodes}", 1e3 * statistics.median(taken), most)
