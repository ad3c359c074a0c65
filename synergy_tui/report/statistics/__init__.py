"""Honest statistics over seeds and inputs: paired differences, trends, intervals, verdicts.

What is compared is always paired: runs of one point share seed and data, so a difference is taken
within each seed and only then averaged. Seeds, never inputs, are the sample: inputs of one trained
network are not independent of one another.
"""
