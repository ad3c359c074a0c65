"""The Trainer of Hugging Face on a tiny GPT-2, watched.

It needs two more packages: python -m pip install transformers accelerate
"""

import argparse
import logging
import tempfile

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from synergy_tui.watch.huggingface import WatchCallback

LENGTH, SYMBOLS = 32, 16


def examples(count: int) -> list[dict[str, torch.Tensor]]:
    """Sequences whose second half repeats the first."""
    half = torch.randint(SYMBOLS, (count, LENGTH // 2))
    tokens = torch.cat([half, half], dim=1)
    return [{"input_ids": each, "labels": each} for each in tokens]


def main(steps: int = 300) -> None:
    logging.basicConfig(level=logging.INFO)  # says how to attach
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=SYMBOLS, n_positions=LENGTH, n_embd=64, n_layer=2, n_head=4)
    )
    probe = torch.stack([each["input_ids"] for each in examples(8)])
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=32,
                learning_rate=1e-3,
                logging_steps=10,
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=examples(32 * steps),
            callbacks=[
                WatchCallback({"input_ids": probe, "labels": probe}, every=100, name="hf_trainer")
            ],
        )
        trainer.train()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="?", type=int, default=300, help="updates of the model")
    main(parser.parse_args().steps)
