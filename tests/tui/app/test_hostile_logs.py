"""The app on logs and names that want it to fail, or to steer the terminal."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from synergy_tui.experiments.shapes import fits
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, screen_text
from tests.tui.hostile import VALUES, changed, leaves

STEERING = "\x1b[2J\x1b]52;c;eA==\x07\x9b31m\u202e\u200b\n"
KEYS = (
    "m", "v", "a", "O", "X", "H", "plus", "plus", "z", "W", "A", "z", "left_square_bracket", "home",
    "end", "L", "0", "a", "M", "escape",
)  # fmt: skip


async def looked_at(pilot: Pilot[None]) -> str:
    """Every key that draws again; what was on the screen in the end."""
    for key in KEYS:
        await pilot.press(key)
    await pilot.pause()
    return screen_text(pilot.app)


def log() -> list[dict[str, Any]]:
    return synthetic.trained(upto=45, steps=60, layers=2, finish=True)


async def test_every_event_of_the_wrong_shape_at_once(opened: Opened) -> None:
    """A view of the log is the same whether events that do not fit stand in it or not."""
    events = log()
    last = {event["kind"]: event for event in events}
    wrong = [
        event
        for each in last.values()
        for at in leaves(each)
        if at != ("kind",)
        for value in VALUES
        if not fits(event := changed(each, at, value)) and event.get("v") == 1
    ]
    assert len(wrong) > 3000
    async with opened(events[:-5] + wrong + events[-5:], condition="finished") as pilot:
        assert "oops" not in await looked_at(pilot)
        assert pilot.app.session.tail.garbled > 3000  # type: ignore[attr-defined]
        assert pilot.app.session.state.runs.keys() >= {"single-head", "multi-head"}  # type: ignore[attr-defined]


@pytest.mark.parametrize("floor", [1e300, -1e300, 2**53 - 1])
async def test_numbers_of_any_size_are_drawn(opened: Opened, floor: float) -> None:
    events = log()
    for event in events:
        if event["kind"] == "run_started":
            event["floor"] = floor
    async with opened(events, condition="finished") as pilot:
        await looked_at(pilot)


@pytest.mark.parametrize("loss", [1.7e308, 1e301, -1e305, 5e-324, 0.0])
async def test_losses_of_any_size_are_drawn(opened: Opened, loss: float) -> None:
    events = log()
    for event in events:
        if event["kind"] == "train_step" and event["step"] % 7 == 3:
            event["loss"] = loss
    async with opened(events, condition="finished") as pilot:
        await looked_at(pilot)


async def test_names_and_titles_steer_nothing(opened: Opened) -> None:
    events = log()
    for event in events:
        if event.get("run") == "single-head":
            event["run"] = f"[/b]{STEERING}"
    events[0] |= {"title": f"[red]{STEERING}title", "runs": [f"[/b]{STEERING}", "multi-head"]}
    events.insert(3, {"v": 1, "t": 0.1, "kind": "warning", "message": f"[/x]{STEERING}"})
    async with opened(events, condition="finished") as pilot:
        for key in (*KEYS, "M"):
            await pilot.press(key)
            await pilot.pause()
            shown = screen_text(pilot.app)
            assert (
                not set(STEERING.replace("\n", "")) & set("\x1b\x07\x9b\u202e\u200b") & set(shown)
            )
        assert "[/x]" in shown, "the log's messages are there"
        pilot.app.notify(f"[/b]{STEERING}")
        await pilot.pause()
        assert "\x1b" not in screen_text(pilot.app)


async def test_a_log_of_a_later_version_is_named(opened: Opened) -> None:
    events = [*log(), {"v": 9, "t": 50.0, "kind": "of_2030"}]
    async with opened(events, condition="finished") as pilot:
        assert "DAMAGED" in screen_text(pilot.app)
        assert "later version" in pilot.app.session.status.advice  # type: ignore[attr-defined]
