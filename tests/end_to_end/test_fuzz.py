"""Truncated, garbled and hostile input to every reader: a message and exit 2, never a traceback.

``FUZZ_EXAMPLES=5000 pytest tests/end_to_end/test_fuzz.py`` looks harder than the default does.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings, strategies as st

from synergy_tui.experiments.kinds import KINDS
from synergy_tui.experiments.state import ExperimentState
from tests.places import ROOT
from tests.tui.commands.conftest import analysis, invoke

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCENARIOS = [
    (ROOT / "scenarios" / f"{name}.toml").read_bytes()
    for name in ("diverse_heads", "example2", "identical_heads")
]


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A file with a few places cut out, repeated, overwritten or inserted into."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 60))
        kind = draw(st.sampled_from(["cut", "repeat", "overwrite", "insert", "truncate"]))
        if kind == "cut":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length] * draw(st.integers(1, 20))
        elif kind == "overwrite":
            noise = draw(st.binary(max_size=length))
            data[at : at + len(noise)] = noise
        elif kind == "insert":
            data[at:at] = draw(st.one_of(st.binary(max_size=20), st.text(max_size=20).map(_bytes)))
        else:
            del data[at:]
    return bytes(data)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def exit_code(*arguments: str | Path) -> int:
    """Call the command; whatever it makes of the input, it raises nothing."""
    result = invoke(*arguments)
    assert result.exit_code in (0, 2), (result.exit_code, result.stderr)
    assert "Traceback" not in result.stderr
    if result.exit_code:
        assert result.stderr.strip()
        assert len(result.stderr) < 20_000
    return result.exit_code


KEYS = (
    "title seed train runs heads name expect that task sort topology nodes weights line edges file "
    "attention analysis graph"
)
words = st.one_of(st.sampled_from(KEYS.split()), st.text(max_size=12))
tables = st.recursive(
    st.one_of(words, st.integers(-(2**63), 2**63 - 1), st.floats(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=4)),
    max_leaves=20,
)


@fuzz
@given(data=st.one_of(st.binary(max_size=300), mutated(SCENARIOS)))
def test_scenario_files(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "fuzzed.toml"
    file.write_bytes(data)
    exit_code("validate", file)


@fuzz
@given(table=st.dictionaries(words, tables, max_size=8))
def test_scenario_tables(table: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "fuzzed.toml"
    try:
        file.write_text(tomli_w.dumps(table), encoding="utf-8")
    except (UnicodeEncodeError, ValueError):
        return
    exit_code("validate", file)


@fuzz
@given(key=words, value=st.text(max_size=40))
def test_overrides(key: str, value: str, tmp_path: Path) -> None:
    override = f"{key}={value}".replace("\0", "")
    result = invoke("run", "--no-ui", "--set", override, "--set", "no.such=1", "diverse_heads")
    assert result.exit_code == 2
    assert "no" in result.stderr


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = (
    *("v", "t", "run", "step", "loss", "accuracy", "tokens_per_second", "heads", "parameters"),
    *("layers", "overall", "attention", "id", "scenario", "runs", "seed", "versions", "exit_code"),
    *("that", "holds", "left", "right", "message", "reason", "verdict", "path", "conventions"),
    *("title", "started", "steps", "floor", "ceiling", "task", "note", "kind_of_run", "inputs"),
)
almost_analyses = st.dictionaries(st.sampled_from(list(analysis())), json_values).map(
    lambda changes: analysis() | changes
)
hostile_events = st.builds(
    lambda kind, run, step, fields: {
        "v": 1,
        "t": 1.0,
        "kind": kind,
        "run": run,
        "step": step,
        "loss": 1.0,
        "layers": [],
        "overall": analysis("overall"),
        "runs": ["a"],
        "id": "x",
        "scenario": "x",
        "heads": 1,
        **fields,
    },
    st.sampled_from([*KINDS, "telepathy"]),
    st.sampled_from(["a", "b"]),
    st.integers(0, 50),
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.one_of(json_values, almost_analyses, st.lists(almost_analyses, max_size=2)),
        max_size=4,
    ),
)


@pytest.fixture(scope="module")
def hostile_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment whose log each example replaces."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "tests/data/recordings/sort", folder / "recorded")
    return folder


def views(home: Path) -> None:
    """Look at the experiment in every way that reads its log."""
    assert invoke("ls", "--out", home).exit_code == 0
    for line in invoke("ls", "--json", "--out", home).stdout.splitlines():
        json.loads(line)
    for command in (["show"], ["show", "--json"], ["compare"]):
        exit_code(*command, "recorded", "--out", home)
    exit_code("export", "recorded", "--out", home, "--metrics", home / "m.csv")
    exit_code("export", "recorded", "--out", home, "--attention", home / "a.npz")


@fuzz
@given(events=st.lists(hostile_events, min_size=1, max_size=6))
def test_events(events: list[dict[str, Any]], hostile_home: Path) -> None:
    log = hostile_home / "recorded" / "events.jsonl"
    log.write_bytes(b"".join(json.dumps(event).encode() + b"\n" for event in events))
    ExperimentState.read(log)
    views(hostile_home)


@fuzz
@given(data=mutated([(ROOT / "tests/data/recordings/sort/events.jsonl").read_bytes()]))
def test_event_logs(data: bytes, hostile_home: Path) -> None:
    (hostile_home / "recorded" / "events.jsonl").write_bytes(data)
    views(hostile_home)


@fuzz
@given(data=st.one_of(st.binary(max_size=200), st.integers(0, 4000).map(lambda n: b"\0" * n)))
def test_other_files_of_an_experiment(data: bytes, hostile_home: Path) -> None:
    log = hostile_home / "recorded" / "events.jsonl"
    shutil.copy(ROOT / "tests/data/recordings/sort/events.jsonl", log)
    for name in ("worker.json", "scenario.toml"):
        (hostile_home / "recorded" / name).write_bytes(data)
    for file in (hostile_home / "recorded" / "attention").iterdir():
        file.write_bytes(data)
    views(hostile_home)
    exit_code("resume", "recorded", "--out", hostile_home, "--no-ui")


def originals(folder: Path) -> dict[str, bytes]:
    """A small good file of every kind that analyze reads."""
    import networkx as nx
    from safetensors.numpy import save

    attention = np.tril(np.ones((2, 4, 4)))
    attention /= attention.sum(-1, keepdims=True)
    np.save(folder / "a.npy", attention)
    np.savez(folder / "a.npz", attention=attention)
    graph = nx.DiGraph([(0, 1), (1, 2), (2, 3)])
    nx.write_graphml(graph, folder / "a.graphml")
    nx.write_gml(graph, folder / "a.gml")
    (folder / "a.json").write_text(json.dumps(nx.node_link_data(graph, edges="edges")))
    (folder / "a.csv").write_text("0,1\n1,2\n2,3\n")
    (folder / "a.tsv").write_text("0\t1\t0.5\n1\t2\t1\n2\t3\t2\n")
    (folder / "a.mtx").write_text(
        "%%MatrixMarket matrix coordinate real general\n3 3 3\n1 1 1\n2 1 1\n3 2 1\n"
    )
    (folder / "a.safetensors").write_bytes(save({"attention": attention.astype(np.float32)}))
    found = {file.suffix: file.read_bytes() for file in folder.iterdir()}
    found[".pt"] = b"PK\x03\x04" + bytes(100)
    return found


SUFFIXES = [".npy", ".npz", ".safetensors", ".graphml", ".gml", ".json", ".csv", ".tsv", ".mtx"]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".pt"])
def test_files_to_analyse(suffix: str, tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.mkdir()
    original = originals(good)[suffix]
    if suffix != ".pt":
        assert exit_code("analyze", good / f"a{suffix}") == 0
    file = tmp_path / f"fuzzed{suffix}"

    @fuzz
    @given(data=st.one_of(mutated([original]), st.binary(max_size=200)))
    def look(data: bytes) -> None:
        file.write_bytes(data)
        exit_code("analyze", file, "--heads", "1", "--max-steps", "100")

    look()
