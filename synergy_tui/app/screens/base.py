"""What every screen with panels shares: the cursor's keys, and redrawing when something moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.screen import Screen
from textual.widgets import Static

from synergy_tui.app import status
from synergy_tui.app.timeline import Mode, Timeline
from synergy_tui.app.widgets.strips import Track
from synergy_tui.experiments.state import ExperimentState

if TYPE_CHECKING:
    from synergy_tui.app.app import SynergyApp
    from synergy_tui.app.widgets.frame import TimelineBar


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

    def __init__(self, state: ExperimentState, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.state = state

    @property
    def synergy(self) -> SynergyApp:
        """The app, with its own type."""
        from synergy_tui.app.app import SynergyApp

        app = self.app
        assert isinstance(app, SynergyApp)
        return app

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
                f"this terminal has {width} and {height}. {way_out}"
            )
        return not small

    def update_now(self) -> None:
        """Redraw at once, after a key or a click."""
        if self.is_mounted:
            with self.synergy.state_lock:
                self.refresh_view()

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was in front."""
        self.call_after_refresh(self.update_now)

    def on_resize(self) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self.update_now)


class TimedScreen(LiveScreen):
    """A live screen with the step cursor that all screens share."""

    def __init__(
        self, state: ExperimentState, timeline: Timeline, *, id: str | None = None
    ) -> None:
        super().__init__(state, id=id)
        self.timeline = timeline

    def track(self) -> Track:
        """What the timeline bar shows.

        The header says what the experiment does; here it only counts that the cursor was moved.
        """
        timeline, told = self.timeline, self.synergy.status
        total = max(self.state.total_steps or 0, timeline.last)
        new = f" · {timeline.behind} newer" if timeline.behind else ""
        tail = f"step {timeline.step} of {total}{new}" if total else ""
        if 2 not in status.rows(self.state):
            tail = "a designed graph: no steps"
        return Track(
            step=timeline.step,
            last=timeline.last,
            total=total,
            stops=timeline.stops,
            lead="" if timeline.mode is Mode.FOLLOW else f" {told.word} ",
            lead_style=told.style,
            tail=tail,
        )

    def action_toggle_pause(self) -> None:
        """Freeze, or follow again."""
        self.timeline.toggle_pause()
        self.update_now()

    def action_step(self, count: int) -> None:
        """Go to another probe."""
        self.timeline.move(count)
        self.update_now()

    def action_jump(self, count: int) -> None:
        """Go a tenth of the run."""
        self.timeline.jump(count)
        self.update_now()

    def action_first(self) -> None:
        """Go to the first probe."""
        self.timeline.first()
        self.update_now()

    def action_follow(self) -> None:
        """Follow the newest step."""
        self.timeline.follow()
        self.update_now()

    def action_toggle_play(self) -> None:
        """Play back, or stop playing."""
        self.timeline.toggle_play()
        self.update_now()

    def action_speed(self, by: int) -> None:
        """Play faster or slower."""
        self.timeline.change_speed(by)
        self.update_now()

    def on_timeline_bar_sought(self, message: TimelineBar.Sought) -> None:
        """Go where the timeline was clicked."""
        total = max(self.state.total_steps or 0, self.timeline.last)
        self.timeline.seek(message.share * total)
        self.update_now()
