"""The judges against torch's own arithmetic, and the probe code in a small notebook's namespace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from grader.units import CHECKS as ALL
from grader.units import Verdict, gan, multilabel, photographs, wgan
from grader.units.attention import CHECKS as ATTENTION

CHECKS = {check.name: check for check in ATTENTION}
SOLUTIONS = Path(__file__).parents[4] / "solutions" / "lab10"
UNCONDITIONAL = ("image_generator", "image_discriminator")


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(100, 3 * 32 * 32)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(self.layer(z)).view(-1, 3, 32, 32)


class Discriminator(nn.Module):
    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1), *after)

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.net(images)
        return scores


class ConditionalGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.layer = nn.Embedding(10, 50), nn.Linear(150, 3 * 32 * 32)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return torch.tanh(self.layer(torch.cat([z, self.embedding(c)], 1))).view(-1, 3, 32, 32)


class ConditionalCritic(nn.Module):
    def __init__(self, *after: nn.Module) -> None:
        super().__init__()
        self.image, self.label, self.after = nn.Linear(3 * 32 * 32, 1), nn.Embedding(10, 1), nn.Sequential(*after)

    def forward(self, images: Tensor, c: Tensor) -> Tensor:
        scores: Tensor = self.after(self.image(images.flatten(1)) + self.label(c))
        return scores


class SelfAttention(nn.Module):
    """Written place by place, unlike the solution: o_i is the sum over j of weight_ij · value_j."""

    axis = 2

    def __init__(self, channels: int, width: int = 4) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, width, 1), nn.Conv2d(channels, width, 1)
        self.value, self.output = nn.Conv2d(channels, width, 1), nn.Conv2d(width, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def weights(self, energies: Tensor) -> Tensor:
        return energies.softmax(self.axis)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = self.weights(torch.einsum("bci,bcj->bij", query, key))
        return x + self.gamma * self.output(torch.einsum("bij,bcj->bci", weights, value).view(len(x), -1, *x.shape[2:]))


def clip_weights(critic: nn.Module, limit: float = 0.01) -> None:
    for p in critic.parameters():
        p.data = p.data.clamp(-limit, limit)


def notebook(check: str) -> dict[str, Any]:
    networks = (Generator, Discriminator) if check in UNCONDITIONAL else (ConditionalGenerator, ConditionalCritic)
    return {
        "torch": torch,
        "nn": nn,
        "device": torch.device("cpu"),
        "Generator": networks[0],
        "Discriminator": networks[1],
        "SelfAttention": SelfAttention,
        "class_embedding": lambda: nn.Embedding(10, 50),
        "clip_weights": clip_weights,
    }


def probed(check: str, seed: int = 3, **changed: object) -> Verdict:
    """What the judge says of a notebook in which the names of `changed` mean something else."""
    namespace: dict[str, Any] = {**notebook(check), **changed}
    exec(CHECKS[check].code, namespace)  # noqa: S102 - our own probe, as the sandbox runs it
    inputs = CHECKS[check].inputs(np.random.default_rng(seed))
    outputs = namespace["probe"](*(torch.from_numpy(array) for array in inputs))
    return CHECKS[check].judge(inputs, [output.detach().numpy() for output in outputs])


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_right_notebook_passes_every_check_whatever_the_seed(check: str, seed: int) -> None:
    assert probed(check, seed).share == 1


@pytest.mark.parametrize("check", CHECKS)
def test_no_output_at_all_is_wrong(check: str) -> None:
    inputs = CHECKS[check].inputs(np.random.default_rng(0))
    assert CHECKS[check].judge(inputs, []).share == 0


def test_no_name_stands_for_two_checks() -> None:
    assert len(ALL) == sum(len(module) for module in (gan.CHECKS, wgan.CHECKS, multilabel.CHECKS, photographs.CHECKS, ATTENTION))


def test_the_checks_name_the_todos_of_the_lab() -> None:
    script = (SOLUTIONS / "lab10_csagan.py").read_text()
    for check in CHECKS.values():
        assert check.todos
        assert all(f"### BEGIN SOLUTION {todo}:" in script for todo in check.todos)


def test_a_generator_of_another_size_is_told_the_right_one() -> None:
    class Large(Generator):
        def forward(self, z: Tensor) -> Tensor:
            return super().forward(z).repeat(1, 1, 2, 2)

    assert "(16, 3, 64, 64); expected (16, 3, 32, 32)" in probed("image_generator", Generator=Large).message


@pytest.mark.parametrize(("end", "bounds"), [(nn.Sigmoid(), "[0, 1], as after a sigmoid"), (nn.Tanh(), "[-1, 1], as after tanh")])
def test_scores_with_bounds_are_seen(end: nn.Module, bounds: str) -> None:
    assert bounds in probed("image_discriminator", Discriminator=lambda: Discriminator(end)).message
    assert bounds in probed("conditional_image_critic", Discriminator=lambda: ConditionalCritic(end)).message


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (lambda: Discriminator(nn.Linear(1, 2)), "shape (16, 2); expected (16, 1)"),
        (lambda: Discriminator(nn.Threshold(1e9, 3.0)), "every image got the same score"),
        (lambda: Discriminator(nn.Threshold(1e9, float("nan"))), "NaN"),
    ],
)
def test_discriminators_that_miss_a_part_are_told_what(network: Callable[[], nn.Module], found: str) -> None:
    assert found in probed("image_discriminator", Discriminator=network).message


def test_spectral_normalisation_and_dropout_are_not_taken_for_bounds() -> None:
    def normalised() -> nn.Module:
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(3 * 32 * 32, 1))
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), layer)

    assert probed("image_discriminator", Discriminator=normalised).share == 1


def test_networks_must_use_the_class() -> None:
    class Deaf(ConditionalGenerator):
        def forward(self, z: Tensor, c: Tensor) -> Tensor:
            return super().forward(z, torch.zeros_like(c))

    class Blind(ConditionalCritic):
        def forward(self, images: Tensor, c: Tensor) -> Tensor:
            return super().forward(images, torch.zeros_like(c))

    assert "must depend on the class" in probed("conditional_image_generator", Generator=Deaf).message
    assert "must depend on the class" in probed("conditional_image_critic", Discriminator=Blind).message


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (lambda: nn.Embedding(10, 100), "shape (10, 100); expected (10, 50)"),
        (lambda: nn.Embedding.from_pretrained(torch.randn(10, 50)), "no parameters that training could change"),
        (lambda: nn.Embedding.from_pretrained(torch.ones(10, 50), freeze=False), "two classes got the same vector"),
    ],
)
def test_embeddings_that_miss_a_part_are_told_what(layer: Callable[[], nn.Module], found: str) -> None:
    verdict = probed("class_embedding", class_embedding=layer)
    assert verdict.share == 0
    assert found in verdict.message


class AlreadyOn(SelfAttention):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        nn.init.ones_(self.gamma)


class WithoutInput(SelfAttention):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - x


class GammaUnused(SelfAttention):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Narrow(SelfAttention):
    def forward(self, x: Tensor) -> Tensor:
        return self.query(super().forward(x))


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (AlreadyOn, "gamma must start at 0"),
        (WithoutInput, "the input x is not added"),
        (GammaUnused, "gamma is not used"),
        (Narrow, "expected the same shape"),
    ],
)
def test_slips_of_the_start_are_named(layer: Callable[[int], nn.Module], found: str) -> None:
    verdict = probed("self_attention_start", SelfAttention=layer)
    assert verdict.share == 0
    assert found in verdict.message


def test_a_layer_without_gamma_is_refused() -> None:
    for check in ("self_attention_start", "self_attention_weights"):
        with pytest.raises(AttributeError, match="named gamma"):
            probed(check, SelfAttention=lambda channels: nn.Conv2d(channels, channels, 1))


class OverQueries(SelfAttention):
    axis = 1


class OverImages(SelfAttention):
    axis = 0


class NoSoftmax(SelfAttention):
    def weights(self, energies: Tensor) -> Tensor:
        return energies


class Mean(SelfAttention):
    def weights(self, energies: Tensor) -> Tensor:
        return energies / energies.shape[2]


class Swapped(SelfAttention):
    """Values taken apart in the wrong order, as a view in place of a transpose does."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        seen = (query.mT @ key).softmax(2) @ value.mT
        return x + self.gamma * self.output(seen.reshape(len(x), -1, *x.shape[2:]))


class Pooled(SelfAttention):
    def forward(self, x: Tensor) -> Tensor:
        query = self.query(x).flatten(2)
        key, value = (nn.functional.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        seen = ((query.mT @ key).softmax(2) @ value.mT).mT.unflatten(2, x.shape[2:])
        return x + self.gamma * self.output(seen)


class OwnPlace(SelfAttention):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.gamma * self.output(self.value(x))


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        (OverQueries, "do not sum to 1"),
        (OverImages, "do not sum to 1"),
        (NoSoftmax, "do not sum to 1"),
        (Mean, "do not sum to 1"),
        (Swapped, "the output is not the same in that order"),
        (Pooled, "the output is not the same in that order"),
        (OwnPlace, "on that place alone"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_slips_of_the_weights_are_named(layer: Callable[[int], nn.Module], found: str, seed: int) -> None:
    torch.manual_seed(seed)
    verdict = probed("self_attention_weights", seed, SelfAttention=layer)
    assert verdict.share == 0
    assert found in verdict.message


def started(layer: type[SelfAttention], how: str, seed: int) -> Callable[[int], nn.Module]:
    """A layer whose convolutions start in another way."""

    def made(channels: int) -> nn.Module:
        torch.manual_seed(seed)
        network = layer(channels)
        for name, module in list(network.named_children()):
            if how == "spectral":
                setattr(network, name, nn.utils.parametrizations.spectral_norm(module))
            else:
                nn.init.normal_(module.weight, 0, float(how))
                nn.init.zeros_(module.bias)
        return network

    return made


@pytest.mark.parametrize("how", ["spectral", "0.02", "0.3"])
@pytest.mark.parametrize("seed", range(5))
def test_right_and_wrong_are_told_apart_however_the_layer_starts(how: str, seed: int) -> None:
    assert probed("self_attention_weights", seed, SelfAttention=started(SelfAttention, how, seed)).share == 1
    assert probed("self_attention_weights", seed, SelfAttention=started(OverQueries, how, seed)).share == 0


def scaled_weights(critic: nn.Module, limit: float = 0.01) -> None:
    most = max(p.abs().max() for p in critic.parameters())
    for p in critic.parameters():
        p.data.mul_(limit / most)


def clipping(change: Callable[[Tensor, float], Tensor], biases: bool = True) -> Callable[..., None]:
    def clip(critic: nn.Linear, limit: float = 0.01) -> None:
        for p in (critic.weight, critic.bias) if biases else (critic.weight,):
            p.data = change(p.data, limit)

    return clip


@pytest.mark.parametrize(
    ("clip", "found"),
    [
        (lambda critic, limit=0.01: [p.clamp(-limit, limit) for p in critic.parameters()], "they are unchanged"),
        (clipping(lambda p, limit: p.clamp(-limit, limit), biases=False), "the biases are unchanged"),
        (clipping(lambda p, limit: p.clamp(-0.01, 0.01)), "whatever the argument limit is"),
        (clipping(lambda p, limit: p.clamp(0, limit)), "negative weights were cut to 0"),
        (clipping(lambda p, limit: p.clamp(max=limit)), "the lower bound is missing"),
        (clipping(lambda p, limit: p.clamp(min=-limit)), "the upper bound is missing"),
        (clipping(lambda p, limit: p.sign() * limit), "only their signs are left"),
        (scaled_weights, "all of them were scaled"),
        (lambda critic, limit=0.05: clip_weights(critic, limit), "with a limit of 0.010"),
        (clipping(lambda p, limit: p * 0), "expected them cut to"),
    ],
)
def test_slips_of_clipping_are_named(clip: Callable[..., Any], found: str) -> None:
    verdict = probed("clip_weights", clip_weights=clip)
    assert verdict.share == 0
    assert found in verdict.message


@pytest.mark.parametrize("seed", range(20))
def test_weights_lie_on_both_sides_of_every_bound(seed: int) -> None:
    weights, biases, limit = CHECKS["clip_weights"].inputs(np.random.default_rng(seed))
    for values in (weights, biases):
        assert all((values > bound).any() and (values < -bound).any() for bound in (0.01, float(limit[0])))
        assert (np.abs(values) < 0.01).any()
