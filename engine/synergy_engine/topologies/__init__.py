"""Families of feedforward graphs, drawn from a seed."""
