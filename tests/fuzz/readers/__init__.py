"""What reads files, and the good files that fuzzing starts from."""

from __future__ import annotations

from tests.fuzz.readers import arrays, checkpoints, experiments, graphs, models, sweeps

READERS = {
    reader.name: reader
    for kind in (arrays, checkpoints, graphs, experiments, sweeps, models)
    for reader in kind.readers()
}
