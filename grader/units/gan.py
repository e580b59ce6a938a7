"""Unit checks of the unconditional GAN: two networks, two cross-entropies, two optimizers."""

from collections.abc import Sequence

import numpy as np

from grader.units.base import (
    BATCH,
    Floats,
    UnitCheck,
    Verdict,
    compare_loss,
    no_inputs,
    random_images,
    random_noise,
    right,
    single,
    wrong,
)


def _probabilities(rng: np.random.Generator) -> tuple[Floats, ...]:
    return tuple(rng.uniform(0.05, 0.95, (BATCH, 1)).astype(np.float32) for _ in range(2))


def judge_generator_shape(
    inputs: Sequence[Floats], outputs: Sequence[Floats], shape: tuple[int, int, int] = (1, 28, 28)
) -> Verdict:
    """Images (B, *shape), finite, within [-1, 1], and not the same for all noise."""
    images = single(outputs)
    if images is None:
        return wrong("the generator did not return one tensor")
    expected = (len(inputs[0]), *shape)
    if images.shape != expected:
        return wrong(f"noise of shape {inputs[0].shape} gave images of shape {images.shape}; expected {expected}")
    if not np.isfinite(images).all():
        return wrong("the images contain NaN or infinity")
    low, high = float(images.min()), float(images.max())
    if low < -1 - 1e-5 or high > 1 + 1e-5:
        return wrong(f"values from {low:.2f} to {high:.2f}; expected [-1, 1], which tanh gives")
    if np.ptp(images, axis=0).max() == 0:
        return wrong("every noise vector gave the same image; the output must depend on z")
    return right(f"images of shape {images.shape} in [-1, 1]")


def judge_discriminator_probability(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """One probability for each image: shape (B, 1) or (B,), within [0, 1], depending on the image."""
    scores = single(outputs)
    if scores is None:
        return wrong("the discriminator did not return one tensor")
    batch = len(inputs[0])
    if scores.shape not in {(batch, 1), (batch,)}:
        return wrong(f"{batch} images gave an output of shape {scores.shape}; expected ({batch}, 1)")
    if not np.isfinite(scores).all():
        return wrong("the output contains NaN or infinity")
    low, high = float(scores.min()), float(scores.max())
    if low < 0 or high > 1:
        return wrong(f"values from {low:.2f} to {high:.2f}; expected probabilities in [0, 1], which a sigmoid gives")
    if low == high:
        return wrong("every image got the same probability; the output must depend on the image")
    return right("one probability in [0, 1] for each image")


def _bce(probabilities: Floats, label: int) -> float:
    """Mean binary cross-entropy against a constant label, in float64."""
    p = probabilities.astype(np.float64)
    return float(-np.log(p if label else 1 - p).mean())


def judge_discriminator_bce(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """BCE(p_real, 1) + BCE(p_fake, 0), each a mean over the batch (Goodfellow et al. 2014, equation 1)."""
    real, fake = inputs
    expected = _bce(real, 1) + _bce(fake, 0)
    slips = {
        "half of it; add the two terms, do not average them": expected / 2,
        "the loss with the labels swapped": _bce(real, 0) + _bce(fake, 1),
        "the sum over the batch; take the mean": expected * len(real),
        "the term of the real batch alone": _bce(real, 1),
        "the term of the fake batch alone": _bce(fake, 0),
        "its negative": -expected,
    }
    return compare_loss(single(outputs), expected, slips)


def judge_generator_bce(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """BCE(p_fake, 1), the non-saturating loss (Goodfellow et al. 2014, section 3)."""
    (fake,) = inputs
    expected = _bce(fake, 1)
    slips = {
        "the BCE against the label 0": _bce(fake, 0),
        "the saturating loss log(1 - D(G(z)))": -_bce(fake, 0),
        "the sum over the batch; take the mean": expected * len(fake),
        "its negative": -expected,
    }
    return compare_loss(single(outputs), expected, slips)


def judge_two_optimizers(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Six vectors: weights of G and of D at the start, after a step of G's optimizer, after a step of D's."""
    if len(outputs) != 6:
        return wrong("the optimizers could not be stepped")
    g0, d0, g1, d1, g2, d2 = outputs
    if np.array_equal(g0, g1):
        return wrong("a step of the first optimizer left the generator's weights unchanged; return (for G, for D)")
    if not np.array_equal(d0, d1):
        return wrong("a step of the generator's optimizer changed the discriminator's weights")
    if np.array_equal(d1, d2):
        return wrong("a step of the second optimizer left the discriminator's weights unchanged")
    if not np.array_equal(g1, g2):
        return wrong("a step of the discriminator's optimizer changed the generator's weights")
    return right("each optimizer changes its own network and no other")


GENERATOR_CODE = """
def probe(z):
    with torch.no_grad():
        return [Generator().to(device)(z.to(device))]
"""

DISCRIMINATOR_CODE = """
def probe(images):
    with torch.no_grad():
        return [Discriminator().to(device)(images.to(device))]
"""

DISCRIMINATOR_LOSS_CODE = """
def probe(p_real, p_fake):
    return [discriminator_loss(p_real.to(device), p_fake.to(device))]
"""

GENERATOR_LOSS_CODE = """
def probe(p_fake):
    return [generator_loss(p_fake.to(device))]
"""

OPTIMIZERS_CODE = """
def probe():
    networks = Generator().to(device), Discriminator().to(device)
    optimizers = make_optimizers(*networks)
    if not isinstance(optimizers, (tuple, list)) or len(optimizers) != 2:
        raise TypeError(f"make_optimizers returned {type(optimizers).__name__}; expected two optimizers")

    def weights(network):  # the ends of every tensor are enough to see a change
        parts = [p.detach().flatten() for p in network.parameters()]
        return torch.cat([torch.cat([p[:32], p[-32:]]) for p in parts])

    for network in networks:
        for p in network.parameters():
            p.grad = torch.ones_like(p)
    states = [weights(n).clone() for n in networks]
    for optimizer in optimizers:
        optimizer.step()
        states += [weights(n).clone() for n in networks]
    return states
"""

CHECKS = (
    UnitCheck("generator_shape", ("generator_layers", "generator_forward"), GENERATOR_CODE, random_noise, judge_generator_shape),
    UnitCheck(
        "discriminator_probability",
        ("discriminator_layers", "discriminator_forward"),
        DISCRIMINATOR_CODE,
        random_images,
        judge_discriminator_probability,
    ),
    UnitCheck("discriminator_bce", ("discriminator_loss",), DISCRIMINATOR_LOSS_CODE, _probabilities, judge_discriminator_bce),
    UnitCheck(
        "generator_bce", ("generator_loss",), GENERATOR_LOSS_CODE, lambda rng: _probabilities(rng)[:1], judge_generator_bce
    ),
    UnitCheck("two_optimizers", ("optimizers",), OPTIMIZERS_CODE, no_inputs, judge_two_optimizers),
)
