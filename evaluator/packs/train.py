"""Training of a pack's classifier, from a seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from evaluator.arrays import Bytes
from evaluator.extractors.classifier import Classifier
from evaluator.extractors.resnet import ResNet
from evaluator.extractors.vgg import Vgg
from evaluator.packs.recipes import Recipe

PEAK_RATE = 3e-3
_PATCHES_OF = 2_000
"""Images whose patches a first layer that whitens is set from."""

Progress = Callable[[str, int, int], None]
"""Called with what is being done, steps done and steps in all."""


def train(
    images: Bytes, labels: Bytes, recipe: Recipe, *, seed: int, progress: Progress | None = None
) -> Classifier | ResNet | Vgg:
    """Train a recipe's network on images, uint8 (n, side, side) or (n, 3, side, side).

    With labels uint8 (n,), the classes, it learns to tell classes apart; with (n, classes) of 0 and 1, each label by itself.
    The same seed gives the same weights on the same machine with the same number of threads. The global
    random state of torch is left as it was.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # channels last: convolutions on a CPU take half the time
        network = recipe.network().to(memory_format=torch.channels_last)
    x = torch.tensor(images)
    x = x.unsqueeze(1) if x.ndim == 3 else x
    y = torch.tensor(labels)
    if isinstance(network, Vgg):
        network.whiten(x[:_PATCHES_OF].float() / 255)
    loss_of = partial(_class_loss, smoothing=recipe.smoothing) if y.ndim == 1 else _label_loss
    batch = min(recipe.batch, len(x))
    steps_per_epoch = len(x) // batch
    steps = recipe.epochs * steps_per_epoch
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    lower = torch.autocast("cpu", torch.bfloat16, enabled=recipe.lower_precision and _computes_in_bfloat16())
    network.train()
    step = 0
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(x), generator=random)[: steps_per_epoch * batch].view(-1, batch):
            shown = recipe.distorted(x[chosen].float() / 255, random)
            with lower:
                scores = network(shown.contiguous(memory_format=torch.channels_last))
            loss = loss_of(scores.float(), y[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step += 1
            if progress is not None:
                progress("training the classifier", step, steps)
    return network.eval()


def _class_loss(scores: Tensor, classes: Tensor, smoothing: float) -> Tensor:
    return functional.cross_entropy(scores, classes.long(), label_smoothing=smoothing)


def _label_loss(scores: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(scores, labels.float())


def _computes_in_bfloat16() -> bool:
    """Whether this processor does; where it only imitates that, single precision is faster."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # torch 2.10 or newer
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
