"""Tables fit the terminal."""

from __future__ import annotations

import sys

import pytest

from synergy_tui.commands.presentation import (
    print_conventions,
    print_note,
    print_runs,
    print_table,
)

ROWS = [[name, "1,234", "0.5"] for name in ("single", "double", "triple")]


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_without_a_terminal_a_table_has_any_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["run", "steps\nto sink", "x" * 300], ROWS)
    assert len(lines_of(capsys)) == 2 + 1 + len(ROWS)  # two lines of headings, a rule, the rows


@pytest.mark.parametrize(("columns", "blocks"), [(24, 3), (36, 2)])
def test_rows_become_columns_where_the_terminal_is_narrow(
    columns: int, blocks: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(["run", "steps\nto sink", "minimax fidelity"], ROWS)
    lines = lines_of(capsys)
    assert len(lines) == 3 * blocks
    assert lines[1].split() == ["steps", "to", "sink"] + ["1,234"] * (4 - blocks)
    assert max(map(len, lines)) <= max(columns, 26)


@pytest.mark.parametrize(
    ("columns", "left_out", "shown"),
    [(60, [], ["run", "b", "c", "d"]), (30, ["c"], ["run", "b", "d"]), (16, [], ["run", "c", "d"])],
)
def test_what_may_be_left_out_is_all_there_where_rows_become_columns(
    columns: int,
    left_out: list[str],
    shown: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "dumb")  # no bold headings
    rows = [["one", "1" * 6, "2" * 6, "3" * 6], ["two", "4" * 6, "5" * 6, "6" * 6]]
    assert print_table(["run", "b", "c", "d"], rows, spare=["c"]) == left_out
    printed = lines_of(capsys)
    headings = printed[0].split() if columns > 16 else [line.split()[0] for line in printed]
    assert set(shown) <= set(headings)
    assert ("c" in headings) == (not left_out)


def test_notes_break_between_words_of_a_terminal_and_stand_beneath_their_label(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "multi-head against single-head, and " * 3 + "a" * 60
    print_note(text, "verdict")
    assert lines_of(capsys) == [f"verdict     {text}"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    print_note(text, "verdict")
    first, *others = lines_of(capsys)
    assert first == "verdict     multi-head against single-head, and multi-head"
    assert all(line.startswith(" " * 12) for line in others)
    assert " ".join(line[12:] for line in [first, *others]) == text


def test_numbers_that_no_run_has_take_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    print_runs([{"kind": "designed", "run": "a", "status": "finished", "fidelity": 0.375}], ["run"])
    heading, _, row, reading = lines_of(capsys)
    assert heading.split() == ["run", "fidelity"]
    assert "higher: clearer" in reading
    assert "3/8 = .375" in row


def test_conventions_are_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    one = {"convention": "theory", "combine": "walks", "sink": "excluded", "weights": "uniform"}
    assert print_conventions([one, one | {"weights": "learned"}, {}]) == 1
    [line] = lines_of(capsys)
    assert "theory, walks, learned or uniform head weights" in line


def test_a_reason_of_several_lines_is_printed_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from synergy_tui.commands.headless import _say

    _say("out of memory\n\x1b[2Jtried to allocate")
    assert capsys.readouterr().err == "out of memory\n�[2Jtried to allocate\n"
