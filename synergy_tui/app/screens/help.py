"""How to read the panels of a screen, and all its keys, from the one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from synergy_tui.app import keys
from synergy_tui.app.alerts import SETTING
from synergy_tui.app.keymap import keymap_path
from synergy_tui.app.screens.base import ReadingScreen
from synergy_tui.app.screens.signs import signs_of
from synergy_tui.app.widgets.ascii import to_ascii
from synergy_tui.app.widgets.filter import FilterBar, matches
from synergy_tui.app.widgets.frame import Header, KeyBar
from synergy_tui.app.widgets.strips import Field

WIDE = 100
"""From this width on the ids of keys have a column of their own."""

READING = {
    "dashboard": {
        "How soon?": """\
A walker starts at each token and follows attention towards the sink, the last token. The curve \
is the share of walkers that have arrived after so many steps: the mean over tokens, the median, \
and the worst token. Faint curves are earlier probes of the same run. The number at the top is \
the mean number of steps to the sink, exact. The dashed upright line is the mixing time: when \
enough walkers have arrived, from the worst start or on average, as {view.convention} chooses; \
"proven limit" is the upper bound on it that the theory gives.""",
        "How clearly?": """\
φ is the minimax fidelity. How clearly the sink hears a token is the largest share of the sink's \
state that comes from this token, at the token's best step, t*; φ is that of the token which is \
heard worst. Above the grey curve, the heads together are clearer than the best of them alone: \
that is synergy. Square brackets hold 95% intervals over the probe's inputs.""",
        "Has it learned?": """\
Training loss over the raw values, as an exponential moving average (EMA): a step counts half \
after the half-life that stands beside the title. The number at the top right is not smoothed so, \
but the mean of the last ten reports, or the loss on held-out sequences; the dashed line is the \
loss below which no model can get on this task.""",
        "Reading the charts": """\
The crosshair ({view.crosshair}, or the mouse) lists each run's newest value that is not after \
its step; {view.aim_left} and {view.aim_right} move it, a click leaves it, {view.restore} takes \
it away. {view.zoom_in} and {view.zoom_out} or the wheel show fewer or more steps, {view.window} \
only the last ones, {view.reset} all. "log" beside an axis means that it is logarithmic: one is \
by itself where the newer half of a curve would lie in the lowest tenth of a linear axis, or \
where a run has arrived within a tenth of what the slowest needs; {view.logarithmic} chooses.""",
        "The verdict": """\
The runs of one seed with the most heads and the fewest, a line for each claim. A ratio above 1 \
is what the claim says; it and the values beside it are geometric means over inputs, the numbers \
of the panels plain means. Square brackets are its 95% interval, over the inputs of these two \
networks or, with several seeds, over the seeds. ✔: the interval is above 1, and above what \
stands at the end of the line: the same ratio before training, or with each head looking at \
another input. ✘: it is below 1. ≈: it lies within 1.25 times: no effect. ?: it does not decide. \
Signs without colour have no interval to decide them. In the table beneath, "than best head" \
compares a run's heads together with the best of them alone.""",
        "What is measured": """\
The mixing time is the first step at which walkers are as close to the sink as the line beneath \
the verdict says, in total variation or L1 distance, from the worst start or as the mean over \
starts; {view.convention} goes through these definitions, and through what else was measured, \
such as the paper's own code. "walks" means that heads are mixed after each head's attention is \
normalised, with the weights that training gave them; "sink excluded" that the sink does not \
count as a token it hears. Numbers are means over layers until {view.layer} chooses one.""",
    },
    "heads": {
        "Every head": """\
A curve for each head of the layer, measured alone as if it were the only one, at every probe of \
a training or every checkpoint of a series; "all heads" is their mixture. {heads.measure} chooses \
what is measured and {heads.layer} the layer. Weights are shares of the mixture; "loss without \
the head" is that of the network with the head switched off. A value that is infinite or only \
bounded breaks a curve: then some token does not reach the sink.""",
        "Reading the chart": """\
As on the dashboard: the crosshair ({view.crosshair}, or the mouse) lists each head's newest \
value that is not after its step, {view.aim_left} and {view.aim_right} move it; {view.zoom_in} \
and {view.zoom_out} or the wheel show fewer or more steps, {view.window} only the last ones, \
{view.reset} all; {view.logarithmic} chooses a linear or logarithmic axis.""",
    },
    "inspector": {
        "Maps": """\
A row is a token that listens (query), a column one that is heard (key); brighter is more. Σ is \
the mixture of all heads with their weights w. Where a cell stands for several entries it shows \
the largest.""",
        "Figures": """\
For each head alone: its weight in the mixture, the mean steps to the sink, and φ_min, its \
minimax fidelity: how clearly the token gets through that is heard worst. ★ marks the best head. \
A head that is off ({inspector.switch}) has no weight, and the others share what it had. \
"carries" is the head's share of the steps that the signal of the faintest token takes to the \
sink, at t*, the step at which it is heard best; the shares sum to 100%. The small map beneath \
counts how often a step by the column's head is followed by one of the row's; at t* = 1 there is \
one step, and nothing composes.""",
        "What if": """\
"no weights could exceed" and "could need fewer" hold for every choice of head weights, even one \
that changes from token to token and from step to step. "–": too large to be computed while \
somebody waits.""",
        "Gradient ({inspector.gradient})": """\
Edges are coloured by what more attention there would do for the chosen token: + makes it \
clearer, - less clear, since what one edge gains the others of its row lose. The map shows where \
it helps; {inspector.bottleneck} chooses the faintest token, which sets φ_min.""",
        "All layers in order ({inspector.layer})": """\
One step per layer, as the network itself takes them. γ is the part of a token's state that \
attention replaces: as measured ("norm", where the run recorded it), half of it, or all of it \
("one"), as if there were no residual path; "stays" is what passes a layer on that path. The \
numbers are shares of what the last token hears of the faintest one, which is named beneath the \
strip: how clearly each token is heard. Above 1×, no choice of one head in each layer does what \
the heads do together; averages of heads that never met may exceed 1× too.""",
        "Arrival and paths": """\
For the chosen token: how soon its walk reaches the sink, by each head and mixed; and the \
strongest paths of its signal, each step with the head that carries it. ⇄ marks a path that \
switches heads. "needs several heads" is the share of the signal on paths that no head has alone; \
"switch" the share on paths whose steps use more than one head, where waiting at a token counts \
as a step.""",
    },
    "picker": {
        "Scenarios and experiments": """\
Heads and loss stand for each run, in the scenario's order (of many runs: the first and the \
last); a loss is of held-out sequences where there are some, in nats. "verdict" has a sign for \
each claim of the scoreboard, in its order: ✔ supported, ✘ contradicted, ≈ no effect, ? \
undecided. Before the name: ● runs, ✓ finished, ! finished but not as expected, ■ stopped, ✗ \
failed or damaged, ? its worker is gone; or A and B, where it is marked to be compared.""",
        "What is typed after {list.filter}": """\
Every word must be found: in the name, title, task, state, verdict, a run's name, or as "8 \
heads".""",
    },
    "sidebyside": {
        "Both in one chart": """\
At the left both runs in the panels of the dashboard, A and B each with a colour and a mark. Both \
logs are followed while they grow. The cursor goes as far as the one that has made fewer steps, \
so that both are shown at the same step.""",
        "The difference": """\
At the right B against A, at every step that one of them reports (the other as it was last seen). \
Steps to the sink and fidelity are ratios, above 1 where B is better, each the geometric mean \
over inputs, with its 95% interval; the loss is the difference B - A, in nats. Inputs are \
compared one by one only where both saw the same.""",
        "The verdict": """\
As on the dashboard, and only where task, seed, batches and all else but the heads are the same; \
otherwise what differs is named, and nothing is concluded.""",
    },
    "sweep": {
        "Groups": """\
A row is a run of a group (what is equal but for the seed), over the seeds that have finished: \
their mean with its 95% interval, and the ratio to the group's first run within each seed, so \
that above 1 is better whatever is measured; amplification is a ratio to the run's own best head. \
Each dot is a seed on a logarithmic scale around 1. Colour stands only where the interval \
excludes 1.""",
        "Points": """\
A row is an experiment: its state, and a curve and the newest number of each run.""",
        "Verdicts": """\
What `synergy report` would say of the points that have finished so far.""",
    },
    "stepper": {
        "What is shown": """\
The share of each node's state that comes from the source, after t diffusion steps: by each head \
alone, and mixed with the weights beneath. Rows of the table are steps; ★ is the step at which \
the sink hears the source best, and → a value that is approached and never reached.""",
        "Weights": """\
{stepper.heavier} and {stepper.lighter} move weight to or from the selected head. The curve is \
φ_min, how clearly the node gets through that is heard worst, for every weight of that head; \
above the dashed line the mixture is clearer than the best head alone. "optimal" is the best that \
was found, "none above" what no weights exceed: where both agree, that is a proof.""",
    },
}
"""How to read a screen, by its name in the table of keys: heading and paragraph.

Keys stand by their ids, in braces, so that a user's own are named.
"""

BELL = f"""\
The app rings when a run ends, fails or breaks an expectation, and sends a notification (OSC 9), \
which some terminals show on the desktop. tmux marks the window; it passes the notification on \
only after `set -g allow-passthrough on`. {SETTING}=off in the environment keeps the app silent."""

NAMES = {"heads": "every head over training", "sidebyside": "side by side"}
"""What screens are called where that is not their name in the table of keys."""

Entry = tuple[str, str, str]
"""A key or a sign, if any; what it means; the id of the key."""


class HelpScreen(ReadingScreen):
    """Reading help and keys for the screen called ``table`` in the table of keys."""

    BINDINGS = keys.bindings_for("help")
    DEFAULT_CSS = """
    HelpScreen VerticalScroll { padding: 1 2; }
    HelpScreen VerticalScroll Static { width: 1fr; max-width: 110; }
    """

    def __init__(self, table: str, keymap: Mapping[str, str], *, ascii_only: bool = False) -> None:
        super().__init__()
        self._ascii_only = ascii_only
        self._table = table
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        yield Header()
        with VerticalScroll():
            yield Static(id="text")
        yield FilterBar()
        yield KeyBar("help")

    def on_mount(self) -> None:
        self.query_one(Header).show(
            [
                Field("help", "title"),
                Field(f"keys of: {NAMES.get(self._table, self._table)}", "muted", weight=1),
            ]
        )

    def on_resize(self) -> None:
        self._show()

    def on_filter_bar_sought(self) -> None:
        self._show()

    def _show(self) -> None:
        """Show what the filter leaves."""
        query, whole, left = self.query_text, 0, 0
        parts: list[Text | Table] = []
        for title, entries in self._sections():
            found = [each for each in entries if matches(query, title, *each)]
            whole, left = whole + len(entries), left + len(found)
            if found:
                parts += [Text(title, style="bold"), self._laid(found), Text()]
        self.filter_bar.count(left, whole)
        self.query_one("#text", Static).update(Group(*parts))

    def _laid(self, entries: Sequence[Entry]) -> Text | Table:
        """Paragraphs; keys and signs as a table, with ids in a column of their own if it fits."""
        if not any(name for name, _, _ in entries):
            return Text("\n".join(text for _, text, _ in entries))
        wide = self.size.width >= WIDE
        table = Table.grid(padding=(0, 2), expand=True)
        table.add_column(style="bold", width=self._lead, no_wrap=True)
        table.add_column(ratio=1)
        if wide:
            table.add_column(style="dim", no_wrap=True, justify="right")
        for name, text, id in entries:
            if wide:
                table.add_row(f"  {name}", text, id)
            else:
                table.add_row(f"  {name}", Text.assemble(text, (f"  {id}" if id else "", "dim")))
        return table

    @property
    def _lead(self) -> int:
        """Columns that every key and sign fits into."""
        return max(len(name) for _, rows in self._sections() for name, _, _ in rows) + 2

    def _sections(self) -> list[tuple[str, list[Entry]]]:
        """Headings with what stands under them: how to read the screen, signs, keys, the rest."""
        found: dict[str, list[Entry]] = {
            self._filled(heading): [("", self._filled(paragraph), "")]
            for heading, paragraph in READING.get(self._table, {}).items()
        }
        if signs := signs_of(self._table, self._ascii_only):
            found["Signs"] = [(each, self._filled(meaning), "") for each, meaning in signs]
        for key in keys.rows_for(self._table):
            name = keys.shown(key, self._keymap, every=True, ascii_only=self._ascii_only)
            found.setdefault(key.group, []).append((name, self._filled(key.help), key.id))
        own = f'Write lines such as  "view.overlay" = "u"  into {keymap_path()}.'
        found["Your own keys"] = [("", own, "")]
        found["The bell"] = [("", BELL, "")]
        return list(found.items())

    def _filled(self, text: str) -> str:
        """``text`` with the keys that it names, in ASCII where the terminal has no more."""
        text = keys.filled(text, self._keymap, ascii_only=self._ascii_only)
        return to_ascii(text) if self._ascii_only else text
