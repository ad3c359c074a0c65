"""Two experiments side by side: both live, one cursor, and no verdict between unlike ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from textual.pilot import Pilot

from synergy_tui.app.app import SynergyApp
from synergy_tui.app.session import Mark
from synergy_tui.app.sidebyside.screen import SideBySideScreen, told_apart
from synergy_tui.experiments.experiment import Experiment
from tests.recordings import copy_recording, recording
from tests.tui.app import synthetic
from tests.tui.app.conftest import resized, screen_lines, screen_text, until

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"


@asynccontextmanager
async def beside(
    one: Mark, other: Mark, size: tuple[int, int] = (120, 40), *, ascii_only: bool = False
) -> AsyncIterator[Pilot[None]]:
    screen = SideBySideScreen((one, other), ascii_only=ascii_only, clock=lambda: 0.0)
    app = SynergyApp(opening=lambda: screen, keymap={}, ascii_only=ascii_only, clock=lambda: 0.0)
    async with app.run_test(size=size) as pilot:
        await until(lambda: screen.caught_up and "B against A" in screen_text(app), pilot)
        yield pilot


def parted(folder: Path) -> tuple[Path, Path]:
    """The recorded experiment of two runs as two experiments, each of the half with one run."""
    halves = []
    for keep, drop in (("single-head", "multi-head"), ("multi-head", "single-head")):
        half = folder / f"2026-11-23-{keep}"
        shutil.copytree(recording("sort"), half)
        first, *events = map(orjson.loads, (half / "events.jsonl").read_bytes().splitlines())
        first["runs"] = [run for run in first["runs"] if run["name"] == keep]
        (half / "events.jsonl").unlink()
        synthetic.write([first, *(each for each in events if each.get("run") != drop)], half)
        scenario = (half / "scenario.toml").read_text().splitlines(keepends=True)
        (half / "scenario.toml").write_text("".join(x for x in scenario if f'"{drop}"' not in x))
        halves.append(half)
    return halves[0], halves[1]


@pytest.mark.parametrize(
    "size", [(60, 20), (80, 24), (120, 40), (200, 60)], ids=lambda size: f"{size[0]}"
)
async def test_a_recorded_comparison_looks_as_it_did(size: tuple[int, int], tmp_path: Path) -> None:
    """Compare with the stored picture; SYNERGY_SNAPSHOTS=write stores what is drawn now."""
    one, other = parted(tmp_path)
    async with beside(Mark(one, "single-head"), Mark(other, "multi-head"), size) as pilot:
        drawn = "\n".join(line.rstrip() for line in screen_lines(pilot.app)) + "\n"
    path = SNAPSHOTS / f"sidebyside-{size[0]}x{size[1]}.txt"
    if os.environ.get("SYNERGY_SNAPSHOTS") == "write":
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")


async def test_two_experiments_get_the_verdict_of_one_that_has_both_runs(tmp_path: Path) -> None:
    one, other = parted(tmp_path)
    async with beside(Mark(one, "single-head"), Mark(other, "multi-head")) as pilot:
        text = screen_text(pilot.app)
    together = SynergyApp(Experiment(recording("sort")), "replay", keymap={}, ascii_only=False)
    async with together.run_test(size=(120, 40)) as pilot:
        await until(lambda: "sooner" in screen_text(together), pilot)
        lines = [line.strip() for line in screen_lines(together) if line[2:3] in "✔✘≈?"]
    assert len(lines) == 5
    assert all(line in text for line in lines)


async def test_unlike_runs_get_no_verdict_but_their_differences(tmp_path: Path) -> None:
    one, other = (copy_recording(name, tmp_path) for name in ("sort", "four"))
    async with beside(Mark(one), Mark(other)) as pilot:
        text = screen_text(pilot.app)
        assert "no verdict: other seed" in text
        assert not {"✔", "✘"} & set(text)
        assert "A multi-head" in text
        assert "B heads-8" in text
        assert "step 40 of 80" in text, "the cursor ends where the shorter one does"
        await pilot.press("n", "N")
        await until(lambda: "A single-head" in screen_text(pilot.app), pilot)
        assert "B heads-1" in screen_text(pilot.app)


async def test_both_logs_are_followed(tmp_path: Path) -> None:
    whole = synthetic.trained(upto=100, steps=400)
    split = next(at for at, event in enumerate(whole) if event.get("step") == 60)
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        synthetic.write(whole[:split], folder)
    async with beside(Mark(folders[0]), Mark(folders[1])) as pilot:
        await until(lambda: "step 59 of 400" in screen_text(pilot.app), pilot)
        synthetic.write(whole[split:], folders[0])
        await until(lambda: "100/400" in screen_text(pilot.app), pilot)
        assert "step 59 of 400" in screen_text(pilot.app), "B has not come further"
        synthetic.write(whole[split:], folders[1])
        await until(lambda: "step 100 of 400" in screen_text(pilot.app), pilot)


async def test_the_cursor_moves_both_and_the_newest_is_followed_again(tmp_path: Path) -> None:
    one, other = (copy_recording("sort", tmp_path / name) for name in "ab")
    async with beside(Mark(one, "single-head"), Mark(other, "multi-head")) as pilot:
        await pilot.press("left_square_bracket")
        await until(lambda: "step 60 of 80" in screen_text(pilot.app), pilot)
        await pilot.press("home")
        await until(lambda: "step 0 of 80" in screen_text(pilot.app), pilot)


async def test_the_crosshair_reads_both_and_their_difference(tmp_path: Path) -> None:
    one, other = parted(tmp_path)
    async with beside(Mark(one, "single-head"), Mark(other, "multi-head"), (160, 50)) as pilot:
        await pilot.press("2", "X", "H")
        await until(lambda: screen_text(pilot.app).count("step 60") >= 2, pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(pilot.app.screen, SideBySideScreen), "escape leaves the crosshair first"
        await pilot.hover("#column-1 .question-2", offset=(30, 4))
        await until(lambda: pilot.app.screen.lens.aim is not None, pilot)
        assert pilot.app.screen.lens.aim.run == "B against A"


async def test_two_moments_of_one_run(tmp_path: Path) -> None:
    path = copy_recording("four", tmp_path)
    async with beside(Mark(path, "heads-8", 0), Mark(path, "heads-8", 40), (200, 60)) as pilot:
        text = screen_text(pilot.app)
        assert "no verdict: the same run at two steps" in text
        assert "share arrived, B - A" in text
        assert "layer" in text
        assert "step 40 of" not in text, "there is no cursor over moments"


async def test_designed_graphs_are_compared_as_they_stand(tmp_path: Path) -> None:
    path = copy_recording("example2", tmp_path)
    async with beside(Mark(path, "head-1"), Mark(path, "both")) as pilot:
        text = screen_text(pilot.app)
        assert "3 → 17/7 steps to sink" in text
        assert "B is 1.11× as clear as A" in text
        assert "has it learned?" not in text


async def test_a_training_that_is_watched_is_compared_without_a_verdict(tmp_path: Path) -> None:
    events = synthetic.trained(upto=60)
    synthetic.write(events, tmp_path / "ours")
    theirs = [{**event, "kind_of_run": "watched"} if event["kind"] == "run_started" else event
              for event in events]  # fmt: skip
    synthetic.write(theirs, tmp_path / "theirs")
    async with beside(Mark(tmp_path / "ours"), Mark(tmp_path / "theirs")) as pilot:
        assert "no verdict: of a training that is watched" in screen_text(pilot.app)


async def test_ascii_and_every_size(tmp_path: Path) -> None:
    one, other = parted(tmp_path)
    marks = Mark(one, "single-head"), Mark(other, "multi-head")
    async with beside(*marks, (80, 24), ascii_only=True) as pilot:
        for size, sign in (((60, 20), "1 soon"), ((200, 60), "how clearly?"), ((30, 8), "needs")):
            await resized(pilot, size, lambda sign=sign: sign in screen_text(pilot.app))
            assert screen_text(pilot.app).isascii()


async def test_exports_name_both_and_contain_the_differences(tmp_path: Path) -> None:
    one, other = parted(tmp_path)
    async with beside(Mark(one, "single-head"), Mark(other, "multi-head")) as pilot:
        await pilot.press("e")
        await until(lambda: (one / "exports").is_dir(), pilot)
    table = next((one / "exports").glob("*.csv")).read_text().splitlines()
    assert table[0] == "A,B,difference,x,difference at x"
    assert all(line.startswith(f"{one.name},{other.name},") for line in table[1:])
    assert sum("steps to sink, A / B" in line for line in table) == 5, "a row for each probe"


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        ("/h/2026-11-23-154312-sort", "/h/2026-11-23-154312-copy", ("sort", "copy")),
        ("/h/2026-11-23-154312-x", "/h/2026-11-24-154312-x", ("23-154312-x", "24-154312-x")),
        ("/h/2026-11-23-154312-sort", "/h/2026-11-23-154312-sort-2", ("sort", "sort-2")),
        ("/h/a/points/sort-s0", "/h/b/points/sort-s0", ("a/points/sort-s0", "b/points/sort-s0")),
        ("/h/2026-11-23-154312-sort", "/h/2026-11-23-154312-sort", ("sort", "sort")),
    ],
)  # fmt: skip
def test_experiments_of_one_scenario_are_told_apart(
    one: str, other: str, names: tuple[str, str]
) -> None:
    assert told_apart(Path(one), Path(other)) == names
