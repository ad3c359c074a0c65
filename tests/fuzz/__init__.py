"""A seeded fuzzer of every reader: each input ends in a value or in an error of our own, in words.

`mutate` damages good files as their formats are built (archives are packed again, headers keep
their right lengths), `readers` lists what reads and the good files that it starts from, and
``python -m tests.fuzz`` runs it for as many inputs as there is time for.
"""
