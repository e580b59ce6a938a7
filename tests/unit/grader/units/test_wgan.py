"""The judges against torch's own arithmetic, and the probe code in a small notebook's namespace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from grader.units import BATCH, Verdict
from grader.units.wgan import CHECKS as WGAN

Floats = NDArray[np.float32]
CHECKS = {check.name: check for check in WGAN}
SOLUTION = Path(__file__).parents[4] / "solutions" / "lab8" / "lab8_cwgan.py"


def noise_and_class(z: Tensor, c: Tensor) -> Tensor:
    return torch.cat([z, functional.one_hot(c, 10).float()], 1)


def images_and_class(images: Tensor, c: Tensor) -> Tensor:
    planes = torch.zeros(len(c), 10, 28, 28)
    planes[torch.arange(len(c)), c] = 1
    return torch.cat([images, planes], 1)


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(110, 784)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x)).view(-1, 1, 28, 28)


class Discriminator(nn.Module):
    def __init__(self, *after: nn.Module, first: nn.Module | None = None) -> None:
        super().__init__()
        self.net = nn.Sequential(first or nn.Identity(), nn.Flatten(), nn.Linear(11 * 784, 1), *after)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.net(x)
        return scores


def get_wloss_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


def get_wloss_discriminator(fake: Tensor, real: Tensor, penalty: Tensor, lambda_: float = 10.0) -> Tensor:
    return fake.mean() - real.mean() + lambda_ * penalty


def get_gradient_regularisation(gradient: Tensor) -> Tensor:
    return (gradient.reshape(len(gradient), -1).norm(dim=1) - 1).pow(2).mean()


NOTEBOOK: dict[str, Any] = {
    "torch": torch,
    "nn": nn,
    "device": torch.device("cpu"),
    "noise_and_class": noise_and_class,
    "images_and_class": images_and_class,
    "Generator": Generator,
    "Discriminator": Discriminator,
    "get_WLoss_generator": get_wloss_generator,
    "get_WLoss_discriminator": get_wloss_discriminator,
    "get_gradient_regularisation": get_gradient_regularisation,
}


def probed(check: str, seed: int = 3, **changed: object) -> Verdict:
    """What the judge says of a notebook in which the names of `changed` mean something else."""
    namespace: dict[str, Any] = {**NOTEBOOK, **changed}
    exec(CHECKS[check].code, namespace)  # noqa: S102 - our own probe, as the sandbox runs it
    inputs = CHECKS[check].inputs(np.random.default_rng(seed))
    outputs = namespace["probe"](*(torch.from_numpy(array) for array in inputs))
    return CHECKS[check].judge(inputs, [output.detach().numpy() for output in outputs])


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_right_notebook_passes_every_check_whatever_the_seed(check: str, seed: int) -> None:
    assert probed(check, seed).share == 1


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (lambda fake: fake.mean(), "+score_fake: the sign is flipped"),
        (lambda fake: -fake.sum(), "sum over the batch"),
        (lambda fake: -fake, "shape (16, 1); expected a single number"),
        (lambda fake: 1 - fake.mean(), "expected"),
    ],
)
def test_slips_of_the_generators_loss_are_named(loss: Callable[[Tensor], Tensor], found: str) -> None:
    verdict = probed("wloss_generator", get_WLoss_generator=loss)
    assert verdict.share == 0
    assert found in verdict.message


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (lambda f, r, p, w=10.0: r.mean() - f.mean() + w * p, "signs of the two scores are flipped"),
        (lambda f, r, p, w=10.0: f.mean() - r.mean() - w * p, "sign of the penalty is flipped"),
        (lambda f, r, p, w=10.0: f.mean() + r.mean() + w * p, "sign of score_real is flipped"),
        (lambda f, r, p, w=10.0: f.mean() - r.mean(), "without the penalty"),
        (lambda f, r, p, w=10.0: f.mean() - r.mean() + p, "not multiplied by lambda_"),
        (lambda f, r, p, w=10.0: f.mean() - r.mean() + 10 * p, "in place of the argument lambda_"),
        (lambda f, r, p, w=5.0: f.mean() - r.mean() + w * p, "λ = 10.00"),
        (lambda f, r, p, w=10.0: f.sum() - r.sum() + w * p, "sum over the batch"),
    ],
)
def test_slips_of_the_critics_loss_are_named(loss: Callable[..., Tensor], found: str) -> None:
    verdict = probed("wloss_discriminator", get_WLoss_discriminator=loss)
    assert verdict.share == 0
    assert found in verdict.message


@pytest.mark.parametrize(
    ("penalty", "found"),
    [
        (lambda g: (g.flatten(1).square().sum(1) - 1).square().mean(), "the square root is missing"),
        (lambda g: (g.norm() - 1).square(), "over the whole batch"),
        (lambda g: (g.flatten(1).norm(dim=1).mean() - 1).square(), "square each image's deviation first"),
        (lambda g: (g.flatten(1).norm(dim=1) - 1).mean(), "the square is missing"),
        (lambda g: (g.flatten(1).norm(dim=1) - 1).abs().mean(), "the square is missing"),
        (lambda g: (g.flatten(1).norm(p=1, dim=1) - 1).square().mean(), "the L1 norm"),
        (lambda g: (g.norm(dim=3) - 1).square().mean(), "each row of pixels"),
        (lambda g: (g.norm(dim=1) - 1).square().mean(), "each pixel"),
        (lambda g: (g.flatten(1).norm(dim=1) - 1).square().sum(), "sum over the batch"),
        (lambda g: 10 * get_gradient_regularisation(g), "belongs into get_WLoss_discriminator"),
        (lambda g: -get_gradient_regularisation(g), "its negative"),
        (lambda g: g.flatten(1).norm(dim=1), "expected a single number"),
    ],
)
def test_slips_of_the_penalty_are_named(penalty: Callable[[Tensor], Tensor], found: str) -> None:
    verdict = probed("gradient_regularisation", get_gradient_regularisation=penalty)
    assert verdict.share == 0
    assert found in verdict.message


def test_a_linear_critics_penalty_is_that_of_its_weights_norm() -> None:
    """A penalty that is right on the given gradients and wrong where autograd made them is still wrong."""
    gradient, weights = CHECKS["gradient_regularisation"].inputs(np.random.default_rng(0))
    expected = (np.linalg.norm(weights) - 1) ** 2
    on_random = get_gradient_regularisation(torch.from_numpy(gradient)).numpy()
    judge = CHECKS["gradient_regularisation"].judge
    assert judge((gradient, weights), [on_random, np.float32(expected)]).share == 1
    verdict = judge((gradient, weights), [on_random, np.float32(expected + 0.05)])
    assert verdict.share == 0
    assert "a linear critic" in verdict.message


@pytest.mark.parametrize(
    ("check", "name", "function", "found"),
    [
        (
            "noise_and_class",
            "noise_and_class",
            lambda z, c: torch.cat([functional.one_hot(c, 10), z], 1),
            "the class comes first",
        ),
        ("noise_and_class", "noise_and_class", lambda z, c: torch.cat([z, c[:, None]], 1), "shape (16, 101); expected (16, 110)"),
        ("noise_and_class", "noise_and_class", lambda z, c: noise_and_class(z, (c + 1) % 10), "the value at"),
        (
            "images_and_class",
            "images_and_class",
            lambda x, c: images_and_class(x, c).roll(-1, 1),
            "the planes come first; the image must",
        ),
        ("images_and_class", "images_and_class", lambda x, c: x, "shape (16, 1, 28, 28); expected (16, 11, 28, 28)"),
        ("images_and_class", "images_and_class", lambda x, c: images_and_class(torch.zeros_like(x), c), "[0, 0, 0, 0] is 0"),
    ],
)
def test_slips_of_the_conditioning_are_named(check: str, name: str, function: Callable[..., Tensor], found: str) -> None:
    verdict = probed(check, **{name: function})
    assert verdict.share == 0
    assert found in verdict.message


class _Blind(nn.Module):
    """A network that sees all but the class."""

    def __init__(self, network: nn.Module, keep: int) -> None:
        super().__init__()
        self.network, self.keep = network, keep

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.network(torch.cat([x[:, : self.keep], torch.zeros_like(x[:, self.keep :])], 1))
        return seen


def test_networks_must_use_the_class() -> None:
    blind = probed("generator_conditional", Generator=lambda: _Blind(Generator(), 100))
    assert (blind.share, "for two different classes" in blind.message) == (0, True)
    blind = probed("critic_scores", Discriminator=lambda: _Blind(Discriminator(), 1))
    assert (blind.share, "depend on the class planes" in blind.message) == (0, True)


@pytest.mark.parametrize(("end", "found"), [(nn.Sigmoid(), "a sigmoid"), (nn.Tanh(), "tanh")])
def test_a_critics_scores_have_no_bounds(end: nn.Module, found: str) -> None:
    verdict = probed("critic_scores", Discriminator=lambda: Discriminator(end))
    assert verdict.share == 0
    assert f"as after {found}" in verdict.message


@pytest.mark.parametrize(
    "first",
    [
        nn.Identity(),
        nn.LayerNorm([11, 28, 28]),
        nn.Sequential(nn.Conv2d(11, 11, 3, padding=1), nn.InstanceNorm2d(11)),
        nn.utils.spectral_norm(nn.Conv2d(11, 11, 3, padding=1)),
    ],
)
def test_normalisation_inside_the_critic_is_not_taken_for_a_bound(first: nn.Module) -> None:
    def critic() -> nn.Module:
        network = Discriminator(first=first)
        nn.init.normal_(network.net[2].weight, 0, 1e-4)
        return network

    assert probed("critic_scores", Discriminator=critic).share == 1


def test_a_critic_that_takes_one_channel_is_refused_by_torch() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        probed("critic_scores", Discriminator=lambda: Discriminator(first=nn.Conv2d(1, 11, 1)))


def test_batch_normalisation_in_the_critic_is_advised_against_and_its_alternatives_are_not() -> None:
    verdict = probed("critic_batch_norm", Discriminator=lambda: Discriminator(first=nn.BatchNorm2d(11)))
    assert verdict.share == 0
    assert "leave batch normalisation out" in verdict.message
    for first in (nn.LayerNorm([11, 28, 28]), nn.InstanceNorm2d(11), nn.Dropout(0.3), nn.Dropout2d(0.3)):
        assert probed("critic_batch_norm", Discriminator=lambda first=first: Discriminator(first=first)).share == 1


@pytest.mark.parametrize("check", CHECKS)
def test_no_output_at_all_is_wrong(check: str) -> None:
    inputs = CHECKS[check].inputs(np.random.default_rng(0))
    assert CHECKS[check].judge(inputs, []).share == 0


def test_the_checks_name_the_todos_of_the_lab() -> None:
    script = SOLUTION.read_text()
    for check in CHECKS.values():
        assert check.todos
        assert all(f"### BEGIN SOLUTION {todo}:" in script for todo in check.todos)


def test_every_class_is_asked_for_in_a_batch() -> None:
    (_, labels) = CHECKS["noise_and_class"].inputs(np.random.default_rng(1))
    assert sorted(set(labels.tolist())) == list(range(10))
    assert len(labels) == BATCH
