"""Training of a pack's classifier, from a seed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from evaluator.arrays import Bytes
from evaluator.extractors.classifier import Classifier
from evaluator.packs.recipes import Recipe

BATCH = 125
PEAK_RATE = 3e-3

Progress = Callable[[str, int, int], None]
"""Called with what is being done, steps done and steps in all."""


def train(images: Bytes, labels: Bytes, recipe: Recipe, *, seed: int, progress: Progress | None = None) -> Classifier:
    """Train a recipe's classifier on images, uint8 (n, 28, 28), with labels, uint8 (n,), of the classes 0–9.

    The same seed gives the same weights on the same machine with the same number of threads. The global
    random state of torch is left as it was.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # channels last: convolutions on a CPU take half the time
        classifier = Classifier(fine=recipe.fine).to(memory_format=torch.channels_last)
    x = torch.tensor(images).unsqueeze(1)
    y = torch.tensor(labels).long()
    batch = min(BATCH, len(x))
    steps_per_epoch = len(x) // batch
    steps = recipe.epochs * steps_per_epoch
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps, pct_start=0.2)
    classifier.train()
    step = 0
    for _ in range(recipe.epochs):
        for chosen in torch.randperm(len(x), generator=random)[: steps_per_epoch * batch].view(-1, batch):
            scores = classifier(recipe.distorted(x[chosen].float() / 255, random))
            loss = nn.functional.cross_entropy(scores, y[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            step += 1
            if progress is not None:
                progress("training the classifier", step, steps)
    return classifier.eval()
