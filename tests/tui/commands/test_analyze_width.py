"""The table of layers fits a terminal of 80 columns, and names what had no room."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.cli import synergy


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines after the convention, without colours."""
    synergy.main(["analyze", *arguments], standalone_mode=False)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    [start] = [place for place, line in enumerate(lines) if line.startswith("convention ")]
    return [line.rstrip() for line in lines[start + 1 :] if line.strip()]


def headings(lines: list[str]) -> list[str]:
    """How the headings of columns, or of rows where these are columns, end: no two alike."""
    rules = [place for place, line in enumerate(lines) if set(line.strip()) == {"─"}]
    if rules:
        return re.split(r"\s{2,}", lines[rules[0] - 1].strip())
    rows = [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.startswith("  ")]
    return list(dict.fromkeys(rows))


@pytest.mark.parametrize(("layers", "inputs"), [(1, 1), (12, 1), (12, 3)])
def test_the_table_of_layers_fits_80_columns(
    layers: int,
    inputs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    attention = np.tril(np.random.default_rng(5).random((inputs, layers, 4, 12, 12)) ** 8 + 1e-9)
    file = str(tmp_path / "attention.npy")
    np.save(file, attention / attention.sum(axis=-1, keepdims=True))
    asked = (file, "--axes", "B,L,H,n,n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    whole = printed(capsys, *asked)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = printed(capsys, *asked)
    found = [line for line in narrow if line.startswith("left out")]
    table = narrow[: narrow.index(found[0])] if found else narrow
    assert max(map(len, whole)) > 80 >= max(map(len, table))
    every, kept = headings(whole), headings(table)
    if inputs > 1:  # intervals are too wide even for what is left: rows are columns, all of them
        assert not found
        assert all(any(name.endswith(heading) for name in kept) for heading in every)
        return
    names = re.fullmatch(r"left out of a narrow terminal: (.*) \(--wide shows all\)", found[0])
    assert names is not None
    left_out = names[1].split(", ")
    assert len(kept) + len(left_out) == len(every)
    for heading in every:
        there = any(name.endswith(heading) for name in kept)
        assert there != any(name.endswith(heading) for name in left_out), heading
    assert any(name.endswith("to sink") for name in kept)
    assert "fidelity" in kept
