"""The dashboard, driven by keys on recorded logs."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from textual.pilot import Pilot

from synergy_tui.app import keys
from synergy_tui.app.app import SynergyApp
from synergy_tui.app.dashboard.scales import scales
from synergy_tui.app.dashboard.screen import DashboardScreen, RunColumn
from synergy_tui.app.screens.help import HelpScreen
from synergy_tui.app.screens.log import LogScreen
from synergy_tui.app.timeline import Mode
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.words import measured
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, replaying, said, screen_lines, screen_text, until

LIVE = synthetic.trained(upto=400, layers=2)


def app_of(pilot: Pilot[None]) -> SynergyApp:
    assert isinstance(pilot.app, SynergyApp)
    return pilot.app


def dashboard(pilot: Pilot[None]) -> DashboardScreen:
    assert isinstance(pilot.app.screen, DashboardScreen)
    return pilot.app.screen


async def pressed(pilot: Pilot[None], *keys: str) -> str:
    for key in keys:
        await pilot.press(key)
    await pilot.pause()
    return screen_text(app_of(pilot))


async def test_columns_are_runs_and_rows_are_questions(opened: Opened) -> None:
    async with opened(LIVE, size=(100, 30)) as pilot:
        text = screen_text(app_of(pilot))
        assert "● single-head · 1 head · 75,600 parameters" in text
        assert "▲ multi-head · 8 heads · 75,600 parameters" in text
        for question in ("how soon?", "how clearly?", "has it learned?"):
            assert text.count(question) == 2
        assert " LIVE " in text
        assert "step 400/600" in text
        assert "verdict  multi-head (8) against single-head (1)" in text
        assert "space play/pause" in screen_lines(app_of(pilot))[-1]


async def test_pausing_is_unmistakable_and_ingest_goes_on(opened: Opened) -> None:
    async with opened(LIVE) as pilot:
        app = app_of(pilot)
        text = await pressed(pilot, "space")
        assert text.count("PAUSED at step 400") == 2
        more = synthetic.trained(upto=440, layers=2)[len(LIVE) :]
        synthetic.write(more, app.session.experiment.path)
        await until(lambda: "40 newer" in screen_text(app), pilot)
        assert "PAUSED at step 400" in screen_text(app)
        text = await pressed(pilot, "space")
        assert "PLAYING 2x" in text, "it catches up"
        text = await pressed(pilot, "G")
        assert "PLAYING" not in text
        assert "LIVE" in text
        assert "step 440/600" in text


async def test_the_cursor_steps_jumps_and_goes_to_the_ends(opened: Opened) -> None:
    async with opened(LIVE) as pilot:
        line = app_of(pilot).session.timeline
        steps = []
        for key in ("[", "[", "]", "{", "}", "home", "end"):
            await pressed(pilot, key)
            steps.append(line.step)
        assert steps == [380, 360, 380, 340, 380, 0, 400]
        assert line.mode is Mode.FOLLOW


async def test_playback_moves_by_itself_and_shows_its_speed(opened: Opened) -> None:
    now = [0.0]
    finished = synthetic.trained(upto=600)
    async with opened(finished, condition="finished", clock=lambda: now[0]) as pilot:
        app = app_of(pilot)
        assert "FINISHED" in screen_text(app)
        assert "PLAYING" in await pressed(pilot, "space")
        now[0] += 3.0
        await until(lambda: app.session.timeline.step > 0, pilot)
        assert await pressed(pilot, ">") != await pressed(pilot, ">")
        assert "REPLAY" in await pressed(pilot, "space")


async def test_overlay_maximise_and_back(opened: Opened) -> None:
    async with opened(LIVE, size=(100, 30)) as pilot:
        text = await pressed(pilot, "O")
        assert "● single-head   ▲ multi-head" in text
        assert text.count("how soon?") == 1
        await pressed(pilot, "escape", "right", "down")
        assert dashboard(pilot).selected_run.name == "multi-head"
        text = await pressed(pilot, "z")
        assert sum(chart.display and chart.region.area > 0 for chart in all_charts(pilot)) == 1
        assert "2 how clearly?" in text
        assert "single-head · 1" not in text
        text = await pressed(pilot, "z")
        assert text.count("how clearly?") == 2


async def test_escape_leaves_one_level_at_a_time(opened: Opened) -> None:
    async with opened(LIVE, size=(100, 30)) as pilot:
        await pressed(pilot, "O", "z")
        for maximised, overlaid in ((True, True), (False, True), (False, False)):
            assert (dashboard(pilot).maximised, dashboard(pilot).overlaid) == (maximised, overlaid)
            await pressed(pilot, "escape")
        assert isinstance(pilot.app.screen, DashboardScreen), "the last screen stays"


async def test_expectations_are_shown_from_the_end_only_at_the_end(opened: Opened) -> None:
    failed = {"v": 1, "t": 99.0, "kind": "expectation", "that": "multi-head.loss < 0",
              "holds": False, "left": 1.0, "right": 0}  # fmt: skip
    events = [*synthetic.trained(upto=40, steps=40), failed]
    async with opened(events, condition="finished", size=(110, 50)) as pilot:
        text = screen_text(app_of(pilot))
        assert "FINISHED !" in text
        assert "expected, but FAILS: multi-head.loss < 0" in text
        assert "expected, but" not in await pressed(pilot, "[")
        assert "expected, but FAILS" in await pressed(pilot, "G")


async def test_numbers_of_the_scoreboard_are_written_as_in_the_charts(opened: Opened) -> None:
    for ascii_only in (False, True):
        async with opened(LIVE, size=(160, 50), ascii_only=ascii_only) as pilot:
            row = next(line for line in screen_lines(app_of(pilot)) if " clearer " in line)
            assert (" -> ." if ascii_only else " → .") in row
            assert " 0." not in row
            assert ("> " in row.replace("-> ", "")) is False


def all_charts(pilot: Pilot[None]) -> list[Chart]:
    return [
        chart
        for chart in dashboard(pilot).query(Chart)
        if all(widget.display for widget in chart.ancestors_with_self if hasattr(widget, "display"))
    ]


async def test_the_convention_is_shown_and_changed(opened: Opened) -> None:
    async with opened(LIVE, size=(110, 60)) as pilot:
        assert "mixing time: worst start, total variation ≤ ¼ (m changes)" in screen_text(
            app_of(pilot)
        )
        assert "mixing time: mean over starts, total variation ≤ ¼ (m" in await pressed(pilot, "m")


async def test_layers_and_scales_change(opened: Opened) -> None:
    async with opened(LIVE, size=(130, 40)) as pilot:
        assert "arrival at the sink, layer 1" in await pressed(pilot, "v")
        assert "layer 2" in await pressed(pilot, "v")
        assert "arrival at the sink, layer" not in await pressed(pilot, "v")
        linear = screen_text(app_of(pilot))
        assert await pressed(pilot, "a") != linear


async def test_export_writes_the_picture_and_its_numbers(opened: Opened) -> None:
    async with opened(LIVE) as pilot:
        app = app_of(pilot)
        await pressed(pilot, "e")
        folder = app.session.experiment.path / "exports"
        svg = (folder / "dashboard-step-400.svg").read_text()
        assert svg.startswith("<svg")
        assert "how" in svg
        rows = list(csv.DictReader(io.StringIO((folder / "dashboard-step-400.csv").read_text())))
        assert {row["panel"] for row in rows} == {"arrival", "fidelity", "loss"}
        assert {row["run"] for row in rows} == {"single-head", "multi-head"}
        last = [row for row in rows if row["panel"] == "loss"][-1]
        assert float(last["y"]) == app.session.state.runs["multi-head"].loss.last


async def test_the_selected_number_and_the_verdict_are_copied(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    async with opened(LIVE) as pilot:
        app = app_of(pilot)
        monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
        await pressed(pilot, "right", "y", "Y")
        probe = app.session.state.runs["multi-head"].probe
        assert copied[0] == str(probe.overall["mixing"]["hitting_time_mean"])
        assert copied[1].startswith("multi-head (8) against single-head (1)")
        assert "✔\tsooner\t2.24×" in copied[1]
        assert "\n● single-head\t" in copied[1]
        assert "theory" in copied[1], "no number leaves without its convention"


async def test_help_is_made_from_the_table_and_the_users_keys(opened: Opened) -> None:
    async with opened(LIVE, size=(100, 150), keymap={"time.play": "f2"}) as pilot:
        assert screen_lines(app_of(pilot))[-1].startswith(" f2 play/pause")
        await pressed(pilot, "f2")
        assert app_of(pilot).session.timeline.mode is Mode.PAUSED
        await pressed(pilot, "question_mark")
        assert isinstance(pilot.app.screen, HelpScreen)
        text = screen_text(app_of(pilot))
        assert "f2" in text
        assert "time.play" in text
        await pressed(pilot, "escape")
        assert isinstance(pilot.app.screen, DashboardScreen)


@pytest.mark.parametrize("width", [60, 120])
async def test_help_begins_with_how_to_read_the_screen(opened: Opened, width: int) -> None:
    async with opened(LIVE, size=(width, 240)) as pilot:
        await pressed(pilot, "question_mark")
        text = screen_text(app_of(pilot))
        assert text.index("How soon?") < text.index("The verdict") < text.index("space p  ")
        for key in keys.rows_for("dashboard"):
            assert key.id in text
        wrapped = next(line for line in screen_lines(app_of(pilot)) if "view.maximise" in line)
        assert wrapped[:8].strip() in ("", "z"), "what does not fit hangs under the help"


async def test_the_palette_offers_every_command_of_the_screen(opened: Opened) -> None:
    async with opened(LIVE) as pilot:
        app = app_of(pilot)
        commands = {command.title for command in app.get_system_commands(app.screen)}
        assert {
            "play/pause (space)",
            "overlay (O)",
            "export (e)",
            "theme: high-contrast",
        } <= commands


async def test_themes_are_gone_through(opened: Opened) -> None:
    async with opened(LIVE) as pilot:
        seen = []
        for _ in range(4):
            await pressed(pilot, "T")
            seen.append(pilot.app.theme)
            assert "how soon?" in screen_text(app_of(pilot))
        assert seen == ["synergy-light", "high-contrast", "terminal", "synergy-dark"]


async def test_a_click_selects_and_the_timeline_seeks(opened: Opened) -> None:
    async with opened(LIVE, size=(100, 30)) as pilot:
        screen = dashboard(pilot)
        await pilot.click("#column-1 .question-2")
        assert (screen.run_place, screen.question) == (1, 2)
        await pilot.click("#timeline", offset=(40, 0))
        assert app_of(pilot).session.timeline.mode is Mode.PAUSED
        assert 0 < app_of(pilot).session.timeline.step < 400
        await pilot.click("#keys", offset=(2, 0))
        assert app_of(pilot).session.timeline.mode is Mode.PLAYING


@pytest.mark.parametrize(
    ("ending", "condition", "said"),
    [
        (
            None,
            "dead",
            "The worker is gone. Continue from the last checkpoint with: synergy resume",
        ),
        ("run_failed", "failed", "multi-head: out of memory"),
    ],
)
async def test_trouble_is_on_the_screen_with_what_to_do(
    opened: Opened, ending: str | None, condition: str, said: str
) -> None:
    events: list[dict[str, Any]] = list(synthetic.trained(upto=60))
    if ending:
        events += [
            {"v": 1, "t": 9.0, "kind": ending, "run": "multi-head", "step": 60,
             "reason": "out of memory"},
            {"v": 1, "t": 9.1, "kind": "experiment_finished", "exit_code": 3},
        ]  # fmt: skip
    async with opened(events, condition=condition, size=(100, 30)) as pilot:
        assert said in screen_text(app_of(pilot))
        app_of(pilot).session.experiment.log_path.write_text("Traceback: the worker's own words")
        await pressed(pilot, "M")
        assert isinstance(pilot.app.screen, LogScreen)
        await until(lambda: "the worker's own words" in screen_text(app_of(pilot)), pilot)


async def test_a_run_without_a_worker_has_no_workers_log(opened: Opened) -> None:
    async with opened(synthetic.trained(upto=60), condition="finished") as pilot:
        await pressed(pilot, "M")
        await until(lambda: "no worker of its own" in screen_text(app_of(pilot)), pilot)


async def test_an_experiment_that_has_not_begun_says_what_it_waits_for(opened: Opened) -> None:
    async with opened([], condition="new") as pilot:
        text = screen_text(app_of(pilot))
        assert "STARTING" in text
        assert "waiting for the worker to start" in text


@pytest.mark.parametrize(("condition", "named"), [("running", True), ("finished", False)])
async def test_the_device_is_named_only_while_it_works(
    opened: Opened, condition: str, named: bool
) -> None:
    steps = 60 if condition == "finished" else 600
    events = [
        event for event in synthetic.trained(upto=60, steps=steps) if event["kind"] != "resources"
    ]
    async with opened(events, condition=condition, size=(160, 30)) as pilot:
        assert ("cpu" in screen_lines(app_of(pilot))[0]) is named


async def test_a_designed_graph_has_no_training_row_and_no_time_keys(opened: Opened) -> None:
    async with opened(synthetic.designed(), condition="finished", size=(120, 36)) as pilot:
        text = screen_text(app_of(pilot))
        assert "has it learned?" not in text
        assert "together" in text
        assert "space play/pause" not in text


@pytest.mark.parametrize("count", [1, 3, 4, 6])
async def test_any_number_of_runs_can_be_reached(opened: Opened, count: int) -> None:
    runs = tuple((f"run-{place}", 2**place) for place in range(count))
    async with opened(synthetic.trained(upto=40, runs=runs), size=(120, 30)) as pilot:
        for place in range(count):
            assert dashboard(pilot).selected_run.name == f"run-{place}"
            assert f"run-{place} · " in screen_text(app_of(pilot))
            await pressed(pilot, "n")
        assert dashboard(pilot).selected_run.name == "run-0"


async def test_leaving_says_how_to_come_back(opened: Opened) -> None:
    async with opened(LIVE) as pilot:
        app = app_of(pilot)
        said = app.session.farewell()
        assert "synergy attach" in said
        assert "2026-11-23-154312-diverse_heads" in said
        app.session.tail.condition = "finished"
        assert "synergy replay" in app.session.farewell()
        await pilot.press("q")
        await until(lambda: app._exit, pilot)


async def test_mistakes_in_the_users_keys_are_reported_and_survived(
    opened: Opened, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('"time.plya" = "p"')
    monkeypatch.setattr("synergy_tui.app.keymap.keymap_path", lambda: path)
    async with opened(LIVE, keymap=None) as pilot:
        await until(lambda: "did you mean 'time.play'?" in said(pilot.app), pilot)
        assert "how soon?" in screen_text(app_of(pilot))


async def test_a_filter_leaves_the_runs_that_match(four: Experiment) -> None:
    async with replaying(four, (200, 60)) as pilot:
        await pilot.press("slash", *"8 heads")
        await until(lambda: "1 of 4" in screen_text(pilot.app), pilot)
        columns = [column for column in pilot.app.screen.query(RunColumn) if column.display]
        assert len(columns) == 1
        await pilot.press("enter", "escape")
        await until(lambda: "heads-1 · 1 head" in screen_text(pilot.app), pilot)
        assert isinstance(pilot.app.screen, DashboardScreen), "escape undoes one thing"


async def test_the_messages_can_be_filtered(opened: Opened) -> None:
    events = synthetic.trained(upto=40)
    for place, message in enumerate(("the disk is nearly full", "a probe was late")):
        events.append({"v": 1, "t": 5.0 + place, "kind": "warning", "message": message})
    async with opened(events) as pilot:
        await pilot.press("M")
        await until(lambda: "a probe was late" in screen_text(pilot.app), pilot)
        await pilot.press("slash", *"disk")
        await until(lambda: "a probe was late" not in screen_text(pilot.app), pilot)
        assert "the disk is nearly full" in screen_text(pilot.app)
        await pilot.press("escape")
        await until(lambda: "a probe was late" in screen_text(pilot.app), pilot)


async def test_a_run_is_marked_with_the_step_that_the_cursor_is_at(four: Experiment) -> None:
    async with replaying(four, (120, 40)) as pilot:
        app = pilot.app
        await pilot.press("t")
        await pilot.press("[", "t")
        assert [(mark.run, mark.step) for mark in app.marks] == [("heads-1", None), ("heads-1", 20)]
        await pilot.press("c")
        await until(lambda: "the same run at two steps" in screen_text(app), pilot)


async def test_the_crosshair_reads_every_run_and_is_put_aside(opened: Opened) -> None:
    async with opened(LIVE, size=(160, 50)) as pilot:
        await pressed(pilot, "3", "X")
        text = await pressed(pilot, "H")
        aim = dashboard(pilot).lens.aim
        assert aim is not None
        assert aim.question == 2
        state = app_of(pilot).session.state
        at = int(aim.at)
        assert at < 400
        assert f"step {at}" in text
        raw = state.runs["single-head"].loss.at(at)
        assert re.search(rf"raw +{re.escape(measured(raw))} ", text)
        assert re.search(r"▲ multi-head +\.", text), "the other column's run is read as well"
        assert text.count(f"step {at}: φ ") == 2, "panels with the same axis read there too"
        await pressed(pilot, "escape")
        assert dashboard(pilot).lens.aim is None
        assert isinstance(pilot.app.screen, DashboardScreen)


async def test_the_mouse_aims_and_a_click_leaves_the_crosshair(opened: Opened) -> None:
    async with opened(LIVE, size=(160, 50)) as pilot:
        screen = dashboard(pilot)
        await pilot.hover("#column-1 .question-1", offset=(30, 4))
        await until(lambda: screen.lens.aim is not None, pilot)
        aim = screen.lens.aim
        assert aim is not None
        assert (aim.kind, aim.run) == ("steps", "multi-head")
        assert aim.at in [probe.step for probe in app_of(pilot).session.state.runs[aim.run].probes]
        await pilot.hover("#timeline")
        await until(lambda: screen.lens.aim is None, pilot)
        await pilot.click("#column-1 .question-1", offset=(40, 4))
        await pilot.hover("#timeline")
        await pilot.pause()
        assert screen.lens.aim is not None, "a click leaves it there"


async def test_zoom_pan_window_and_all_steps(opened: Opened) -> None:
    async with opened(LIVE, size=(120, 40)) as pilot:
        whole = await pressed(pilot, "2")
        text = await pressed(pilot, "+")
        assert text.count("last 300 steps") == 4
        await pressed(pilot, "H")
        window = dashboard(pilot).lens.windows["steps"]
        assert window.end == 325
        assert "last 300 steps" not in screen_text(app_of(pilot))
        text = await pressed(pilot, "W")
        assert text.count("─ last 200 steps") == 4
        # The last line still says what the key before has done.
        again = await pressed(pilot, "0")
        assert again.splitlines()[:-1] == whole.splitlines()[:-1]
        await pressed(pilot, "1", "+")
        assert "arrival" in dashboard(pilot).lens.windows


async def test_smoothing_is_named_and_set(opened: Opened) -> None:
    async with opened(LIVE, size=(200, 60)) as pilot:
        names = [screen_text(app_of(pilot))]
        for _ in range(4):
            names.append(await pressed(pilot, "A"))
        for text, said in zip(names, ("10", "20", "100", None, "2"), strict=True):
            said = f"EMA, half-life {said} steps" if said else "not smoothed"
            assert text.count(f"training loss, nats · {said}") == 2


@pytest.mark.parametrize(
    ("condition", "end"), [("running", 600), ("dead", 148), ("stopped", 148), ("failed", 148)]
)
async def test_axes_of_what_has_ended_span_what_was_run(
    opened: Opened, condition: str, end: int
) -> None:
    """The timeline still says how far was planned."""
    events = synthetic.trained(upto=148, steps=600)
    async with opened(events, size=(120, 40), condition=condition) as pilot:
        screen = dashboard(pilot)
        assert scales(screen.state, screen.look()).steps.high == end
        assert "step 148 of 600" in screen_text(pilot.app)
