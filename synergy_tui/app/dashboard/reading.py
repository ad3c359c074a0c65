"""What can be asked of the dashboard's charts: crosshair, zoom, window, smoothing, log axes."""

from __future__ import annotations

from dataclasses import replace

from synergy_tui.app.dashboard.look import KINDS, Aim, Kind, Lens, Look, smoothing_name, window_name
from synergy_tui.app.dashboard.panels import mixing_rule
from synergy_tui.app.dashboard.scales import scales
from synergy_tui.app.screens.base import TimedScreen
from synergy_tui.app.session import Session
from synergy_tui.app.timeline import Mode
from synergy_tui.app.widgets.chart import Chart
from synergy_tui.experiments import conventions


class ChartReading(TimedScreen):
    """A screen with charts, and the keys and the mouse that read them."""

    question: int

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.lens = Lens()
        self.chosen_layer: int | None = None
        self.convention_place = 0
        self._pinned: Aim | None = None
        """Where a key or a click put the crosshair; the mouse moves it only while it is there."""

    @property
    def ended(self) -> bool:
        """Whether no step follows the last one."""
        return self.session.ended

    def look(self) -> Look:
        listed = conventions.available(self.state)
        return Look(
            step=self.timeline.step,
            following=self.timeline.mode is Mode.FOLLOW,
            convention=listed[self.convention_place % len(listed)],
            layer=self.chosen_layer,
            lens=self.lens,
            ended=self.ended,
            ascii_only=self.session.ascii_only,
            keymap=self.session.keymap,
        )

    @property
    def layer_count(self) -> int:
        """Layers that one can choose between."""
        return max((run.layers for run in self.state.runs.values()), default=1)

    def panel_of(self, chart: Chart) -> tuple[int, str]:
        raise NotImplementedError

    def selected_chart(self) -> Chart | None:
        raise NotImplementedError

    def put_aside(self) -> bool:
        """Take the crosshair away; false when there is none."""
        if self.lens.aim is None:
            return False
        self._aim(None, pin=True)
        return True

    # Keys

    def action_crosshair(self) -> None:
        """Show the crosshair at the newest point of the selected panel, or take it away."""
        if not self.put_aside():
            self.action_aim(0)

    def action_aim(self, by: int) -> None:
        """Move the crosshair to the next point; without one, the part of the axis that is shown."""
        chart = self.selected_chart()
        if chart is None:
            return
        question, run = self.panel_of(chart)
        kind, aim = KINDS[question], self.lens.aim
        if by and aim is None and kind in self.lens.windows:
            self._see(self.lens.panned(kind, by, *self._extent(kind)))
            return
        here = aim if aim is not None and aim.kind == kind else None
        at = chart.next_to(None if here is None else here.at, by)
        if at is None:
            if here is None:
                self.notify("There is no curve to read here.", timeout=2)
            return
        self._aim(Aim(kind, at, question, run), pin=True)
        low, high = self.lens.bounds(kind, *self._extent(kind))
        if not low <= at <= high:
            self._see(self.lens.panned(kind, by, *self._extent(kind)))

    def action_zoom(self, by: int) -> None:
        """Show half the steps, or twice as many."""
        self._zoom(KINDS[self.question], by > 0)

    def action_reset(self) -> None:
        """Show all steps, without a crosshair."""
        self._pinned = None
        self._see(self.lens.whole())

    def action_window(self) -> None:
        """Show all training steps, or the last so many."""
        _, total = self._extent("steps")
        self._see(self.lens.next_window(total))
        window = self.lens.windows.get("steps")
        bounds = self.lens.bounds("steps", *self._extent("steps"))
        self.notify(f"training: {window_name(window, bounds)}", timeout=2)

    def action_smoothing(self) -> None:
        """Smooth the losses more, less, or not at all."""
        self._see(self.lens.next_smoothing())
        half_life = self.lens.half_life(self._extent("steps")[1])
        self.notify(f"training loss: {smoothing_name(half_life)}", timeout=2)

    def action_convention(self) -> None:
        """Show the numbers under the next definition of the mixing time."""
        listed = conventions.available(self.state)
        self.convention_place = (self.convention_place + 1) % len(listed)
        rule = mixing_rule(self.state, self.look())
        self.notify(f"{rule} ({self.convention_place + 1} of {len(listed)})", timeout=3)
        self.update_now()

    def action_layer(self) -> None:
        """Show the next layer, or all layers together."""
        here, most = self.chosen_layer, self.layer_count
        self.chosen_layer = None if here == most or most == 1 else (here or 0) + 1
        self.update_now()

    def action_logarithmic(self) -> None:
        """Make axes logarithmic, linear, or as the numbers need."""
        following = {None: True, True: False, False: None}
        chosen = following[self.lens.logarithmic]
        self._see(replace(self.lens, logarithmic=chosen))
        named = {None: "logarithmic where curves would hug them", True: "log", False: "linear"}
        self.notify(f"axes: {named[chosen]}", timeout=2)

    # Mouse

    def on_chart_aimed(self, message: Chart.Aimed) -> None:
        if message.at is None:
            self._aim(self._pinned)
            return
        question, run = self.panel_of(message.chart)
        self._aim(Aim(KINDS[question], message.at, question, run))

    def on_chart_scrolled(self, message: Chart.Scrolled) -> None:
        self._zoom(KINDS[self.panel_of(message.chart)[0]], message.closer)

    def pin(self, chart: Chart, at: float | None) -> None:
        """Leave the crosshair where the mouse has put it, if on a chart."""
        if at is not None:
            question, run = self.panel_of(chart)
            self._aim(Aim(KINDS[question], at, question, run), pin=True)

    # What they share

    def _extent(self, kind: Kind) -> tuple[float, float]:
        """Where the cursor stands on an axis, and how far it reaches in whole."""
        look = self.look()
        slowest, total = scales(self.state, look).whole
        return (slowest, slowest) if kind == "arrival" else (float(look.step), total)

    def _zoom(self, kind: Kind, closer: bool) -> None:
        self._see(self.lens.zoomed(kind, closer, *self._extent(kind)))

    def _aim(self, aim: Aim | None, *, pin: bool = False) -> None:
        if pin:
            self._pinned = aim
        if aim != self.lens.aim:
            self._see(replace(self.lens, aim=aim))

    def _see(self, lens: Lens) -> None:
        self.lens = lens
        self.update_now()
