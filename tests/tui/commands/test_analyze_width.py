"""The table of layers fits a terminal of 80 columns, and names what had no room."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from synergy_tui.cli import synergy


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines from the table's headings on."""
    synergy.main(["analyze", *arguments], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    [rule] = [place for place, line in enumerate(lines) if set(line.strip()) == {"─"}]
    return lines[rule - 1 :]


@pytest.mark.parametrize(("layers", "inputs"), [(1, 1), (12, 1), (12, 3)])
def test_the_table_of_layers_fits_80_columns(
    layers: int,
    inputs: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    attention = np.tril(np.random.default_rng(5).random((inputs, layers, 4, 12, 12)) ** 8 + 1e-9)
    attention /= attention.sum(axis=-1, keepdims=True)
    file = str(tmp_path / "attention.npy")
    np.save(file, attention if inputs > 1 else attention[0])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    whole = printed(capsys, file)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    narrow = printed(capsys, file)
    assert max(map(len, whole[:3])) > 80 >= max(map(len, narrow[: layers + 3]))
    [note] = [line for line in narrow if line.startswith("left out")]
    found = re.fullmatch(r"left out of a narrow terminal: (.*) \(--wide shows all\)", note)
    assert found is not None
    names = found[1].split(", ")
    # The last line of a heading is no other column's.
    every, kept = (re.split(r"\s{2,}", lines[0].strip()) for lines in (whole, narrow))
    assert {"to sink", "fidelity", "node"} <= set(kept) < set(every)
    for heading in every:
        assert (heading in kept) != any(name.endswith(heading) for name in names), heading
    assert len(kept) + len(names) == len(every)
