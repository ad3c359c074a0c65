"""Results of the GPU check that are kept: what they show, and that README says the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.benchmarks.gpu_check import RESULTS, tables
from tests.places import ROOT

FILES = sorted(RESULTS.glob("*.json"))
README = (ROOT / "trainer" / "README.md").read_text(encoding="utf-8")


def read(file: Path) -> dict:
    return json.loads(file.read_text(encoding="utf-8"))


def test_there_is_a_result() -> None:
    assert FILES


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_result_shows_what_it_is_kept_for(file: Path) -> None:
    found = read(file)
    assert not re.search(r"\s/\w+/", found["tests"]["tail"]), "a path of the machine it ran on"
    assert re.fullmatch("[0-9a-f]{40}", found["machine"]["commit"])
    assert found["tests"]["rc"] == 0
    runs = found["protocol"]["runs"]
    assert len(runs) == 8
    for row in runs.values():
        assert row["accuracy"] == pytest.approx(row["ceiling"], abs=1e-3)
    assert found["protocol"]["steps"] == 20_000
    assert found["findings"].keys() - {"seconds"} == runs.keys()
    kernels = [row for row in found["fused"].values() if isinstance(row, dict)]
    shares = [row["dropped"] for row in kernels if "dropped" in row]
    assert len(shares) == 12
    assert shares == pytest.approx([0.1] * 12, abs=0.01)
    assert max(max(row["apart"]) for row in kernels) < 3e-3


def test_the_readme_has_the_tables_of_the_newest_result() -> None:
    assert tables(read(FILES[-1])) in README
