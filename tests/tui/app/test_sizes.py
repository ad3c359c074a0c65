"""Any terminal: sizes, ASCII, no colour; and pictures in text of what they look like."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from synergy_tui.app.app import SynergyApp
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.experiments.experiment import Experiment
from tests.recordings import copy_recording
from tests.tui.app import synthetic
from tests.tui.app.conftest import Opened, replaying, resized, screen_lines, screen_text, until

LIVE = synthetic.trained(upto=400)
SNAPSHOTS = Path(__file__).parent / "snapshots"


def visible_charts(app: SynergyApp) -> int:
    return sum(
        chart.display and chart.parent.display and chart.size.area > 0
        for chart in app.screen.query(Chart)
    )


@pytest.mark.parametrize(
    "size", [(60, 20), (80, 24), (120, 40), (200, 60)], ids=lambda size: f"{size[0]}"
)
async def test_the_screen_looks_as_it_did(opened: Opened, size: tuple[int, int]) -> None:
    """Compare with the stored picture; SYNERGY_SNAPSHOTS=write stores what is drawn now."""
    async with opened(LIVE, size=size) as pilot:
        drawn = "\n".join(line.rstrip() for line in screen_lines(pilot.app)) + "\n"
    compare(drawn, f"dashboard-{size[0]}x{size[1]}")


def compare(drawn: str, name: str) -> None:
    """Compare with a stored picture, or store it."""
    path = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("SYNERGY_SNAPSHOTS") == "write":
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("recording", "size", "keys"),
    [
        ("sort", (160, 50), ("3", "X", "H", "H")),
        ("sort", (80, 24), ("O", "2", "X")),
        ("four", (200, 60), ()),
        ("four", (60, 20), ("z", "3", "a", "W")),
        ("example2", (120, 40), ()),
        ("example2", (80, 24), ("3",)),
    ],
    ids=lambda value: "" if isinstance(value, str) else "".join(map(str, value)),
)
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_recorded_charts_look_as_they_did(
    tmp_path: Path, recording: str, size: tuple[int, int], keys: tuple[str, ...], ascii_only: bool
) -> None:
    experiment = Experiment(copy_recording(recording, tmp_path))
    async with replaying(experiment, size, ascii_only=ascii_only, clock=lambda: 0.0) as pilot:
        await pilot.press(*keys)
        await pilot.pause()
        if recording == "example2":
            await until(lambda: "above, " in screen_text(pilot.app) or size[0] < 100, pilot)
            await until(
                lambda: "─1─" in screen_text(pilot.app) or "-1-" in screen_text(pilot.app), pilot
            )
        pilot.app.clear_notifications()
        await pilot.pause()
        drawn = "\n".join(line.rstrip() for line in screen_lines(pilot.app)) + "\n"
    kind = "-ascii" if ascii_only else ""
    compare(drawn, f"{recording}-{size[0]}x{size[1]}{kind}")


@pytest.mark.parametrize(
    ("size", "charts"),
    [((60, 20), 1), ((75, 40), 1), ((80, 24), 6), ((200, 60), 6), ((300, 90), 6)],
)
async def test_the_room_there_is_is_used(
    opened: Opened, size: tuple[int, int], charts: int
) -> None:
    async with opened(LIVE, size=size) as pilot:
        assert visible_charts(pilot.app) == charts
        lines = screen_lines(pilot.app)
        assert len(lines) == size[1]
        assert {len(line) for line in lines} == {size[0]}
        chart = next(c for c in pilot.app.screen.query(Chart) if c.display and c.parent.display)
        assert chart.size.height >= size[1] // 6


async def test_too_small_a_terminal_says_what_is_needed(opened: Opened) -> None:
    async with opened(LIVE, size=(30, 8)) as pilot:
        text = " ".join(screen_text(pilot.app).split())
        assert "Synergy needs 40 columns and 12 rows" in text
        assert "30" in text


async def test_resizing_goes_through_every_layout_and_back(opened: Opened) -> None:
    async with opened(LIVE, size=(120, 40)) as pilot:
        first = screen_text(pilot.app)
        for size, charts in (((60, 20), 1), ((20, 6), 0), ((200, 60), 6), ((120, 40), 6)):

            def drawn(charts: int = charts) -> bool:
                refused = "Synergy needs" in screen_text(pilot.app)
                return visible_charts(pilot.app) == charts if charts else refused

            await resized(pilot, size, drawn)
        await until(lambda: screen_text(pilot.app) == first, pilot)


async def test_tabs_reach_every_panel_of_a_small_terminal(opened: Opened) -> None:
    async with opened(LIVE, size=(60, 20)) as pilot:
        for question in ("minimax fidelity", "nats · EMA", "arrival at the sink"):
            await pilot.press("tab")
            await pilot.pause()
            assert question in screen_text(pilot.app)


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (120, 40)])
async def test_ascii_means_ascii(opened: Opened, size: tuple[int, int]) -> None:
    async with opened(LIVE, size=size, ascii_only=True) as pilot:
        for keys in ((), ("space",), ("O",)):
            await pilot.press(*keys)
            await pilot.pause()
            assert {char for char in screen_text(pilot.app) if not char.isascii()} == set()


async def test_without_colour_glyphs_distinguish_runs(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(LIVE, size=(100, 30)) as pilot:
        assert pilot.app.no_color
        await pilot.press("O")
        await pilot.pause()
        chart = next(c for c in pilot.app.screen.query(Chart) if c.display)
        drawn = "".join(chart._canvas.lines())
        assert "●" in drawn
        assert "▲" in drawn
