"""Walks and diffusions as operators that measures step, dense or sparse behind one door."""
