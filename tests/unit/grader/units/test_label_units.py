"""The judges against torch's own arithmetic, and the probe code in a small notebook's namespace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from grader.units import Verdict
from grader.units.multilabel import CHECKS as MULTILABEL

CHECKS = {check.name: check for check in MULTILABEL}


class LabelEmbedding(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(24, width)

    def forward(self, labels: Tensor) -> Tensor:
        return torch.relu(self.layer(labels))


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(124, 3 * 64 * 64)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        return torch.tanh(self.layer(torch.cat([z, labels], 1))).view(-1, 3, 64, 64)


class Discriminator(nn.Module):
    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.image, self.label, self.after = nn.Linear(3 * 64 * 64, 1), nn.Linear(24, 1), nn.Sequential(*after)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        scores: Tensor = self.after(self.image(images.flatten(1)) + self.label(labels))
        return scores


class Auxiliary(nn.Module):
    def __init__(self, score: nn.Module, labels: nn.Module) -> None:
        super().__init__()
        self.score, self.labels = nn.Sequential(nn.Flatten(), score), nn.Sequential(nn.Flatten(), labels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.score(images), self.labels(images)


def auxiliary(score: int = 1, labels: int = 24, *after: nn.Module) -> Auxiliary:
    return Auxiliary(nn.Linear(3 * 64 * 64, score), nn.Sequential(nn.Linear(3 * 64 * 64, labels), *after))


def label_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2)


def bce(scores: Tensor, target: int) -> Tensor:
    return functional.binary_cross_entropy(scores.sigmoid(), torch.full_like(scores, target))


NOTEBOOK: dict[str, Any] = {
    "torch": torch,
    "nn": nn,
    "device": torch.device("cpu"),
    "LabelEmbedding": LabelEmbedding,
    "noise_and_labels": lambda z, embedding: torch.hstack([z, embedding]),
    "images_and_plane": lambda images, embedding: torch.cat([images, embedding.unflatten(1, (1, 64, 64))], 1),
    "Generator": Generator,
    "Discriminator": Discriminator,
    "bce_discriminator": lambda real, fake: bce(real, 1) + bce(fake, 0),
    "bce_generator": lambda fake: bce(fake, 1),
    "hinge_discriminator": lambda real, fake: (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
    "hinge_generator": lambda fake: -fake.mean(),
    "label_loss": label_loss,
}


def probed(check: str, seed: int = 3, **changed: object) -> Verdict:
    """What the judge says of a notebook in which the names of `changed` mean something else."""
    namespace: dict[str, Any] = {
        **NOTEBOOK,
        **({"Discriminator": auxiliary} if check == "auxiliary_discriminator" else {}),
        **changed,
    }
    exec(CHECKS[check].code, namespace)  # noqa: S102 - our own probe, as the sandbox runs it
    inputs = CHECKS[check].inputs(np.random.default_rng(seed))
    outputs = namespace["probe"](*(torch.from_numpy(array) for array in inputs))
    return CHECKS[check].judge(inputs, [output.detach().numpy() for output in outputs])


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_right_notebook_passes_every_check_whatever_the_seed(check: str, seed: int) -> None:
    assert probed(check, seed).share == 1


def test_every_row_of_labels_asks_for_one_to_three_and_the_other_condition_for_others() -> None:
    _, labels, others = CHECKS["labelled_generator"].inputs(np.random.default_rng(0))
    assert set(labels.sum(1)) == {1, 2, 3}
    assert (labels != others).any(axis=1).all()


SLIPS: list[tuple[str, str, Callable[..., Any], str]] = [
    ("label_embedding", "LabelEmbedding", lambda width: nn.Linear(24, 300), "for a width of 4096; expected (24, 4096)"),
    ("label_embedding", "LabelEmbedding", lambda width: _Constant(width), "must depend on every label"),
    ("noise_and_labels", "noise_and_labels", lambda z, e: torch.cat([e, z], 1), "the embedding comes first"),
    ("noise_and_labels", "noise_and_labels", lambda z, e: z, "gave shape (16, 100); expected (16, 400)"),
    ("images_and_plane", "images_and_plane", lambda x, e: torch.cat([e.view(-1, 1, 64, 64), x], 1), "the plane comes first"),
    ("images_and_plane", "images_and_plane", lambda x, e: torch.cat([x, e.view(-1, 1, 64, 64).mT], 1), "column by column"),
    (
        "images_and_plane",
        "images_and_plane",
        lambda x, e: torch.cat([x, 2 * e.view(-1, 1, 64, 64)], 1),
        "the value at [0, 3, 0, 0]",
    ),
    ("bce_discriminator", "bce_discriminator", lambda r, f: (bce(r, 1) + bce(f, 0)) / 2, "half of it"),
    ("bce_discriminator", "bce_discriminator", lambda r, f: bce(r, 0) + bce(f, 1), "labels swapped"),
    ("bce_discriminator", "bce_discriminator", lambda r, f: bce(r.sigmoid(), 1) + bce(f.sigmoid(), 0), "the sigmoid taken twice"),
    ("bce_generator", "bce_generator", lambda f: bce(f, 0), "against the label 0"),
    ("bce_generator", "bce_generator", lambda f: -bce(f, 0), "saturating"),
    ("bce_generator", "bce_generator", lambda f: f, "shape (16, 1); expected a single number"),
    ("hinge_discriminator", "hinge_discriminator", lambda r, f: 2 - r.mean() + f.mean(), "max(0, ...) is missing"),
    ("hinge_discriminator", "hinge_discriminator", lambda r, f: f.mean() - r.mean(), "the Wasserstein loss"),
    ("hinge_discriminator", "hinge_discriminator", lambda r, f: (1 - r).relu().mean(), "the real batch alone"),
    ("hinge_generator", "hinge_generator", lambda f: f.mean(), "the sign is flipped"),
    ("hinge_generator", "hinge_generator", lambda f: (1 - f).relu().mean(), "for the discriminator alone"),
    ("label_loss", "label_loss", lambda x, y, smoothing=0.0: label_loss(x, y), "the loss without smoothing"),
    ("label_loss", "label_loss", lambda x, y, smoothing=0.0: label_loss(x, y * (1 - smoothing / 2)), "one side alone"),
    ("label_loss", "label_loss", lambda x, y, smoothing=0.0: label_loss(x, y, 2 * smoothing), "take smoothing/2"),
    ("label_loss", "label_loss", lambda x, y, smoothing=0.2: label_loss(x, y, smoothing), "smoothing 0.00"),
    ("label_loss", "label_loss", lambda x, y, smoothing=0.0: 24 * label_loss(x, y, smoothing), "the sum over the labels"),
    ("label_loss", "label_loss", lambda x, y, smoothing=0.0: -(x.log_softmax(1) * y).sum(1).mean(), "a softmax over the labels"),
]


class _Constant(nn.Module):
    """Ignores its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, labels: Tensor) -> Tensor:
        return torch.ones(len(labels), self.width)


@pytest.mark.parametrize(("check", "name", "slip", "found"), SLIPS, ids=lambda value: value if isinstance(value, str) else "")
def test_slips_are_named(check: str, name: str, slip: Callable[..., Any], found: str) -> None:
    verdict = probed(check, **{name: slip})
    assert verdict.share == 0
    assert found in verdict.message


def test_a_generator_that_ignores_the_labels_fails() -> None:
    class Deaf(Generator):
        def forward(self, z: Tensor, labels: Tensor) -> Tensor:
            return super().forward(z, torch.zeros_like(labels))

    assert "must depend on the labels" in probed("labelled_generator", Generator=Deaf).message


def test_a_generator_of_another_size_is_told_the_right_one() -> None:
    class Small(Generator):
        def forward(self, z: Tensor, labels: Tensor) -> Tensor:
            return super().forward(z, labels)[:, :, ::2, ::2]

    assert "(16, 3, 32, 32); expected (16, 3, 64, 64)" in probed("labelled_generator", Generator=Small).message


def test_a_discriminator_that_ignores_the_labels_fails() -> None:
    class Blind(Discriminator):
        def forward(self, images: Tensor, labels: Tensor) -> Tensor:
            return super().forward(images, torch.zeros_like(labels))

    assert "must depend on the labels" in probed("labelled_discriminator", Discriminator=Blind).message


@pytest.mark.parametrize(("end", "bounds"), [(nn.Sigmoid(), "[0, 1], as after a sigmoid"), (nn.Tanh(), "[-1, 1], as after tanh")])
def test_scores_and_logits_with_bounds_are_seen(end: nn.Module, bounds: str) -> None:
    assert bounds in probed("labelled_discriminator", Discriminator=lambda: Discriminator(end)).message
    assert bounds in probed("auxiliary_discriminator", Discriminator=lambda: auxiliary(1, 24, end)).message


def test_spectral_normalisation_is_not_taken_for_bounds() -> None:
    def normalised() -> Auxiliary:
        spectral = nn.utils.parametrizations.spectral_norm
        return Auxiliary(spectral(nn.Linear(3 * 64 * 64, 1)), spectral(nn.Linear(3 * 64 * 64, 24)))

    assert probed("auxiliary_discriminator", Discriminator=normalised).share == 1


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (lambda: auxiliary(1, 8), "label logits of shape (16, 8); expected (16, 24)"),
        (lambda: auxiliary(2, 24), "scores of shape (16, 2); expected (16, 1)"),
        (lambda: Auxiliary(nn.Linear(3 * 64 * 64, 1), _Constant(24)), "every image got the same label logits"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 1)), "did not return two tensors"),
    ],
)
def test_auxiliary_discriminators_that_miss_a_part_are_told_what(network: Callable[[], nn.Module], found: str) -> None:
    assert found in probed("auxiliary_discriminator", Discriminator=network).message
