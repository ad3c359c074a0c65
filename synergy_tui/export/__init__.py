"""Experiments as files for other tools: tables, event files, graphs, tensors, figures."""
