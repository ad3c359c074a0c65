"""The picker: scenarios and experiments to begin with."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from synergy_tui.app.app import SynergyApp
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.screens.picker import PickerScreen
from synergy_tui.app.screens.sweep import SweepScreen
from synergy_tui.scenario import library
from synergy_tui.words import age
from tests.tui.app import synthetic
from tests.tui.app.conftest import screen_text, until
from tests.tui.conftest import DESIGNED
from tests.tui.recorded_sweeps import record

GOOD = 'title = "Two heads"\ndescription = """\nWhat it\nshows."""\n[[runs]]\nname = "both"\n'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one finished experiment, and ``./scenarios`` with a good and a broken one."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "good.toml").write_text(GOOD)
    (tmp_path / "scenarios" / "broken.toml").write_text("title = ")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library, "folders", lambda: [tmp_path / "scenarios"])
    synthetic.write(synthetic.trained(upto=40, steps=40), tmp_path / "home" / "2026-11-23-one")
    return tmp_path / "home"


@asynccontextmanager
async def picking(
    home: Path, size: tuple[int, int] = (100, 30), **options: bool
) -> AsyncIterator[Pilot[None]]:
    app = SynergyApp(None, home=home, keymap={}, ascii_only=options.get("ascii_only", False))
    async with app.run_test(size=size) as pilot:
        await until(lambda: "EXPERIMENTS" in screen_text(app), pilot)
        yield pilot


async def test_scenarios_and_experiments_are_listed_and_described(home: Path) -> None:
    async with picking(home) as pilot:
        text = screen_text(pilot.app)
        assert "good" in text
        assert "diverse_heads" in text
        await pilot.press("j")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "Two heads" in text
        assert "What it shows." in text
        assert "runs   both" in text
        await pilot.press("j")
        await pilot.pause()
        assert "multi-head is clearer" in screen_text(pilot.app), "the verdict is shown"


async def test_a_broken_scenario_says_what_is_wrong(home: Path) -> None:
    async with picking(home) as pilot:
        await until(lambda: "Invalid value" in screen_text(pilot.app), pilot)
        await pilot.press("enter")
        await until(lambda: "TOML" in screen_text(pilot.app), pilot)
        assert isinstance(pilot.app.screen, PickerScreen)


async def test_an_experiment_opens_and_the_picker_comes_back(home: Path) -> None:
    async with picking(home) as pilot:
        listed = pilot.app.screen.query_one(OptionList)
        listed.highlighted = listed.option_count - 1
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, DashboardScreen), pilot)
        await until(
            lambda: "FINISHED" in screen_text(pilot.app) or "REPLAY" in screen_text(pilot.app),
            pilot,
        )
        await pilot.press("o")
        await until(lambda: isinstance(pilot.app.screen, PickerScreen), pilot)
        await until(lambda: "EXPERIMENTS" in screen_text(pilot.app), pilot)
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, DashboardScreen), pilot)


async def test_a_scenario_is_started_off_the_event_loop(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Path] = []
    monkeypatch.setattr(
        "synergy_tui.running.worker.launch", lambda each: launched.append(each.path)
    )
    (home.parent / "scenarios" / "broken.toml").unlink()
    (home.parent / "scenarios" / "good.toml").write_text(
        'title = "Two heads"\n[[runs]]\nname = "both"\nnodes = ["u", "v"]\n'
        '[[runs.heads]]\nedges = [["u", "v"]]\n'
    )
    async with picking(home) as pilot:
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, DashboardScreen), pilot)
        assert len(launched) == 1
        assert (launched[0] / "scenario.toml").is_file()


async def test_nothing_there_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "folders", list)
    async with picking(tmp_path / "nowhere", size=(60, 20)) as pilot:
        text = screen_text(pilot.app)
        assert "none in ./scenarios" in text
        assert "none yet" in text


async def test_each_experiment_has_its_state_age_and_what_can_be_done(home: Path) -> None:
    for name, ending in (("2026-11-23-two", 1), ("2026-11-23-three", None)):
        events = synthetic.trained(upto=40, steps=40, finish=False)
        if ending is not None:
            events.append({"v": 1, "t": 75.0, "kind": "experiment_finished", "exit_code": ending,
                           "verdict": "no clear difference", "reason": ""})  # fmt: skip
        synthetic.write(events, home / name)
    async with picking(home) as pilot:
        listed = pilot.app.screen.query_one(OptionList)
        shown = {}
        for place in range(listed.option_count - 3, listed.option_count):
            listed.highlighted = place
            await pilot.pause()
            text = screen_text(pilot.app)
            shown[text.partition("2026-11-23-")[2].split()[0]] = text
        assert "enter replays it" in shown["one"]
        assert "an expectation failed; enter replays it" in shown["two"]
        assert "took 1:15" in shown["two"]
        assert "synergy resume 2026-11-23-three" in shown["three"]
        assert all("finished" in text and "ago" in text for text in shown.values())


@pytest.mark.parametrize("size", [(60, 20), (80, 24)])
async def test_in_a_narrow_terminal_the_details_stand_beneath(
    home: Path, size: tuple[int, int]
) -> None:
    async with picking(home, size=size) as pilot:
        await pilot.press("j", "j")
        await pilot.pause()
        about, listed = (pilot.app.screen.query_one(name).region for name in ("#about", "#list"))
        assert about.y >= listed.bottom
        assert about.width == size[0]
        assert "multi-head is clearer" in screen_text(pilot.app)


async def test_the_picker_in_ascii(home: Path) -> None:
    async with picking(home, ascii_only=True) as pilot:
        assert screen_text(pilot.app).isascii()


def test_of_equal_names_the_first_folders_scenario_is_taken(tmp_path: Path) -> None:
    for folder, title in (("mine", "Mine"), ("theirs", "Theirs")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.toml").write_text(f'title = "{title}"')
    entries = library.scenarios([tmp_path / "mine", tmp_path / "theirs"])
    assert [entry.title for entry in entries] == ["Mine"]


def test_ages_are_for_people() -> None:
    now = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
    assert age("2026-11-23T11:55:00+00:00", now) == "5 min ago"
    assert age("not a date", now) == ""


async def test_a_sweep_opens_and_the_picker_comes_back(home: Path, tmp_path: Path) -> None:
    sweep = record(tmp_path / "recorded")
    shutil.move(sweep.path, home / sweep.id)
    async with picking(home) as pilot:
        await until(lambda: "sweep_heads" in screen_text(pilot.app), pilot)
        assert "1 sweep" in screen_text(pilot.app)
        listed = pilot.app.screen.query_one(OptionList)
        listed.highlighted = next(
            at for at in range(listed.option_count)
            if str(listed.get_option_at_index(at).id).endswith(sweep.id)
        )  # fmt: skip
        await until(lambda: "10 of 10 points finished" in screen_text(pilot.app), pilot)
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, SweepScreen), pilot)
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, PickerScreen), pilot)


async def test_a_sweep_starts_only_after_its_estimate_is_confirmed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[Path] = []
    monkeypatch.setattr(
        "synergy_tui.sweep.worker.launch", lambda sweep, backend: launched.append(sweep.path)
    )
    (home.parent / "scenarios" / "broken.toml").unlink()
    (home.parent / "scenarios" / "good.toml").write_text(DESIGNED)
    async with picking(home) as pilot:
        await pilot.press("enter")
        await until(lambda: "4 points, 8 runs to go: about" in screen_text(pilot.app), pilot)
        assert not launched
        await pilot.press("j", "k")
        await pilot.press("enter")
        await until(lambda: "Start this sweep?" in screen_text(pilot.app), pilot)
        assert not launched, "going to another line takes the question back"
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, SweepScreen), pilot)
        assert [(path / "plan.json").is_file() for path in launched] == [True]
