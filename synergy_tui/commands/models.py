"""Options of ``synergy analyze`` about models, and what they ask for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synergy_tui.commands.arguments import (
    file_option,
    out_option,
    where_option,
    whole_option,
    with_options,
)
from synergy_tui.errors import UserError, as_user_errors

if TYPE_CHECKING:
    import numpy as np

    from synergy_tui.analyze.huggingface import Reading
    from synergy_tui.analyze.layerwise import Record, Tick
    from synergy_tui.analyze.measure import Options

model_options = with_options(
    file_option("--model", metavar="DIR", help="A local Hugging Face model directory (extra hf)."),
    click.option("--text", "texts", multiple=True, help="What the model reads; may be repeated."),
    file_option(
        "--text-file",
        "text_files",
        multiple=True,
        help="A file whose whole content is one text; may be repeated.",
    ),
    whole_option("--length", least=2, help="Cut texts to this many tokens."),
    where_option("Where the model runs; auto is the CPU, cuda:1 the second GPU."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default="float32",
        show_default=True,
        help="What the model computes in.",
    ),
    click.option(
        "--revisions",
        metavar="NAMES|GLOB",
        help="Measure several checkpoints: folders in DIR (checkpoint-*), or revisions of a hub "
        "cache (step1,step2), as one experiment to attach, replay, report and export.",
    ),
    out_option,
    file_option(
        "--resume",
        help="Keep finished layers in FILE, and do not measure again those that are there.",
    ),
    file_option(
        "--qk",
        "queries",
        help="Queries and keys (.npz, .safetensors, torch.save, vLLM-Hook's qk.pt) in place of "
        "attention: q and k, or layers.0.q, layers.0.k …; (H,n,d), after rotary positions.",
    ),
)


@dataclass(frozen=True)
class ModelOptions:
    """Their values."""

    texts: tuple[str, ...]
    text_files: tuple[Path, ...]
    length: int | None
    device: str
    dtype: str
    revisions: str | None
    out: Path | None
    resume: Path | None
    queries: Path | None

    def require(self, model: Path | None, ids: np.ndarray | None) -> None:
        """Refuse options that do not fit together."""
        has_text = bool(self.texts or self.text_files)
        if (has_text and model is None) or (model is not None and not has_text and ids is None):
            raise UserError(
                "--model DIR and --text go together.",
                hint="--text-file FILE and --tokens IDS will do for --text.",
            )
        if has_text and ids is not None:
            raise UserError("--text and --tokens are both what the model reads: give one of them.")
        for name, value in (("--resume", self.resume), ("--revisions", self.revisions)):
            if value is not None and model is None:
                raise UserError(f"{name} is about models.", hint="Give --model DIR too.")
        if self.resume is not None and self.revisions is not None:
            raise UserError(
                "--resume is for one model.",
                hint="Leave it out; checkpoints of a series are measured one by one.",
            )

    def measure(
        self, model: Path | None, ids: np.ndarray | None, options: Options, axes: str | None
    ) -> Iterator[tuple[list[Record], Sequence[str]]]:
        """Yield the records of a file of queries and keys and of a model, with notes."""
        from synergy_tui.analyze.layerwise import measure_model, measure_queries

        if options.weights == "output" and model is None:
            raise UserError("--weights output needs a forward pass.", hint="Give --model DIR.")
        if self.queries is not None:
            with as_user_errors(str(self.queries)), _progress("layers") as tick:
                found = measure_queries(self.queries, options, axes=axes, tick=tick)
            yield found.records, found.notes
        if model is None:
            return
        reading = self._reading(ids)
        with as_user_errors(str(model)):
            if self.revisions is not None:
                yield from self._series(model, reading, options)
                return
            from synergy_tui.analyze.huggingface import load

            loaded = load(model, reading)
            with _progress("layers") as tick:
                measured = measure_model(loaded, options, resume=self.resume, tick=tick)
            yield measured.records, measured.notes

    def _series(
        self, model: Path, reading: Reading, options: Options
    ) -> Iterator[tuple[list[Record], Sequence[str]]]:
        from synergy_tui.analyze.series import measure_series
        from synergy_tui.console import echo

        assert self.revisions is not None
        with _progress("checkpoints") as tick:
            experiment, last = measure_series(
                model, self.revisions, reading, options, out=self.out, tick=tick
            )
        where = "" if self.out is None else f" --out {self.out}"
        echo(f"{experiment.id}: see it with `synergy attach {experiment.id}{where}`", err=True)
        yield last.records, last.notes

    def _reading(self, ids: np.ndarray | None) -> Reading:
        from synergy_tui.analyze.huggingface import Reading, read_texts

        device = self.device
        if device == "auto":
            device = "cpu"
        texts = (*self.texts, *read_texts(self.text_files))
        return Reading(texts, ids, self.length, device, self.dtype)


def take_model_options(given: dict[str, Any]) -> ModelOptions:
    """Remove the options from a command's arguments and return them."""
    return ModelOptions(**{name: given.pop(name) for name in ModelOptions.__dataclass_fields__})


@contextmanager
def _progress(what: str) -> Iterator[Tick | None]:
    """Draw a bar on a terminal; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tick(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tick
