"""Graphs and attention from files and back: validated, bounded, never through pickle.

One module for each family of formats; :mod:`engine.graphio.doors` picks one by a file's suffix.
"""

from __future__ import annotations

from .attention import AttentionFile, read_attention
from .doors import GRAPH_SUFFIXES, read_graph, write_graph

__all__ = ["GRAPH_SUFFIXES", "AttentionFile", "read_attention", "read_graph", "write_graph"]
