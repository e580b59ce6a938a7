"""The judges against torch's own losses, and the probe code in a small notebook's namespace."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from grader.units import BATCH, Verdict
from grader.units.gan import CHECKS as GAN

Floats = NDArray[np.float32]
CHECKS = {check.name: check for check in GAN}

probabilities = arrays(np.float32, (BATCH, 1), elements=st.floats(1 / 16, 15 / 16, width=32))
HALF = np.full((BATCH, 1), 0.5, np.float32)


def bce(p: Floats, label: float) -> float:
    """torch's binary cross-entropy in float64."""
    tensor = torch.from_numpy(p.astype(np.float64))
    return functional.binary_cross_entropy(tensor, torch.full_like(tensor, label)).item()


def judged(check: str, inputs: tuple[Floats, ...], *outputs: Floats | float) -> Verdict:
    return CHECKS[check].judge(inputs, [np.asarray(output, np.float32) for output in outputs])


@settings(max_examples=40)
@given(probabilities, probabilities)
def test_the_discriminators_loss_is_the_sum_of_two_cross_entropies(real: Floats, fake: Floats) -> None:
    expected = bce(real, 1) + bce(fake, 0)
    assert judged("discriminator_bce", (real, fake), expected).share == 1
    assert judged("discriminator_bce", (real, fake), expected * 1.01).share == 0


@settings(max_examples=40)
@given(probabilities)
def test_the_generators_loss_is_the_cross_entropy_against_real(fake: Floats) -> None:
    assert judged("generator_bce", (fake,), bce(fake, 1)).share == 1
    assert judged("generator_bce", (fake,), bce(fake, 1) * 0.99).share == 0


def test_at_one_half_the_losses_are_two_and_one_logarithms_of_two() -> None:
    assert judged("discriminator_bce", (HALF, HALF), 2 * math.log(2)).share == 1
    assert judged("generator_bce", (HALF,), math.log(2)).share == 1
    verdict = judged("discriminator_bce", (HALF, HALF), math.log(2))
    assert "expected 1.3863" in verdict.message and "half of it" in verdict.message


def fresh(check: str, seed: int = 3) -> tuple[Floats, ...]:
    return CHECKS[check].inputs(np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("loss", "slip"),
    [
        (lambda real, fake: (bce(real, 1) + bce(fake, 0)) / 2, "half of it"),
        (lambda real, fake: bce(real, 0) + bce(fake, 1), "labels swapped"),
        (lambda real, fake: BATCH * (bce(real, 1) + bce(fake, 0)), "sum over the batch"),
        (lambda real, fake: bce(real, 1), "real batch alone"),
        (lambda real, fake: bce(fake, 0), "fake batch alone"),
        (lambda real, fake: -bce(real, 1) - bce(fake, 0), "its negative"),
    ],
)
def test_frequent_slips_of_the_discriminators_loss_are_named(loss: Callable[[Floats, Floats], float], slip: str) -> None:
    inputs = fresh("discriminator_bce")
    verdict = judged("discriminator_bce", inputs, loss(*inputs))
    assert verdict.share == 0
    assert slip in verdict.message


@pytest.mark.parametrize(
    ("loss", "slip"),
    [
        (lambda fake: bce(fake, 0), "against the label 0"),
        (lambda fake: -bce(fake, 0), "saturating loss"),
        (lambda fake: BATCH * bce(fake, 1), "sum over the batch"),
        (lambda fake: -bce(fake, 1), "its negative"),
    ],
)
def test_frequent_slips_of_the_generators_loss_are_named(loss: Callable[[Floats], float], slip: str) -> None:
    inputs = fresh("generator_bce")
    verdict = judged("generator_bce", inputs, loss(*inputs))
    assert verdict.share == 0
    assert slip in verdict.message


@pytest.mark.parametrize("outputs", [(), (1.0, 2.0), (np.zeros(3),), (np.zeros((0,)),), (math.nan,), (math.inf,)])
def test_what_is_no_single_number_is_no_loss(outputs: tuple[Floats | float, ...]) -> None:
    for check in ("discriminator_bce", "generator_bce"):
        assert judged(check, fresh(check), *outputs).share == 0


def test_a_loss_may_have_one_element_in_any_shape() -> None:
    (fake,) = inputs = fresh("generator_bce")
    assert judged("generator_bce", inputs, np.full((1, 1), bce(fake, 1))).share == 1


def test_fresh_inputs_tell_right_from_wrong() -> None:
    """Other seeds give other inputs, of which no constant is the loss."""
    for check in ("discriminator_bce", "generator_bce", "generator_shape", "discriminator_probability"):
        one, same, other = (fresh(check, seed) for seed in (1, 1, 2))
        assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        assert all(a.dtype == np.float32 for a in one)


def images(**more: Any) -> Floats:
    rng = np.random.default_rng(0)
    return rng.uniform(more.get("low", -1), more.get("high", 1), more.get("shape", (BATCH, 1, 28, 28))).astype(np.float32)


def with_nan(array: Floats) -> Floats:
    array.flat[5] = np.nan
    return array


def test_generated_images_have_the_right_shape_and_range() -> None:
    assert judged("generator_shape", fresh("generator_shape"), images()).share == 1


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (images(shape=(BATCH, 28, 28)), "images of shape (16, 28, 28); expected (16, 1, 28, 28)"),
        (images(shape=(1, 1, 28, 28)), "shape (1, 1, 28, 28)"),
        (with_nan(images()), "NaN"),
        (images(low=0, high=255), "expected [-1, 1], which tanh gives"),
        (np.repeat(images(shape=(1, 1, 28, 28)), BATCH, axis=0), "every noise vector gave the same image"),
    ],
)
def test_says_what_is_wrong_with_generated_images(output: Floats, found: str) -> None:
    verdict = judged("generator_shape", fresh("generator_shape"), output)
    assert verdict.share == 0
    assert found in verdict.message


@pytest.mark.parametrize("shape", [(BATCH, 1), (BATCH,)])
def test_probabilities_may_be_a_column_or_a_row(shape: tuple[int, ...]) -> None:
    assert judged("discriminator_probability", fresh("discriminator_probability"), images(low=0, shape=shape)).share == 1


@pytest.mark.parametrize(
    ("output", "found"),
    [
        (images(low=0, shape=(BATCH, 2)), "shape (16, 2); expected (16, 1)"),
        (with_nan(images(low=0, shape=(BATCH, 1))), "NaN"),
        (images(low=-4, high=4, shape=(BATCH, 1)), "which a sigmoid gives"),
        (HALF, "every image got the same probability"),
    ],
)
def test_says_what_is_wrong_with_probabilities(output: Floats, found: str) -> None:
    verdict = judged("discriminator_probability", fresh("discriminator_probability"), output)
    assert verdict.share == 0
    assert found in verdict.message


@pytest.mark.parametrize("check", ["generator_shape", "discriminator_probability"])
def test_a_network_returns_one_tensor(check: str) -> None:
    for outputs in ((), (images(), images())):
        assert "one tensor" in judged(check, fresh(check), *outputs).message


A, B = np.zeros(3, np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("states", "found"),
    [
        ((A, A, A, A, A, B), "left the generator's weights unchanged"),
        ((A, A, B, B, B, B), "generator's optimizer changed the discriminator's"),
        ((A, A, B, A, B, A), "left the discriminator's weights unchanged"),
        ((A, A, B, A, A, B), "discriminator's optimizer changed the generator's"),
        ((A, A), "could not be stepped"),
    ],
)
def test_each_optimizer_changes_its_own_network_and_no_other(states: tuple[Floats, ...], found: str) -> None:
    assert judged("two_optimizers", (), A, A, B, A, B, B).share == 1
    verdict = judged("two_optimizers", (), *states)
    assert verdict.share == 0
    assert found in verdict.message


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(100, 784)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.layer(z)).view(-1, 1, 28, 28)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(784, 1)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.layer(pictures.flatten(1)))


def discriminator_loss(p_real: torch.Tensor, p_fake: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy(p_real, torch.ones_like(p_real)) - torch.log(1 - p_fake).mean()


def generator_loss(p_fake: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy(p_fake, torch.ones_like(p_fake))


class Descent:
    """Plain gradient descent; torch's own optimizers take seconds to import what they do not use here."""

    def __init__(self, *networks: nn.Module) -> None:
        self.parameters = [p for network in networks for p in network.parameters()]

    @torch.no_grad()
    def step(self) -> None:
        for p in self.parameters:
            if p.grad is not None:
                p -= 0.1 * p.grad


def make_optimizers(g: nn.Module, d: nn.Module) -> tuple[Descent, Descent]:
    return Descent(g), Descent(d)


NOTEBOOK = {
    "torch": torch,
    "device": torch.device("cpu"),
    "Generator": Generator,
    "Discriminator": Discriminator,
    "discriminator_loss": discriminator_loss,
    "generator_loss": generator_loss,
    "make_optimizers": make_optimizers,
}


def probed(check: str, **changed: object) -> Verdict:
    """What the judge says of a notebook in which the names of `changed` mean something else."""
    namespace: dict[str, Any] = {**NOTEBOOK, **changed}
    exec(CHECKS[check].code, namespace)  # noqa: S102 - our own probe, as the sandbox runs it
    inputs = fresh(check)
    outputs = namespace["probe"](*(torch.from_numpy(array) for array in inputs))
    return CHECKS[check].judge(inputs, [output.detach().numpy() for output in outputs])


@pytest.mark.parametrize("check", CHECKS)
def test_a_right_notebook_passes_every_check(check: str) -> None:
    assert probed(check).share == 1


def test_the_probes_see_slips_in_the_notebook() -> None:
    assert (
        "changed the discriminator's weights"
        in probed("two_optimizers", make_optimizers=lambda g, d: (Descent(g, d), Descent(d))).message
    )
    assert (
        "left the generator's weights unchanged"
        in probed("two_optimizers", make_optimizers=lambda g, d: (Descent(d), Descent(g))).message
    )
    assert "half of it" in probed("discriminator_bce", discriminator_loss=lambda r, f: discriminator_loss(r, f) / 2).message
    assert "NaN" in probed("generator_shape", Generator=_broken_generator).message


def _broken_generator() -> nn.Module:
    network = copy.deepcopy(Generator())
    nn.init.constant_(network.layer.bias, math.nan)
    return network


def test_the_optimizers_probe_refuses_what_is_no_pair() -> None:
    with pytest.raises(TypeError, match="make_optimizers returned Descent; expected two optimizers"):
        probed("two_optimizers", make_optimizers=lambda g, d: make_optimizers(g, d)[0])


def test_the_checks_name_the_todos_of_the_lab() -> None:
    """Each check blames TODOs, all of which the lab's script has."""
    script = (Path(__file__).parents[4] / "solutions" / "lab8" / "lab8_vanilla.py").read_text()
    for check in CHECKS.values():
        assert check.todos
        assert all(f"### BEGIN SOLUTION {todo}:" in script for todo in check.todos)
