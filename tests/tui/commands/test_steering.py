"""Text from files reaches terminals, pages and tables as text: it steers nothing."""

from __future__ import annotations

import ast
import csv
import io
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from synergy_tui.console import echo
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.words import clean, clean_lines, csv_text, xml_text
from tests.places import ROOT

Call = Callable[..., Result]

# Clear the screen, set the clipboard, a link, the title; C1's CSI; turned direction; no width.
STEERING = (
    "\x1b[2J\x1b]52;c;eA==\x07\x1b]8;;http://x\x1b\\\x1b]0;t\x07\x9b31m\x85\u202e\u2066\u200b\ufeff"
)
ACTING = set(STEERING) - set("".join(filter(str.isprintable, STEERING)))


def test_what_is_kept_and_what_is_not() -> None:
    cleaned = "τ é ✓�[2J�]52;c;eA==��]8;;http://x�\\�]0;t��31m ����"
    assert clean(f"τ é ✓{STEERING}") == cleaned
    assert not ACTING & set(clean(STEERING) + clean_lines(STEERING))
    assert clean("one\ntwo\tthree\u2028four\xa0five") == "one two three four five"
    assert clean_lines("one\n\ttwo\r") == "one\n\ttwo "
    assert clean("\ud800") == "�"


def test_only_one_place_writes_to_the_terminal() -> None:
    """Every module leaves it to `console.echo`; rich and Textual have doors of their own.

    `start` says one constant word where nothing has been imported yet.
    """
    found = []
    for file in (ROOT / "synergy_tui").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write",
            ):  # fmt: skip
                found.append(file.relative_to(ROOT).as_posix())
    assert set(found) == {"synergy_tui/console.py", "synergy_tui/start.py"}


def test_echo_cleans(capsys: pytest.CaptureFixture[str]) -> None:
    echo(STEERING + "\nnext", err=True)
    assert not ACTING & set(capsys.readouterr().err)


@pytest.fixture
def steering(make: Callable[..., Experiment]) -> Experiment:
    """An experiment whose every text wants to steer the terminal."""
    said = f"oh{STEERING}"
    started = {"run": "one", "parameters": 5, "heads": 1, "device": said, "task": said,
               "note": said, "kind_of_run": "trained", "steps": 4}  # fmt: skip
    return make(
        "2026-11-23-000000-steering",
        {"kind": "run_started", **started},
        {"kind": "train_step", "run": "one", "step": 1, "loss": 1.0, "accuracy": 0.5},
        {"kind": "run_started", **started, "run": said},
        {"kind": "warning", "run": said, "message": said},
        {"kind": "expectation", "that": said, "holds": False, "left": 1.0, "right": 2.0,
         "reason": "", "because": said},
        {"kind": "run_failed", "run": said, "step": 0, "reason": said},
        {"kind": "experiment_finished", "exit_code": 3, "reason": said, "verdict": said},
        scenario=said,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [["ls"], ["ls", "--json"], ["show", "last"], ["show", "last", "--json"], ["compare", "last"],
     ["compare", "last", "--json"], ["compare", "last", "--run", STEERING], ["show", STEERING],
     ["export", "last", "--metrics", "-"], ["export", "last", "--attention", f"{STEERING}.npy"],
     ["validate", STEERING], ["validate", "--json", STEERING], ["validate", "--json", "\udcff"],
     ["analyze", f"{STEERING}.npy"], [STEERING], [f"--{STEERING}"], ["ls", f"--{STEERING}"],
     ["ls", "--state", STEERING], ["run", "--set", STEERING, "example2"], ["rm", "last"]],
)  # fmt: skip
def test_no_command_lets_files_or_arguments_steer(
    arguments: list[str], call: Call, steering: Experiment
) -> None:
    result = call(*arguments)
    assert result.exit_code in (0, 2), result.stderr
    assert "Traceback" not in result.stderr
    assert not ACTING & set(result.stdout + result.stderr)


def test_json_keeps_what_text_loses(call: Call, steering: Experiment) -> None:
    record = json.loads(call("show", "last", "--json").stdout)
    assert record["runs"][-1]["run"] == f"oh{STEERING}"


def test_scenario_files_are_quoted_clean(call: Call, tmp_path: Path) -> None:
    text = json.dumps(f"x{STEERING}")
    file = tmp_path / "a.toml"
    file.write_text(
        f"{text} = 1\n[[runs]]\nname = {text}\nheads = {text}\n[[expect]]\nthat = {text}"
    )
    for arguments in (["validate", file], ["validate", "--json", file], ["run", file]):
        result = call(*arguments)
        assert result.exit_code == 2
        assert not ACTING & set(result.stdout + result.stderr)


def test_progress_bars_do_not_read_markup_or_steer(capsys: pytest.CaptureFixture[str]) -> None:
    from synergy_tui.commands.headless import Headless

    view = Headless("progress")
    view({"v": 1, "t": 0.0, "kind": "experiment_started", "id": "x", "scenario": "x",
          "title": f"[/b]{STEERING}", "runs": ["[/b]"]})  # fmt: skip
    view({"v": 1, "t": 0.0, "kind": "run_started", "run": "[/b]", "heads": 1, "steps": 5})
    view({"v": 1, "t": 0.0, "kind": "warning", "message": STEERING})
    view.close()
    shown = capsys.readouterr().err
    assert "[/b]" in shown
    assert not {"\x9b", "\u202e", "\x07", "\u200b"} & set(shown)
    assert "]52;" not in shown.replace("�]52;", "")


def test_cells_of_spreadsheets_are_no_formulas(call: Call, make: Callable[..., Experiment]) -> None:
    make("a", {"kind": "run_started", "run": '=HYPERLINK("x")', "heads": 1},
         {"kind": "train_step", "run": '=HYPERLINK("x")', "step": 1, "loss": -1.0})  # fmt: skip
    [row] = csv.DictReader(io.StringIO(call("export", "a", "--metrics", "-").stdout))
    assert row["run"] == '\'=HYPERLINK("x")'
    assert row["loss"] == "-1.0", "numbers stay numbers"
    assert [csv_text(each) for each in ("a-b", "-a", "@a\x1b")] == ["a-b", "'-a", "'@a�"]


@pytest.mark.parametrize("character", ["\x01", "\x1f", "\ufffe", "\uffff", "\ud800", "\x85"])
def test_graphml_is_valid_xml_whatever_names_are(
    character: str, finished: Experiment, call: Call, tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    names = [f"a{character}<&>\n", "b", "c", "d"]
    arrays: dict[str, Any] = {"attention": np.tri(4)[None, None, None] / 4}
    arrays["head_weights"] = np.ones((1, 1))
    file = finished.path / "attention/many-00000020.safetensors"
    save_file(arrays, file, {"names": json.dumps(names), "rows": "raw weights"})
    for suffix in ("graphml", "gml", "json"):
        result = call("export", "last", "--graph", tmp_path / f"a.{suffix}")
        assert result.exit_code == 0, result.stderr
    found = ET.parse(tmp_path / "a.graphml").getroot()
    assert any(each.text and each.text.startswith("a") for each in found.iter())
    assert xml_text(names[0]) in [each.text for each in found.iter()]


@pytest.mark.parametrize("character", ["\x01", "\ufffe", "\uffff", "\ud800"])
def test_the_engine_refuses_names_that_xml_cannot_hold(character: str, tmp_path: Path) -> None:
    import synergy_engine as engine

    system = engine.MultiHeadSystem.from_edges([[(0, 1)]], names=[f"a{character}", "b"])
    with pytest.raises(engine.EngineError, match="XML cannot hold"):
        engine.write_graph(system, tmp_path / "a.graphml")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["svg", "png"])
def test_figures_take_names_literally(form: str) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from synergy_tui.drawing import grid, render

    def draw() -> Figure:
        figure, [[axes]] = grid(1, 1, 3.0, 2.0)
        axes.loglog([1, 100], [1, 100], label=f"$\\frac$ <&> {STEERING}\ufffe")
        axes.set(title="$\\nope{$")
        axes.legend()
        return figure

    drawn = render(draw, form)
    if form == "svg":
        words = "".join(ET.fromstring(drawn).itertext())
        assert "$\\frac$ <&>" in words
        assert not ACTING & set(words)


def test_markdown_shows_names_as_they_are() -> None:
    pytest.importorskip("jinja2")
    from synergy_tui.report.write import _code, _in_markdown

    shown = {
        "<script>x</script>": "\\<script>x\\</script>",
        "[a](javascript:x)": "[a\\](javascript:x)",
        "p < 0.05, [2.3, 3.4]": "p < 0.05, [2.3, 3.4]",
        "a|b*c`d": "a\\|b\\*c\\`d",
        "multi_head_a __init__": "multi_head_a \\__init_\\_",
        "&lt;": "&amp;lt;",
        "# a\n# b\x1b": "# a # b�",
    }
    assert {text: _in_markdown(text) for text in shown} == shown
    assert _code("a `b` ``c") == "``` a `b` ``c ```"
    assert _code("plain\nline") == "`plain line`"
