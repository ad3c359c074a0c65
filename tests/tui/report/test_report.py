"""Reports: what they say, and that they stand alone."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.machine import describe_machine
from synergy_tui.report.document import Document, compose, number, records, spread
from synergy_tui.report.evidence import Evidence, Foretold, Row, gather, hitting_time
from synergy_tui.report.figures import plots
from synergy_tui.report.nulls import Place
from synergy_tui.report.panels import ordered
from synergy_tui.report.statistics.observations import Numbers, Observation
from synergy_tui.report.write import write_figure, write_report
from synergy_tui.running.runner import run_experiment
from synergy_tui.scenario import load_scenario
from synergy_tui.scenario.library import bundled
from synergy_tui.scenario.sweep import Prediction
from synergy_tui.sweep.directory import Sweep
from tests.tui.conftest import DESIGNED, make
from tests.tui.running.test_runner import execute, scenario_of

NOW = Numbers(5.0, 0.01, 1.0, 1.2)


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


@pytest.mark.parametrize("recorded", [True, False])
def test_one_experiment_names_its_hardware_where_it_was_recorded(
    recorded: bool, tmp_path: Path
) -> None:
    scenario = load_scenario(bundled()["example2"])
    experiment = create_experiment(scenario, tmp_path)
    assert run_experiment(experiment) == 0
    log = experiment.events_path.read_text()
    hardware = f"{describe_machine()}; A GPU, driver 7"
    log = log.replace('"hardware":""', '"hardware":"A GPU, driver 7"')
    if not recorded:  # as by earlier versions
        log = re.sub(r',"(machine|hardware)":"[^"]*"', "", log)
    experiment.events_path.write_text(log)
    (source,) = (evidence := gather([experiment.id], tmp_path)).sources
    assert source.hardware == (tuple(hardware.split("; ")) if recorded else ())
    file = tmp_path / "report.html"
    write_report(compose(evidence, command="synergy report last"), file)
    page, text = file.read_text(), file.with_suffix(".md").read_text()
    expected = f"{hardware}; computed on cpu" if recorded else "computed on cpu"
    assert f"<dt>hardware</dt><dd>{expected}" in page
    assert f"- hardware: {expected}" in text


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


def test_both_formats_describe_the_method(written: Path) -> None:
    for page in (written.read_text(), written.with_suffix(".md").read_text()):
        assert "Seeds are the sample." in page


def test_groups_of_several_sources_have_different_names(designed_sweep: Sweep) -> None:
    alone, both = (gather([str(designed_sweep.path)] * count) for count in (1, 2))
    assert {row.group for row in alone.rows} == {"funsearch", "line"}
    assert {row.group for row in both.rows} == {"tiny: funsearch", "tiny: line"}


def test_nothing_is_averaged_over_what_a_sweep_varied() -> None:
    place = Place(Experiment(Path("none")), None)
    rows = [
        Row("sort", f"lambda-{dose:g}", heads, 4, None, place, {"theory": one}, steps, steps * high,
            math.nan)
        for heads, dose, high in [(2, 0.0, 9.0), (2, 1.0, 2.0), (8, 1.0, 1.0)]
        for seed in "ab"
        for steps in [np.arange(1, 3)]
        for one in [Observation("sort", seed, heads, f"lambda-{dose:g}", NOW, dose=dose)]
    ]  # fmt: skip
    prediction = Prediction(claim="concordance", outcome="no effect", why="")
    foretold = Foretold(prediction, "2026-11-28T05:23:05+00:00", before=True)
    found = compose(Evidence(rows=rows, predictions=[foretold]), command="")
    assert [row[:3] for row in found.tables[0].rows] == [
        ("sort", "lambda-0", "2"),
        ("sort", "lambda-1 · 2 heads", "2"),
        ("sort", "lambda-1 · 8 heads", "2"),
    ]
    assert found.predictions[0].smallest == "ρ .3"
    assert found.predictions[0].made == "2026-11-28 05:23:05 UTC"
    training = next(each for each in found.figures if each.name == "training")
    assert training.caption.startswith("Of the most diverse heads")
    ends = [line.get_ydata()[-1] for line in training.draw().axes[0].lines]
    assert ends == [4.0, 2.0]  # of λ = 1 alone


def test_no_mean_is_drawn_where_a_seed_is_infinite() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    seeds = [("a", 1, 3.0), ("a", 2, math.inf), ("b", 1, 5.0), ("b", 2, 4.0)]
    ordered(axes, seeds, "black")
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
    page, written_text = written.read_text(), written.with_suffix(".md").read_text()
    assert [claim.id for _, claim, _ in document.headline] == list(document.findings)
    for verdict, claim, _ in document.headline:
        kind = (verdict or "differs").replace(" ", "-")
        assert f'<li class="{kind}">' in page
        assert claim.refuted_by in page
        assert f"<strong>{claim.label}</strong>" in page
        said = f"{claim.sentence} (A check, not a test.)"
        assert (said in page) == (claim.kind == "check") == (said in written_text)
    assert "synergy-clarity" not in page, "people read names, programs ids"
    # Designed heads were not trained: claims about training are not made of them.
    assert set(document.findings) == {
        "synergy-clarity",
        "synergy-speed",
        "condition",
        "identical-heads",
        "bounds",
    }


@pytest.mark.parametrize(
    ("suffix", "magic"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_single_figures(document: Document, tmp_path: Path, suffix: str, magic: bytes) -> None:
    file = tmp_path / f"one.{suffix}"
    write_figure(document.figures, document.figures[0].name, file)
    assert file.read_bytes().startswith(magic)


def test_diversity_is_in_bits(document: Document) -> None:
    (plot,) = [each for each in document.figures if each.name == "apart-heads"]
    assert b"Jensen-Shannon (bits)" in plot.render()
    assert "diversity (bits)" in document.tables[0].headings


def test_no_figure_repeats_the_numbers_of_another_convention(document: Document) -> None:
    names = [figure.name for figure in document.figures]
    assert len(names) == len(set(names))
    pictures = [
        re.sub(rb"<title>.*?</title>|id=\"[^\"]*\"|#[^\")]*", b"", each.render())
        for each in document.figures
    ]
    assert len(pictures) == len(set(pictures))


def test_records_are_one_per_claim_group_and_convention(designed_sweep: Sweep) -> None:
    found = records(gather([str(designed_sweep.path)]))
    keys = [(each["claim"], each["group"], each["convention"]) for each in found]
    assert len(keys) == len(set(keys))
    assert {each["verdict"] for each in found} <= {
        "supported",
        "contradicted",
        "no effect",
        "undecided",
    }
    for each in found:
        assert {"ratio", "interval", "null", "n", "predicted"} < each.keys()


def test_figures_are_the_same_each_time(document: Document) -> None:
    assert document.figures[0].render() == document.figures[0].render()


def test_unknown_figures_and_formats_are_refused(document: Document, tmp_path: Path) -> None:
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
    assert plots(evidence, [])
    assert evidence.sources[0].command == f"synergy run {point.path.name}/scenario.toml"


def test_groups_say_what_they_are_of(tmp_path: Path) -> None:
    """What [train] would train says nothing of networks that were trained elsewhere."""
    attention = np.tril(np.ones((2, 1, 2, 5, 5)))
    attention /= attention.sum(axis=-1, keepdims=True)
    np.save(tmp_path / "two.npy", attention)
    np.save(tmp_path / "one.npy", attention[:, :, :1])
    loaded = [{"name": name, "attention": str(tmp_path / f"{name}.npy")} for name in ("one", "two")]
    drawn = [{"name": "a", "nodes": 4, "heads": [{"edges": [[0, 1], [1, 2], [2, 3]]}] * 2}]
    found = {}
    alone = [{**drawn[0], "heads": drawn[0]["heads"][:1]}]
    for name, runs in (("loaded", loaded), ("drawn", drawn), ("alone", alone)):
        experiment = create_experiment(scenario_of({"runs": runs}, name), tmp_path / name)
        assert execute(experiment) == 0
        found |= gather([str(experiment.path)]).settings
    assert list(found.values()) == [
        "loaded attention of 5 tokens, 1, 2 heads",
        "designed graphs of 4 nodes, 2 heads",
        "designed graphs of 4 nodes, 1 head",
    ]


def test_what_is_not_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no experiment or sweep"):
        gather(["nothing"], tmp_path)


def test_a_home_that_nobody_has_is_not_an_experiment(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not an experiment"):
        gather(["~nobody-has-this-name/sweep"], tmp_path)


def test_each_convention_measures_the_steps_to_the_sink_its_own_way() -> None:
    mixing = {
        "hitting_time_mean": 3.0,
        "hitting_time_capped_mean": 2.0,
        "mixing_time_l1_mean": "> 10000",
    }
    found = {name: hitting_time({"convention": name, "mixing": mixing}) for name in (
        "theory", "paper-code", "feedforward",
    )}  # fmt: skip
    assert found == {"theory": 3.0, "paper-code": 2.0, "feedforward": float("inf")}


def test_numbers_for_people() -> None:
    assert spread([1.0, 2.0, 4.0]) == "2 [1, 4]"
    assert spread([3.0, 3.0]) == "3"
    assert spread([float("nan")]) == "–"
    assert (number(float("inf")), number(1.23456e-5), number(12.345)) == ("∞", "1.23e-05", "12.3")
