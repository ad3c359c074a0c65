"""The diffusion stepper: a signal spreads from a node, step by step, over each head and mixed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from textual.app import ComposeResult
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import Static

from synergy_tui.app import keys
from synergy_tui.app.clipboard import tsv_of_csv
from synergy_tui.app.desk import SEARCHED_HEADS, SEARCHED_NODES
from synergy_tui.app.screens.arrange import (
    FIRST_STAGE,
    RESPONSE,
    SMALLEST,
    STAGES,
    WEIGHTS,
    arrange_stepper,
)
from synergy_tui.app.screens.asking import Answered, AskingScreen
from synergy_tui.app.session import Copy, OpenInspector, Session
from synergy_tui.app.stepper.measures import (
    Diffusion,
    Optimum,
    Response,
    Spread,
    SpreadRequest,
    as_csv,
    response_key,
    reweigh,
    spread_out,
)
from synergy_tui.app.stepper.stage import (
    Lineup,
    Stage,
    best_text,
    draw_response,
    draw_stage,
    draw_weights,
)
from synergy_tui.app.widgets.canvas import Canvas
from synergy_tui.app.widgets.frame import Header, KeyBar, TimelineBar
from synergy_tui.app.widgets.shading import Mode
from synergy_tui.app.widgets.strips import Field, Track
from synergy_tui.app.widgets.views import ShadedPanel, say
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.state import RunState
from synergy_tui.words import compact

Floats = npt.NDArray[np.float64]

WEIGHT_STEP = 0.02
SECONDS_PER_STEP = 0.6


class StepperScreen(AskingScreen):
    """Figure 3 of the paper, to play with.

    Without a run it is the designed one with the most heads, without a step the newest probe.
    """

    BINDINGS = keys.bindings_for("stepper")
    unprobed = "nothing was measured yet"

    def __init__(
        self,
        session: Session,
        run: str | None = None,
        *,
        step: int | None = None,
        layer: int = 0,
        input: int = 0,
        source: int = 0,
    ) -> None:
        super().__init__(session, run)
        self.probe_step = step
        self.model_layer = layer
        self.input = input
        self.source = source
        self.t = 0
        self.selected = 0
        self.weights: Floats | None = None
        self.spread: Spread | None = None
        self.response: Response | None = None
        self.optimum: Optimum | None = None
        self.playing = False
        self._asked_slowly: tuple[object, ...] = ()
        self._player: Timer | None = None
        self._stage_width = 0
        # Weights must respond while the search for the best ones still runs.
        self._slow = self.new_desk()

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        with Container(id="body"):
            for number in range(FIRST_STAGE + STAGES):
                yield ShadedPanel(number, id=f"panel-{number}")
        yield TimelineBar(id="timeline")
        yield KeyBar("stepper", id="keys")
        yield Static(id="too-small")

    def on_mount(self) -> None:
        self._player = self.set_interval(SECONDS_PER_STEP, self._play_on, pause=True)

    # Asking

    @property
    def shown_step(self) -> int | None:
        return self.probe_step

    @property
    def run_state(self) -> RunState | None:
        runs = self.state.runs
        if self.run_name is None and runs:
            designed = [run for run in runs.values() if run.kind == "designed"]
            self.run_name = max(designed or list(runs.values()), key=lambda run: run.heads).name
        return super().run_state

    @property
    def snapshot(self) -> Snapshot | None:
        return None if self.spread is None else self.spread.snapshot

    @property
    def diffusion(self) -> Diffusion | None:
        return None if self.spread is None else self.spread.diffusion

    @property
    def settled(self) -> bool:
        """Whether everything that was asked for is there, or was refused."""
        spread = self.spread
        if self.trouble or spread is None or not self.answered:
            return bool(self.trouble)
        if len(spread.diffusion.weights) == 1:
            return True
        return self._current_response() is not None and (
            self.optimum is not None or not self._searched(spread)
        )

    def _current_response(self) -> Response | None:
        """The response, when it is that of the heads, weights and head that are shown."""
        spread, response = self.spread, self.response
        if spread is None or response is None:
            return None
        key = response_key(spread.place, spread.diffusion.weights, self.selected)
        return response if response.key == key else None

    def _searched(self, spread: Spread) -> bool:
        """Whether the best weights are searched for."""
        snapshot = spread.snapshot
        return 1 < snapshot.heads <= SEARCHED_HEADS and snapshot.nodes <= SEARCHED_NODES

    def _ask(self) -> None:
        """Ask for what is needed next and has not been asked for."""
        probe = self.probe
        if probe is None or probe.attention is None:
            return
        weights = None if self.weights is None else tuple(self.weights.tolist())
        request = SpreadRequest(probe.attention, self.model_layer, self.input, self.source, weights)
        last = self.spread
        self.ask(request, lambda: spread_out(self.session.experiment, request, last))
        if last is not None and self.answered:
            self._ask_slowly(last)

    def _ask_slowly(self, spread: Spread) -> None:
        """Ask for the response to the selected weight, then for the best weights."""
        weights, head, stepper = spread.diffusion.weights, self.selected, spread.stepper
        if len(weights) == 1:
            return
        key = response_key(spread.place, weights, head)
        work: Callable[[], Response | Optimum]
        if self._current_response() is None:
            work = lambda: Response(key, *stepper.fidelity_along(weights, head))  # noqa: E731
        elif self.optimum is None and self._searched(spread):
            key = spread.place
            work = lambda: Optimum(spread.place, *stepper.optimal())  # noqa: E731
        else:
            return
        if key != self._asked_slowly:
            self._asked_slowly = key
            self._slow.ask(lambda: Answered(None, work()))

    def take(self, result: object) -> None:
        if isinstance(result, Response):
            self.response = result
        elif isinstance(result, Optimum):
            if self.spread is not None and result.place == self.spread.place:
                self.optimum = result
        elif isinstance(result, Spread):
            if self.spread is None or result.place != self.spread.place:
                self.response = self.optimum = None
                self._asked_slowly = ()
            self.spread = result
            self.selected = min(self.selected, len(result.diffusion.weights) - 1)
            self.t = min(self.t, result.diffusion.steps)

    # Showing

    def refresh_view(self) -> None:
        if not self.fits(SMALLEST, "The stepper", "{app.back} goes back."):
            return
        self._ask()
        self.query_one(Header).show(self._header())
        self.query_one(TimelineBar).show(self._track())
        stages = self._arrange()
        missing = self.missing(self.spread is not None)
        panels = [panel for panel in self.query(ShadedPanel) if panel.display]
        if missing or self.diffusion is None or self.snapshot is None:
            for panel in panels:
                panel.show(say(missing), "")
            return
        snapshot, diffusion = self.snapshot, self.diffusion
        names = snapshot.names or [str(node) for node in range(snapshot.nodes)]
        lineup = Lineup.of([Stage(diffusion, head, self.t, names) for head in stages])
        for panel in panels:
            if panel.number == WEIGHTS:
                self._show_weights(panel, diffusion)
            elif panel.number == RESPONSE:
                self._show_response(panel, diffusion)
            else:
                self._show_stage(panel, lineup, diffusion, snapshot)

    def _arrange(self) -> list[int | None]:
        """Place the panels; return which head each stage shows, the mixture last."""
        width, height = self.size
        heads = self.snapshot.heads if self.snapshot else 2
        nodes = self.snapshot.nodes if self.snapshot else 4
        timeline = self.query_one(TimelineBar)
        timeline.display = height > 24
        body = height - 2 - timeline.display
        count, places = arrange_stepper(width, body, heads, nodes)
        self.place_panels(places)
        # Known before the panels have it.
        self._stage_width = places[FIRST_STAGE][2]
        if heads == 1 or count == 1:
            return [None]
        first = min(max(self.selected - (count - 1) // 2, 0), heads - count + 1)
        return [*range(first, first + count - 1), None]

    def _show_stage(
        self, panel: ShadedPanel, lineup: Lineup, diffusion: Diffusion, snapshot: Snapshot
    ) -> None:
        place = panel.number - FIRST_STAGE
        head = lineup.stages[place].head

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            return draw_stage(lineup, place, width, height, mode)

        heads = len(diffusion.weights)
        if head is None:
            mix = {1: "one head", 2: "both heads mixed"}.get(heads, f"all {heads} heads mixed")
            title = mix
        else:
            title = f"head {head + 1} alone"
        panel.set_class(head is not None and head == self.selected, "-selected")
        best = diffusion.best(head)
        now = float(diffusion.share(head)[min(self.t, diffusion.steps), -1])
        sink = snapshot.name(snapshot.nodes - 1)
        peak = best_text(best, self.session.ascii_only)
        if self._stage_width > 46:
            heard = f"sink {sink}: now {compact(now)}; peak {peak} at step {best.step:,}"
        else:
            heard = f"{sink}: {compact(now)}, peak {peak} at {best.step:,}"
        panel.show(paint, title, heard)

    def _show_weights(self, panel: ShadedPanel, diffusion: Diffusion) -> None:
        optimal = None if self.optimum is None else self.optimum.weights
        if self.spread is not None and not self._searched(self.spread):
            optimal = np.full(len(diffusion.weights), np.nan)

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            return draw_weights(
                diffusion, self.t, self.selected, optimal, width, height, mode == "ascii"
            )

        changed = self.weights is not None
        panel.show(
            paint,
            "heads" + (": your weights" if changed else ""),
            self.session.keyed(
                "{stepper.heavier} {stepper.lighter} change the weight"
                if diffusion.weights.size > 1
                else ""
            ),
        )

    def _show_response(self, panel: ShadedPanel, diffusion: Diffusion) -> None:
        response = self._current_response()

        def paint(width: int, height: int, mode: Mode) -> Canvas:
            return draw_response(
                diffusion, self.selected, response, self.optimum, width, height, mode == "ascii"
            )

        phi, times = ("phi", "x") if self.session.ascii_only else ("φ", "×")
        value = diffusion.fidelity.minimax
        best = max(head.minimax for head in diffusion.alone)
        several = diffusion.weights.size > 1 and best > 0
        gain = f"{compact(value / best, 3)}{times} the best head" if several else ""
        if gain and self.optimum is not None:
            gain += f"; none above {compact(self.optimum.at_most / best, 3)}{times}"
        number = self.selected + 1
        panel.show(paint, f"{phi}_min {compact(value, 4)} by the weight of head {number}", gain)

    def _header(self) -> list[Field]:
        snapshot = self.snapshot
        fields = self.run_fields("diffusion", 50)
        if snapshot is not None:
            arrow = "->" if self.session.ascii_only else "→"
            source = min(self.source, snapshot.nodes - 1)
            sink = snapshot.name(snapshot.nodes - 1)
            fields.append(Field(f"signal {snapshot.name(source)} {arrow} {sink}", "cursor", 60))
            if snapshot.layers > 1:
                layer = self.model_layer % snapshot.layers
                fields.append(Field(f"layer {layer + 1}/{snapshot.layers}", "text", 45))
            if snapshot.inputs > 1:
                which = self.input % snapshot.inputs
                fields.append(Field(f"input {which + 1}/{snapshot.inputs}", "text", 44))
        stages = [head for head in self._arrange() if head is not None]
        heads = snapshot.heads if snapshot else 0
        if stages and len(stages) < heads:
            shown = f"heads {stages[0] + 1}-{stages[-1] + 1} of {heads}"
            fields.append(Field(shown, "muted", 42))
        fields.append(Field("share of each node's state that is the source's", "muted", 10))
        fields += self.progress_fields()
        fields.append(Field(f" t = {self.t} ", "pill-quiet", right=True))
        return fields

    def _track(self) -> Track:
        last = self.diffusion.steps if self.diffusion else 0
        playing = self.playing
        best = self.diffusion.best(None).step if self.diffusion else 0
        return Track(
            step=self.t,
            last=self.t,
            total=max(last, 1),
            stops=np.array([best] if best <= last else [], dtype=np.int64),
            lead=" PLAYING " if playing else " STEP ",
            lead_style="pill-good" if playing else "pill-quiet",
            tail=f"diffusion step {self.t:,} of {last:,}",
        )

    # What keys do

    def _play_on(self) -> None:
        if self.diffusion is None or self.t >= self.diffusion.steps:
            self._set_playing(False)
        else:
            self.t += 1
        self.update_now()

    def _set_playing(self, playing: bool) -> None:
        self.playing = playing
        if self._player is not None:
            if playing:
                self._player.reset()
                self._player.resume()
            else:
                self._player.pause()

    def action_move(self, by: int) -> None:
        self._set_playing(False)
        self._go(self.t + by)

    def _go(self, t: int) -> None:
        if self.diffusion is not None:
            self.t = min(max(t, 0), self.diffusion.steps)
            self.update_now()

    def action_play(self) -> None:
        """Let the signal spread by itself, or stop it; at the end, from the start."""
        if self.diffusion is None:
            return
        if not self.playing and self.t >= self.diffusion.steps:
            self.t = 0
        self._set_playing(not self.playing)
        self.update_now()

    def action_start(self) -> None:
        self._set_playing(False)
        self._go(0)

    def action_end(self) -> None:
        if self.diffusion is not None:
            self._set_playing(False)
            self._go(self.diffusion.steps)

    def action_best(self) -> None:
        """Jump to the step at which the sink hears the source best over the mixture."""
        if self.diffusion is not None:
            best = self.diffusion.best(None).step
            if best > self.diffusion.steps:
                self.notify(
                    f"The best step is {best:,}: beyond the {self.diffusion.steps:,} shown."
                )
            self._set_playing(False)
            self._go(best)

    def action_source(self, by: int) -> None:
        if self.snapshot is not None:
            self.source = (self.source + by) % max(self.snapshot.nodes - 1, 1)
            self.update_now()

    def action_head(self, by: int) -> None:
        if self.snapshot is not None:
            self.selected = (self.selected + by) % self.snapshot.heads
            self.update_now()

    def action_weigh(self, by: int) -> None:
        """Change the selected head's weight; the others share the rest in proportion."""
        if self.diffusion is None or len(self.diffusion.weights) == 1:
            return
        # From what was last asked for, so that a held key does not wait for the engine.
        known = self.diffusion.weights if self.weights is None else self.weights
        share = round((float(known[self.selected]) + by * WEIGHT_STEP) / WEIGHT_STEP) * WEIGHT_STEP
        self.weights = reweigh(known, self.selected, share)
        self.update_now()

    def action_optimal(self) -> None:
        if self.optimum is not None:
            self.weights = self.optimum.weights.copy()
            self.update_now()
        elif self.spread is not None:
            searched = self._searched(self.spread)
            self.notify("Still searching." if searched else "There is nothing to search here.")

    def action_reset(self) -> None:
        self.weights = None
        self.action_start()
        self.update_now()

    def action_run(self, by: int) -> None:
        if self.next_run(by):
            self.weights = None
            self.update_now()

    def action_layer(self) -> None:
        if self.snapshot is not None and self.snapshot.layers > 1:
            self.model_layer = (self.model_layer + 1) % self.snapshot.layers
            self.weights = None
            self.update_now()

    def action_input(self, by: int) -> None:
        if self.snapshot is not None and self.snapshot.inputs > 1:
            self.input = (self.input + by) % self.snapshot.inputs
            self.update_now()

    def action_inspect(self) -> None:
        if self.run_name is not None:
            self.post_message(OpenInspector(self.run_name))

    def action_copy_table(self) -> None:
        table = "" if self.spread is None else as_csv(self.run_name or "", self.spread)
        self.post_message(Copy(tsv_of_csv(table), "table of steps"))

    def action_export(self) -> None:
        if self.spread is not None:
            table = as_csv(self.run_name or "", self.spread)
            self.export(f"stepper-{self.run_name}", table)

    def on_shaded_panel_pointed(self, message: ShadedPanel.Pointed) -> None:
        number = message.panel.number
        if number >= FIRST_STAGE:
            head = self._arrange()[number - FIRST_STAGE]
            if head is not None:
                self.selected = head
        self.update_now()

    def on_timeline_bar_sought(self, message: TimelineBar.Sought) -> None:
        if self.diffusion is not None:
            self._go(round(message.share * self.diffusion.steps))
