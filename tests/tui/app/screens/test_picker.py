"""The picker: scenarios and experiments to begin with."""

from __future__ import annotations

import datetime
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot

from synergy_tui.app.app import SynergyApp
from synergy_tui.app.dashboard.screen import DashboardScreen
from synergy_tui.app.screens.entries import experiment_section, scenario_section
from synergy_tui.app.screens.picker import PickerScreen
from synergy_tui.app.screens.sweep import SweepScreen
from synergy_tui.app.sidebyside.screen import SideBySideScreen
from synergy_tui.app.widgets.listing import Listing, fitted
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.scenario import library
from synergy_tui.words import age
from tests.tui.app import synthetic
from tests.tui.app.conftest import said, screen_lines, screen_text, until
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


async def go_to(pilot: Pilot[None], name: str) -> str:
    """Put the cursor on the experiment or sweep whose directory is called so; what is shown."""
    listing = pilot.app.screen.query_one(Listing)
    await until(lambda: any(row.key.endswith(name) for row in listing.rows), pilot)
    listing.select(next(row.key for row in listing.rows if row.key.endswith(name)))
    await pilot.pause()
    await pilot.pause()
    return screen_text(pilot.app)


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
        await go_to(pilot, "2026-11-23-one")
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
                           "verdict": "no difference", "reason": "1 of 2 failed"})  # fmt: skip
        synthetic.write(events, home / name)
    async with picking(home) as pilot:
        shown = {each: await go_to(pilot, f"2026-11-23-{each}") for each in ("one", "two", "three")}
        assert "enter replays it" in shown["one"]
        assert "an expectation failed; enter replays it" in shown["two"]
        assert "took 1:15" in shown["two"]
        assert "finished: 1 of 2 failed" in shown["two"]
        assert "R continues from its last checkpoint" in shown["three"]
        assert all("finished" in text and "ago" in text for text in shown.values())
        row = next(line for line in screen_lines(pilot.app) if "dead" in line and "1, 8" in line)
        assert re.search(r"diverse_heads +dead +1, 8 +sort +[.\d]+, [.\d]+ +\d+ \w+", row)


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
        await go_to(pilot, sweep.id)
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


async def test_a_filter_leaves_what_has_every_word(home: Path) -> None:
    synthetic.write(synthetic.designed(), home / "2026-11-24-example2")
    async with picking(home) as pilot:
        await until(lambda: "2 experiments" in screen_text(pilot.app), pilot)
        await pilot.press("slash", *"sort 8")
        await until(lambda: "1 of 4" in screen_text(pilot.app), pilot)
        text = screen_text(pilot.app)
        assert "diverse_heads" in text
        assert "example2" not in text
        assert "multi-head is clearer" in text, "the cursor is on what is left"
        await pilot.press("enter")
        await pilot.press("enter")
        await until(lambda: isinstance(pilot.app.screen, DashboardScreen), pilot)
        await pilot.press("o")
        await until(lambda: "example2" in screen_text(pilot.app), pilot)
        await pilot.press("slash", *"nothing")
        await until(lambda: "none matches" in screen_text(pilot.app), pilot)
        await pilot.press("escape")
        await until(lambda: "example2" in screen_text(pilot.app), pilot)
        assert isinstance(pilot.app.screen, PickerScreen), "escape undoes one thing"


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (200, ["state", "heads", "task", "loss", "verdict", "age"]),
        (60, ["state", "heads", "loss", "verdict", "age"]),
        (54, ["state", "heads", "verdict", "age"]),
        (48, ["state", "verdict", "age"]),
        (30, ["state"]),
    ],
)
def test_without_room_the_least_useful_columns_are_left_out(width: int, kept: list[str]) -> None:
    now = datetime.datetime.now(datetime.UTC).isoformat()
    each = {
        "id": "x", "kind": "experiment", "scenario": "diverse_heads", "state": "finished",
        "exit_code": 0, "path": "/x", "started": now, "points": None,
        "heads": [1, 8], "task": "sort", "loss": [0.5, 0.25], "signs": "✔✘", "verdict": "",
        "entry": library.Entry(Path("x"), "", "", ()),
    }  # fmt: skip
    section = experiment_section({"x": each}, "")
    assert [section.columns[place].name for place in fitted(section, width - 4)][2:] == kept


def test_a_scenarios_title_is_cut_before_its_name() -> None:
    """Names that begin alike could not be told from each other otherwise."""
    names = [f"sweep_head_diversity_{each}" for each in ("one", "two")]
    entries = {
        name: library.Entry(Path(f"{name}.toml"), "A long title of a sweep, " * 4, "", ())
        for name in names
    }
    section = scenario_section(entries, "")
    assert [row.cells[0].text for row in section.rows] == names
    for width in (78, 58):
        assert fitted(section, width)[0] == len(names[0])


async def test_removing_names_what_is_lost_and_can_be_refused(home: Path) -> None:
    folder = home / "2026-11-23-one"
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "multi-head-00000040.safetensors").write_bytes(b"0" * 2048)
    async with picking(home) as pilot:
        await go_to(pilot, folder.name)
        for answer in ("escape", "enter"):
            await pilot.press("D")
            await until(lambda: "Remove 2026-11-23-one?" in screen_text(pilot.app), pilot)
            asked = " ".join(screen_text(pilot.app).replace("│", " ").split())
            assert re.search(r"lost with it: [\d.]+ KiB on disk, 1 checkpoint", asked)
            assert folder.exists()
            await pilot.press(answer)
            await until(lambda: isinstance(pilot.app.screen, PickerScreen), pilot)
        await until(lambda: not folder.exists(), pilot)
        await until(lambda: "none yet" in screen_text(pilot.app), pilot)


async def test_what_runs_is_stopped_and_what_stopped_is_continued_once_confirmed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("synergy_tui.running.worker.stop", lambda each: done.append("stop"))
    monkeypatch.setattr("synergy_tui.running.worker.launch", lambda each: done.append("resume"))
    monkeypatch.setattr(Experiment, "scenario", lambda self: None)
    monkeypatch.setattr("synergy_tui.app.screens.changes.STARTING_SECONDS", 0.0)
    events = synthetic.trained(upto=40, steps=80)
    synthetic.write(events, home / "2026-11-24-dead")
    synthetic.write(events, home / "2026-11-25-live")
    with Experiment(home / "2026-11-25-live").lock():
        async with picking(home) as pilot:
            for name, key, question in (("live", "S", "Stop"), ("dead", "R", "Continue")):
                await go_to(pilot, name)
                await pilot.press(key)
                await until(lambda q=question: f"{q} 2026-11-2" in screen_text(pilot.app), pilot)
                await pilot.press("enter")
                await until(lambda: isinstance(pilot.app.screen, PickerScreen), pilot)
            await until(lambda: done == ["stop", "resume"], pilot)
            for name, key, why in (
                ("live", "D", "is running"),
                ("dead", "S", "is not running (it is dead)"),
                ("one", "R", "is finished"),
            ):
                await go_to(pilot, name)
                await pilot.press(key)
                await until(lambda w=why: w in said(pilot.app), pilot)
    assert done == ["stop", "resume"]


async def test_a_training_that_is_watched_is_never_stopped(home: Path) -> None:
    events = synthetic.trained(upto=40, steps=80)
    events[0]["runs"] = [{"name": "mine", "heads": 8, "kind_of_run": "watched"}]
    synthetic.write(events, home / "2026-11-24-mine")
    with Experiment(home / "2026-11-24-mine").lock(watched=True):
        async with picking(home) as pilot:
            await go_to(pilot, "mine")
            for times, key in enumerate(("S", "R"), start=1):
                await pilot.press(key)
                await until(lambda n=times: said(pilot.app).count("never stops") == n, pilot)
            await pilot.press("D")
            await until(lambda: "end that first" in said(pilot.app), pilot)
            assert isinstance(pilot.app.screen, PickerScreen)


async def test_marks_lead_to_a_comparison_and_back(home: Path) -> None:
    synthetic.write(synthetic.trained(upto=40, steps=40), home / "2026-11-24-two")
    async with picking(home) as pilot:
        await go_to(pilot, "two")
        await pilot.press("c")
        assert isinstance(pilot.app.screen, PickerScreen), "one alone is not compared"
        await pilot.press("t")
        await go_to(pilot, "one")
        await pilot.press("t")
        await pilot.pause()
        rows = [line.strip(" >") for line in screen_lines(pilot.app) if " finished  1, 8" in line]
        assert [row[0] for row in rows] == ["A", "B"], "the newest stands first"
        await pilot.press("c")
        await until(lambda: isinstance(pilot.app.screen, SideBySideScreen), pilot)
        await until(lambda: "A multi-head" in screen_text(pilot.app), pilot)
        await pilot.press("escape")
        await until(lambda: isinstance(pilot.app.screen, PickerScreen), pilot)


async def test_what_runs_is_brought_up_to_date(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synergy_tui.app.screens.picker.LOOK_SECONDS", 0.05)
    folder = home / "2026-11-24-live"
    synthetic.write(synthetic.trained(upto=40, steps=80), folder)
    experiment = Experiment(folder)
    with experiment.lock():
        async with picking(home, size=(120, 30)) as pilot:
            await until(lambda: "running" in screen_text(pilot.app), pilot)
            step = {"v": 1, "t": 9.0, "kind": "train_step", "step": 41, "loss": 0.125}
            synthetic.write(
                [{**step, "run": name} for name in ("single-head", "multi-head")], folder
            )
            await until(lambda: ".125, .125" in screen_text(pilot.app), pilot)


async def test_hundreds_of_experiments_are_read_behind_a_list_that_answers(home: Path) -> None:
    for place in range(120):
        synthetic.write(synthetic.designed(), home / f"2026-10-{place % 28 + 1:02}-{place:06}")
    async with picking(home) as pilot:
        await until(lambda: "121 experiments" in screen_text(pilot.app), pilot)
        await pilot.press("G")
        await pilot.pause()
        assert "2026-10-01-000000" in screen_text(pilot.app), "the oldest is the last"
        assert "EXPERIMENTS" in screen_text(pilot.app), "its heading stays in sight"


async def test_the_list_that_the_cursor_is_in_is_copied(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TMUX", raising=False)
    async with picking(home) as pilot:
        await until(lambda: "good" in screen_text(pilot.app), pilot)
        await pilot.press("Y")
        await pilot.pause()
        assert pilot.app.clipboard.splitlines()[1:] == ["broken\t", "good\tTwo heads"]
        await go_to(pilot, "one")
        await pilot.press("Y")
        await pilot.pause()
        names, row = pilot.app.clipboard.splitlines()
        assert names.split("\t")[2:6] == ["state", "heads", "task", "loss"]
        assert row.split("\t")[2:4] == ["finished", "1, 8"]


async def test_what_there_is_is_counted_also_in_a_narrow_terminal(home: Path) -> None:
    for place in range(30):
        (home.parent / "scenarios" / f"more{place:02}.toml").write_text(GOOD)
    app = SynergyApp(None, home=home, keymap={}, ascii_only=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: "32 scenarios · 1 experiment" in screen_lines(pilot.app)[0], pilot)
        shown = len([line for line in screen_lines(app) if "Two heads" in line]) + 1
        assert screen_lines(app)[1].rstrip().endswith(f"{32 - shown} more ▾")
        assert "EXPERIMENTS" in screen_text(app)
        await pilot.press("G")
        await until(lambda: "> ✓" in screen_text(app), pilot)
        assert screen_lines(app)[1].rstrip().endswith(f"{32 - shown} more ▾")
