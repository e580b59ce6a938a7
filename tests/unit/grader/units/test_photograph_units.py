"""The judges against right solutions in torch and against frequent slips, through the probe code in a small notebook's namespace."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from grader.units import Verdict
from grader.units.photographs import CHECKS as PHOTOGRAPHS

CHECKS = {check.name: check for check in PHOTOGRAPHS}


def judged(name: str, seed: int = 0, **defined: Any) -> Verdict:
    """What a notebook that defines these names gets."""
    check = CHECKS[name]
    inputs = check.inputs(np.random.default_rng(seed))
    namespace: dict[str, Any] = {"torch": torch, "nn": nn, "device": torch.device("cpu"), **defined}
    exec(check.code, namespace)  # noqa: S102 (our own code)
    torch.manual_seed(seed)
    outputs = namespace["probe"](*[torch.from_numpy(a) for a in inputs])
    return check.judge(inputs, [np.asarray(o.detach().numpy(), np.float32) for o in outputs])


def refused(name: str, expected: str, seed: int = 0, **defined: Any) -> None:
    verdict = judged(name, seed, **defined)
    assert verdict.share == 0
    assert expected in verdict.message, verdict.message


def joined(z: Tensor, embedding: Tensor) -> Tensor:
    return torch.cat([z, embedding], 1)


def planed(images: Tensor, embedding: Tensor) -> Tensor:
    return torch.cat([images, embedding.view(-1, 1, 32, 32)], 1)


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.of_class = nn.Linear(100, 3 * 32 * 32), nn.Embedding(10, 3 * 32 * 32)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return torch.tanh(self.layer(z) + self.of_class(c)).view(-1, 3, 32, 32)


class Blind(Generator):
    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return super().forward(z, torch.zeros_like(c))


class Discriminator(nn.Module):
    def __init__(self, *after: nn.Module, normalised: Callable[[nn.Module], nn.Module] = spectral_norm) -> None:
        super().__init__()
        self.conv = normalised(nn.Conv2d(3, 8, 4, stride=4))
        self.linear, self.of_class = normalised(nn.Linear(8 * 8 * 8, 1)), nn.Embedding(10, 1)
        self.after = nn.Sequential(*after)

    def forward(self, images: Tensor, c: Tensor) -> Tensor:
        scores: Tensor = self.after(self.linear(self.conv(images).flatten(1)) + self.of_class(c))
        return scores


def smoothed(score_real: Tensor, score_fake: Tensor, smoothing: float = 0.0) -> Tensor:
    bce = functional.binary_cross_entropy_with_logits
    real = bce(score_real, torch.full_like(score_real, 1 - smoothing))
    return real + bce(score_fake, torch.zeros_like(score_fake))


def r1(critic: Callable[[Tensor, Tensor], Tensor], real: Tensor, c: Tensor, gamma: float = 0.2) -> Tensor:
    real = real.detach().requires_grad_(True)
    gradient = torch.autograd.grad(critic(real, c).sum(), real, create_graph=True)[0]
    return gamma / 2 * gradient.square().sum((1, 2, 3)).mean()


def flipped(images: Tensor, p: float) -> Tensor:
    return torch.where(torch.rand(len(images), 1, 1, 1) < p, images.flip(3), images)


class ConditionalBatchNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.numbers = nn.Embedding(10, 2 * channels)
        nn.init.zeros_(self.numbers.weight)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale, shift = self.numbers(c)[:, :, None, None].chunk(2, 1)
        return self.norm(x) * (1 + scale) + shift  # type: ignore[no-any-return]


class OfNoClass(ConditionalBatchNorm):
    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return super().forward(x, torch.zeros_like(c))


class NotNormalised(ConditionalBatchNorm):
    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale, shift = self.numbers(c)[:, :, None, None].chunk(2, 1)
        return x * (1 + scale) + shift


class Rectified(ConditionalBatchNorm):
    """Right to start with, but no scale and shift once its numbers are others."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        scale, shift = self.numbers(c)[:, :, None, None].chunk(2, 1)
        x = self.norm(x)
        return x + torch.relu(x * scale) + shift


def projected(score: Tensor, features: Tensor, vectors: Tensor) -> Tensor:
    return score + (features * vectors).sum(1, keepdim=True)


def averaged(average: nn.Module, network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), network.parameters(), strict=True):
            kept.mul_(decay).add_((1 - decay) * new)


def truncated(n: int, threshold: float) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(n, 100), a=-threshold, b=threshold)


def moved(images: Tensor) -> Tensor:
    wide = functional.pad(images, [4] * 4)
    places = torch.randint(0, 9, (len(images), 2)).tolist()
    return torch.stack([w[:, top : top + 32, left : left + 32] for w, (top, left) in zip(wide, places, strict=True)])


def hidden(images: Tensor) -> Tensor:
    mask = torch.ones_like(images)
    for one, (down, right) in zip(mask, torch.randint(0, 33, (len(images), 2)).tolist(), strict=True):
        one[:, max(down - 8, 0) : down + 8, max(right - 8, 0) : right + 8] = 0
    return images * mask


RIGHT: dict[str, dict[str, Any]] = {
    "noise_and_embedding": {"noise_and_embedding": joined},
    "photograph_and_plane": {"images_and_plane": planed},
    "class_generator": {"Generator": Generator},
    "class_discriminator": {"Discriminator": Discriminator},
    "bce_smoothed": {"bce_discriminator": smoothed},
    "r1_penalty": {"r1_penalty": r1},
    "spectral_norms": {"Discriminator": Discriminator},
    "horizontal_flip": {"horizontal_flip": flipped},
    "conditional_batch_norm": {"ConditionalBatchNorm": ConditionalBatchNorm},
    "projection": {"projection": projected},
    "moving_average": {"update_average": averaged},
    "truncated_noise": {"truncated_noise": truncated},
    "translation": {"augment_translation": moved},
    "cutout": {"augment_cutout": hidden},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_gets_all_points(name: str, seed: int) -> None:
    verdict = judged(name, seed, **RIGHT[name])
    assert verdict.share == 1, verdict.message


def test_every_check_is_tried() -> None:
    assert RIGHT.keys() == CHECKS.keys()


SLIPS: list[tuple[str, str, dict[str, Any]]] = [
    ("noise_and_embedding", "the embedding comes first", {"noise_and_embedding": lambda z, e: torch.cat([e, z], 1)}),
    (
        "photograph_and_plane",
        "the plane comes first",
        {"images_and_plane": lambda x, e: torch.cat([e.view(-1, 1, 32, 32), x], 1)},
    ),
    (
        "photograph_and_plane",
        "column by column",
        {"images_and_plane": lambda x, e: torch.cat([x, e.view(-1, 1, 32, 32).transpose(2, 3)], 1)},
    ),
    ("class_generator", "must depend on the class", {"Generator": Blind}),
    ("class_discriminator", "after a sigmoid", {"Discriminator": lambda: Discriminator(nn.Sigmoid())}),
    ("bce_smoothed", "without smoothing", {"bce_discriminator": lambda r, f, smoothing=0.0: smoothed(r, f)}),
    ("bce_smoothed", "by half of it", {"bce_discriminator": lambda r, f, smoothing=0.0: smoothed(r, f, smoothing / 2)}),
    ("bce_smoothed", "average them", {"bce_discriminator": lambda r, f, smoothing=0.0: smoothed(r, f, smoothing) / 2}),
    ("r1_penalty", "the factor is gamma / 2", {"r1_penalty": lambda d, x, c, gamma=0.2: r1(d, x, c, 2 * gamma)}),
    ("r1_penalty", "in place of the argument", {"r1_penalty": lambda d, x, c, gamma=0.2: r1(d, x, c)}),
    ("r1_penalty", "take the mean", {"r1_penalty": lambda d, x, c, gamma=0.2: r1(d, x, c, gamma) * len(x)}),
    ("r1_penalty", "create_graph", {"r1_penalty": lambda d, x, c, gamma=0.2: r1(d, x, c, gamma).detach()}),
    ("spectral_norms", "apply spectral_norm", {"Discriminator": lambda: Discriminator(normalised=lambda layer: layer)}),
    (
        "horizontal_flip",
        "upside down",
        {"horizontal_flip": lambda x, p: torch.where(torch.rand(len(x), 1, 1, 1) < p, x.flip(2), x)},
    ),
    ("horizontal_flip", "mirror them all", {"horizontal_flip": lambda x, p: x}),
    ("horizontal_flip", "by itself", {"horizontal_flip": lambda x, p: x.flip(3) if p > 0.4 else x}),
    ("conditional_batch_norm", "two different classes", {"ConditionalBatchNorm": OfNoClass}),
    ("conditional_batch_norm", "must normalise", {"ConditionalBatchNorm": NotNormalised}),
    ("conditional_batch_norm", "no scale and shift", {"ConditionalBatchNorm": Rectified}),
    ("projection", "add the score", {"projection": lambda s, f, v: (f * v).sum(1, keepdim=True)}),
    ("projection", "sum them", {"projection": lambda s, f, v: s + (f * v).mean(1, keepdim=True)}),
    ("moving_average", "swapped", {"update_average": lambda a, n, decay: averaged(a, n, 1 - decay)}),
    ("moving_average", "stayed as it was", {"update_average": lambda a, n, decay: None}),
    ("moving_average", "own weights", {"update_average": lambda a, n, decay: averaged(n, a, decay)}),
    ("truncated_noise", "on the threshold itself", {"truncated_noise": lambda n, t: torch.randn(n, 100).clamp(-t, t)}),
    ("truncated_noise", "numbers up to", {"truncated_noise": lambda n, t: torch.randn(n, 100)}),
    ("truncated_noise", "standard deviation", {"truncated_noise": lambda n, t: (torch.rand(n, 100) * 2 - 1) * t * 0.99}),
    ("translation", "the same way", {"augment_translation": lambda x: functional.pad(x, [1, -1, 0, 0])}),
    (
        "translation",
        "with 0 where nothing was",
        {"augment_translation": lambda x: torch.stack([i.roll(k % 9, 2) for k, i in enumerate(x)])},
    ),
    ("translation", "no gradient", {"augment_translation": lambda x: moved(x.detach())}),
    ("cutout", "at the same place", {"augment_cutout": lambda x: x * functional.pad(torch.zeros(16, 16), [8] * 4, value=1.0)}),
    ("cutout", "one square", {"augment_cutout": lambda x: x}),
    ("cutout", "no gradient", {"augment_cutout": lambda x: hidden(x.detach())}),
]


@pytest.mark.parametrize(("name", "expected", "defined"), SLIPS, ids=[f"{name}: {expected}" for name, expected, _ in SLIPS])
def test_a_slip_gets_no_points_and_its_name(name: str, expected: str, defined: dict[str, Any]) -> None:
    refused(name, expected, **defined)
