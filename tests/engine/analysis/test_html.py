"""A notebook shows an analysis as a small table, and text from a file as text."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np

import synergy_engine as engine


class Reader(HTMLParser):
    """The caption, the cells of each row, and every tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.caption = ""
        self.tags: set[str] = set()
        self._at = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        self._at = tag
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self._at == "caption":
            self.caption += data
        else:
            self.rows[-1][-1] += data


def test_example_2_as_a_table() -> None:
    both = engine.MultiHeadSystem.from_edges(
        [[(0, 1), (1, 2), (2, 3)], [(0, 2), (1, 2), (1, 3), (2, 3)]]
    )
    read = Reader(engine.analyze(both)._repr_html_())
    shown = {label: value for label, value, _ in read.rows}
    assert shown["minimax fidelity φ"] == ".41667"  # 5/12
    assert shown["faintest"] == "node 2 at step t* = 1"
    assert float(shown["fidelity amplification"]) == float(f"{10 / 9:.5g}")
    assert {interval for _, _, interval in read.rows[1:]} == {""}


def test_several_inputs_have_intervals() -> None:
    attention = np.tril(np.random.default_rng(0).random((3, 1, 2, 5, 5)) + 0.1)
    (found,) = engine.analyze_batch(attention / attention.sum(-1, keepdims=True))
    shown = {label: interval for label, _, interval in Reader(found._repr_html_()).rows}
    low, high = found["intervals"]["hitting_time_mean"]
    assert shown["mean steps to the sink"] == f"[{low:.5g}, {high:.5g}]"


def test_names_are_text_not_markup() -> None:
    attention = np.tril(np.ones((1, 1, 1, 4, 4))) / np.arange(1, 5)[:, None]
    label = "<img src=x onerror=alert(1)>&amp;"
    (found,) = engine.analyze_batch(attention, weights_label=label)
    read = Reader(found._repr_html_())
    assert read.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert label in read.caption
