"""What every screen with panels shares: the cursor's keys, and redrawing when something moved."""

from __future__ import annotations

import re

from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Static

from synergy_tui.app import status
from synergy_tui.app.session import Session
from synergy_tui.app.timeline import Mode
from synergy_tui.app.widgets.filter import Filtering
from synergy_tui.app.widgets.frame import TimelineBar
from synergy_tui.app.widgets.strips import Track
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.files import DIRECTORY_MODE, write_whole
from synergy_tui.words import clean


class ReadingScreen(Filtering, Screen[None]):
    """A screen with a text to scroll through and to filter."""

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines)

    action_cursor = action_scroll  # of the keys that move while a filter is typed

    async def action_back(self) -> None:
        """Undo the filter, then go back to the screen before."""
        if not self.unfiltered():
            await self.run_action("app.back")


class LiveScreen(Screen[None]):
    """A screen that shows the experiment's state.

    A subclass gives :meth:`refresh_view`, which is called with the state's lock held: at most four
    times a second when the log has grown or the cursor moved by itself, and at once after a key.
    """

    DEFAULT_CSS = """
    LiveScreen {
        #too-small { display: none; }
        &.-too-small > * { display: none; }
        &.-too-small > #too-small { display: block; width: 1fr; height: 1fr; }
    }
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session

    @property
    def state(self) -> ExperimentState:
        return self.session.state

    def refresh_view(self) -> None:
        """Bring every visible panel up to the state and the cursor."""
        raise NotImplementedError

    def fits(self, smallest: tuple[int, int], what: str, way_out: str) -> bool:
        """Whether the terminal has so many columns and rows; where not, say so in place of all."""
        width, height = self.size
        small = width < smallest[0] or height < smallest[1]
        self.set_class(small, "-too-small")
        # No match while the screen is taken down, when the timer may draw once more.
        for note in self.query("#too-small").results(Static) if small else ():
            note.update(
                f"{what} needs {smallest[0]} columns and {smallest[1]} rows; "
                f"this terminal has {width} and {height}. {self.session.keyed(way_out)}"
            )
        return not small

    def update_now(self) -> None:
        """Redraw at once, after a key or a click."""
        if self.is_mounted:
            with self.session.lock:
                self.refresh_view()

    def relayout(self) -> None:
        """Redraw now, and again once the panels have their new sizes."""
        self.update_now()
        self.call_after_refresh(self.update_now)

    def export(self, name: str, table: str) -> None:
        """Write the screen as SVG and ``table`` as CSV into the experiment's ``exports`` folder."""
        experiment = self.session.experiment
        folder = experiment.path / "exports"
        plain = re.sub(r"[^\w-]+", "_", name)  # a run's name in a log may be anything
        stem = folder / f"{plain}-step-{self.session.timeline.step}"
        picture, numbers = stem.with_suffix(".svg"), stem.with_suffix(".csv")
        title = f"Synergy · {self.state.title or experiment.id}"
        try:
            folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            write_whole(picture, self.app.export_screenshot(title=clean(title)))
            write_whole(numbers, table)
        except OSError as error:
            self.notify(f"Could not write: {error}", severity="error", timeout=10)
            return
        self.notify(f"Wrote {picture.name} and {numbers.name} in {folder}", timeout=8)

    def on_screen_resume(self) -> None:
        self.call_after_refresh(self.update_now)

    def on_resize(self) -> None:
        self.call_after_refresh(self.update_now)


class TimedScreen(LiveScreen):
    """A live screen with the step cursor that all screens share."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.timeline = session.timeline

    def track(self) -> Track:
        """What the timeline bar shows.

        The header says what the experiment does; here it only counts that the cursor was moved.
        """
        timeline, now = self.timeline, self.session.status
        total = max(self.state.total_steps or 0, timeline.last)
        new = f" · {timeline.behind:,} newer" if timeline.behind else ""
        tail = f"step {timeline.step:,} of {total:,}{new}" if total else ""
        if 2 not in status.rows(self.state):
            tail = "a designed graph: no steps"
        return Track(
            step=timeline.step,
            last=timeline.last,
            total=total,
            stops=timeline.stops,
            lead="" if timeline.mode is Mode.FOLLOW else f" {now.word} ",
            lead_style=now.style,
            tail=tail,
        )

    def action_step(self, count: int) -> None:
        self.timeline.move(count)
        self.update_now()

    def action_jump(self, count: int) -> None:
        self.timeline.jump(count)
        self.update_now()

    def action_first(self) -> None:
        self.timeline.first()
        self.update_now()

    def action_follow(self) -> None:
        self.timeline.follow()
        self.update_now()

    def action_toggle_play(self) -> None:
        self.timeline.toggle_play(self.session.live)
        self.update_now()

    def action_speed(self, by: int) -> None:
        self.timeline.change_speed(by)
        self.update_now()

    def on_timeline_bar_sought(self, message: TimelineBar.Sought) -> None:
        total = max(self.state.total_steps or 0, self.timeline.last)
        self.timeline.seek(message.share * total)
        self.update_now()
