"""Reports: what they say, and that they stand alone."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from synergy_tui.cli import main
from synergy_tui.errors import UserError
from synergy_tui.report.document import Document, compose, number, spread
from synergy_tui.report.evidence import gather, steps_to_sink
from synergy_tui.report.figures import _ordered, plots
from synergy_tui.report.statistics.decide import Verdict
from synergy_tui.report.write import write_figure, write_report
from synergy_tui.sweep.directory import Sweep
from tests.tui.conftest import DESIGNED, make


@pytest.fixture(scope="module")
def document(designed_sweep: Sweep) -> Document:
    return compose(gather([str(designed_sweep.path)]), command="synergy report tiny")


@pytest.fixture(scope="module")
def written(document: Document, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(document, file)
    return file


class Tags(HTMLParser):
    """Collects what a page would load, and checks that its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [v for k, v in given.items() if v and k in ("src", "href", "xlink:href")]
        if tag not in ("meta", "link", "br", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [v for k, v in attrs if v and k in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(written: Path) -> None:
    page = written.read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert all(load.startswith("#") for load in tags.loads), tags.loads
    assert "url(http" not in page
    identifiers = re.findall(r'\bid="([^"]+)"', page)
    assert len(identifiers) == len(set(identifiers))


def test_it_says_where_everything_comes_from(written: Path, designed_sweep: Sweep) -> None:
    for page in (written.read_text(), written.with_suffix(".md").read_text()):
        assert designed_sweep.id in page
        assert "synergy sweep scenarios/tiny.toml" in page
        assert "a machine" in page
        assert "numpy" in page
        assert "4 of 4 finished" in page
        for convention in ("theory", "feedforward"):
            assert convention in page
        assert re.search(r"seeds.{0,20}0, 1", page)


def test_both_formats_tell_the_method(written: Path) -> None:
    for page in (written.read_text(), written.with_suffix(".md").read_text()):
        assert "Seeds are the sample." in page


def test_groups_of_several_sources_are_told_apart(designed_sweep: Sweep) -> None:
    alone, both = (gather([str(designed_sweep.path)] * count) for count in (1, 2))
    assert {row.group for row in alone.rows} == {"funsearch", "line"}
    assert {row.group for row in both.rows} == {"tiny: funsearch", "tiny: line"}


def test_no_mean_is_drawn_where_a_seed_is_infinite() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    seeds = [("a", 1, 3.0), ("a", 2, math.inf), ("b", 1, 5.0), ("b", 2, 4.0)]
    _ordered(axes, "group", seeds, "black")
    assert [text.get_text() for text in axes.texts] == ["∞ 1/2"]
    means = axes.lines[-1].get_ydata()
    assert means[0] == 4.0
    assert math.isnan(means[1])


def test_every_figure_names_the_command_that_draws_it(written: Path, document: Document) -> None:
    page = written.read_text()
    assert document.figures
    for figure in document.figures:
        assert f"synergy report tiny --figure {figure.name}" in page
        assert (written.with_name("report-figures") / f"{figure.name}.svg").is_file()


def test_verdicts_of_every_kind_stand_in_the_same_list(document: Document, written: Path) -> None:
    page = written.read_text()
    told = {verdict for verdict, _ in document.headline}
    for verdict in told:
        assert f'<li class="{verdict}">' in page
    # A line has one head's numbers whatever the seed: computed, and told as one fact.
    line = [f for f in document.findings["P3"] if f.group == "line"]
    assert {(f.samples, f.test) for f in line} == {(1, "computed: the same for every seed")}


def test_a_prediction_that_conventions_disagree_on_is_marked_by_the_worst() -> None:
    from synergy_tui.report.document import _headline
    from synergy_tui.report.statistics.findings import Finding, Summary

    def of(verdict: Verdict, convention: str) -> Summary:
        finding = Finding(
            "P2", "g", convention, verdict, 1.0, (0.0, 2.0), "u", 1.0, 1.0, 0.01, 5, "t"
        )
        return Summary("P2", convention, verdict, (finding,))

    found = {
        "P2": {
            "theory": of(Verdict.CONTRADICTED, "theory"),
            "paper-code": of(Verdict.SUPPORTED, "paper-code"),
        }
    }
    ((verdict, sentence),) = _headline(found)
    assert verdict is Verdict.CONTRADICTED
    assert "Under theory: contradicted for g." in sentence
    assert "Under paper-code: supported for g." in sentence


@pytest.mark.parametrize(
    ("suffix", "magic"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_single_figures(document: Document, tmp_path: Path, suffix: str, magic: bytes) -> None:
    file = tmp_path / f"one.{suffix}"
    write_figure(document.figures, document.figures[0].name, file)
    assert file.read_bytes().startswith(magic)


def test_figures_are_the_same_each_time(document: Document) -> None:
    assert document.figures[0].render() == document.figures[0].render()


def test_unknown_figures_and_formats_are_told(document: Document, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no figure 'nope'"):
        write_figure(document.figures, "nope", tmp_path / "a.svg")
    with pytest.raises(UserError, match="svg, pdf, png"):
        write_figure(document.figures, document.figures[0].name, tmp_path / "a.gif")


def test_nothing_finished_is_nothing_to_report(tmp_path: Path) -> None:
    sweep = make(DESIGNED, tmp_path)
    with pytest.raises(UserError, match="nothing to report"):
        gather([str(sweep.path)])


def test_single_experiments_count_too(designed_sweep: Sweep) -> None:
    point = designed_sweep.experiment(designed_sweep.points[0].name)
    evidence = gather([str(point.path)])
    assert [row.run for row in evidence.rows] == ["heads-1", "heads-4"]
    assert plots(evidence)
    assert evidence.sources[0].command == f"synergy run {point.path.name}/scenario.toml"


def test_what_is_no_experiment_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a sweep nor an experiment"):
        gather(["nothing"], tmp_path)


def test_a_home_that_nobody_has_is_no_experiment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a sweep nor an experiment"):
        gather(["~nobody-has-this-name/sweep"], tmp_path)


def test_a_device_that_is_not_here_is_told_before_a_sweep_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["sweep", "sweep_heads", "--no-ui", "--device", "cuda:99", "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert "cuda:99" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_each_convention_measures_how_soon_its_own_way() -> None:
    mixing = {
        "hitting_time_mean": 3.0,
        "hitting_time_capped_mean": 2.0,
        "mixing_time_l1_mean": "> 10000",
    }
    told = {name: steps_to_sink({"convention": name, "mixing": mixing}) for name in (
        "theory", "paper-code", "feedforward",
    )}  # fmt: skip
    assert told == {"theory": 3.0, "paper-code": 2.0, "feedforward": float("inf")}


def test_numbers_for_people() -> None:
    assert spread([1.0, 2.0, 4.0]) == "2 [1, 4]"
    assert spread([3.0, 3.0]) == "3"
    assert spread([float("nan")]) == "–"
    assert (number(float("inf")), number(1.23456e-5), number(12.345)) == ("∞", "1.23e-05", "12.3")


def run_cli(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_the_report_command(
    designed_sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "out.html"
    assert run_cli(["report", str(designed_sweep.path), "-o", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        str(file), str(tmp_path / "out.md"), str(tmp_path / "out-figures"),
    ]  # fmt: skip
    assert "The bounds of the theory hold" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "scenarios/example2.toml"], "has no [sweep] table"),
        (["sweep", "nothing"], "nothing"),
        (["sweep", "--ray", "local", "--executor", "pool", "{sweep}"], "All 4 points are finished"),
        (["sweep", "{sweep}", "--set", "sweep.seeds=9"], "has begun"),
        (["sweep", "{sweep}"], "All 4 points are finished"),
        (["report", "nothing"], "neither a sweep nor an experiment"),
    ],
)
def test_mistakes_on_the_command_line(
    arguments: list[str],
    said: str,
    designed_sweep: Sweep,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SYNERGY_HOME", str(tmp_path))
    given = [each.replace("{sweep}", str(designed_sweep.path)) for each in arguments]
    assert run_cli(given) == 2
    assert said in capsys.readouterr().err


def test_a_dry_run_says_what_it_costs_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run_cli(["sweep", "scenarios/sweep_heads.toml", "--dry-run", "--out", str(tmp_path)]) == 0
    )
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 24
    assert "24 points, 96 runs to go: about" in err
    assert "GiB" in err
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_from_the_shell_streams_json_and_nothing_else(tmp_path: Path) -> None:
    import orjson

    file = tmp_path / "tiny.toml"
    file.write_text(DESIGNED)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "synergy_tui",
            "sweep",
            "--json",
            "--out",
            str(tmp_path / "out"),
            "--set",
            "sweep.seeds=1",
            file,
        ],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = [orjson.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "sweep_started"
    assert kinds[-1] == "sweep_finished"
    assert kinds.count("point_ended") == 2
    assert b"2 points, 4 runs to go" in done.stderr
    (source,) = gather(["last"], tmp_path / "out").sources
    assert source.command == f"synergy sweep {file} --set sweep.seeds=1"
