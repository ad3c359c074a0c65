"""Every reader, fuzzed briefly; ``python -m tests.fuzz`` does it for a million inputs."""

from __future__ import annotations

import pytest

from tests.fuzz.campaign import fuzz
from tests.fuzz.readers import READERS

INPUTS = 60


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_end_in_a_value_or_in_words(name: str) -> None:
    reader = READERS[name]
    tally = fuzz(reader, "short", max(5, int(INPUTS * reader.share)))
    assert tally.failures == 0
    assert tally.outcomes > 1, "the files were not damaged, or nothing looked at them"
