"""One command each: exit codes, what is on stdout, and what a mistake looks like."""

from __future__ import annotations

import json
import math
import signal
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from tests.end_to_end.conftest import Shell
from tests.waiting import wait_for


def test_a_training_without_the_app(shell: Shell) -> None:
    done = shell.run("run", "--no-ui", shell.scenario())
    assert done.returncode == 0, done.stderr
    assert done.stdout == "", "text for people goes to stderr"
    for words in ("one: 1 head", "step 40/40", "holds", "one.parameters == two.parameters",
                  "two (2) against one (1)", "theory"):  # fmt: skip
        assert words in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("step ")]) <= 11


def test_the_event_stream_is_the_log(shell: Shell) -> None:
    done = shell.run("run", "--json", shell.scenario())
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == shell.experiment().events_path.read_text()
    events = [json.loads(line, parse_constant=pytest.fail) for line in done.stdout.splitlines()]
    assert events[0]["kind"] == "experiment_started"
    assert events[-1]["exit_code"] == 0
    assert [e["step"] for e in events if e["kind"] == "train_step" and e["run"] == "two"][-1] == 40


def test_example_2_comes_out_exactly(shell: Shell) -> None:
    done = shell.run("run", "--no-ui", "example2")
    assert done.returncode == 0, done.stderr
    state = shell.experiment().fold()
    found = [run.probe.overall["fidelity"]["minimax"] for run in state.runs.values() if run.probe]
    assert found == pytest.approx([3 / 8, 1 / 4, 5 / 12], rel=1e-14)
    for shown in ("3/8", "1/4", "5/12"):
        assert shown in done.stderr


def test_an_expectation_that_fails(shell: Shell) -> None:
    done = shell.run(
        "run", "--no-ui", "--junit", "report.xml", "example2",
        "--set", 'expect.0.that="head-1.fidelity > 1/2"',
    )  # fmt: skip
    assert done.returncode == 1
    line = next(line for line in done.stderr.splitlines() if "fails" in line)
    assert "3/8 = .375" in line
    assert "1/2 = .5" in line
    suite = ET.parse(shell.folder / "report.xml").getroot()
    assert len(suite.findall(".//failure")) == 1


def test_quiet_says_only_what_went_wrong(shell: Shell) -> None:
    good = shell.run("run", "--quiet", "example2")
    assert (good.returncode, good.stdout, good.stderr) == (0, "", "")
    bad = shell.run("run", "--quiet", "example2", "--set", 'expect.0.that="both.fidelity > 1"')
    assert bad.returncode == 1
    assert "both.fidelity > 1" in bad.stderr
    assert "5/12 = .41667" in bad.stderr
    assert "✓" not in bad.stderr


def test_a_diverging_run(shell: Shell) -> None:
    done = shell.run(
        "run", "--no-ui", shell.scenario(), "--set", "runs.two.learning_rate=1e30"
    )  # fmt: skip
    assert done.returncode == 3
    assert "failed: two: the loss became" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_time_limit(shell: Shell) -> None:
    done = shell.run("run", "--no-ui", "--timeout", "0.001", shell.scenario())
    assert done.returncode == 3
    assert "the time limit was reached" in done.stderr
    assert "synergy resume" in done.stderr


def test_ctrl_c(shell: Shell) -> None:
    process = shell.start("run", "--no-ui", shell.scenario(1_000_000))
    wait_for(lambda: shell.experiment().fold().step > 3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"synergy resume {shell.experiment().id}" in err
    assert "after a checkpoint" in err
    assert "Traceback" not in err
    assert {run.status for run in shell.experiment().fold().runs.values()} == {"stopped"}


def test_a_reader_that_leaves_ends_the_run(shell: Shell) -> None:
    process = shell.start("run", "--json", shell.scenario(1_000_000))
    assert process.stdout is not None
    assert "experiment_started" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 143, "what was not finished is not a success"
    assert process.stderr is not None
    assert "synergy resume" in process.stderr.read()
    assert shell.experiment().state() == "stopped"


MISTAKES = {
    "typo": (["--set", "train.stesp=3"], "did you mean 'steps'?"),
    "negative": (["--set", "runs.two.heads=-2"], "runs[1].heads = -2"),
    "indivisible": (["--set", "runs.two.heads=3"], "do not divide the width embed = 8"),
    "task": (["--set", "train.task=srot"], "did you mean 'sort'?"),
    "option": (["--no-iu"], "--no-ui"),
    "device": (["--device", "warp"], "'warp' is not one of auto, cpu, cuda"),
    "absent device": (["--device", "cuda:99"], "device"),
    "limit": (["--timeout", "nan"], "nan is not a number"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_run(shell: Shell, mistake: str) -> None:
    arguments, message = MISTAKES[mistake]
    done = shell.run("run", "--no-ui", shell.scenario(), *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not shell.home.exists(), "nothing was run, so nothing is left behind"


def test_files_that_cannot_be_used(shell: Shell) -> None:
    attention = np.tril(np.full((1, 2, 4, 4), 0.25))
    attention[0, 0, 1, 1] = math.nan
    np.save(shell.folder / "nan.npy", attention)
    (shell.folder / "nan.toml").write_text('[[runs]]\nname = "a"\nattention = "nan.npy"\n')
    (shell.folder / "sink.toml").write_text(
        '[[runs]]\nname = "a"\nnodes = 3\n[[runs.heads]]\nedges = [[0, 2]]\n'
    )
    (shell.folder / "no.toml").write_text("this is = = not TOML")
    done = shell.run("validate", "nan.toml", "sink.toml", "no.toml", "absent.toml", "example2")
    assert done.returncode == 2
    assert done.stdout == ""
    for words in ("NaN", "cannot reach the sink", "no.toml:1: not valid TOML",
                  "absent.toml: there is no such file", "example2: valid"):  # fmt: skip
        assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not shell.home.exists()


def test_the_app_needs_a_terminal(shell: Shell) -> None:
    for arguments in (["replay", "last"], ["attach", "last"]):
        assert shell.run("run", "--quiet", "example2").returncode == 0
        done = shell.run(*arguments)
        assert done.returncode == 2
        assert "terminal" in done.stderr
        for experiment in shell.home.iterdir():
            for file in sorted(experiment.rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
            experiment.rmdir()
