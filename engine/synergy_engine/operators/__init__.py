"""Walks and diffusions as operators, dense and sparse, behind one door."""
