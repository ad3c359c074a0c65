"""The overview of a sweep, driven by keys on a sweep that was run."""

from __future__ import annotations

from synergy_tui.app.app import SynergyApp
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.screens.sweep import SweepScreen
from synergy_tui.sweep.directory import Sweep
from tests.tui.app.conftest import screen_text, until


async def test_overview_shows_points_and_drills_into_one(designed_sweep: Sweep) -> None:
    app = SynergyApp(
        opening=lambda: SweepScreen(designed_sweep), keymap={}, ascii_only=False, clock=lambda: 0.0
    )
    async with app.run_test(size=(100, 24)) as pilot:
        await until(lambda: "4/4 points" in screen_text(app), pilot)
        text = screen_text(app)
        for point in designed_sweep.points:
            assert "✓" in text
            assert point.name in text
        for run in ("heads-1", "heads-4"):
            assert run in text
        assert "DONE" in text
        assert "steps to sink (mean expected hitting time)" in text
        await pilot.press("m")
        await until(lambda: "minimax fidelity (sink excluded)" in screen_text(app), pilot)
        await pilot.press("right", "left", "down", "enter")
        await until(lambda: isinstance(app.screen, DashboardScreen), pilot)
        await until(lambda: "heads-4" in screen_text(app), pilot)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, SweepScreen), pilot)
        assert "minimax fidelity" in screen_text(app)


async def test_stopping_what_is_not_run_says_so(designed_sweep: Sweep) -> None:
    app = SynergyApp(
        opening=lambda: SweepScreen(designed_sweep), keymap={}, ascii_only=True, clock=lambda: 0.0
    )
    async with app.run_test(size=(100, 24)) as pilot:
        await until(lambda: "4/4 points" in screen_text(app), pilot)
        await pilot.press("S")
        await until(lambda: any("not being run" in n.message for n in app._notifications), pilot)
