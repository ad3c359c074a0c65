"""The screen of a sweep, driven by keys on recorded logs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import pytest
from textual.pilot import Pilot

from synergy_tui.app.app import SynergyApp
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.screens.sweep import SweepScreen
from synergy_tui.app.sidebyside.screen import SideBySideScreen
from synergy_tui.sweep.directory import Sweep
from tests.tui.app.conftest import said, screen_lines, screen_text, until
from tests.tui.recorded_sweeps import FAILED, RUNNING, WAITING, record

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"


@asynccontextmanager
async def looking(
    sweep: Sweep, size: tuple[int, int] = (100, 24), *, ascii_only: bool = False
) -> AsyncIterator[Pilot[None]]:
    """The app on a sweep, once its groups and verdicts are there."""
    screen = SweepScreen(sweep)
    app = SynergyApp(opening=lambda: screen, keymap={}, ascii_only=ascii_only, clock=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        await until(
            lambda: screen.judged is not None and "heads-8" in screen_text(app), pilot, 2000
        )
        yield pilot


async def sees(pilot: Pilot[None], *texts: str) -> None:
    await until(lambda: all(text in screen_text(pilot.app) for text in texts), pilot)


async def test_groups_have_means_intervals_and_a_scale(tmp_path: Path) -> None:
    async with looking(record(tmp_path)) as pilot:
        await pilot.press("m", "m")
        await sees(pilot, "10/10 points", "FINISHED", "minimax fidelity", "clearer", "reference")
        lines = screen_lines(pilot.app)
        heading = next(line for line in lines if "seeds" in line)
        row = next(line for line in lines if "heads-4" in line)
        assert row[heading.index("mean") :].startswith("."), "headings stand over their values"
        assert row[heading.index("95%") :].startswith("[")
        assert "•" in row or "·" in row
        one = heading.rindex(" 1 ") + 1
        assert row[one] in "│·•●", "1 is where the heading says"


async def test_enter_goes_down_to_a_point_and_escape_comes_back(tmp_path: Path) -> None:
    async with looking(record(tmp_path)) as pilot:
        await pilot.press("down", "down", "down", "down", "enter")  # the first of the second group
        await sees(pilot, "only copy", "copy-s0")
        assert "sort-s0" not in screen_text(pilot.app)
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, DashboardScreen), pilot)
        await sees(pilot, "heads-1")
        await pilot.press("escape")
        await sees(pilot, "only copy")
        await pilot.press("escape")
        await sees(pilot, "seeds")


async def test_a_sweep_that_runs_shows_what_failed(tmp_path: Path) -> None:
    sweep = record(tmp_path, finished=False)
    with sweep.lock():
        async with looking(sweep) as pilot:
            await sees(pilot, "RUNNING", "7/10 points", "1 failed", "  4 ")
            await pilot.press("f", "f")
            await sees(pilot, "only failed", FAILED, "the loss is nan")
            assert RUNNING not in screen_text(pilot.app)
            await pilot.press("f", "f")
            await sees(pilot, "only waiting", WAITING)
            await pilot.press("f", "s", "s")
            await sees(pilot, "by state")
            lines = screen_lines(pilot.app)
            assert RUNNING in next(line for line in lines if "-s" in line), "what runs comes first"


async def test_a_point_that_finishes_is_counted_while_one_looks(tmp_path: Path) -> None:
    sweep = record(tmp_path, finished=False)
    async with looking(sweep) as pilot:
        await sees(pilot, "7/10 points", "STOPPED")
        whole = record(tmp_path / "other")
        for name in (RUNNING, WAITING, FAILED):
            target = sweep.experiment(name).events_path
            target.write_bytes(whole.experiment(name).events_path.read_bytes())
        log = whole.events_path.read_text().splitlines(keepends=True)
        with sweep.events_path.open("a") as file:
            file.writelines(line for line in log if f'"{WAITING}"' in line)
        await sees(pilot, "8/10 points")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_every_size_shows_groups_points_and_verdicts(
    size: tuple[int, int], ascii_only: bool, tmp_path: Path
) -> None:
    async with looking(record(tmp_path), size, ascii_only=ascii_only) as pilot:
        if ascii_only:
            assert screen_text(pilot.app).isascii()
        await pilot.press("m", "m")
        await sees(pilot, "clearer", "heads-8")
        wide = size[0] >= 118
        assert ("supported for sort" in screen_text(pilot.app)) is wide
        await pilot.press("tab")
        await sees(pilot, "sort-s0")
        await pilot.press("tab")
        if wide:
            await sees(pilot, "seeds")
        else:
            await sees(pilot, "Verdicts, 10 of 10 points finished")


async def test_no_colour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with looking(record(tmp_path)) as pilot:
        await sees(pilot, "10/10 points", "heads-8")


async def test_stopping_what_is_not_run_says_so(designed_sweep: Sweep) -> None:
    app = SynergyApp(
        opening=lambda: SweepScreen(designed_sweep), keymap={}, ascii_only=True, clock=lambda: 0.0
    )
    async with app.run_test(size=(100, 24)) as pilot:
        await until(lambda: "4/4 points" in screen_text(app), pilot)
        await pilot.press("S")
        await until(
            lambda: "is not running (it is finished)" in said(app),
            pilot,
        )


@pytest.mark.parametrize("running", [True, False])
async def test_stop_is_offered_while_there_is_something_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: bool
) -> None:
    monkeypatch.setattr(Sweep, "running", running)
    async with looking(record(tmp_path), size=(160, 24)) as pilot:
        await sees(pilot, "RUNNING" if running else "FINISHED")
        assert ("S stop" in screen_lines(pilot.app)[-1]) is running


async def test_a_filter_leaves_groups_and_points_that_match(tmp_path: Path) -> None:
    async with looking(record(tmp_path)) as pilot:
        await pilot.press("slash", *"copy heads-2")
        await sees(pilot, "1 of 8")
        assert "heads-4" not in screen_text(pilot.app)
        await pilot.press("enter", "tab")
        await sees(pilot, "5 of 10", "copy-s0")
        assert "sort-s0" not in screen_text(pilot.app)
        await pilot.press("escape")
        await sees(pilot, "copy-s0", "sort-s0")
        await pilot.press("slash", *"nowhere", "enter")
        await sees(pilot, "no point matches")


async def test_two_points_are_marked_and_compared(tmp_path: Path) -> None:
    async with looking(record(tmp_path)) as pilot:
        await pilot.press("t")
        await until(lambda: "Points are marked" in said(pilot.app), pilot)
        assert not pilot.app.marks, "groups are not marked"
        await pilot.press("tab", "t", "down", "c")
        await until(lambda: isinstance(pilot.app.screen, SideBySideScreen), pilot)
        await sees(pilot, "no verdict: other seed", "A heads-8", "B heads-8")
        await pilot.press("escape")
        await sees(pilot, "sort-s0")


SIZES = [(60, 20), (80, 24), (120, 40), (200, 60)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}")
@pytest.mark.parametrize("what", ["running", "finished", "failed", "verdicts"])
async def test_the_screen_looks_as_it_did(size: tuple[int, int], what: str, tmp_path: Path) -> None:
    """Compare with the stored picture; SYNERGY_SNAPSHOTS=write stores what is drawn now.

    Clarity of a sweep that runs, and of one that is finished; its verdicts; a point that failed.
    """
    sweep = record(tmp_path, finished=what in ("finished", "verdicts"))
    with sweep.lock() if what in ("running", "failed") else nullcontext():
        async with looking(sweep, size) as pilot:
            await pilot.press("m", "m")
            await sees(pilot, "clearer", "×" if size[0] >= 118 else "heads-4")
            if what == "failed":
                await pilot.press("f", "f")
                await sees(pilot, "only failed", FAILED)
            if what == "verdicts":
                await pilot.press(*["shift+tab"] * (size[0] < 118))
                await sees(pilot, "Verdicts, 10 of 10")
            await pilot.pause()
            drawn = "\n".join(line.rstrip() for line in screen_lines(pilot.app)) + "\n"
    path = SNAPSHOTS / f"sweep-{what}-{size[0]}x{size[1]}.txt"
    if os.environ.get("SYNERGY_SNAPSHOTS") == "write":
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")
