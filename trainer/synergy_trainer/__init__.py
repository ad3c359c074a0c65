"""Train single- and multi-head causal Transformers fairly against each other.

In a notebook, a training is a loop over typed events:

>>> import synergy_trainer as trainer
>>> settings = trainer.TrainSettings(task="copy", length=8, steps=2, batch=4, embed=8, mlp=8)
>>> for event in trainer.train(settings, [trainer.RunSettings("one", heads=1)], device="cpu"):
...     if isinstance(event, trainer.Probe):
...         print(event.step, event.attention.shape)
0 (16, 2, 1, 8, 8)
2 (16, 2, 1, 8, 8)

All runs of one call learn from the same batches and train as one stack of models where their
shapes allow. Names are imported when first used (`__init__.pyi` lists them), so that importing
this package stays light: settings, tasks and events do not import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
