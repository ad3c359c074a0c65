"""Graphs and attention from files and back: validated, bounded, never through pickle.

One module for each family of formats; `graphs` picks one by a file's suffix.
"""

from __future__ import annotations

from synergy_engine.graphio.attention import AttentionFile, read_attention
from synergy_engine.graphio.graphs import GRAPH_SUFFIXES, read_graph, write_graph

__all__ = ["GRAPH_SUFFIXES", "AttentionFile", "read_attention", "read_graph", "write_graph"]
