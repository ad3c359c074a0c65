"""An app on a recorded log, and ways to look at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from textual.pilot import Pilot

from synergy_tui.app import themes
from synergy_tui.app.app import SynergyApp
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.experiments.experiment import Experiment
from tests.recordings import copy_recording
from tests.tui.app import synthetic

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

Opened = Callable[..., AbstractAsyncContextManager[Pilot[None]]]


class Recording:
    """An experiment directory with a log and a worker whose condition the test decides."""

    def __init__(self, path: Path, condition: str = "running") -> None:
        self.path = path
        self.id = path.name
        self.events_path = path / "events.jsonl"
        self.log_path = path / "worker.log"
        self.condition = condition

    def state(self) -> str:
        """Whether the worker lives."""
        return self.condition


def canvas_text(canvas: Canvas) -> str:
    """What is drawn, as text."""
    return "\n".join(line.rstrip() for line in canvas.lines())


def screen_lines(app: SynergyApp) -> list[str]:
    """What is on the screen, as text."""
    strips = app.screen._compositor.render_strips()
    return ["".join(segment.text for segment in strip) for strip in strips]


def screen_text(app: SynergyApp) -> str:
    """What is on the screen, in one piece."""
    return "\n".join(screen_lines(app))


@pytest.fixture(autouse=True)
def _heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what is said to the user: on a busy machine it may be gone before a test looks."""
    notify = SynergyApp.notify

    def keep(self: SynergyApp, message: str, **options: Any) -> None:
        self.__dict__.setdefault("heard", []).append(message)
        notify(self, message, **options)

    monkeypatch.setattr(SynergyApp, "notify", keep)


def said(app: SynergyApp) -> str:
    """What has been said to the user so far."""
    return "\n".join(getattr(app, "heard", []))


async def until(condition: Callable[[], bool], pilot: Pilot[None], tries: int = 400) -> None:
    """Let the app work until ``condition`` holds."""
    for _ in range(tries):
        if condition():
            return
        await pilot.pause()
        await asyncio.sleep(0.005)
    raise AssertionError(f"it never came true; the screen:\n{screen_text(pilot.app)}")


async def pressed(pilot: Pilot[None], *keys: str) -> str:
    """Type ``keys`` on the inspector or the stepper; the screen once all is measured."""
    for key in keys:
        await pilot.press(key)
    await pilot.pause()
    await until(lambda: bool(getattr(pilot.app.screen, "settled", False)), pilot)
    await pilot.pause()
    return screen_text(pilot.app)


async def resized(pilot: Pilot[None], size: tuple[int, int], drawn: Callable[[], bool]) -> None:
    """Give the terminal another size, and wait until it is ``drawn`` at that size.

    What was drawn at the size before may look drawn too: the lines must have the new length.
    """
    await pilot.resize_terminal(*size)

    def arrived() -> bool:
        lines = screen_lines(pilot.app)
        return len(lines) == size[1] and {len(line) for line in lines} == {size[0]} and drawn()

    await until(arrived, pilot)


async def read_to_the_end(app: SynergyApp, pilot: Pilot[None]) -> None:
    """Wait until the log has been read and drawn."""
    await until(lambda: app.session is not None and app.session.tail.caught_up, pilot)
    await until(lambda: app.session.seen_version == app.session.tail.version, pilot)


@asynccontextmanager
async def replaying(
    experiment: Experiment, size: tuple[int, int], **options: Any
) -> AsyncIterator[Pilot[None]]:
    """The app on an experiment, read to its end."""
    options.setdefault("keymap", {})
    options.setdefault("ascii_only", False)
    # Whatever colours the terminal has in which the tests run.
    options.setdefault("theme", themes.DEFAULT)
    app = SynergyApp(experiment, mode="replay", **options)
    async with app.run_test(size=size) as pilot:
        await read_to_the_end(app, pilot)
        yield pilot


@pytest.fixture
def four(tmp_path: Path) -> Experiment:
    """Four runs of 1, 2, 4 and 8 heads, two layers, probes at 0, 20 and 40."""
    return Experiment(copy_recording("four", tmp_path))


@pytest.fixture
def example2(tmp_path: Path) -> Experiment:
    """The paper's Example 2, designed."""
    return Experiment(copy_recording("example2", tmp_path))


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """Open the app on events: ``async with opened(events, size=(80, 24)) as pilot``."""

    @asynccontextmanager
    async def open_on(
        events: Sequence[dict[str, Any]],
        size: tuple[int, int] = (100, 30),
        condition: str = "running",
        **options: Any,
    ) -> AsyncIterator[Pilot[None]]:
        folder = tmp_path / "2026-11-23-154312-diverse_heads"
        synthetic.write(list(events), folder)
        recording = Recording(folder, condition)
        options.setdefault("keymap", {})
        options.setdefault("ascii_only", False)
        # Whatever colours the terminal has in which the tests run.
        options.setdefault("theme", themes.DEFAULT)
        options.setdefault("clock", lambda: 0.0)
        app = SynergyApp(recording, **options)  # type: ignore[arg-type]
        async with app.run_test(size=size) as pilot:
            await read_to_the_end(app, pilot)
            yield pilot

    return open_on
